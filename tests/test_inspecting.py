"""``inspect``: what is recognised, on models whose parts are known."""

from __future__ import annotations

import io
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.cells import cell_len
from rich.console import Console
from torch import Tensor, nn

import circuitprobe as cp
from circuitprobe.adapters.data import TableSchema
from circuitprobe.errors import ModelError, UsageError
from circuitprobe.inspecting import inspect
from circuitprobe.report.inspection import Inspection
from circuitprobe.report.model import DataReport
from circuitprobe.report.terminal_inspection import render_inspection
from circuitprobe.types import Decode, Feature, FeatureKind, Link


class Net(nn.Module):
    """Two hidden layers in the decoder: one whose successor reads it, one that the output layer reads."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Linear(width, 12), nn.Tanh(), nn.Dropout(0.5))
        self.mu, self.lv = nn.Linear(12, 3), nn.Linear(12, 3)
        self.dec = nn.Sequential(nn.Linear(3, 10), nn.ReLU(), nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, width))
        self.calls = 0

    def q(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.calls += 1
        hidden = self.trunk(x)
        return self.mu(hidden), self.lv(hidden) - 3

    encode = q

    def decode(self, z: Tensor) -> Tensor:
        return self.dec(z)


class Conv(nn.Module):
    """Images of one channel, 8 x 8."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Flatten())
        self.heads = nn.Linear(384, 4)
        self.out = nn.Sequential(
            nn.Linear(2, 128), nn.ReLU(), nn.Unflatten(1, (2, 8, 8)), nn.ConvTranspose2d(2, 1, 3, padding=1)
        )

    def encode(self, x: Tensor) -> tuple[Tensor, ...]:
        mean, log_var = self.heads(self.conv(x)).chunk(2, 1)
        return mean, log_var - 3

    def decode(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.out(z))


class Recurrent(Net):
    """A recurrent layer that has the rows on its second axis, and one tensor of whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 5)
        self.last = nn.Linear(5, 4)

    def decode(self, z: Tensor) -> Tensor:
        steps, _ = self.rnn(z[None].expand(6, -1, -1))
        return self.last(steps[-1])


class NoWidth(nn.Module):
    """Takes rows of any width."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = x * self.scale, torch.zeros_like(x) - 1
        return mean, log_var

    def decode(self, z: Tensor) -> Tensor:
        return z * self.scale


def rows(n: int = 60, width: int = 4) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, width))


def printed(found: Inspection, width: int = 120, *, unicode: bool = True) -> str:
    file = io.StringIO()
    console = Console(width=width, file=file, highlight=False, color_system=None)
    for part in render_inspection(found, width, unicode=unicode):
        console.print(part)
    return file.getvalue()


def without_resampling(data: DataReport) -> DataReport:
    """An inspection draws no resamples, so that standard deviations have no intervals."""
    plain = tuple(feature.model_copy(update={"std_low": None, "std_high": None}) for feature in data.features)
    return data.model_copy(update={"features": plain})


def test_recognition_and_sizes() -> None:
    found = inspect(Net(), rows())
    assert (found.class_name, found.latents, found.input_width, found.dtype) == ("Net", 3, 4, "float32")
    assert (found.encode, found.decode, found.posterior) == ("encode", "decode", "(mean, log_var)")
    assert found.parameters == sum(p.numel() for p in Net().parameters())
    assert found.rows == 60
    assert found.rows_from == "60 of 60 rows of array (seed 0)"
    assert [feature.name for feature in found.features] == ["x0", "x1", "x2", "x3"]
    assert "encode: (60, 4) -> (mean, log_var), each (60, 3)" in found.evidence


def test_sites_stand_in_execution_order_with_their_shapes_and_reasons() -> None:
    frame = inspect(Net(), rows()).to_frame()
    assert list(frame.name) == [
        *("trunk.0", "trunk.1", "trunk.2", "mu", "lv"),
        *("dec.0", "dec.1", "dec.2", "dec.3", "dec.4"),
    ]
    assert list(frame.half) == ["encoder"] * 5 + ["decoder"] * 5
    assert list(frame.module_class[:3]) == ["Linear", "Tanh", "Dropout"]
    assert list(frame["shape"]) == [(12,)] * 3 + [(3,)] * 2 + [(10,)] * 2 + [(8,)] * 2 + [(4,)]
    assert set(frame.unit_axis) == {1}
    by_name = frame.set_index("name")
    assert list(by_name.index[by_name.default]) == ["trunk.1", "dec.1", "dec.3"]
    assert (frame.default == frame.chosen).all()
    assert by_name.reason["dec.0"] == "followed by an activation"
    assert by_name.reason["dec.4"] == "output head"
    assert by_name.way["dec.1"] == "substitution"
    assert by_name.way_reason["dec.1"] == "dec.2 reads it"
    assert by_name.way["dec.3"] == "closed form"


