"""A code of two indices into a codebook of three, each looked up in a table of its own: effects by hand."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

import circuitprobe as cp
from circuitprobe.interventions.values import codebook_values
from circuitprobe.types import Latent

from .vaes import linear, wrap

if TYPE_CHECKING:
    from circuitprobe.report.audit_report import AuditReport

TABLES = [[0.0, 1.0, 3.0], [0.0, 5.0, 2.0]]
# first index 0 in half of the rows, 1 and 2 in a quarter each; second index 0 or 2, independent of it; 1 is never used
FIRST = np.tile([0, 0, 1, 2], 4)
SECOND = np.repeat([0, 2], 8)
X = np.stack([np.array(TABLES[0])[FIRST], np.array(TABLES[1])[SECOND]], axis=1)
SOURCES = np.roll(np.arange(16), 1)[None]


def close(value: float | None) -> object:
    return pytest.approx(value, abs=1e-9)


class Codebook(nn.Module):
    """Each column's nearest table entry; the decoder looks it up again; a hidden layer that changes nothing in each half."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = nn.Parameter(torch.tensor(TABLES, dtype=torch.float64))
        self.encoder, self.decoder = (nn.Sequential(linear(np.eye(2)), nn.ReLU(), linear(np.eye(2))) for _ in range(2))

    def encode(self, x: Tensor) -> Tensor:
        return (self.encoder(x)[:, :, None] - self.tables).abs().argmin(2)

    def decode(self, z: Tensor) -> Tensor:
        assert torch.equal(z, z.round()), "indices stay whole numbers"
        assert bool(((z >= 0) & (z < 3)).all())
        out: Tensor = self.decoder(torch.stack([self.tables[m, z[:, m].long()] for m in range(2)], 1))
        return out


def discrete(module: nn.Module | None = None, **options: Any) -> Any:
    return replace(wrap(module or Codebook()), codes=3, **options)


@pytest.fixture(scope="module")
def report() -> AuditReport:
    return cp.audit(
        discrete(), X, n_values=4, sources=SOURCES, twin=False, resamples=50, groups={"a": ["x0"], "b": ["x1"]}
    )


def test_values_are_indices_in_use(report: AuditReport) -> None:
    """Quantiles 1/8, 3/8, 5/8, 7/8 of (0 0 1 2) and of (0 2); the whole codebook at floor(3 (1, 3, 5, 7) / 8)."""
    assert [latent.posterior_values for latent in report.latents] == [(0, 0, 1, 2), (0, 0, 2, 2)]
    assert [latent.prior_values for latent in report.latents] == [(0, 1, 1, 2), (0, 1, 1, 2)]


def test_effects(report: AuditReport) -> None:
    """Two draws of (0 0 1 3) differ by 2 (1/8 1 + 1/8 3 + 1/16 2) = 5/4, two of (0 2) by 1; in units of s_f."""
    s = X.std(axis=0)
    assert report.latents[0].effects["x0"].value == close(1.25 / s[0])
    assert report.latents[0].effects["x1"].value == close(0)
    assert report.latents[1].effects["x1"].value == close(1 / s[1])
    # whole codebook: index 1, whose entry is 5, differs by 5 or 3, index 0 or 2 as before: (4 + 1) / 2
    assert report.latents[1].ces_prior.value == close(2.5 / s[1] / math.sqrt(2))


def test_what_has_no_meaning_is_null(report: AuditReport) -> None:
    for latent in report.latents:
        assert (latent.kl.value, latent.scale.value, latent.active) == (None, 1, True)
    assert report.inputs.features["x0"].info["z0"].value is None
    assert report.model.codes == 3
    codes = {warning.code for warning in report.warnings}
    assert "discrete_code" in codes
    assert "no_variance" not in codes


def test_on_support_is_in_use_at_its_place(report: AuditReport) -> None:
    assert [latent.on_support_rate.value for latent in report.latents] == [1, 1]
    assert [latent.on_support_rate_prior.value for latent in report.latents] == [1, 0.5]


def test_shift_is_the_share_that_changes(report: AuditReport) -> None:
    """Row j takes the value of row j - 1: of (2 0 0 1) and (0 0 1 2) all but the second differ; the second code at 0 and 8."""
    shift = {name: row.shift for name, row in report.inputs.features.items()}
    assert shift["x0"]["z0"].value == close(3 / 4)
    assert shift["x0"]["z1"].value == close(0)
    assert shift["x1"]["z1"].value == close(2 / 16)


def test_terminal_says_indices(report: AuditReport) -> None:
    console = Console(width=140, file=io.StringIO(), record=True)
    console.print(report)
    text = " ".join(console.export_text().split())
    assert "share of indices that change" in text
    assert "indices into a codebook of 3" in text
    assert "with indices from the whole codebook instead" in text
    assert "standard deviations of the latent" not in text
    assert any(line.startswith("Indices from the whole codebook") for line in report.verdict)


