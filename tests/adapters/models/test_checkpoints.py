"""Weights out of training checkpoints: Lightning's, wrapped models', those with several models or foreign classes in them."""

from __future__ import annotations

import argparse
import pickle
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import styles
import torch
from torch import nn

from circuitprobe.adapters.models import LoadOptions, ModelSpec, ProbedVAE, load_model
from circuitprobe.adapters.models.inert_tensors import read_plain
from circuitprobe.errors import ModelError, UsageError
from circuitprobe.types import Recognition

ROWS = torch.tensor([[0.5, -1.0, 3.0], [2.0, 0.0, 1.0]])
FACTORY = f"{styles.__file__}:make"


def load(path: Path, **options: Any) -> ProbedVAE:
    return load_model(path, LoadOptions(**options), {})


def assert_doubles(vae: ProbedVAE) -> None:
    settled = vae.resolved(ROWS)
    assert torch.equal(settled.encode(ROWS).mean, ROWS[:, :2])
    assert torch.equal(settled.decode(ROWS[:, :2])[:, :2], 2 * ROWS[:, :2])


def state(prefix: str = "") -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in styles.TupleStyle().state_dict().items()}


class Callback:
    """What a checkpoint of somebody else's training holds beside the weights."""

    def __init__(self, witness: str) -> None:
        self.witness = witness

    def __setstate__(self, state: dict[str, Any]) -> None:
        Path(state["witness"]).touch()


def lightning(path: Path, prefix: str = "model.", **more: Any) -> Path:
    model = styles.TupleStyle()
    optimizer = torch.optim.Adam(model.parameters())
    sum(p.sum() for p in model.parameters()).backward()  # type: ignore[union-attr]
    optimizer.step()
    content = {
        "epoch": 3,
        "global_step": 120,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": state(prefix),
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(1.0), "dirpath": "x"}},
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [],
        **more,
    }
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    "prefix", ["", "model.", "vae.", "net.", "module.", "_orig_mod.", "model._orig_mod.", "model.module."]
)
def test_lightning_checkpoints_fill_the_network_inside(tmp_path: Path, prefix: str) -> None:
    path = lightning(tmp_path / "last.ckpt", prefix)
    assert_doubles(load(path, factory=FACTORY))


def test_lightning_checkpoint_without_a_factory_says_what_it_is(tmp_path: Path) -> None:
    path = lightning(tmp_path / "last.ckpt", hyper_parameters={"latent_dim": 2, "_class_path": "project.LitVAE"})
    with pytest.raises(ModelError, match=r"Lightning checkpoint of version 2\.4\.0 with 6 tensors") as caught:
        load(path)
    assert "of project.LitVAE" in caught.value.seen
    assert "latent_dim" in caught.value.expected
    assert f"circuitprobe inspect {path} --factory" in caught.value.fix


@pytest.mark.parametrize("protocol", [2, 4])
def test_foreign_classes_beside_the_weights_are_neither_needed_nor_run(tmp_path: Path, protocol: int) -> None:
    witness = tmp_path / "was_run"
    settings = argparse.Namespace(width=3, latent=2, logger=Callback(str(witness)))
    content = {"pytorch-lightning_version": "2.4.0", "state_dict": state("model."), "hyper_parameters": settings}
    content["callbacks"] = {"c": Callback(str(witness))}
    torch.save(content, tmp_path / "m.ckpt", pickle_protocol=protocol)
    assert_doubles(load(tmp_path / "m.ckpt", factory="styles:make"))
    assert_doubles(load(tmp_path / "m.ckpt", factory="styles:make", trust=True))
    with pytest.raises(ModelError, match="Lightning checkpoint"):
        load(tmp_path / "m.ckpt")
    assert not witness.exists()


def sized(latent: int, width: int = 3) -> nn.Module:
    """A factory that takes two of the hyper-parameters."""
    assert (latent, width) == (2, 3)
    return styles.TupleStyle()


def any_sized(**settings: Any) -> nn.Module:
    """A factory that takes them all."""
    assert settings == {"latent": 2, "width": 3, "beta": 4.0}
    return styles.TupleStyle()


@pytest.mark.parametrize("factory", ["sized", "any_sized"])
@pytest.mark.parametrize("kind", [dict, argparse.Namespace, types.SimpleNamespace])
def test_hyper_parameters_reach_the_factory_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factory: str, kind: Any
) -> None:
    monkeypatch.setattr(styles, factory, globals()[factory], raising=False)
    path = lightning(tmp_path / "m.ckpt", hyper_parameters=kind(latent=2, width=3, beta=4.0))
    assert_doubles(load(path, factory=f"styles:{factory}"))


def test_hyper_parameters_that_are_missing_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(styles, "sized", sized, raising=False)
    path = lightning(tmp_path / "m.ckpt", hyper_parameters={"dim": 2})
    with pytest.raises(UsageError, match=r"missing 1 required positional argument: 'latent'") as caught:
        load(path, factory="styles:sized")
    assert "dim" in caught.value.expected


