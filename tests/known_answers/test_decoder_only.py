"""Decoders without an encoder: codes are drawn from N(0, I), and what needs rows is said not to have been run."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from rich.console import Console
from torch import Tensor, nn

import circuitprobe as cp
from circuitprobe.adapters.models import ProbedVAE
from circuitprobe.types import FeatureKind, Link, Recognition

from . import paper
from .vaes import linear

if TYPE_CHECKING:
    from circuitprobe.report.audit_report import AuditReport

WHY = "the file holds the decoder alone"
WEIGHT = np.array([[2.0, 0, 0], [0, 3, 0], [1, 1, 0]])
ROWS, SEED = 40, 3
X = np.random.default_rng(0).normal(size=(ROWS, 3)) * [1, 2, 3] + [5, 0, 0]
GROUPS = {"a": ["x0"], "b": ["x1", "x2"]}


def close(value: float | None) -> object:
    return pytest.approx(value, abs=1e-9)


class Decoder(nn.Module):
    """D(z) = W z through a layer of (z, -z); z_2 is not read."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            linear(np.vstack([np.eye(3), -np.eye(3)])), nn.ReLU(), linear(np.hstack([WEIGHT, -WEIGHT]))
        )


def decoder_only(module: nn.Module | None = None, **options: Any) -> ProbedVAE:
    def no_encoder(_model: nn.Module, _x: Tensor) -> Tensor:
        raise AssertionError("the encoder that is not there was run")

    vae = ProbedVAE(
        model=module or Decoder(),
        run_encoder=no_encoder,
        run_decoder=lambda model, z: model.net(z),
        recognition=Recognition("none", "net", ""),
        source="decoder.pt",
        prior_only=WHY,
        code_width=3,
    )
    return replace(vae, **options)


def drawn(width: int = 3) -> np.ndarray[Any, Any]:
    """Stream 8: codes row by row."""
    return np.random.default_rng([SEED, 8]).standard_normal((ROWS, width))


@pytest.fixture(scope="module")
def report() -> AuditReport:
    return cp.audit(decoder_only(), X, seed=SEED, resamples=50, permutations=60, groups=GROUPS)


class TestClosedForm:
    """delta_f = |v - z_i| |W_fi| / s_f over the drawn z and the quantiles v of N(0, 1)."""

    def test_values_and_scale(self, report: AuditReport) -> None:
        for latent in report.latents:
            np.testing.assert_allclose(latent.posterior_values, paper.normal_values(), atol=1e-9)
            assert (latent.scale.value, latent.scale.low, latent.scale.high) == (1, 1, 1)
            assert latent.kl.value is None

    def test_effects(self, report: AuditReport) -> None:
        z, s = drawn(), X.std(axis=0)
        for i, latent in enumerate(report.latents):
            moved = np.abs(paper.normal_values() - z[:, i : i + 1])
            expected = moved.mean() * np.abs(WEIGHT[:, i]) / s
            assert [latent.effects[f"x{f}"].value for f in range(3)] == [close(e) for e in expected]
            assert latent.ces.value == close(moved.mean() * math.sqrt((WEIGHT[:, i] ** 2 / s**2).mean()))

    def test_active_is_having_an_effect(self, report: AuditReport) -> None:
        assert [latent.active for latent in report.latents] == [True, True, False]
        assert report.latents[2].ces.value == 0
        assert {sender.sender for sender in report.paths.decoder} == {"z0", "z1"}

    def test_on_support(self, report: AuditReport) -> None:
        """|z|^2 within the 99 % quantile of chi-square with three degrees of freedom, 11.3449."""
        z = drawn()
        for i, latent in enumerate(report.latents):
            rest = (np.delete(z, i, axis=1) ** 2).sum(axis=1)
            for rate, values in (
                (latent.on_support_rate, paper.normal_values()),
                (latent.on_support_rate_prior, np.linspace(-3, 3, 8)),
            ):
                inside = rest[:, None] + values**2 <= 11.344866730144373
                assert rate.value == close(inside.mean())
        assert 0 < report.scores.on_support_rate_prior.value < report.scores.on_support_rate.value

    def test_interchange_takes_the_source_rows_codes(self) -> None:
        """Unit relu(z_0) of row j takes its value from row pi(j)'s draw."""
        sources = np.roll(np.arange(ROWS), 1)[None]
        units = cp.interventions.activations(decoder_only(), X, sources=sources, seed=SEED)
        unit = np.maximum(drawn()[:, 0], 0)
        expected = np.abs(unit - unit[sources[0]]).mean() * WEIGHT[:, 0] / X.std(axis=0)
        np.testing.assert_allclose(units.changes[0], expected, atol=1e-9)
        assert {unit.half for unit in units.units} == {"decoder"}
        assert np.isnan(units.shift).all()

    def test_level_2_alone(self, report: AuditReport) -> None:
        effects = cp.interventions.latents(decoder_only(), X, seed=SEED)
        np.testing.assert_allclose(effects.ces, [latent.ces.value for latent in report.latents], atol=1e-12)

    def test_unit_mediation_and_paths(self) -> None:
        through = cp.interventions.unit_mediation(decoder_only(), X, seed=SEED)
        routes = cp.interventions.paths(decoder_only(), X, seed=SEED)
        np.testing.assert_allclose(through.proportion[0, 0] + through.proportion[0, 3], [1, np.nan, 1], atol=1e-9)
        assert routes.circuits[0].units == (0, 3) or routes.circuits[0].units == (3, 0)


