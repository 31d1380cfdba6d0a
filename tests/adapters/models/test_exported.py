"""torch.export archives: loaded as modules, in batches of their own size, and never with code of the file's own."""

from __future__ import annotations

import copy
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import styles
import torch
from torch import Tensor, nn

import circuitprobe as cp
from circuitprobe.adapters.models.exported import load_exported
from circuitprobe.adapters.models.files import FileKind, look
from circuitprobe.adapters.models.fixed_rows import FixedRows
from circuitprobe.errors import ModelError

DYNAMIC = {"x": {0: torch.export.Dim.DYNAMIC}}
BOUNDED = {"x": {0: torch.export.Dim("rows", max=6)}}
AT_LEAST = {"x": {0: torch.export.Dim("rows", min=4)}}

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")


class Whole(nn.Module):
    """A VAE whose forward runs its halves; encode and decode are not exported."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(3, 8), nn.Tanh())
        self.fc_mu, self.fc_logvar = nn.Linear(8, 2), nn.Linear(8, 2)
        self.decoder = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 3))
        self.register_buffer("shift", torch.tensor([0.0, 0.0, 0.0]))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        # a view by the number of rows is what ties a program to it
        hidden = self.encoder(x).view(x.shape[0], 8)
        mean, log_var = self.fc_mu(hidden), self.fc_logvar(hidden) - 3
        z = mean + torch.randn_like(mean) * (0.5 * log_var).exp()
        return self.decoder(z) + self.shift, mean, log_var, mean.mean()


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return Whole().eval()


def export(model: nn.Module, path: Path, rows: int = 4, shapes: Any = None, width: int = 3) -> Path:
    program = torch.export.export(model, (torch.randn(rows, width),), dynamic_shapes=shapes)
    torch.export.save(program, path)
    return path


@pytest.mark.parametrize(
    ("rows", "shapes", "in_batches_of"),
    [(4, None, 4), (1, None, 1), (4, DYNAMIC, None), (4, BOUNDED, 6), (5, AT_LEAST, 4)],
    ids=["static", "one row", "dynamic", "bounded", "at least"],
)
@pytest.mark.parametrize("trusted", [False, True])
def test_gives_what_the_module_gives_on_any_number_of_rows(
    tmp_path: Path, model: nn.Module, rows: int, shapes: Any, in_batches_of: int | None, trusted: bool
) -> None:
    path = export(model, tmp_path / "m.pt2", rows, shapes)
    assert look(path).kind is FileKind.EXPORTED
    loaded = load_exported(path, trusted=trusted).eval()
    assert (loaded.rows if isinstance(loaded, FixedRows) else None) == in_batches_of
    for count in (1, 4, 9):
        x, z = torch.randn(count, 3), torch.randn(count, 2)
        with torch.no_grad():
            mean, expected = loaded(x)[1], model(x)[1]
            assert torch.allclose(mean, expected, atol=1e-6)
            hidden = loaded.encoder(x)  # type: ignore[operator]
            assert torch.allclose(loaded.fc_mu(hidden), expected, atol=1e-6)  # type: ignore[operator]
            assert torch.allclose(loaded.decoder(z), model.decoder(z), atol=1e-6)  # type: ignore[operator]


@pytest.mark.parametrize("shapes", [None, DYNAMIC], ids=["static", "dynamic"])
def test_can_be_copied_moved_and_changed_without_the_first_one(tmp_path: Path, model: nn.Module, shapes: Any) -> None:
    loaded = load_exported(export(model, tmp_path / "m.pt2", 4, shapes), trusted=False)
    x = torch.randn(9, 3)
    before = loaded.encoder(x)  # type: ignore[operator]
    other = copy.deepcopy(loaded)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert torch.count_nonzero(other.encoder(x)) == 0  # type: ignore[operator]
    assert torch.equal(loaded.encoder(x), before)  # type: ignore[operator]
    double = other.to(torch.float64)
    assert double.encoder(x.double()).dtype == torch.float64  # type: ignore[operator]
    assert sum(p.numel() for p in loaded.parameters()) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", ["m.pt2", "model.pt", "weights"])
def test_audited_like_the_module_it_was_exported_from(tmp_path: Path, model: nn.Module, name: str) -> None:
    export(model, tmp_path / "e.pt2", 4, DYNAMIC).rename(tmp_path / name)
    x = np.random.default_rng(0).normal(size=(60, 3))

    class Plain(Whole):
        def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
            hidden = self.encoder(x)
            return self.fc_mu(hidden), self.fc_logvar(hidden)

        def decode(self, z: Tensor) -> Tensor:
            return self.decoder(z)

    plain = Plain()
    plain.load_state_dict(model.state_dict())
    options: dict[str, Any] = {"levels": (1, 2), "resamples": 20, "permutations": 20, "twin": False}
    by_file = cp.audit(cp.load(tmp_path / name), x, **options)
    by_module = cp.audit(plain.eval(), x, **options)
    for mine, theirs in zip(by_file.latents, by_module.latents, strict=True):
        assert mine.kl.value == pytest.approx(theirs.kl.value, rel=1e-4, abs=1e-5)


def test_the_parts_that_are_seen_are_those_the_program_runs(tmp_path: Path, model: nn.Module) -> None:
    loaded = load_exported(export(model, tmp_path / "m.pt2", 4), trusted=False)
    seen: list[int] = []
    loaded.decoder.register_forward_hook(lambda module, given, out: seen.append(len(out)))  # type: ignore[union-attr]
    loaded(torch.randn(6, 3))
    assert seen == [4, 4]


class Layers(nn.Module):
    """Layers of many kinds, and one whose children are not run one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.chain = nn.Sequential(
            nn.Linear(3, 4, bias=False), nn.LeakyReLU(0.2), nn.Linear(4, 4), nn.ELU(0.5), nn.Softplus(2, 3), nn.SiLU(),
            nn.Tanh(), nn.Sigmoid(), nn.GELU(), nn.Hardtanh(-0.5, 0.5), nn.ReLU(inplace=True), nn.LayerNorm(4),
        )  # fmt: skip
        self.pair = styles.Pair(nn.Linear(4, 2), nn.Linear(4, 2))

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.pair(self.chain(x))
        return first * second