def test_level_3(report: AuditReport) -> None:
    """Units of the hidden layers are the columns: patching one is swapping its index, or its entry."""
    encoder, decoder = report.activations.sites
    s = X.std(axis=0)
    moved = np.abs(X - X[SOURCES[0]]).mean(axis=0) / s
    assert [unit.shift["z0"].value for unit in encoder.effects] == [close(3 / 4), close(0)]
    for site in (encoder, decoder):
        assert [unit.effect.value for unit in site.effects] == [close(m / math.sqrt(2)) for m in moved]
    for sender, half in (("z0", report.paths.decoder), ("a", report.paths.encoder)):
        circuit = next(entry for entry in half if entry.sender == sender).circuits[0]
        assert [unit.unit for unit in circuit.units] == [0]
        assert (circuit.faithfulness.value, circuit.completeness.value) == (close(1), close(0))
        assert circuit.additivity.value == close(1)


def test_level_4(report: AuditReport) -> None:
    for entry in report.mediation.entries:
        direct = entry.treatment == entry.outcome
        mine = direct and entry.mediator == {"a": "z0", "b": "z1"}[entry.treatment]
        assert entry.nie.value == close(entry.te.value if mine else 0)
        assert (entry.te.value > 0) is direct


def test_one_block_of_both_indices() -> None:
    """Both change at once, each to its own k-th value; a shift is the mean over the two."""
    vae = discrete(blocks=(Latent("both", (0, 1)),))
    effects = cp.interventions.latents(vae, X, n_values=4)
    s = X.std(axis=0)
    np.testing.assert_allclose(effects.effects, [[1.25 / s[0], 1 / s[1]]], atol=1e-12)
    np.testing.assert_array_equal(effects.values, [[0, 0, 1, 2], [0, 0, 2, 2]])
    shift = cp.interventions.inputs(vae, X, sources=SOURCES).shift
    np.testing.assert_allclose(shift, [[3 / 8], [1 / 16]], atol=1e-12)


def test_values_given_must_be_indices() -> None:
    cp.interventions.latents(discrete(), X, values=[[0, 2], [1, 1]])
    for wrong in ([[0.5], [1]], [[3], [0]], [[-1], [0]]):
        with pytest.raises(cp.UsageError, match="no indices"):
            cp.interventions.latents(discrete(), X, values=wrong)


def test_one_index_in_use_is_inactive() -> None:
    x = X.copy()
    x[:, 1] = TABLES[1][2]
    report = cp.audit(discrete(), np.column_stack([x[:, 0], x[:, 1]]), twin=False, resamples=50, levels=(2,))
    assert [latent.active for latent in report.latents] == [True, False]
    assert report.latents[1].ces.value == 0
    shift = cp.interventions.inputs(discrete(), x, sources=SOURCES).shift
    np.testing.assert_allclose(shift, [[3 / 4, 0]], atol=1e-12, err_msg="0, not undefined")


def test_codebook_values_are_even_over_the_codebook() -> None:
    """Of three entries eight values: floor(3 (1, 3, ..., 15) / 16)."""
    np.testing.assert_array_equal(codebook_values(3, 2, 8), [[0, 0, 0, 1, 1, 2, 2, 2]] * 2)


def test_an_encoder_that_gives_no_indices_is_refused() -> None:
    vae = replace(wrap(Codebook()), codes=2)
    with pytest.raises(cp.ModelError, match="2 where indices"):
        cp.interventions.latents(vae, X)
    halves = cp.wrap(Codebook(), encode=lambda m, x: m.encode(x) + 0.5, decode=lambda m, z: m.decode(z))
    with pytest.raises(cp.ModelError, match="indices"):
        cp.interventions.latents(replace(halves, codes=3), X)