class TestStatuses:
    def test_levels(self, report: AuditReport) -> None:
        assert [(status.run, status.reason) for status in report.levels] == [
            (False, WHY), (True, None), (True, None), (False, WHY)
        ]  # fmt: skip
        assert (report.inputs, report.mediation, report.circuit_map, report.reconstruction) == (None,) * 4
        assert {entry.part for entry in report.not_run} == {"reconstruction", "encoder units and paths of level 3"}
        assert {entry.reason for entry in report.not_run} == {WHY}
        assert report.paths.encoder == ()

    def test_twin_is_audited_on_the_same_codes(self, report: AuditReport) -> None:
        assert report.twin.scores is not None
        assert report.twin.mse is None
        assert report.twin.scores.on_support_rate.value == report.scores.on_support_rate.value

    def test_words(self, report: AuditReport) -> None:
        assert WHY in report.verdict[0]
        assert "no encoder" in report.verdict[0]
        said = " ".join([*report.verdict, *(warning.message for warning in report.warnings)])
        assert "reconstructs" not in said
        assert "NOT reconstruct" not in said
        codes = {warning.code for warning in report.warnings}
        assert {"prior_only", "not_run"} <= codes
        assert not {"not_reconstructing", "no_variance"} & codes
        (message,) = [warning.message for warning in report.warnings if warning.code == "not_run"]
        for part in ("level 1", "level 4", "reconstruction", "encoder units"):
            assert part in message

    @pytest.mark.parametrize("width", [60, 140])
    def test_terminal(self, report: AuditReport, width: int) -> None:
        console = Console(width=width, file=io.StringIO(), record=True)
        console.print(report)
        text = " ".join(console.export_text().split())
        assert "not run" in text
        assert "MSE" not in text
        assert "alone" in text

    def test_json_round_trip(self, report: AuditReport, tmp_path: Any) -> None:
        path = tmp_path / "report.json"
        text = report.to_json(path)
        assert cp.AuditReport.from_json(path).to_json() == text
        assert '"reconstruction": null' in text

    def test_frames(self, report: AuditReport) -> None:
        assert "mse" not in report.to_frame("scores").index
        with pytest.raises(cp.UsageError, match=WHY):
            report.to_frame("reconstruction")
        with pytest.raises(cp.UsageError, match=WHY):
            report.to_frame("inputs")

    @pytest.mark.parametrize("level", ["inputs", "mediation"])
    def test_levels_that_need_an_encoder(self, level: str) -> None:
        with pytest.raises(cp.UsageError, match=WHY):
            getattr(cp.interventions, level)(decoder_only(), X)
        with pytest.raises(cp.UsageError, match=WHY):
            cp.interventions.paths(decoder_only(), X, side="encoder")

    def test_part_of_the_rows_keeps_their_codes(self) -> None:
        small = cp.audit(decoder_only(), X, seed=SEED, resamples=50, levels=(2, 3), patch_rows=8, twin=False)
        assert small.activations.rows == 8
        assert small.activations.sites[0].effects

    def test_without_level_2_all_latents_count_as_active(self) -> None:
        small = cp.audit(decoder_only(), X, resamples=50, levels=(3,), twin=False)
        assert all(latent.active for latent in small.latents)

    def test_width_of_the_code_must_be_known(self) -> None:
        with pytest.raises(cp.ModelError, match="code_width"):
            cp.audit(decoder_only(code_width=None), X)
        with pytest.raises(cp.ModelError, match="normal prior"):
            cp.audit(decoder_only(codes=4), X)

    def test_inspect(self) -> None:
        found = cp.inspect(decoder_only(), X)
        assert {site.half for site in found.sites} == {"decoder"}
        assert found.prior_only == WHY
        assert any(WHY in line for line in found.spec)


