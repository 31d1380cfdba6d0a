"""Pickles and tensors of a few bytes that stand for gigabytes, and calls that torch's own loading would carry out."""

from __future__ import annotations

import functools
import io
import pickle
import struct
from collections.abc import Callable
from typing import Any

import torch

from hostile.corpus import content, register
from hostile.pickle_tools import Called, Stored, Writer, archive, by_name, saved, tensor, weights, written
from hostile.pickles import diffusers, pythae

HUGE = 10**12
ORDERED = Called("collections.OrderedDict")


def nested(depth: int, opening: bytes, closing: bytes) -> bytes:
    return b"\x80\x02" + opening * depth + closing * depth + b"."


def laughs(levels: int = 60) -> bytes:
    """A list of two of the list before, sixty times: 10^18 once it is written out."""
    out = b"\x80\x02]q\x00"
    for level in range(levels):
        out += b"](h" + bytes([level]) + b"h" + bytes([level]) + b"eq" + bytes([level + 1])
    return out + b"."


def laughing_names() -> bytes:
    """The same as the name of an entry: tuples, which a message would write out and a dictionary hash."""
    out = b"\x80\x02}" + b"Vx\n" + b"q\x00"
    for level in range(60):
        out += b"h" + bytes([level]) + b"\x86q" + bytes([level + 1])
    return out + b"K\x01s."


def doubled(levels: int = 40) -> bytes:
    """Strings that grow by a call of their own."""
    text: Any = "x" * 1000
    for _ in range(levels):
        text = Called("_codecs.encode", (text, "utf-16"))
    return written(text)


PICKLES: dict[str, Callable[[], bytes]] = {
    "bytearray of 3 GB": lambda: written(Called("builtins.bytearray", (3 * 10**9,))),
    "bytearray of 3 GB, Python 2": lambda: (
        b"\x80\x02c__builtin__\nbytearray\n\x8a\x05" + (3 * 10**9).to_bytes(5, "little") + b"\x85R."
    ),
    "bytearrays of 200 MB": lambda: written([Called("builtins.bytearray", (200 * 10**6,)) for _ in range(20)]),
    "bytes of 3 GB": lambda: written(Called("builtins.bytes", (3 * 10**9,))),
    "LONG4": lambda: b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"\x01.",
    "LONG4 below zero": lambda: b"\x80\x02\x8b" + struct.pack("<i", -5) + b"\x01.",
    "LONG of 10^6 digits": lambda: b"L" + b"9" * 10**6 + b"L\n.",
    "BYTEARRAY8": lambda: b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x.",
    "BYTEARRAY8 of 3 GB": lambda: b"\x80\x05\x96" + struct.pack("<Q", 3 * 10**9) + b"x.",
    "BINUNICODE8": lambda: b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"x.",
    "BINBYTES8": lambda: b"\x80\x04\x8e" + struct.pack("<Q", 3 * 10**9) + b"x.",
    "FRAME": lambda: b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"N.",
    "LONG_BINPUT": lambda: b"\x80\x02Nr" + struct.pack("<I", 2**32 - 1) + b".",
    "LONG_BINPUT, below": lambda: b"\x80\x02Nr" + struct.pack("<I", 4 * 10**8) + b".",
    "tuples 10^5 deep": lambda: b"\x80\x02)" + b"\x85" * 10**5 + b".",
    "lists 10^5 deep": lambda: nested(10**5, b"]", b"a"),
    "dictionaries 10^5 deep": lambda: b"\x80\x02" + b"}K\x01" * 10**5 + b"N" + b"s" * 10**5 + b".",
    "calls 10^5 deep": lambda: b"\x80\x02" + b"ccollections\nOrderedDict\n" * 10**5 + b")" + b"R\x85" * 10**5 + b".",
    "marks": lambda: b"\x80\x02" + b"(" * 200_000 + b".",
    "a million of laughs": laughs,
    "a million of laughs, a name": laughing_names,
    "a list within itself": lambda: b"\x80\x02]q\x00h\x00a.",
    "a dictionary within itself": lambda: b"\x80\x02}q\x00(K\x01h\x00u.",
    "an OrderedDict within itself": lambda: b"\x80\x02ccollections\nOrderedDict\n)Rq\x00Va\nh\x00s.",
    "texts that double": doubled,
    "set of a list": lambda: written(Called("builtins.set", ([[]],))),
    "range of 10^12": lambda: written(Called("builtins.list", (Called("builtins.range", (HUGE,)),))),
    "Counter of a long text": lambda: written(Called("collections.Counter", ("x" * 4 * 10**6,))),
    "int of digits": lambda: written(Called("builtins.int", ("9" * 10**6,))),
    "complex of text": lambda: written(Called("builtins.complex", ("1" * 10**6,))),
    "torch.Size": lambda: written(Called("torch.Size", ([HUGE] * 9,))),
    "torch.empty": lambda: written(Called("torch.empty", (HUGE,))),
    "torch.ones of 3 GB": lambda: written({"w": Called("torch.ones", (750_000_000,))}),
    "torch.FloatStorage of 3 GB": lambda: written({"w": Called("torch.FloatStorage", (750_000_000,))}),
    "torch.UntypedStorage of 3 GB": lambda: written(Called("torch.storage.UntypedStorage", (3 * 10**9,))),
    "torch.FloatTensor of 3 GB": lambda: written({"w": Called("torch.FloatTensor", (750_000_000,))}),
    "torch.Tensor of 3 GB": lambda: written({"w": Called("torch.Tensor", (750_000_000,))}),
    "numpy's ndarray of 3 GB": lambda: written(Called("numpy.ndarray", ((3 * 10**9,), "u1"))),
    "numpy's _reconstruct": lambda: written(
        Called("numpy._core.multiarray._reconstruct", (by_name("numpy.ndarray"), (HUGE,), b"b"))
    ),
    "numpy's _reconstruct of 3 GB": lambda: written(
        {"w": Called("numpy.core.multiarray._reconstruct", (by_name("numpy.ndarray"), (3 * 10**9,), b"b"))}
    ),
    "numpy's scalar": lambda: written(
        Called("numpy._core.multiarray.scalar", (Called("numpy.dtype", ("V3000000000", False, True)), b""))
    ),
    "no end": lambda: b"\x80\x02}",
    "no beginning": lambda: b"\x80\x02.",
    "control characters as names": lambda: written(
        {"\x1b[31mred\x9b\u202e\x00": 1, "a\r\nb": Called("x\x1b[31m.red\x9b")}
    ),
}
for name, made in PICKLES.items():
    register(f"pickle: {name}", content(made), "m.pt", "model")
    register(
        f"pickle in an archive: {name}", content(lambda m=made: archive(m(), {"0": bytes(4)})), "m.pt", "model", "data"
    )

