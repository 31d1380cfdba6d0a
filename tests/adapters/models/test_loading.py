"""Model files: every supported kind loads, every other is named, and nothing hostile is run."""

from __future__ import annotations

import io
import pickle
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import styles
import torch
from torch import Tensor

import circuitprobe as cp
from circuitprobe.adapters.models import LoadOptions, ModelSpec, ProbedVAE, load_model
from circuitprobe.adapters.models.pickles import Contents, scan
from circuitprobe.errors import CircuitProbeError, ModelError, UsageError

ROWS = torch.tensor([[0.5, -1.0, 3.0], [2.0, 0.0, 1.0]])


def load(path: Path, **options: Any) -> ProbedVAE:
    return load_model(path, LoadOptions(**options), {})


def assert_doubles(vae: ProbedVAE) -> None:
    settled = vae.resolved(ROWS)
    assert torch.equal(settled.encode(ROWS).mean, ROWS[:, :2])
    assert torch.equal(settled.decode(ROWS[:, :2])[:, :2], 2 * ROWS[:, :2])
    assert not any(module.training for module in settled.model.modules())


@pytest.mark.parametrize("nested", [None, "state_dict", "model_state_dict"])
def test_state_dict_with_factory(tmp_path: Path, nested: str | None) -> None:
    state = styles.TupleStyle().state_dict()
    torch.save({nested: state, "epoch": 3} if nested else state, tmp_path / "m.pt")
    assert_doubles(load(tmp_path / "m.pt", factory="styles:make"))
    with pytest.raises(ModelError, match="is a state_dict") as caught:
        load(tmp_path / "m.pt")
    assert "--factory" in caught.value.fix


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("styles:make_other", "do not fit the model"),
        ("styles:broken", "RuntimeError: no licence"),
        ("styles:missing", "missing"),
        ("no_such_module:make", "no_such_module"),
        ("styles", "--factory 'styles'"),
        ("styles:LOG_VAR", "failed: TypeError"),
        ("styles:halves", "returned tuple"),
    ],
)
def test_wrong_factories(tmp_path: Path, factory: str, message: str) -> None:
    torch.save(styles.TupleStyle().state_dict(), tmp_path / "m.pt")
    with pytest.raises((ModelError, UsageError), match=message):
        load(tmp_path / "m.pt", factory=factory)


def test_factory_lies_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_vae_code.py").write_text("from styles import make\n")
    torch.save(styles.TupleStyle().state_dict(), tmp_path / "m.pt")
    monkeypatch.chdir(tmp_path)
    assert_doubles(load(Path("m.pt"), factory="my_vae_code:make"))


class Scripted(styles.Base):
    @torch.jit.export
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.m(x), self.v(x)

    @torch.jit.export
    def reparameterize(self, mean: Tensor, log_var: Tensor) -> Tensor:
        return mean + torch.randn_like(mean) * torch.exp(log_var / 2)

    @torch.jit.export
    def decode(self, z: Tensor) -> Tensor:
        return self.d(z)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x)[0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript(tmp_path: Path) -> None:
    torch.jit.script(Scripted()).save(str(tmp_path / "m.pt"))
    with pytest.raises(ModelError, match="is TorchScript: a program"):
        load(tmp_path / "m.pt")
    assert_doubles(load(tmp_path / "m.pt", trust=True))


def test_torchscript_is_audited_whole_with_its_twin_and_hidden_layers_said_missing(tmp_path: Path) -> None:
    torch.jit.script(Scripted()).save(str(tmp_path / "m.pt"))
    rows = np.random.default_rng(0).normal(size=(50, 3))
    by_script = cp.audit(load(tmp_path / "m.pt", trust=True), rows, resamples=20, permutations=20)
    by_module = cp.audit(Scripted(), rows, resamples=20, permutations=20, twin=False)
    assert by_script.latents == by_module.latents
    assert by_script.twin.scores is not None
    assert by_script.twin.how.startswith("drawn from N(0, mean of their squares): m.weight, m.bias")
    assert by_script.twin.scores.ces.value != by_script.scores.ces.value
    assert "no_hidden_layer" in {warning.code for warning in by_script.warnings}


def test_pickled_module_needs_trust(tmp_path: Path) -> None:
    torch.save(styles.TupleStyle(), tmp_path / "m.pt")
    with pytest.raises(ModelError, match=r"would import styles\.TupleStyle") as caught:
        load(tmp_path / "m.pt")
    assert "--trust" in caught.value.fix
    assert_doubles(load(tmp_path / "m.pt", trust=True))


def test_spec_reaches_the_loaded_model(tmp_path: Path) -> None:
    torch.save(styles.StdStyle(), tmp_path / "m.pt")
    vae = load(tmp_path / "m.pt", trust=True, spec=ModelSpec(posterior=("mean", "std")))
    assert torch.allclose(vae.resolved(ROWS).encode(ROWS).log_var, torch.full((2, 2), styles.LOG_VAR))  # type: ignore[arg-type]


class Bomb:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.witness), "w"))


def plain(path: Path, bomb: Bomb) -> None:
    path.write_bytes(pickle.dumps(bomb))


def zipped(path: Path, bomb: Bomb) -> None:
    torch.save({"state_dict": bomb}, path)


def legacy(path: Path, bomb: Bomb) -> None:
    torch.save({"state_dict": bomb}, path, _use_new_zipfile_serialization=False)


def legacy_tar(path: Path, bomb: Bomb) -> None:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            content = pickle.dumps(bomb)
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def script_like(path: Path, bomb: Bomb) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("data.pkl", "constants.pkl"):
            archive.writestr(f"archive/{name}", pickle.dumps(bomb))
        archive.writestr("archive/version", "3\n")


