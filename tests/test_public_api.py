"""``import circuitprobe as cp``: what users call, and what it must not do to them."""

from __future__ import annotations

import copy
import json
import pickle
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import circuitprobe as cp
from circuitprobe.report import AuditReport, json_schema

FAST: dict[str, Any] = {"resamples": 20, "permutations": 20}


class Net(nn.Module):
    """A third-party VAE with everything that an audit could disturb."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3))
        self.mu, self.lv = nn.Linear(8, 3), nn.Linear(8, 3)
        self.dec = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 4))
        self.register_buffer("seen", torch.zeros(1))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.seen += len(x)
        self.last = x
        hidden = self.body(x)
        return self.mu(hidden), self.lv(hidden) - 3

    def decode(self, z: Tensor) -> Tensor:
        return self.dec(z)


def rows(n: int = 60) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, 4))


def trace(model: nn.Module) -> dict[str, Any]:
    return {
        "state": {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()},
        "training": [module.training for module in model.modules()],
        "grad": [(parameter.requires_grad, parameter.grad) for parameter in model.parameters()],
        "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()],
        "attributes": [sorted(m.__dict__) for m in model.modules()],
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": np.random.get_state()[1].tobytes(),  # noqa: NPY002 - read, not drawn from
        "python": random.getstate(),
        "threads": torch.get_num_threads(),
        "grad mode": torch.is_grad_enabled(),
    }


def a_model() -> Net:
    torch.manual_seed(0)
    model = Net()
    model.body[1].eval()
    model.dec[0].weight.requires_grad_(False)
    model.dec.register_forward_hook(lambda *_: None)
    return model


class Interrupting:
    """A progress display during which the user presses ctrl-C, or something breaks."""

    def __init__(self, phase: str, error: type[BaseException]) -> None:
        self.wanted, self.error = phase, error

    @contextmanager
    def phase(self, name: str, total: int | None) -> Iterator[Callable[..., None]]:
        def tick(done: int | None = None) -> None:
            if name == self.wanted:
                raise self.error

        yield tick


def test_model_is_byte_identical_after_an_audit() -> None:
    model = a_model()
    before = trace(model)
    report = cp.audit(model, rows(), **FAST)
    assert trace(model) == before
    assert [latent.name for latent in report.latents] == ["z0", "z1", "z2"]
    cp.interventions.latents(model, rows())
    assert trace(model) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("phase", ["intervening on latents", "auditing an untrained twin"])
def test_model_is_byte_identical_after_an_interruption(phase: str, error: type[BaseException]) -> None:
    model = a_model()
    before = trace(model)
    with pytest.raises(error):
        cp.audit(model, rows(), progress=Interrupting(phase, error), **FAST)
    assert trace(model) == before


def test_audits_do_not_depend_on_what_ran_before() -> None:
    model = a_model()
    first = cp.audit(model, rows(), **FAST).to_json()
    torch.manual_seed(99)
    torch.randn(7)
    cp.audit(model, rows(30), seed=3, **FAST)
    assert cp.audit(model, rows(), **FAST).to_json() == first
    model.train()
    assert cp.audit(model, rows(), **FAST).to_json() == first


def test_importing_is_cheap_and_help_needs_no_torch() -> None:
    code = (
        "import sys, circuitprobe, circuitprobe.cli\n"
        "heavy = {'torch', 'pandas', 'scipy', 'sklearn', 'pyarrow', 'nnsight', 'numpy', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_everything_promised_is_there() -> None:
    for name in cp.__all__:
        assert getattr(cp, name) is not None
    assert set(cp.__all__) <= set(dir(cp))
    with pytest.raises(AttributeError, match="no attribute 'audti'"):
        _ = cp.audti  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def report(checkpoint: Path, table: pd.DataFrame) -> AuditReport:
    """An audit of the small model."""
    return cp.audit(checkpoint, table, target="label", resamples=50, permutations=50)


def test_accessors_and_frames(report: AuditReport) -> None:
    assert report.ces["z1"] == report.latents[1].ces
    assert report.specificity["z0"] == report.latents[0].specificity
    effects = report.to_frame("effects")
    assert effects.shape == (4, 5)
    assert effects.loc["z2", "city"] == report.effects["z2"]["city"].value
    latents = report.to_frame("latents")
    assert latents.loc["z0", "ces_low"] == report.ces["z0"].low
    assert report.to_frame("scores").loc["fgd", "null"] == report.scores.fgd.null
    assert set(report.to_frame("reconstruction").index) == {"height", "weight", "income", "city", "smoker"}
    with pytest.raises(cp.UsageError, match="to_frame"):
        report.to_frame("nonsense")  # type: ignore[arg-type]


def test_json_round_trip(report: AuditReport, tmp_path: Path) -> None:
    text = report.to_json(tmp_path / "a.json")
    again = AuditReport.from_json(tmp_path / "a.json")
    assert again.to_json() == text
    (tmp_path / "b.json").write_text(
        text.replace(f'"schema_version": "{report.schema_version}"', '"schema_version": 7')
    )
    with pytest.raises(cp.UsageError, match=r"b\.json"):
        AuditReport.from_json(tmp_path / "b.json")
    with pytest.raises(cp.UsageError, match="cannot read"):
        AuditReport.from_json(tmp_path / "none.json")


def test_reports_of_schema_2_0_are_still_read(report: AuditReport, tmp_path: Path) -> None:
    """What 2.1 added has defaults."""
    content = json.loads(report.to_json())
    content["schema_version"] = "2.0"
    del content["not_run"]
    for name in ("code_columns", "code_shape", "codes", "condition_width", "prior_only"):
        del content["model"][name]
    for latent in content["latents"]:
        del latent["columns"]
    (tmp_path / "old.json").write_text(json.dumps(content))
    again = AuditReport.from_json(tmp_path / "old.json")
    assert again.ces["z0"].value == pytest.approx(report.ces["z0"].value, rel=1e-8)
    assert again.model.codes is None


def test_published_schema_is_the_one_in_the_docs() -> None:
    published = Path(__file__).parent.parent / "docs" / "report-schema.json"
    assert json.loads(published.read_text()) == json_schema()


def test_notebook_rendering(report: AuditReport) -> None:
    page = report._repr_html_()
    assert page.startswith("<pre")
    assert "reconstructs" in page
    assert "\x1b" not in page


def test_checkpoint_file_dataframe_and_module_give_the_same_figures(
    checkpoint: Path, csv: Path, table: pd.DataFrame
) -> None:
    by_file = cp.audit(checkpoint, csv, twin=False, **FAST)
    by_frame = cp.audit(cp.load(checkpoint), table, twin=False, **FAST)
    assert by_file.latents == by_frame.latents
    assert by_file.scores == by_frame.scores


def test_values_from_the_caller_replace_the_calibrated_ones() -> None:
    model, x = a_model(), rows()
    values = np.array([[-1.0, 1.0], [0.5, 0.25], [0.0, 3.0]])
    report = cp.audit(model, x, values=values, twin=False, **FAST)
    assert report.settings.values_from == "caller"
    assert report.latents[1].posterior_values == (0.5, 0.25)
    alone = cp.interventions.latents(model, x, values=values)
    assert np.allclose([report.ces[f"z{i}"].value for i in range(3)], alone.ces, rtol=1e-9)
    with pytest.raises(cp.UsageError, match=r"values of shape \(2, 2\)"):
        cp.audit(model, x, values=values[:2], **FAST)


@pytest.mark.parametrize("option", [{"rows": 1}, {"n_values": 0}, {"resamples": 1}, {"chunk": 0}, {"seed": -1}])
def test_senseless_options_are_refused(option: dict[str, int]) -> None:
    with pytest.raises(cp.UsageError, match=next(iter(option))):
        cp.audit(a_model(), rows(), **option)


def test_raw_table_finds_the_scaling_the_model_was_trained_on() -> None:
    """A linear VAE that is exact on standardised columns and wrong on any others."""

    class Exact(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.eye(3))

        def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
            mean, log_var = torch.tanh(x @ self.weight / 4), torch.full_like(x, -3.0)
            return mean, log_var

        def decode(self, z: Tensor) -> Tensor:
            return 4 * torch.atanh(z.clamp(-0.9999, 0.9999))

    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(300, 3)) * [1, 50, 0.1] + [100, 2000, 7], columns=["a", "b", "c"])
    vae = cp.wrap(Exact())
    report = cp.audit(vae, frame, twin=False, **FAST)
    assert report.data.scaling == "standard"
    assert {entry.scaling.value for entry in report.data.encodings_tried} == {"none", "standard", "min-max"}
    assert sum(entry.chosen for entry in report.data.encodings_tried) == 1
    by_name = {feature.name: feature for feature in report.data.features}
    assert by_name["b"].center == pytest.approx(frame["b"].mean())
    assert by_name["b"].scale == pytest.approx(frame["b"].std(ddof=0))
    assert report.reconstruction.mse.value == pytest.approx(0.0, abs=1e-9)


def test_logits_are_read_through_softmax_and_probabilities_as_they_are(checkpoint: Path, table: pd.DataFrame) -> None:
    vae = cp.load(checkpoint)
    as_probabilities = cp.audit(vae, table, twin=False, **FAST)
    model = copy.deepcopy(vae.model)
    stranger = cp.wrap(model, encode=lambda m, x: m.encode(x), decode=lambda m, z: m.decode_logits(z))
    as_logits = cp.audit(stranger, table, target="label", twin=False, **FAST)
    links = {feature.name: feature.link.value for feature in as_logits.data.features}
    assert links == {
        "height": "identity",
        "weight": "identity",
        "income": "identity",
        "city": "softmax",
        "smoker": "sigmoid",
    }
    assert as_logits.scores.ces.value == pytest.approx(as_probabilities.scores.ces.value, rel=1e-5)


def test_reading_is_told_of_and_interruptible(csv: Path, checkpoint: Path) -> None:
    vae = cp.load(checkpoint)
    before = trace(vae.model)
    with pytest.raises(KeyboardInterrupt):
        cp.audit(vae, csv, progress=Interrupting("reading rows", KeyboardInterrupt), **FAST)
    assert trace(vae.model) == before


class InPlace(Net):
    """Halves that change what they are given, and their own weights."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return super().encode(x.clamp_(-2, 2))

    def decode(self, z: Tensor) -> Tensor:
        z *= 1.5
        self.dec[0].weight.mul_(1.0001)
        self.dec[0].weight.mul_(1 / 1.0001)
        torch.set_default_dtype(torch.float64)
        return super().decode(z)