V2 = "torch._utils._rebuild_tensor_v2"
TENSORS: dict[str, Any] = {
    "10^12 rows of stride 0": tensor((HUGE, 9), (0, 0)),
    "10^6 x 10^6 of stride 0": tensor((10**6, 10**6), (0, 0)),
    "600 million of stride 0": tensor((600_000_000,), (0,)),
    "10^12 rows of nothing": tensor((HUGE, 0), (0, 0)),
    "sizes beyond the storage": tensor((10**6,), (1,)),
    "an offset beyond the storage": tensor((1,), (1,), 10**9),
    "strides below zero": tensor((4,), (-1,), 3),
    "sizes below zero": tensor((-4,), (1,)),
    "an offset below zero": tensor((1,), (1,), -1),
    "sizes that overflow": tensor((2**62, 2**62), (1, 1)),
    "10^5 sides": tensor((1,) * 10**5, (0,) * 10**5),
    "sizes that are text": Called(V2, (Stored(), 0, ("a",), (1,), False, ORDERED)),
    "fewer strides than sizes": Called(V2, (Stored(), 0, (1, 1), (1,), False, ORDERED)),
    "a storage of 10^15": tensor((1,), (1,), 0, Stored(elements=10**15)),
    "a storage below zero": tensor((1,), (1,), 0, Stored(elements=-1)),
    "a storage that is not there": tensor((1,), (1,), 0, Stored(key="9")),
    "a storage of another place": tensor((1,), (1,), 0, Stored(key="../data.pkl")),
    "a storage on a device": tensor((1,), (1,), 0, Stored(location="cuda:99")),
    "a storage on meta": tensor((10**9,), (0,), 0, Stored(location="meta")),
    "a storage of no kind": tensor((1,), (1,), 0, Stored(kind="io.open")),
    "a sparse tensor": Called(
        "torch._utils._rebuild_sparse_tensor",
        (
            Called("torch.serialization._get_layout", ("torch.sparse_coo",)),
            (tensor((1, 1), (1, 1), 0, Stored("torch.LongStorage")), tensor((1,), (1,)), (10**14,), True),
        ),
    ),
    "a sparse matrix": Called(
        "torch._utils._rebuild_sparse_tensor",
        (
            Called("torch.serialization._get_layout", ("torch.sparse_csr",)),
            (
                tensor((10**9,), (0,), 0, Stored("torch.LongStorage")),
                tensor((1,), (1,), 0, Stored("torch.LongStorage")),
                tensor((1,), (1,)),
                (10**9 - 1, 10**9),
            ),
        ),
    ),
    "a quantised tensor": Called(
        "torch._utils._rebuild_qtensor",
        (Stored("torch.QUInt8Storage"), 0, (HUGE,), (0,), (by_name("torch.per_tensor_affine"), 1.0, 0), False, ORDERED),
    ),
    "a meta tensor": Called(
        "torch._utils._rebuild_meta_tensor_no_storage", (by_name("torch.float32"), (HUGE,), (1,), False)
    ),
    "a tensor of a subclass": Called(
        "torch._utils._rebuild_wrapper_subclass",
        (
            by_name("torch.Tensor"),
            by_name("torch.float32"),
            (HUGE,),
            (1,),
            0,
            Called("torch.serialization._get_layout", ("torch.strided",)),
            "cpu",
            False,
        ),
    ),
    "a nested tensor": Called(
        "torch._utils._rebuild_nested_tensor",
        (
            tensor((1,), (1,)),
            tensor((1, 1), (1, 1), 0, Stored("torch.LongStorage")),
            tensor((1, 1), (1, 1), 0, Stored("torch.LongStorage")),
            tensor((1,), (1,), 0, Stored("torch.LongStorage")),
        ),
    ),
    "an array as a tensor": Called(
        "torch._utils._rebuild_device_tensor_from_numpy",
        (
            Called("numpy.core.multiarray._reconstruct", (by_name("numpy.ndarray"), (3 * 10**9,), b"b")),
            by_name("torch.float32"),
            "cpu",
            False,
        ),
    ),
    "a parameter of it": Called("torch._utils._rebuild_parameter", (tensor((HUGE,), (0,)), True, ORDERED)),
    "a tensor of the first format": Called("torch._utils._rebuild_tensor", (Stored(), 0, (HUGE,), (0,))),
    "a tensor of the third format": Called(
        "torch._utils._rebuild_tensor_v3", (Stored(), 0, (HUGE,), (0,), False, ORDERED, by_name("torch.float8_e5m2"))
    ),
    "from_type of a tensor": Called(
        "torch._tensor._rebuild_from_type_v2",
        (by_name(V2), by_name("torch.nn.parameter.Buffer"), (Stored(), 0, (HUGE,), (0,), False, ORDERED), {}),
    ),
}
for name, value in TENSORS.items():
    register(f"tensor: {name}", content(lambda v=value: weights(v)), "m.pt", "model", "data")