@pytest.mark.parametrize("container", [plain, zipped, legacy, legacy_tar, script_like], ids=lambda f: f.__name__)
def test_hostile_pickles_are_never_run(tmp_path: Path, container: Any) -> None:
    witness = tmp_path / "was_run"
    container(tmp_path / "m.pt", Bomb(witness))
    with pytest.raises(CircuitProbeError):
        load(tmp_path / "m.pt")
    assert not witness.exists()


def test_trusted_pickle_is_run_so_the_bomb_is_live(tmp_path: Path) -> None:
    witness = tmp_path / "was_run"
    zipped(tmp_path / "m.pt", Bomb(witness))
    with pytest.raises(CircuitProbeError):
        load(tmp_path / "m.pt", trust=True)
    assert witness.exists()


def test_the_scan_names_what_a_pickle_imports() -> None:
    for protocol in (0, 2, 4):
        assert scan(Contents.of(pickle.dumps(Bomb(Path("x")), protocol=protocol))).imports[0].endswith(".open")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"just some text\nmore of it\n" * 20, "a text file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git-lfs pointer"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\xff\xfe\x00", "in no format"),
        (b"\x80\x04\x95\x00", "damaged or cut off"),
    ],
)
def test_files_that_are_no_models(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "m.pt").write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load(tmp_path / "m.pt")


@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
@pytest.mark.parametrize("zip_format", [True, False])
def test_truncated_checkpoints(tmp_path: Path, share: float, zip_format: bool) -> None:
    torch.save(styles.TupleStyle().state_dict(), tmp_path / "m.pt", _use_new_zipfile_serialization=zip_format)
    whole = (tmp_path / "m.pt").read_bytes()
    (tmp_path / "m.pt").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ModelError, match="damaged or cut off"):
        load(tmp_path / "m.pt", factory="styles:make")


def test_missing_file_names_those_beside_it(tmp_path: Path) -> None:
    torch.save(styles.TupleStyle().state_dict(), tmp_path / "model.pt")
    with pytest.raises(ModelError, match="there is no file") as caught:
        load(tmp_path / "modle.pt")
    assert "model.pt" in caught.value.fix
    with pytest.raises(ModelError, match="is a folder"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [([1, 2], "holds a list of 2"), ({"a": 1}, "holds a dict"), (torch.ones(3), "holds a Tensor")],
)
def test_other_contents(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "m.pt")
    with pytest.raises(ModelError, match=message):
        load(tmp_path / "m.pt")


def test_nan_weights_are_named(tmp_path: Path) -> None:
    model = styles.TupleStyle()
    with torch.no_grad():
        model.d.weight[0, 0] = float("nan")
    torch.save(model.state_dict(), tmp_path / "m.pt")
    with pytest.raises(ModelError, match=r"weights of 'd\.weight' are nan or infinite in 1 of 6"):
        load(tmp_path / "m.pt", factory="styles:make")


class Writing(Scripted):
    """TorchScript that writes a file when it is run."""

    @torch.jit.export
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        torch.save(x, "was_run")
        return self.m(x), self.v(x)


def test_torchscript_with_trust_may_write_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.jit.script(Writing()).save(str(tmp_path / "m.pt"))
    with pytest.raises(ModelError, match="can read and write files") as caught:
        load(tmp_path / "m.pt")
    assert "--trust" in caught.value.fix
    assert not (tmp_path / "was_run").exists()
    load(tmp_path / "m.pt", trust=True).resolved(ROWS)
    assert (tmp_path / "was_run").exists()


def test_zip_bomb_is_refused_before_it_inflates(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"N0" * 30_000_000)
    assert (tmp_path / "m.pt").stat().st_size < 1_000_000
    with pytest.raises(ModelError, match="would inflate to 60,000,000"):
        load(tmp_path / "m.pt")


def test_older_torch_format_and_plain_pickles_load_with_trust(tmp_path: Path) -> None:
    torch.save(styles.TupleStyle(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(styles.TupleStyle()))
    for name in ("old.pt", "plain.pkl"):
        with pytest.raises(ModelError, match=r"would import .*styles\.TupleStyle"):
            load(tmp_path / name)
        assert_doubles(load(tmp_path / name, trust=True))


def test_weights_beside_other_classes_need_no_trust(tmp_path: Path) -> None:
    torch.save({"state_dict": styles.TupleStyle().state_dict(), "best": np.float64(1.5)}, tmp_path / "m.pt")
    assert_doubles(load(tmp_path / "m.pt", factory="styles:make"))
    assert_doubles(load(tmp_path / "m.pt", factory="styles:make", trust=True))
    torch.save({"model": styles.TupleStyle(), "epoch": 3}, tmp_path / "whole.pt")
    assert_doubles(load(tmp_path / "whole.pt", trust=True))


def test_class_from_a_script_is_explained(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(b"\x80\x02c__main__\nMyVAE\n)\x81.")
    with pytest.raises(ModelError, match="defined in a script") as caught:
        load(tmp_path / "m.pt", trust=True)
    assert "--factory" in caught.value.fix


def test_factory_given_as_a_path(tmp_path: Path) -> None:
    torch.save(styles.TupleStyle().state_dict(), tmp_path / "m.pt")
    assert_doubles(load(tmp_path / "m.pt", factory=f"{styles.__file__}:make"))
    with pytest.raises(UsageError) as caught:
        load(tmp_path / "m.pt", factory="code/styles:make")
    assert caught.value.fix == "--factory code/styles.py:make"


def test_the_current_folder_is_importable_only_while_loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(styles.TupleStyle().state_dict(), tmp_path / "m.pt")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    load(tmp_path / "m.pt", factory="styles:make")
    assert sys.path == before


def test_an_address_is_no_file() -> None:
    with pytest.raises(ModelError, match="an address, not a file"):
        load(Path("https://example.org/m.pt"))
