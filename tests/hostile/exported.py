"""torch.export archives whose program, sizes or weights are made to run code or to take all memory."""

from __future__ import annotations

import copy
import functools
import io
import json
import struct
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hostile.corpus import CANARY, content, register
from hostile.pickle_tools import Called, Opens, archive, saved, tensor, weights, written, zipped
from hostile.torchscripts import WIDTH, entries

LONG = 10_000
MODEL = "archive/models/model.json"
CONFIG = "archive/data/weights/model_weights_config.json"
SAMPLE = "archive/data/sample_inputs/model.pt"
CODE = f"__import__('builtins').open('{CANARY}', 'w')"


class Whole(nn.Module):
    """A VAE that is exported with a view, which names the number of rows as a size, and a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(WIDTH, 8), nn.Linear(2, WIDTH)
        self.fc_mu, self.fc_logvar = nn.Linear(8, 2), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = self.encoder(x).view(x.shape[0], 8)
        mean, log_var = self.fc_mu(hidden), self.fc_logvar(hidden) - 3
        z = mean + torch.randn_like(mean) * (0.5 * log_var).exp()
        return self.decoder(z) + torch.zeros([7]).sum(), mean, log_var


@functools.cache
def exported() -> bytes:
    """The program, harmless."""
    torch.manual_seed(0)
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = {"x": {0: torch.export.Dim.DYNAMIC}}
        torch.export.save(torch.export.export(Whole().eval(), (torch.randn(4, WIDTH),), dynamic_shapes=rows), out)
    return out.getvalue()


Change = Callable[[Any], object]


def changed(entry: str, change: Change) -> bytes:
    """The archive after a change to one JSON entry; what the change returns stands in its place."""
    parts = entries(exported())
    value = json.loads(parts[entry])
    given = change(value)
    parts[entry] = given if isinstance(given, bytes) else json.dumps(value).encode()
    return zipped(parts)


def with_entries(**more: bytes) -> bytes:
    return zipped({**entries(exported()), **{name.replace("__", "/"): stored for name, stored in more.items()}})


def with_size(text: str) -> bytes:
    """Every size that is an expression is this one; the first alone where it is long."""

    def change(value: Any) -> None:
        sizes = [entry for entry in _dicts(value) if "expr_str" in entry]
        for entry in sizes if len(text) < LONG else sizes[:1]:
            entry["expr_str"] = text

    return changed(MODEL, change)


def _dicts(value: Any) -> list[dict[str, Any]]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return ([value] if isinstance(value, dict) else []) + [found for each in inner for found in _dicts(each)]


def node(value: Any, target: str) -> dict[str, Any]:
    return next(each for each in value["graph_module"]["graph"]["nodes"] if each["target"] == target)


def with_target(target: str) -> bytes:
    return changed(MODEL, lambda value: node(value, "torch.ops.aten.zeros.default").update(target=target))


def with_constant(target: str, *inputs: tuple[str, dict[str, Any]]) -> bytes:
    """The constant in the program is made by another operator, with other arguments."""

    def change(value: Any) -> None:
        given = [{"name": name, "arg": argument, "kind": 1} for name, argument in inputs]
        node(value, "torch.ops.aten.zeros.default").update(target=f"torch.ops.aten.{target}", inputs=given)

    return changed(MODEL, change)


def with_meta(**fields: Any) -> bytes:
    """What is said of the first weight."""
    return changed(CONFIG, lambda value: value["config"]["encoder.weight"]["tensor_meta"].update(fields))


def ints(*numbers: int) -> list[dict[str, int]]:
    return [{"as_int": number} for number in numbers]


TOWER = "Pow(Integer(9), " * 5 + "Integer(9)" + ")" * 5
SIZES = {
    "a tower of Pow": TOWER,
    "Pow of a symbol": f"Pow(Symbol('s0', integer=True), {TOWER})",
    "PowByNatural": "PowByNatural(Integer(10), Integer(10000000000))",
    "a tower of FloatPow": "FloatPow(Float('9'), FloatPow(Float('9'), Float('1e9')))",
    "LShift": "LShift(Integer(1), Integer(100000000000))",
    "a product of numbers": "*".join(["Integer(99999999)"] * 20_000),
    "a sum of 20,000": " + ".join(["Symbol('s0', integer=True)"] * 20_000),
    "a sum of 2,000 different": " + ".join(f"Symbol('s{n}')" for n in range(2000)),
    "a product of 2,000 sums": "*".join(f"(Symbol('s{n}') + 1)" for n in range(2000)),
    "Add of Add of Add": "Add(" * 3000 + "Integer(1)" + ", Integer(1))" * 3000,
    "brackets": "(" * 5000 + "1" + ")" * 5000,
    "signs": "-" * 100_000 + "1",
    "Integer of digits": f"Integer('{'9' * 1_000_000}')",
    "Float of digits": f"Float('1e{'9' * 1000}')",
    "Float of places": "Float('1', precision=10000000000)",
    "Rational": f"Rational('{'9' * 100_000}/{'7' * 100_000}')",
    "hexadecimal": "0x" + "f" * 1_000_000,
    "Max of many": f"Max({', '.join(f'Symbol(chr({n}))' for n in range(9))})",
    "Mod of a tower": f"Mod({TOWER}, Integer(7))",
    "a call": CODE,
    "a lambda": f"(lambda: {CODE})()",
    "an attribute": "Integer.__class__.__base__.__subclasses__()",
    "a comprehension": "[Integer(n) for n in range(10)][0]",
    "a symbol that is code": f'Symbol("{CODE}")',
    "Where that loops": "Where(" * 90 + "True, Integer(1), Integer(2)" + ")" * 90,
    "not closed": "Integer(1",
    "nothing": "",
    "nan": "nan",
    "infinity": "oo**oo",
    "below zero": "Integer(-5)",
    "huge": "Integer(10000000000000000)",
}
for name, text in SIZES.items():
    register(f"pt2 size: {name}", content(lambda t=text: with_size(t)), "m.pt2", "model")

TARGETS = (
    "torch.ops.prim.Print.default",
    "torch.ops.mylib.go.default",
    "torch.save",
    "torch.load",
    "torch.hub.load",
    "builtins.eval",
    "os.system",
    "torch.ops.aten.save.default",
    "torch.ops.aten.from_file.default",
    "torch.ops.aten._print.default",
    "torch._C._jit_pass_inline",
    "_operator.methodcaller",
    "_operator.attrgetter",
    "math.factorial",
    "math.__loader__",
    "torch.ops.aten.__class__.default",
    "torch.ops.higher_order.map_impl",
    "torch.ops.higher_order.triton_kernel_wrapper_functional",
    "torch.ops.aten.set_.source_Tensor",
    "torch.ops.aten.resize_.default",
    "torch.sym_not.__globals__",
    f"torch.ops.aten.{CODE}.default",
)
for target in TARGETS:
    register(f"pt2 operator {target}", content(lambda t=target: with_target(t)), "m.pt2", "model")

HUGE = 10**11
RESULTS = {
    "zeros": ("zeros.default", ("size", {"as_ints": [HUGE]})),
    "zeros of 12 GB": ("zeros.default", ("size", {"as_ints": [3 * 10**9]})),
    "zeros of 1.8 GB": ("zeros.default", ("size", {"as_ints": [450_000_000]})),
    "ones": ("ones.default", ("size", {"as_ints": [10**6, 10**6]})),
    "full": ("full.default", ("size", {"as_ints": [HUGE]}), ("fill_value", {"as_float": 0.0})),
    "rand": ("rand.default", ("size", {"as_ints": [10**9]})),
    "randn": ("randn.default", ("size", {"as_ints": [10**9]})),
    "arange": ("arange.default", ("end", {"as_int": HUGE})),
    "linspace": (
        "linspace.default",
        ("start", {"as_float": 0.0}),
        ("end", {"as_float": 1.0}),
        ("steps", {"as_int": HUGE}),
    ),
    "eye": ("eye.default", ("n", {"as_int": 10**6})),
    "empty below zero": ("zeros.default", ("size", {"as_ints": [-5]})),
    "tril_indices": ("tril_indices.default", ("row", {"as_int": 10**6}), ("col", {"as_int": 10**6})),
    "bartlett_window": ("bartlett_window.default", ("window_length", {"as_int": 10**10})),
    "zeros of too many sides": ("zeros.default", ("size", {"as_ints": [1] * 10_000})),
}
for name, (target, *inputs) in RESULTS.items():
    register(f"pt2 constant: {name}", content(lambda t=target, i=inputs: with_constant(t, *i)), "m.pt2", "model")


def grown(value: Any) -> None:
    """Sums of sums: the graph of a constant that doubles forty times."""
    nodes = value["graph_module"]["graph"]["nodes"]
    first = next(number for number, each in enumerate(nodes) if each["target"] == "torch.ops.aten.zeros.default")
    name, tensors = nodes[first]["outputs"][0]["as_tensor"]["name"], value["graph_module"]["graph"]["tensor_values"]
    for step in range(40):
        again = copy.deepcopy(nodes[first])
        told = [{"name": "tensors", "arg": {"as_tensors": [{"name": name}, {"name": name}]}, "kind": 1}]
        again |= {"target": "torch.ops.aten.cat.default", "inputs": told, "name": f"cat_{step}"}
        name = f"cat_{step}"
        again["outputs"] = [{"as_tensor": {"name": name}}]
        tensors[name] = copy.deepcopy(tensors[nodes[first]["outputs"][0]["as_tensor"]["name"]])
        nodes.insert(first + 1 + step, again)
    total = node(value, "torch.ops.aten.sum.default")
    total["inputs"][0]["arg"]["as_tensor"]["name"] = name


METAS: dict[str, dict[str, Any]] = {
    "sizes beyond the payload": {"sizes": ints(10**5, WIDTH)},
    "10^12 rows of stride 0": {"sizes": ints(10**12, WIDTH), "strides": ints(0, 0)},
    "10^4 x 10^5 of stride 0": {"sizes": ints(10**4, 10**5), "strides": ints(0, 0)},
    "sizes that overflow": {"sizes": ints(2**62, 2**62)},
    "sizes below zero": {"sizes": ints(-8, WIDTH)},
    "strides below zero": {"strides": ints(-WIDTH, 1)},
    "an offset beyond": {"storage_offset": {"as_int": 10**12}},
    "an offset below zero": {"storage_offset": {"as_int": -4}},
    "an unknown dtype": {"dtype": 99},
    "a dtype that is wider": {"dtype": 8},
    "a sparse layout": {"layout": 1},
    "sizes that are expressions": {"sizes": [{"as_expr": {"expr_str": TOWER, "hint": None}}, {"as_int": WIDTH}]},
    "sizes that are text": {"sizes": [{"as_int": "8"}, {"as_int": WIDTH}]},
    "a device that is code": {"device": {"type": CODE, "index": 0}},
}
for name, fields in METAS.items():
    register(f"pt2 weight: {name}", content(lambda f=fields: with_meta(**f)), "m.pt2", "model")


def named(value: Any) -> None:
    value["config"][f"x'); {CODE}#"] = value["config"].pop("encoder.weight")


def spec_with_code(value: Any) -> None:
    value["graph_module"]["module_call_graph"][0]["signature"]["in_spec"] = json.dumps(
        [
            1,
            {
                "type": "builtins.dict",
                "context": json.dumps([f"']+{CODE}+['"]),
                "children_spec": [{"type": None, "context": None, "children_spec": []}],
            },
        ]
    )


def spec_of(kind: str) -> Change:
    spec = json.dumps([1, {"type": kind, "context": json.dumps("os.system"), "children_spec": []}])
    return lambda value: value["graph_module"]["module_call_graph"][0]["signature"].update(in_spec=spec)


def many_nodes(value: Any) -> None:
    nodes = value["graph_module"]["graph"]["nodes"]
    nodes += [dict(nodes[0], metadata={}, name=f"n{number}") for number in range(8000)]


DEEP = b"[" * 100_000 + b"]" * 100_000
PROGRAMS: dict[str, Callable[[], bytes]] = {
    "a constant that doubles": lambda: changed(MODEL, grown),
    "guards_code": lambda: changed(MODEL, lambda value: value.update(guards_code=[CODE], range_constraints=CODE)),
    "weight's name is code": lambda: changed(CONFIG, named),
    "node's name is code": lambda: changed(
        MODEL, lambda value: value["graph_module"]["graph"]["nodes"][0].update(name=f"a\n    {CODE}")
    ),
    "input's name is code": lambda: changed(MODEL, spec_with_code),
    "a dataclass as input": lambda: changed(MODEL, spec_of("dataclasses.dataclass")),
    "a namedtuple as input": lambda: changed(MODEL, spec_of("collections.namedtuple")),
    "entry's name leaves the archive": lambda: changed(
        CONFIG, lambda v: v["config"]["encoder.weight"].update(path_name="../../m")
    ),
    "weight is a pickle": lambda: changed(CONFIG, lambda v: v["config"]["encoder.weight"].update(use_pickle=True)),
    "custom object": lambda: changed(
        MODEL, lambda v: v["graph_module"]["graph"]["custom_obj_values"].update(a={"name": "a", "class_fqn": CODE})
    ),
    "as_custom_obj": lambda: changed(
        MODEL,
        lambda v: v["graph_module"]["graph"]["inputs"].append({"as_custom_obj": {"name": "a", "class_fqn": CODE}}),
    ),
    "nodes by the thousand": lambda: changed(MODEL, many_nodes),
    "a deep program": lambda: changed(MODEL, lambda _: DEEP),
    "a deep config": lambda: changed(CONFIG, lambda _: DEEP),
    "a deep part": lambda: changed(MODEL, lambda v: json.dumps(v).encode()[:-1] + b', "x": ' + DEEP + b"}"),
    "a list as program": lambda: changed(MODEL, lambda _: b"[]"),
    "a number as program": lambda: changed(MODEL, lambda _: b"5"),
    "nothing as program": lambda: changed(MODEL, lambda _: b""),
    "bytes as program": lambda: changed(MODEL, lambda _: bytes(range(256))),
    "nan as numbers": lambda: changed(
        MODEL, lambda v: json.dumps(v).encode().replace(b'"as_int": 2', b'"as_int": NaN')
    ),
    "infinity as numbers": lambda: changed(
        CONFIG, lambda v: json.dumps(v).encode().replace(b'"as_int": 2', b'"as_int": Infinity')
    ),
    "numbers of 100,000 digits": lambda: changed(
        MODEL, lambda v: json.dumps(v).encode().replace(b'"as_int": 2', b'"as_int": ' + b"9" * 100_000, 1)
    ),
    "names of control characters": lambda: changed(
        MODEL, lambda v: v["graph_module"]["graph"]["nodes"][0].update(target="\x1b[31mred\u202e")
    ),
    "bounds that are a tower": lambda: changed(
        MODEL, lambda v: v.update(range_constraints={"s0": {"min_val": 10**4000, "max_val": -(10**4000)}})
    ),
    "sample inputs that call": lambda: zipped({**entries(exported()), SAMPLE: saved(Opens())}),
    "sample inputs, raw": lambda: zipped({**entries(exported()), SAMPLE: written(Opens())}),
    "sample inputs of 3 GB": lambda: zipped(
        {**entries(exported()), SAMPLE: archive(written(Called("builtins.bytearray", (3 * 10**9,))))}
    ),
    "sample inputs of 10^12 rows": lambda: zipped(
        {**entries(exported()), SAMPLE: weights(tensor((10**12, 9), (0, 0)))}
    ),
    "several programs": lambda: zipped(
        {**entries(exported()), **{f"archive/models/{n}.json": b"{}" for n in range(3000)}}
    ),
    "an entry twice, other case": lambda: zipped(
        {**entries(exported()), "archive/models/MODEL.json": entries(exported())[MODEL]}
    ),
    "aotinductor": lambda: with_entries(archive__data__aotinductor__model__x_so=b"\x7fELF" + bytes(99)),
    "older layout": lambda: zipped(
        {
            "version": b"8.8",
            "serialized_exported_program.json": entries(exported())[MODEL],
            "serialized_state_dict.pt": saved(Opens()),
            "serialized_constants.pt": saved({}),
            "serialized_example_inputs.pt": saved(()),
        }
    ),
    "short payload": lambda: zipped({**entries(exported()), "archive/data/weights/weight_0": struct.pack("<f", 1.0)}),
    "no payload": lambda: zipped({k: v for k, v in entries(exported()).items() if not k.endswith("weight_0")}),
}
for name, made in PROGRAMS.items():
    register(f"pt2 program: {name}", content(made), "m.pt2", "model")