def test_units_of_convolutions_are_channels_and_images_are_taken_as_they_are() -> None:
    images = np.random.default_rng(0).random((40, 1, 8, 8))
    found = inspect(Conv(), images)
    sites = found.to_frame().set_index("name")
    assert sites["shape"]["conv.1"] == (6, 8, 8)
    assert (sites.unit_axis["conv.1"], sites.units["conv.1"]) == (1, 6)
    assert found.input_width == 64
    assert "6×8×8" in printed(found)
    assert "6x8x8" in printed(found, unicode=False)


def test_a_tensor_without_units_is_listed_with_the_reason_and_no_way() -> None:
    found = inspect(Recurrent(), rows())
    sites = {site.name: site for site in found.sites}
    assert sites["rnn[0]"].reason == "rows are not the first axis"
    assert sites["rnn[0]"].way is None
    assert not sites["rnn[0]"].chosen
    assert "no: rows are not the first axis" in printed(found, 160)


def test_sites_and_ways_are_those_of_an_audit() -> None:
    model, x = Net(), rows()
    report = cp.audit(model, x, resamples=20, permutations=20, twin=False)
    assert report.activations is not None
    found = inspect(model, x)
    audited = [(s.half, s.name, s.unit_axis, s.units, s.way, s.way_reason) for s in report.activations.sites]
    chosen = [s for s in found.sites if s.chosen]
    assert [(s.half, s.name, s.unit_axis, s.units, s.way, s.way_reason) for s in chosen] == audited
    assert found.data == without_resampling(report.data)
    assert (found.encode, found.decode, found.evidence) == (
        report.model.encode,
        report.model.decode,
        report.model.evidence,
    )


def test_table_is_read_as_an_audit_reads_it(checkpoint: Path, csv: Path) -> None:
    found = inspect(checkpoint, csv, target="label")
    report = cp.audit(checkpoint, csv, target="label", levels=(2,), resamples=20, permutations=20, twin=False)
    assert found.data == without_resampling(report.data)
    assert found.own_schema
    kinds = {feature.name: feature.kind.value for feature in found.features}
    assert kinds == {
        "height": "numeric",
        "weight": "numeric",
        "income": "numeric",
        "city": "categorical",
        "smoker": "binary",
    }
    frame = found.to_frame("features").set_index("name")
    assert frame.dims["city"] == (3, 4, 5)
    assert frame.group["height"] == frame.group["weight"]


def test_without_rows_a_checkpoint_says_its_columns_itself(checkpoint: Path) -> None:
    found = inspect(checkpoint)
    assert found.data is None
    assert [feature.name for feature in found.features] == ["height", "weight", "income", "city", "smoker"]
    assert {feature.group for feature in found.features} == {None}
    assert found.rows_from == "8 rows of standard normal numbers (seed 0), as no DATA was given"
    assert [site.name for site in found.sites if site.default]
    assert "from the model's own schema" in printed(found)


def test_without_rows_the_width_comes_from_the_weights() -> None:
    found = inspect(Net(width=7))
    assert (found.input_width, found.latents, found.features) == (7, 3, ())
    assert [site.name for site in found.sites if site.chosen] == ["trunk.1", "dec.1", "dec.3"]
    assert inspect(Net(width=7)) == found


def test_without_rows_and_width_the_error_asks_for_rows() -> None:
    with pytest.raises(UsageError, match="NoWidth") as refused:
        inspect(NoWidth())
    assert "inspect MODEL DATA" in refused.value.fix
    assert inspect(NoWidth(), rows()).latents == 4


@pytest.mark.parametrize("given", [{"target": "x"}, {"groups": {"a": ["x0"]}}, {"schema": TableSchema()}])
def test_what_needs_rows_is_refused_without_them(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(given))} was given without rows"):
        inspect(Net(), **given)


def test_globs_choose_sites() -> None:
    found = inspect(Net(), rows(), sites=["dec.?", "encoder:mu"])
    assert [site.name for site in found.sites if site.chosen] == ["mu", "dec.0", "dec.1", "dec.2", "dec.3", "dec.4"]
    assert [site.name for site in found.sites if site.default] == ["trunk.1", "dec.1", "dec.3"]
    assert [site.name for site in inspect(Net(), rows(), sites="mu").sites if site.chosen] == ["mu"]
    text = printed(found, 160)
    assert "1 of 5 sites audited with --sites dec.? encoder:mu" in text
    assert "yes (no default: output head)" in text
    with pytest.raises(UsageError, match=r"no site matches 'deco\.\*'"):
        inspect(Net(), rows(), sites="deco.*")


def test_the_spec_lines_say_again_what_was_recognised(tmp_path: Path) -> None:
    found = inspect(Net(), rows())
    assert found.spec == (
        'encode = "encode"',
        'decode = "decode"',
        'posterior = ["mean", "log_var"]',
        'output = "auto"',
        "input_width = 4",
    )
    (tmp_path / "vae.toml").write_text("\n".join(found.spec))
    again = inspect(cp.wrap(Net(), spec=cp.ModelSpec.load(tmp_path / "vae.toml")), rows())
    assert replace(again, evidence=()) == replace(found, evidence=())
    (tmp_path / "vae.toml").write_text("\n".join(found.spec).replace('"encode"', '"q"'))
    assert inspect(cp.wrap(Net(), spec=cp.ModelSpec.load(tmp_path / "vae.toml")), rows()).encode == "q"


