"""safetensors files are told by their content, filled into a factory's model, and never taken for anything else."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import styles
import torch
from safetensors.torch import save_file, save_model
from torch import nn

from circuitprobe.adapters.models import LoadOptions, ProbedVAE, load_model
from circuitprobe.errors import ModelError

ROWS = torch.tensor([[0.5, -1.0, 3.0], [2.0, 0.0, 1.0]])


def load(path: Path, factory: str | None = None) -> ProbedVAE:
    return load_model(path, LoadOptions(factory), {})


@pytest.mark.parametrize("name", ["model.safetensors", "model.pt", "weights"])
def test_loads_whatever_the_file_is_called(tmp_path: Path, name: str) -> None:
    save_file(styles.TupleStyle().state_dict(), tmp_path / name)
    settled = load(tmp_path / name, "styles:make").resolved(ROWS)
    assert torch.equal(settled.encode(ROWS).mean, ROWS[:, :2])


def test_asks_for_the_factory(tmp_path: Path) -> None:
    save_file(styles.TupleStyle().state_dict(), tmp_path / "m.safetensors")
    with pytest.raises(ModelError, match="weights without the model's code") as caught:
        load(tmp_path / "m.safetensors")
    assert "--factory" in caught.value.fix


def test_names_that_do_not_fit_are_told(tmp_path: Path) -> None:
    state = styles.TupleStyle().state_dict()
    first = next(iter(state))
    state["stranger"] = state.pop(first)
    save_file(state, tmp_path / "m.safetensors")
    with pytest.raises(ModelError, match="not in the model \\['stranger'\\]") as caught:
        load(tmp_path / "m.safetensors", "styles:make")
    assert first in caught.value.seen


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_cut_off(tmp_path: Path, share: float) -> None:
    save_file(styles.TupleStyle().state_dict(), tmp_path / "m.safetensors")
    whole = (tmp_path / "m.safetensors").read_bytes()
    (tmp_path / "m.safetensors").write_bytes(whole[: max(9, int(len(whole) * share))])
    with pytest.raises(ModelError, match="damaged or cut off"):
        load(tmp_path / "m.safetensors", "styles:make")


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("import pathlib; pathlib.Path('burst').touch()",)


def test_a_pickle_of_that_name_is_a_pickle_and_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelError, match=r"builtins\.exec"):
        load(Path("m.safetensors"), "styles:make")
    assert not Path("burst").exists()


def test_a_checkpoint_of_that_name_is_read_as_what_it_is(tmp_path: Path) -> None:
    torch.save(styles.TupleStyle().state_dict(), tmp_path / "m.safetensors")
    settled = load(tmp_path / "m.safetensors", "styles:make").resolved(ROWS)
    assert torch.equal(settled.encode(ROWS).mean, ROWS[:, :2])


class Tied(nn.Module):
    """Encoder and decoder share one weight, which safetensors keeps once."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
        self.decoder.weight = self.encoder.weight


def test_shared_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Tied()
    with torch.no_grad():
        model.encoder.weight.copy_(torch.tensor([[0.0, 3.0], [1.0, 0.0]]))
    save_model(model, str(tmp_path / "m.safetensors"))
    monkeypatch.setattr(styles, "tied", Tied, raising=False)
    vae = load(tmp_path / "m.safetensors", "styles:tied")
    assert torch.equal(vae.model.decoder.weight, model.encoder.weight)  # type: ignore[union-attr]