def test_plain_layers_are_modules_of_torch_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layers = Layers().eval()
    loaded = load_exported(export(layers, tmp_path / "m.pt2", 4, DYNAMIC), trusted=False)
    x = torch.randn(5, 3)
    assert torch.equal(loaded(x), layers(x))
    chain, pair = loaded.chain, loaded.pair
    assert type(chain) is nn.Sequential
    assert torch.equal(chain(x), layers.chain(x))
    kinds = [type(layer).__name__ for layer in chain]
    assert kinds[:8] == ["Linear", "LeakyReLU", "Linear", "ELU", "Softplus", "SiLU", "Tanh", "Sigmoid"]
    assert kinds[9:11] == ["Hardtanh", "ReLU"]
    assert not isinstance(pair, nn.Sequential)
    assert isinstance(pair.first, nn.Linear)  # type: ignore[union-attr]
    assert {n for n, _ in loaded.named_parameters()} == {n for n, _ in layers.named_parameters()}
    with torch.no_grad():
        chain[0].weight.zero_()  # type: ignore[operator,union-attr]
    assert not torch.equal(loaded(x), layers(x))


def test_exported_in_training_mode_is_refused(tmp_path: Path) -> None:
    path = export(Whole().train(), tmp_path / "m.pt2")
    with pytest.raises(ModelError, match=r"exported in training mode \(aten\.batch_norm") as caught:
        cp.load(path)
    assert "model.eval()" in caught.value.fix