def test_a_half_that_no_spec_line_can_name_is_a_comment_to_be_completed(tmp_path: Path) -> None:
    vae = cp.wrap(Net(), encode=lambda m, x: m.q(x), decode=lambda m, z: m.dec(z))
    found = inspect(vae, rows())
    assert found.spec[0] == '# encode = "q_network"  (now: the encode callable given)'
    (tmp_path / "vae.toml").write_text("\n".join(found.spec))
    spec = cp.ModelSpec.load(tmp_path / "vae.toml")
    assert (spec.encode, spec.decode, spec.input_width) == (None, None, 4)


def test_scripted_models_have_no_sites() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 2), nn.Linear(4, 2), nn.Linear(2, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.c(self.a(x))

        @torch.jit.export
        def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.a(x), self.b(x) - 3

        @torch.jit.export
        def reparameterize(self, mean: Tensor, log_var: Tensor) -> Tensor:
            return mean + torch.randn_like(mean) * torch.exp(log_var / 2)

        @torch.jit.export
        def decode(self, z: Tensor) -> Tensor:
            return self.c(z)

    found = inspect(torch.jit.script(Plain()), rows())
    assert found.scripted
    assert found.sites == ()
    assert "TorchScript runs no hooks" in printed(found)
    assert "--sites" not in printed(found)


def state(model: Net) -> tuple[Any, ...]:
    generators = (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate())  # noqa: NPY002
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    return generators, hooks, [m.training for m in model.modules()], model.calls, torch.get_num_threads()


@pytest.mark.parametrize("data", [None, rows()])
def test_the_model_and_the_generators_are_left_as_they_were(data: np.ndarray | None) -> None:
    model = Net().train()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    before = state(model)
    inspect(model, data)
    with pytest.raises(UsageError):
        inspect(model, data, sites="nosuch")
    assert state(model) == before
    assert all(torch.equal(weights[name], tensor) for name, tensor in model.state_dict().items())


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ModelError, match="rows have 5 dimensions, the model takes 4"):
        inspect(Net(), rows(width=5))


def test_weights_that_are_nan_are_refused() -> None:
    model = Net()
    with torch.no_grad():
        model.mu.bias[0] = torch.nan
    with pytest.raises(ModelError, match=r"mu\.bias"):
        inspect(model, rows())


def test_unknown_table_is_refused() -> None:
    with pytest.raises(UsageError, match="to_frame"):
        inspect(Net(), rows()).to_frame("site")  # type: ignore[arg-type]


def test_progress_hears_of_every_site() -> None:
    told: list[tuple[str, int | None]] = []

    class Listening:
        def phase(self, name: str, total: int | None) -> Any:
            told.append((name, total))
            return self

        def __enter__(self) -> Any:
            return lambda done=None: told.append(("step", done))

        def __exit__(self, *_: object) -> None:
            told.append(("end", None))

    inspect(Net(), rows(), progress=Listening())
    assert told[:2] == [("reading rows", None), ("end", None)]
    assert told[2] == ("trying ways to patch", 10)
    assert told[3:] == [("step", None)] * 10 + [("end", None)]


@pytest.mark.parametrize("unicode", [True, False])
@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_every_part_keeps_to_the_width(width: int, unicode: bool, checkpoint: Path, csv: Path) -> None:
    for found in (
        inspect(checkpoint, csv),
        inspect(checkpoint),
        inspect(Conv(), np.random.default_rng(0).random((9, 1, 8, 8))),
    ):
        text = printed(found, width, unicode=unicode)
        assert max(cell_len(line) for line in text.splitlines()) <= width
        assert unicode or text.isascii()
        lines = text.splitlines()
        for title in ("Model", "Sites of the encoder", "Sites of the decoder", "To override"):
            assert any(line.startswith(title) for line in lines), title
        # below 60 columns names are folded
        assert width < 60 or all(site.name in text for site in found.sites)


def test_names_are_literal_and_long_lists_are_cut() -> None:
    features = [Feature("[/red]\x1b[31m", FeatureKind.NUMERIC, (0,), Decode((0,)))]
    features += [Feature(f"f{i}", FeatureKind.NUMERIC, (i,), Decode((i,))) for i in range(1, 50)]
    text = printed(inspect(Net(width=50), rows(width=50), features=features))
    assert r"[/red]\x1b[31m" in text
    assert "\x1b" not in text
    assert "and 10 more; inspection.to_frame('features') has them" in text


def test_how_the_decoders_output_reads_is_shown_where_something_is_applied() -> None:
    features = [Feature("a", FeatureKind.BINARY, (0,), Decode((0,), Link.SIGMOID), ("0", "1"))]
    features += [Feature(f"f{i}", FeatureKind.NUMERIC, (i,), Decode((i,))) for i in range(1, 4)]
    text = printed(inspect(Net(), rows(), features=features))
    assert "decoder's output" in text
    assert "sigmoid" in text
    assert "decoder's output" not in printed(inspect(Net(), rows()))