class Large(nn.Module):
    """Half precision, which holds no odd number above 2,048: index 4,097 for positive rows, 1 for others."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, dtype=torch.float16))

    def encode(self, x: Tensor) -> Tensor:
        return torch.where(x > 0, 4097, 1)

    def decode(self, z: Tensor) -> Tensor:
        assert set(z.unique().tolist()) <= {1.0, 4097.0}
        return torch.where(z > 1, 1.0, -1.0).to(self.weight.dtype) * self.weight


def test_half_precision_rounds_no_index() -> None:
    vae = replace(cp.wrap(Large(), encode=lambda m, x: m.encode(x), decode=lambda m, z: m.decode(z)), codes=5000)
    effects = cp.interventions.latents(vae, np.array([[-1.0], [1.0]] * 4), n_values=2)
    np.testing.assert_array_equal(effects.values, [[1, 4097]])
    np.testing.assert_allclose(effects.effects, [[1]])
    units = cp.interventions.mediation(vae, np.array([[-1.0], [1.0]] * 4))
    assert units.te.max() > 0


def test_label_is_told_from_indices_not_from_their_size() -> None:
    """Index 1 against 0 and 2: no threshold on the number tells it, one column per index does."""
    import pandas as pd

    frame = pd.DataFrame({"x0": X[:, 0], "x1": X[:, 1], "label": np.where(FIRST == 1, "one", "other")})
    frame = pd.concat([frame] * 4, ignore_index=True)
    report = cp.audit(discrete(), frame, target="label", twin=False, resamples=50, levels=(2,))
    assert report.downstream is not None
    assert report.downstream.auc.value == close(1)


def test_too_many_indices_for_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    import pandas as pd

    monkeypatch.setattr("circuitprobe.levels.downstream.MOST_PREDICTORS", 4)
    frame = pd.DataFrame({"x0": X[:, 0], "x1": X[:, 1], "label": np.where(FIRST == 1, "a", "b")})
    report = cp.audit(discrete(), pd.concat([frame] * 2), target="label", twin=False, resamples=50, levels=(2,))
    assert report.downstream is None
    assert [entry.part for entry in report.not_run] == ["prediction of the target"]
    assert "5 columns" in report.not_run[0].reason


class RandomCodebook(nn.Module):
    """Six columns through eight ReLU units to four positions of two numbers, the nearest of five entries each, and back."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__()
        self.encoder = nn.Sequential(linear(rng.normal(size=(8, 6))), nn.ReLU(), linear(rng.normal(size=(8, 8))))
        self.entries = nn.Parameter(torch.tensor(2 * rng.normal(size=(5, 2))))
        self.decoder = nn.Sequential(linear(rng.normal(size=(7, 8))), nn.ReLU(), linear(rng.normal(size=(6, 7))))

    def nearest(self, hidden: Tensor) -> Tensor:
        found = self.encoder[2](hidden).view(len(hidden), 4, 1, 2)
        return (found - self.entries).square().sum(3).argmin(2)

    def encode(self, x: Tensor) -> Tensor:
        return self.nearest(self.encoder[:2](x))

    def decode(self, z: Tensor) -> Tensor:
        assert torch.equal(z, z.round())
        out: Tensor = self.decoder(self.entries[z.long()].flatten(1))
        return out


def test_units_and_paths_of_a_random_codebook_against_loops() -> None:
    """Whatever way the engine takes: interchange of encoder units, and paths from a latent of two positions."""
    rng = np.random.default_rng(11)
    model, x = RandomCodebook(rng), rng.normal(size=(30, 6))
    vae = replace(wrap(model), codes=5, blocks=(Latent("p", (0, 2)), Latent("q", (1,)), Latent("r", (3,))))
    sources = np.roll(np.arange(30), 7)[None]
    with torch.no_grad():
        rows = torch.tensor(x)
        hidden, codes = model.encoder[:2](rows), model.encode(rows)
        output = model.decode(codes.double())
        units = cp.interventions.activations(vae, x, sources=sources)
        for unit in range(8):
            patched = hidden.clone()
            patched[:, unit] = hidden[sources[0], unit]
            moved = model.nearest(patched)
            changed = (moved != codes).double().mean(0).numpy()
            expected = [(changed[0] + changed[2]) / 2, changed[1], changed[3]]
            np.testing.assert_allclose(units.shift[unit], expected, atol=1e-12)
            delta = (model.decode(moved.double()) - output).abs().numpy() / x.std(axis=0)
            np.testing.assert_allclose(units.changes[unit], delta.mean(axis=0), atol=1e-9)
        swapped = codes.clone()
        swapped[:, [0, 2]] = codes[sources[0]][:, [0, 2]]
        routes = cp.interventions.paths(vae, x, "p", sources=sources)
        total = (model.decode(swapped.double()) - output).numpy() / x.std(axis=0)
        assert routes.total[0] == close(np.sqrt((total**2).mean(axis=1)).mean())
        assert routes.additivity[0, 0] == close(1)
        through = cp.interventions.mediation(vae, x, sources=sources)
        moved_x = rows.clone()
        moved_x[:, 0] = rows[sources[0], 0]
        only = codes.clone()
        only[:, [0, 2]] = model.encode(moved_x)[:, [0, 2]]
        nie = (model.decode(only.double()) - output).numpy() / x.std(axis=0)
        np.testing.assert_allclose(through.nie[0, 0], np.sqrt((nie**2).mean(axis=0)), atol=1e-9)


def test_circuits_of_groups_count_changed_positions() -> None:
    """<t, t> is the number of positions whose index changes: the recovered share of a unit is that of those it changes too."""
    rng = np.random.default_rng(12)
    model, x = RandomCodebook(rng), rng.normal(size=(30, 6))
    sources = np.roll(np.arange(30), 7)[None]
    routes = cp.interventions.paths(replace(wrap(model), codes=5), x, "x0", side="encoder", sources=sources)
    with torch.no_grad():
        rows = torch.tensor(x)
        moved_x = rows.clone()
        moved_x[:, 0] = rows[sources[0], 0]
        hidden, codes = model.encoder[:2](rows), model.encode(rows)
        total = model.encode(moved_x) != codes
        for unit in range(8):
            patched = hidden.clone()
            patched[:, unit] = model.encoder[:2](moved_x)[:, unit]
            share = ((model.nearest(patched) != codes) & total).sum() / total.sum()
            assert routes.recovered[0, unit] == pytest.approx(float(share), abs=1e-6)