def test_networks_around_the_model_are_left_out_when_one_prefix_fits(tmp_path: Path) -> None:
    both = {**state("vae."), "critic.0.weight": torch.ones(2, 2), "loss.scale": torch.ones(1)}
    torch.save(both, tmp_path / "m.pt")
    assert_doubles(load(tmp_path / "m.pt", factory="styles:make"))


def test_two_sets_that_fit_are_never_guessed_between(tmp_path: Path) -> None:
    wrong = {name: tensor + 1 for name, tensor in state("ema.").items()}
    torch.save({**state("vae."), **wrong}, tmp_path / "m.pt")
    with pytest.raises(ModelError, match=r"2 sets of weights that fit .*: ema, vae") as caught:
        load(tmp_path / "m.pt", factory="styles:make")
    assert "--entry ema" in caught.value.fix
    assert_doubles(load(tmp_path / "m.pt", factory="styles:make", entry="vae"))
    torch.save({"vae": state(), "ema": {n: t + 1 for n, t in state().items()}}, tmp_path / "m.pt")
    with pytest.raises(ModelError, match="2 sets of weights"):
        load(tmp_path / "m.pt", factory="styles:make")
    assert_doubles(load(tmp_path / "m.pt", factory="styles:make", entry="vae"))
    with pytest.raises(ModelError, match="2 state_dicts: vae, ema"):
        load(tmp_path / "m.pt")
    with pytest.raises(ModelError, match="has no entry 'vea'") as caught:
        load(tmp_path / "m.pt", factory="styles:make", entry="vea")
    assert "vae, ema" in caught.value.expected


def test_state_dicts_of_the_parts_are_put_together(tmp_path: Path) -> None:
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in state().items():
        part, rest = name.split(".", 1)
        parts.setdefault(part, {})[rest] = tensor
    assert set(parts) == {"m", "v", "d"}
    torch.save({**parts, "optimizer": {"state": {}, "param_groups": []}}, tmp_path / "m.pt")
    assert_doubles(load(tmp_path / "m.pt", factory="styles:make"))


def test_the_one_of_two_that_fits_is_taken(tmp_path: Path) -> None:
    torch.save({"generator": nn.Linear(2, 2).state_dict(), "vae": state("module.")}, tmp_path / "m.pt")
    assert_doubles(load(tmp_path / "m.pt", factory="styles:make"))


def test_shapes_that_do_not_fit_are_told(tmp_path: Path) -> None:
    wrong = state()
    wrong["d.weight"] = torch.ones(3, 5)
    torch.save(wrong, tmp_path / "m.pt")
    with pytest.raises(ModelError, match=r"d\.weight is \(3, 5\) in the file and \(3, 2\) in the model"):
        load(tmp_path / "m.pt", factory="styles:make")