class NotInPlace(Net):
    """The same without touching anything."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return super().encode(x.clamp(-2, 2))

    def decode(self, z: Tensor) -> Tensor:
        return super().decode(z * 1.5)


def test_steps_in_place_change_neither_figures_nor_rows_nor_weights() -> None:
    torch.manual_seed(0)
    changing = InPlace().double()
    with torch.no_grad():
        changing.dec[0].bias.zero_()
    plain = NotInPlace().double()
    plain.load_state_dict(changing.state_dict())
    x = torch.tensor(3 * rows())
    kept = x.clone()
    before = trace(changing)
    audited = cp.audit(changing, x, twin=False, **FAST)
    alone = cp.interventions.latents(changing, x)
    assert trace(changing) == before
    assert torch.get_default_dtype() is torch.float32
    assert torch.equal(x, kept)
    expected = cp.audit(plain, x, twin=False, **FAST)
    for latent, other in zip(audited.latents, expected.latents, strict=True):
        assert latent.ces.value == pytest.approx(other.ces.value, rel=1e-2)
    assert np.allclose(alone.ces, [latent.ces.value for latent in audited.latents], rtol=1e-2)


def test_what_a_model_raises_is_told_as_the_models() -> None:
    class Odd(Net):
        def decode(self, z: Tensor) -> Tensor:
            raise AssertionError("wrong code")

    with pytest.raises(cp.ModelError, match=r"decode failed on input of shape .*AssertionError: wrong code"):
        cp.audit(Odd(), rows(), **FAST)

    class Leaving(Net):
        def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
            sys.exit(3)

    with pytest.raises(cp.ModelError, match="SystemExit"):
        cp.audit(Leaving(), rows(), **FAST)
    with pytest.raises(cp.ModelError, match="meta device"):
        cp.audit(Net().to("meta"), rows(), **FAST)


def test_a_decoder_that_breaks_off_its_support_is_told_with_the_value() -> None:
    class Narrow(Net):
        def decode(self, z: Tensor) -> Tensor:
            return torch.where(z.abs().amax(1, keepdim=True) > 2.5, torch.nan, 1.0) * super().decode(z)

    torch.manual_seed(0)
    with pytest.raises(cp.ModelError, match=r"decode at z\d = -?3 gives nan"):
        cp.audit(Narrow(), rows(), **FAST)


def test_numbers_beyond_squaring_are_refused_by_name() -> None:
    x = rows()
    x[:, 2] *= 1e30
    with pytest.raises(cp.DataError, match="'x2' of array reaches"):
        cp.audit(Net().double(), x, **FAST)


def test_a_users_file_named_like_a_benchmark_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame(rows(), columns=["alcohol", "density", "pH", "quality"])
    frame.to_csv("wine_quality", index=False)
    report = cp.audit(Net(), "wine_quality", twin=False, **FAST)
    assert [feature.name for feature in report.data.features] == ["alcohol", "density", "pH", "quality"]
    assert report.data.groups_from == "clustered"


@pytest.mark.parametrize("kind", [cp.DataError, cp.ModelError, cp.UsageError, cp.NotComparable])
def test_errors_cross_from_one_process_to_another(kind: type[cp.CircuitProbeError]) -> None:
    error = kind("seen", expected="expected", fix="fix")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
    assert again.exit_code == error.exit_code