def test_links_come_from_decoded_draws() -> None:
    """The flag's output is no probability on some draw: a logit. Without rows to reconstruct it is not taken for linear."""
    x = X.copy()
    # seldom 1: numbers about 0 would come nearer to these rows than probabilities about 1/2, by an error that means nothing
    x[:, 2] = np.arange(ROWS) % 20 == 0
    small = Decoder()
    small.net[2].weight.data[2] *= 0.01
    report = cp.audit(decoder_only(small), x, seed=SEED, resamples=50, levels=(2,), twin=False)
    links = {feature.name: (feature.kind, feature.link) for feature in report.data.features}
    assert links["x2"] == (FeatureKind.BINARY, Link.SIGMOID)
    assert links["x0"] == (FeatureKind.NUMERIC, Link.IDENTITY)


def test_scaling_of_a_table_by_the_mean_of_decoded_draws(tmp_path: Any) -> None:
    """D has mean 0, the table's columns 100 and 500: standardised rows fit, raw ones do not. A label cannot be told."""
    import pandas as pd

    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"a": rng.normal(100, 10, 200), "b": rng.normal(500, 3, 200), "c": rng.normal(-7, 1, 200)})
    frame["label"] = np.where(frame["a"] > 100, "high", "low")
    frame.to_csv(tmp_path / "t.csv", index=False)
    report = cp.audit(decoder_only(), tmp_path / "t.csv", target="label", resamples=50, levels=(2,), twin=False)
    assert report.data.scaling is not None
    assert report.data.scaling.value.startswith("standard")
    assert report.downstream is None
    assert {"prediction of the target", "reconstruction"} == {entry.part for entry in report.not_run}


def test_spatial_code_without_an_encoder() -> None:
    """Channels of (3, 1, 2), of which the decoder reads the mean: blocks and no encoder together."""
    maps = decoder_only(run_decoder=lambda model, z: model.net(z.mean((2, 3))), code_width=None, code_shape=(3, 1, 2))
    effects = cp.interventions.latents(maps, X, seed=SEED)
    z = drawn(6).reshape(ROWS, 3, 2).mean(axis=2)
    moved = np.abs(paper.normal_values() - z[:, :1]).mean()
    np.testing.assert_allclose(effects.effects[0], moved * WEIGHT[:, 0] / X.std(axis=0), atol=1e-9)
    assert effects.latents == ("z0", "z1", "z2")