class DataParallel(nn.Module):
    """What wraps a model for several devices, by torch's own name."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


def test_wrapped_models_are_unwrapped(tmp_path: Path) -> None:
    torch.save(nn.DataParallel(styles.TupleStyle()), tmp_path / "m.pt")
    assert_doubles(load(tmp_path / "m.pt", trust=True))
    torch.save({"model": DataParallel(nn.DataParallel(styles.TupleStyle()))}, tmp_path / "m.pt")
    assert_doubles(load(tmp_path / "m.pt", trust=True))
    compiled = torch.compile(styles.TupleStyle())
    torch.save(compiled.state_dict(), tmp_path / "w.pt")
    assert next(iter(compiled.state_dict())).startswith("_orig_mod.")
    assert_doubles(load(tmp_path / "w.pt", factory="styles:make"))


def encoded(model: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return model.m(x), model.v(x)  # type: ignore[operator]


def decoded(model: nn.Module, z: torch.Tensor) -> torch.Tensor:
    return model.d(z)  # type: ignore[operator]


def test_a_wrapped_model_that_was_pickled_needs_trust_and_is_taken_as_it_is(tmp_path: Path) -> None:
    made = ProbedVAE(
        styles.TupleStyle(), encoded, decoded, Recognition("e", "d", "?"), "mine", order=("mean", "log_var")
    )
    torch.save(made, tmp_path / "m.pt")
    with pytest.raises(ModelError, match=r"circuitprobe\.adapters\.models\.probed\.ProbedVAE"):
        load(tmp_path / "m.pt")
    vae = load(tmp_path / "m.pt", trust=True)
    assert vae.source == "mine"
    assert_doubles(vae)


def test_compiled_models_are_unwrapped() -> None:
    from circuitprobe.adapters.models.contents import unwrapped

    model = styles.TupleStyle()
    assert unwrapped(torch.compile(model)) is model  # type: ignore[arg-type]


def test_saved_from_data_parallel_is_told(tmp_path: Path) -> None:
    torch.save(nn.DataParallel(styles.TupleStyle()).state_dict(), tmp_path / "m.pt")
    with pytest.raises(ModelError, match="saved from DataParallel"):
        load(tmp_path / "m.pt")
    assert_doubles(load(tmp_path / "m.pt", factory="styles:make"))


def test_several_models_in_a_file(tmp_path: Path) -> None:
    torch.save({"critic": nn.Linear(2, 1), "vae": styles.TupleStyle(), "loss": nn.MSELoss()}, tmp_path / "m.pt")
    with pytest.raises(ModelError, match=r"2 models: critic \(Linear\), vae \(TupleStyle\)") as caught:
        load(tmp_path / "m.pt", trust=True)
    assert "--entry critic" in caught.value.fix
    assert_doubles(load(tmp_path / "m.pt", trust=True, entry="vae"))
    with pytest.raises(ModelError, match="no model 'other'"):
        load(tmp_path / "m.pt", trust=True, entry="other")


def test_models_in_a_list_go_by_their_number(tmp_path: Path) -> None:
    torch.save((nn.Linear(2, 1), styles.TupleStyle()), tmp_path / "m.pt")
    with pytest.raises(ModelError, match=r"2 models: 0 \(Linear\), 1 \(TupleStyle\)"):
        load(tmp_path / "m.pt", trust=True)
    assert_doubles(load(tmp_path / "m.pt", trust=True, entry="1"))


@pytest.mark.timeout(30)
def test_dictionaries_within_themselves_are_gone_through_once(tmp_path: Path) -> None:
    inner: dict[str, Any] = {"odd": np.float64(1.0)}
    for _ in range(40):
        inner = {str(number): inner for number in range(30)}
    torch.save({"x": inner, "state_dict": state()}, tmp_path / "bomb.pt")
    with pytest.raises(ModelError):
        load(tmp_path / "bomb.pt", factory="styles:make")
    small: dict[str, Any] = {"odd": np.float64(1.0)}
    small["self"] = small
    torch.save({"x": small, "state_dict": state()}, tmp_path / "m.pt")
    assert_doubles(load(tmp_path / "m.pt", factory="styles:make"))
    torch.save({"x": inner, "a": 1}, tmp_path / "m.pt")
    with pytest.raises(ModelError, match="hold each other over and over"):
        load(tmp_path / "m.pt")


def test_halves_saved_side_by_side(tmp_path: Path) -> None:
    mean, log_var, decoder = styles.halves()
    torch.save({"encoder": styles.Pair(mean, log_var), "decoder": decoder}, tmp_path / "m.pt")
    # two modules side by side sample nothing: what the encoder returns is the user's word
    assert_doubles(load(tmp_path / "m.pt", trust=True, spec=ModelSpec(posterior=("mean", "log_var"))))
    with pytest.raises(ModelError, match="nothing says which is what"):
        load(tmp_path / "m.pt", trust=True).resolved(torch.ones(4, 3))


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_the_inert_reader_gives_torch_tensors_bit_for_bit(tmp_path: Path, protocol: int) -> None:
    base = torch.arange(24, dtype=torch.float64).reshape(4, 6)
    content = {
        "view": base[1:, ::2],
        "turned": base.T,
        "half": torch.ones(3, dtype=torch.bfloat16),
        "whole": torch.tensor(5),
        "none": torch.empty(0, 4),
        "flags": torch.tensor([True, False]),
        "parameter": nn.Parameter(torch.ones(2)),
        "odd": np.float64(2.0),
    }
    torch.save(content, tmp_path / "m.pt", pickle_protocol=protocol)
    read = read_plain(tmp_path / "m.pt")
    for name, expected in content.items():
        if isinstance(expected, torch.Tensor):
            assert read[name].dtype == expected.dtype
            assert torch.equal(read[name], expected.detach()), name
    assert not isinstance(read["odd"], torch.Tensor)


def test_a_tensor_that_reaches_beyond_its_bytes_is_no_tensor(tmp_path: Path) -> None:
    import zipfile

    storage = b"ctorch\nFloatStorage\n"
    body = (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage" + storage + b"X\x01\x00\x00\x000"
        b"X\x03\x00\x00\x00cpuK\x02tQK\x00K\x64\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR."
    )
    with zipfile.ZipFile(tmp_path / "m.pt", "w") as out:
        out.writestr("m/data.pkl", body)
        out.writestr("m/data/0", b"\x00" * 8)
        out.writestr("m/version", "3")
    assert not isinstance(read_plain(tmp_path / "m.pt"), torch.Tensor)
    with pytest.raises(ModelError):
        load(tmp_path / "m.pt", factory="styles:make")


def test_plain_pickle_of_a_state_dict_needs_trust(tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(state()))
    with pytest.raises(ModelError, match="_load_from_bytes"):
        load(tmp_path / "m.pkl", factory="styles:make")
    assert_doubles(load(tmp_path / "m.pkl", factory="styles:make", trust=True))