for name in (
    "10^12 rows of stride 0",
    "600 million of stride 0",
    "a sparse tensor",
    "a meta tensor",
    "sizes beyond the storage",
):
    inside = functools.partial(
        archive, written({"model_state_dict": {"encoder.layers.0.0.weight": TENSORS[name]}}), {"0": bytes(4)}
    )
    register(f"tensor: {name}, of pythae", lambda p, g, m=inside: pythae(model_pt=m())(p, g), "saved", "model")
    register(
        f"tensor: {name}, of diffusers",
        lambda p, g, v=TENSORS[name]: diffusers("diffusion_pytorch_model.bin", weights(v))(p, g),
        "saved",
        "model",
    )


def before_zip(elements: int, stored: bytes = b"") -> bytes:
    """Torch's older format, with a storage of as many elements as are said."""
    magic, version, system = (
        0x1950A86A20F9469CFC6C,
        1001,
        {"protocol_version": 1001, "little_endian": True, "type_sizes": {}},
    )

    class Older(Writer):
        def persistent_id(self, value: Any) -> Any:
            said = ("storage", by_name("torch.FloatStorage"), "0", "cpu", elements, None)
            return said if isinstance(value, Stored) else None

    out = io.BytesIO()
    for value in (magic, version, system):
        pickle.dump(value, out, 2)
    Older(out, 2).dump({"w": tensor((1,), (1,))})
    pickle.dump(["0"], out, 2)
    return out.getvalue() + struct.pack("<q", elements) + stored


for elements in (10**15, 750_000_000, -1, 2**62):
    register(
        f"torch before zip, a storage of {elements}", content(lambda n=elements: before_zip(n)), "m.pt", "model", "data"
    )
register(
    "torch before zip, cut off",
    content(lambda: saved({"w": torch.ones(99)}, _use_new_zipfile_serialization=False)[:-90]),
    "m.pt",
    "model",
    "data",
)
