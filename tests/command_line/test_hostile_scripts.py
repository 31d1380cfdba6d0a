"""TorchScript that writes a file as it is loaded: without --trust it is refused whatever its code and its entries are called."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import circuitprobe as cp
from circuitprobe.errors import CircuitProbeError, DataError

CANARY = "canary"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


class WritesOnLoad(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.ones(3)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, bool]:
        return self.weight, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, bool]) -> None:
        self.weight = state[0]
        self.training = state[1]
        torch.save(state[0], "canary")


def entries() -> dict[str, bytes]:
    out = io.BytesIO()
    torch.jit.save(torch.jit.script(WritesOnLoad()), out)  # type: ignore[no-untyped-call]
    with zipfile.ZipFile(out) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def written(path: Path, content: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as out:
        for name, data in content.items():
            out.writestr(name, data)


def spelled(call: str) -> Callable[[Path], None]:
    """The program with its call of torch.save written otherwise."""

    def make(path: Path) -> None:
        content = entries()
        code = [name for name in content if b"torch.save(" in content[name]]
        assert code
        written(path, content | {name: content[name].replace(b"torch.save(", call.encode()) for name in code})

    return make


def renamed(change: Callable[[str], str]) -> Callable[[Path], None]:
    return lambda path: written(path, {change(name): data for name, data in entries().items()})


def without(*ends: str) -> Callable[[Path], None]:
    return lambda path: written(path, {name: data for name, data in entries().items() if not name.endswith(ends)})


def behind_weights(path: Path) -> None:
    """Also an archive of weights: torch.load would go by constants.pkl."""
    out = io.BytesIO()
    torch.save({"weight": torch.ones(3)}, out)
    with zipfile.ZipFile(out) as archive:
        weights = {name: archive.read(name) for name in archive.namelist()}
    root = next(iter(weights)).split("/")[0]
    scripts = {
        root + name[name.index("/") :]: data for name, data in entries().items() if not name.endswith("/version")
    }
    written(path, {**scripts, **weights})


def older(path: Path) -> None:
    """The layout before torch 1.4: a description in JSON, no constants.pkl."""
    written(
        path, {"m/model.json": b"{}", "m/attributes.pkl": b"]\x94.", "m/code/m.py": b"torch.save", "m/version": b"1"}
    )


LIVE: dict[str, Callable[[Path], None]] = {
    "torch.save": spelled("torch.save("),
    "aten": spelled("ops.aten.save("),
    "spaces": spelled("torch . save("),
    "another suffix of the code": renamed(lambda name: name.replace(".py", ".PY")),
    "constants in capitals": renamed(lambda name: name.replace("constants.pkl", "CONSTANTS.PKL")),
}
FILES: dict[str, Callable[[Path], None]] = {
    **LIVE,
    "brackets": spelled("(torch).save("),
    "two lines": spelled("torch\\\n.save("),
    "from_file": spelled("ops.aten.from_file("),
    "code in capitals": renamed(lambda name: name.replace("/code/", "/Code/")),
    "all in capitals": renamed(str.upper),
    "without constants": without("constants.pkl"),
    "without data": without("data.pkl"),
    "with weights": behind_weights,
    "older": older,
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["m.pt", "weights.ckpt", "m.safetensors", "m.pt2"])
@pytest.mark.parametrize("case", FILES)
def test_it_is_refused_and_said_to_be_a_program(command: Callable[..., Any], csv: Path, case: str, name: str) -> None:
    FILES[case](Path(name))
    for words in (("audit", name, csv), ("inspect", name), ("audit", name, csv, "--factory", "no_such_module:make")):
        done = command(*words)
        assert done.code == 2
        assert "is TorchScript: a program" in done.err
        assert "nothing in it was run" in done.err
        assert f"circuitprobe audit {name} DATA --trust" in done.err
        assert "torch.export.save" in done.err
        assert "--factory" in done.err
    with pytest.raises(CircuitProbeError):
        cp.load(name)
    assert not Path(CANARY).exists()


@pytest.mark.parametrize("case", LIVE)
def test_the_canary_is_live(command: Callable[..., Any], case: str) -> None:
    LIVE[case](Path("m.pt"))
    command("inspect", "m.pt", "--trust")
    assert Path(CANARY).exists()


@pytest.mark.parametrize("file", ["model.pt", "other.bin", "inside/deeper.jit"])
@pytest.mark.parametrize("library", ["pythae", "diffusers", "scvi"])
def test_it_is_refused_in_a_librarys_folder(command: Callable[..., Any], csv: Path, library: str, file: str) -> None:
    folder = Path("saved")
    (folder / file).parent.mkdir(parents=True)
    (folder / "model_config.json").write_text(
        json.dumps({"name": "VAEConfig", "latent_dim": 2} if library == "pythae" else {})
    )
    (folder / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKL"} if library == "diffusers" else {}))
    for weights in ("model.pt", "diffusion_pytorch_model.bin"):
        torch.save({"attr_dict": {}, "var_names": []} if library == "scvi" else {"w": torch.ones(2)}, folder / weights)
    (folder / "adata.h5ad").write_bytes(b"x")
    if library == "scvi" and file == "model.pt":
        pytest.skip("then no library is known to have written the folder")
    spelled("ops.aten.save(")(folder / file)
    done = command("audit", folder, csv)
    assert done.code == 2
    assert f"{Path(file).name} is TorchScript" in done.err
    assert "circuitprobe audit saved DATA --trust" in done.err
    assert not Path(CANARY).exists()


def test_it_is_no_table(command: Callable[..., Any], csv: Path, checkpoint: Path) -> None:
    spelled("torch.save(")(Path("rows.pt"))
    with pytest.raises(DataError, match="is TorchScript: a program, not rows"):
        cp.audit(checkpoint, "rows.pt")
    done = command("audit", checkpoint, "rows.pt")
    assert (done.code, Path(CANARY).exists()) == (2, False)