def rewrite(source: Path, path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """The archive with its program changed."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(path, "w") as out:
        for name in archive.namelist():
            content = archive.read(name)
            if name.endswith("models/model.json"):
                content = json.dumps(change(json.loads(content))).encode()
            out.writestr(name, content)
    return path


TOUCH = "__import__('pathlib').Path('canary').touch()"


def in_sizes(program: Any) -> Any:
    if isinstance(program, dict):
        return {k: f"{TOUCH} or 4" if k == "expr_str" else in_sizes(v) for k, v in program.items()}
    return [in_sizes(v) for v in program] if isinstance(program, list) else program


def in_guards(program: dict[str, Any]) -> Any:
    return {**program, "guards_code": [TOUCH]}


def in_names(program: dict[str, Any]) -> Any:
    return json.loads(json.dumps(program).replace('"linear"', json.dumps(f"linear = 0\n    {TOUCH}\n    q")))


def in_operators(program: dict[str, Any]) -> Any:
    node = program["graph_module"]["graph"]["nodes"][0]
    node["target"] = "torch.hub.os.mkdir"
    node["inputs"] = [{"name": "", "arg": {"as_string": "canary"}, "kind": 1}]
    return program


def in_file_operators(program: dict[str, Any]) -> Any:
    program["graph_module"]["graph"]["nodes"][0]["target"] = "torch.ops.aten.from_file.default"
    return program


def in_trees(program: dict[str, Any]) -> Any:
    hook = [1, {"type": "builtins.dict", "context": json.dumps([{"__enum__": True, "fqn": "antigravity:x"}])}]
    signature = program["graph_module"]["module_call_graph"][0]["signature"]
    signature["in_spec"] = json.dumps([hook[0], {**hook[1], "children_spec": []}])  # type: ignore[dict-item]
    return program


def in_argument_names(program: dict[str, Any]) -> Any:
    program["graph_module"]["module_call_graph"][0]["signature"]["forward_arg_names"] = [f"x={TOUCH}"]
    return program


def in_keywords(program: dict[str, Any]) -> Any:
    leaf = {"type": None, "context": None, "children_spec": []}
    kwargs = {"type": "builtins.dict", "context": json.dumps([f"x={TOUCH}"]), "children_spec": [leaf]}
    args = {"type": "builtins.tuple", "context": "null", "children_spec": []}
    both = {"type": "builtins.tuple", "context": "null", "children_spec": [args, kwargs]}
    program["graph_module"]["module_call_graph"][0]["signature"]["in_spec"] = json.dumps([1, both])
    return program


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (in_argument_names, "a name that is none"),
        (in_keywords, "the name of an input or output"),
        (in_sizes, "the size"),
        (in_names, "a name that is none"),
        (in_operators, r"a call of torch\.hub\.os\.mkdir"),
        (in_file_operators, "from_file"),
        (in_trees, "the name of an input or output|inputs or outputs in a"),
    ],
)
def test_code_in_a_program_is_refused_before_it_runs(
    tmp_path: Path, model: nn.Module, monkeypatch: pytest.MonkeyPatch, change: Any, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = rewrite(export(model, tmp_path / "m.pt2", 4, DYNAMIC), tmp_path / "evil.pt2", change)
    with pytest.raises(ModelError, match=message) as caught:
        cp.load(path)
    assert "nothing in it was run" in caught.value.seen
    assert not Path("canary").exists()


def test_guards_are_not_run(tmp_path: Path, model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = rewrite(export(model, tmp_path / "m.pt2", 4, DYNAMIC), tmp_path / "evil.pt2", in_guards)
    cp.load(path).model(torch.randn(5, 3))
    assert not Path("canary").exists()
    torch.export.load(path).module()
    # the canary is live: torch's own way compiles the guard into the module
    with pytest.raises(AssertionError):
        torch.export.load(path).module()(torch.randn(5, 3))
    assert Path("canary").exists()


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return open, ("canary", "w")


@pytest.mark.parametrize("entry", ["data/sample_inputs/model.pt", "data/weights/weight_0"])
def test_pickles_in_an_archive_are_not_run(
    tmp_path: Path, model: nn.Module, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(Bomb(), "bomb.pt")
    source = export(model, tmp_path / "m.pt2", 4, DYNAMIC)
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile("evil.pt2", "w") as out:
        for name in archive.namelist():
            content = archive.read(name)
            if name.endswith(entry):
                content = Path("bomb.pt").read_bytes()
            if name.endswith("weights_config.json") and "weight_0" in entry:
                config = json.loads(content)
                for payload in config["config"].values():
                    payload["use_pickle"] = True
                content = json.dumps(config).encode()
            out.writestr(name, content)
    with pytest.raises(ModelError, match=r"pickled object|more than tensors") as caught:
        cp.load("evil.pt2")
    assert "--trust" in caught.value.fix
    assert "io.open" in "".join(look(Path("evil.pt2")).imports)
    assert not Path("canary").exists()


def test_exported_on_a_gpu_is_read_without_one(tmp_path: Path, model: nn.Module) -> None:
    def moved(program: Any) -> Any:
        if isinstance(program, dict):
            if set(program) == {"type", "index"}:
                return {"type": "cuda", "index": 0}
            return {k: moved(v) for k, v in program.items()}
        return [moved(v) for v in program] if isinstance(program, list) else program

    source = export(model, tmp_path / "m.pt2", 4, DYNAMIC)
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(tmp_path / "gpu.pt2", "w") as out:
        for name in archive.namelist():
            content = archive.read(name)
            is_json = name.endswith(".json")
            out.writestr(name, json.dumps(moved(json.loads(content))).encode() if is_json else content)
    loaded = load_exported(tmp_path / "gpu.pt2", trusted=False)
    assert {p.device.type for p in loaded.parameters()} == {"cpu"}
    assert torch.allclose(loaded(torch.ones(2, 3))[1], model(torch.ones(2, 3))[1], atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu(tmp_path: Path, model: nn.Module) -> None:
    on_gpu = copy.deepcopy(model).to("cuda")
    for shapes in (None, DYNAMIC):
        program = torch.export.export(on_gpu, (torch.randn(4, 3, device="cuda"),), dynamic_shapes=shapes)
        torch.export.save(program, tmp_path / "m.pt2")
        for device in ("cpu", "cuda"):
            vae = cp.load(tmp_path / "m.pt2", device=device)
            x = torch.randn(9, 3)
            assert torch.allclose(vae.model(x.to(device))[1].cpu(), model(x)[1], atol=1e-5)
            assert vae.device.type == device


def test_older_layout(tmp_path: Path, model: nn.Module) -> None:
    from torch._export.serde.schema import SCHEMA_VERSION
    from torch._export.serde.serialize import serialize

    program = torch.export.export(model, (torch.randn(4, 3),), dynamic_shapes=DYNAMIC)
    parts = serialize(program)
    with zipfile.ZipFile(tmp_path / "m.pt2", "w") as out:
        out.writestr("serialized_exported_program.json", parts.exported_program)
        out.writestr("serialized_state_dict.pt", parts.state_dict)
        out.writestr("serialized_constants.pt", parts.constants)
        out.writestr("serialized_example_inputs.pt", parts.example_inputs)
        out.writestr("version", ".".join(map(str, SCHEMA_VERSION)))
    loaded = load_exported(tmp_path / "m.pt2", trusted=False)
    x = torch.randn(7, 3)
    assert torch.allclose(loaded(x)[1], model(x)[1], atol=1e-6)


def test_compiled_package_is_named_and_never_loaded(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.pt2", "w") as out:
        out.writestr("m/archive_format", "pt2")
        out.writestr("m/archive_version", "0")
        out.writestr("m/data/aotinductor/model/model.so", b"\x7fELF")
    for trusted in (False, True):
        with pytest.raises(ModelError, match="AOTInductor package"):
            cp.load(tmp_path / "m.pt2", trust=trusted)


def test_compiled_code_beside_a_program_is_left_out(tmp_path: Path, model: nn.Module) -> None:
    path = export(model, tmp_path / "m.pt2", 4, DYNAMIC)
    with zipfile.ZipFile(path, "a") as out:
        out.writestr("m/data/aotinductor/model/model.so", b"\x7fELF")
    loaded = load_exported(path, trusted=False)
    assert torch.allclose(loaded(torch.ones(2, 3))[1], model(torch.ones(2, 3))[1], atol=1e-6)


def test_damaged_archives(tmp_path: Path, model: nn.Module) -> None:
    whole = export(model, tmp_path / "m.pt2").read_bytes()
    (tmp_path / "m.pt2").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="cut off"):
        cp.load(tmp_path / "m.pt2")
    (tmp_path / "m.pt2").write_bytes(whole)
    path = rewrite(tmp_path / "m.pt2", tmp_path / "odd.pt2", lambda _: {"unknown": 1})
    with pytest.raises(ModelError, match="damaged"):
        cp.load(path)


class DictOut(nn.Module):
    """Outputs by name, a keyword argument, a part without gradients, a size in the arithmetic."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(3, 2), nn.Linear(2, 3)

    def forward(self, x: Tensor, scale: Tensor | None = None) -> dict[str, Any]:
        mean = self.encoder(x)
        with torch.no_grad():
            shift = mean.sum(0, keepdim=True) / (x.shape[0] * 2)
        ones = torch.ones(x.shape[0], 1, dtype=x.dtype, device=x.device)
        recon = self.decoder(mean) * ones
        return {"recon_x": recon if scale is None else recon * scale, "mu": mean, "parts": [shift, (mean,)]}


def test_dictionaries_keywords_and_sizes_are_let_through(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = DictOut().eval()
    given = {"scale": torch.tensor(2.0)}
    shapes = {"x": {0: torch.export.Dim.DYNAMIC}, "scale": None}
    program = torch.export.export(model, (torch.randn(4, 3),), given, dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "m.pt2")
    loaded = load_exported(tmp_path / "m.pt2", trusted=False)
    x = torch.randn(7, 3)
    mine, theirs = loaded(x, **given), model(x, **given)
    assert torch.allclose(mine["recon_x"], theirs["recon_x"], atol=1e-6)
    assert torch.allclose(mine["parts"][0], theirs["parts"][0], atol=1e-6)


class Convolutional(nn.Module):
    """Images, with sizes worked out from the input."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 2))
        self.decoder = nn.Sequential(
            nn.Linear(2, 64), nn.Unflatten(1, (1, 8, 8)), nn.ConvTranspose2d(1, 1, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


def test_images(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Convolutional().eval()
    program = torch.export.export(model, (torch.randn(4, 1, 8, 8),), dynamic_shapes=DYNAMIC)
    torch.export.save(program, tmp_path / "m.pt2")
    loaded = load_exported(tmp_path / "m.pt2", trusted=False)
    x = torch.randn(3, 1, 8, 8)
    assert torch.allclose(loaded(x), model(x), atol=1e-6)
    assert torch.allclose(loaded.encoder(x), model.encoder(x), atol=1e-6)  # type: ignore[operator]
