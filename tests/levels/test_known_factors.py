"""Scores against known factors: of arrays, and in audits of images whose factors are known."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

import circuitprobe as cp
from circuitprobe.adapters.data import Images, KnownFactors, StoredRange, other_channels
from circuitprobe.fitting.known_factors import FactorRows
from circuitprobe.report import AuditReport
from circuitprobe.report.model import SCHEMA_VERSION
from circuitprobe.types import PixelRange

FAST: dict[str, Any] = {"levels": (2,), "resamples": 40, "permutations": 20, "twin": False, "rows": 100}
UNIT = {"pixels": "unit"}
NAMES = ("color", "shape", "scale", "orientation", "posX", "posY")


class Reader(nn.Module):
    """z0 follows shape, z1 scale, z2 both; z3 is dead."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        up, low = 5 * x[:, 0, :4].mean((1, 2)), 5 * x[:, 0, 4:].mean((1, 2))
        mean = torch.stack([up, low, up + low, 0.001 * up], 1) * self.gain
        log_var = torch.full_like(mean, -4.0)
        return mean, log_var

    def decode(self, z: Tensor) -> Tensor:
        up, low = z[:, 0, None, None] / 5, z[:, 1, None, None] / 5
        image: Tensor = torch.cat([up.expand(-1, 4, 8), low.expand(-1, 4, 8)], 1)[:, None]
        return image + 0 * z[:, 3, None, None, None]


def archive(path: Path, rows: int = 400) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Images like dSprites' in name only: the upper half as bright as the shape's class, the lower half as the scale's."""
    rng = np.random.default_rng(0)
    classes = np.stack([np.zeros(rows, int), *(rng.integers(0, k, rows) for k in (3, 6, 5, 4, 4))], axis=1)
    imgs = np.repeat((classes[:, 1:3] * [127, 51]).astype(np.uint8), 4, axis=1)[:, :, None] * np.ones(
        (1, 1, 8), np.uint8
    )
    np.savez_compressed(path, imgs=imgs, latents_classes=classes, latents_values=classes.astype(float))
    return imgs, classes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the archive lies."""
    return tmp_path_factory.mktemp("truth")


@pytest.fixture(scope="module")
def report(folder: Path) -> AuditReport:
    """An audit of the reader on the archive."""
    archive(folder / "d.npz")
    return cp.audit(Reader(), folder / "d.npz", seed=3, **UNIT, **FAST)


def test_an_audit_scores_all_images_as_the_function_does(report: AuditReport, folder: Path) -> None:
    imgs, classes = archive(folder / "again.npz")
    mean = Reader().encode(torch.as_tensor(imgs / 255.0, dtype=torch.float32)[:, None])[0].detach().numpy()
    alone = cp.ground_truth(mean, classes, names=NAMES, seed=3, resamples=40, dci=False)
    truth = report.ground_truth
    assert truth is not None
    assert (truth.rows_train, truth.rows_test) == (266, 134)
    assert truth == alone


def test_what_the_audit_says_of_each_factor(report: AuditReport) -> None:
    truth = report.ground_truth
    assert truth is not None
    assert [entry.name for entry in truth.left_out] == ["color"]
    assert truth.dead == ("z3",)
    assert truth.dci is None
    shape, scale, pos = (truth.factors[name] for name in ("shape", "scale", "posX"))
    # a dead latent can be a copy that is told apart: scale-free scores see it, and it is named as dead
    assert {shape.mig_first, shape.mig_second} == {"z0", "z3"}
    assert scale.mig_first == "z1"
    assert scale.information["z1"] == pytest.approx(scale.entropy, rel=1e-9)
    assert shape.voted == ("z0",)
    assert scale.voted == ("z1",)
    assert pos.sap.value is not None
    assert pos.sap.value < 0.1


def test_every_score_lies_in_its_interval_and_above_chance_where_it_should(report: AuditReport) -> None:
    truth = report.ground_truth
    assert truth is not None
    scores = [truth.mig, truth.sap, truth.factor_vae]
    for found in (*scores, *(e for factor in truth.factors.values() for e in (factor.mig, factor.sap))):
        assert found.value is not None
        assert found.low is not None
        assert found.high is not None
        assert found.low <= found.value <= found.high
        assert found.null is not None
        assert 0.0 <= found.null < 0.4
    assert truth.ceilings.mig == pytest.approx(1.0, abs=0.1)
    assert truth.ceilings.factor_vae == 1.0


def test_in_the_terminal_at_any_width(report: AuditReport) -> None:
    for width in (120, 60):
        file = io.StringIO()
        Console(width=width, file=file).print(report)
        text = file.getvalue()
        part = text[text.index("Known factors against latents") :]
        assert max(map(len, part.splitlines())) <= width
        assert "FactorVAE score" in part
        assert "no score on color: constant" in " ".join(part.split())
        assert "--dci" in part
        assert any(line.split()[:2] == ["scale", "6"] for line in part.splitlines())


def test_reports_of_schema_2_1_are_still_read(report: AuditReport, tmp_path: Path) -> None:
    content = json.loads(report.to_json())
    assert content["schema_version"] == SCHEMA_VERSION
    content["schema_version"] = "2.1"
    del content["ground_truth"]
    (tmp_path / "old.json").write_text(json.dumps(content))
    assert AuditReport.from_json(tmp_path / "old.json").ground_truth is None


def test_why_it_was_not_run_is_told(folder: Path) -> None:
    class Spatial(Reader):
        def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
            mean = self.gain * x[:, :, ::4, ::4]
            log_var = torch.full_like(mean, -4.0)
            return mean, log_var

        def decode(self, z: Tensor) -> Tensor:
            return z.repeat_interleave(4, 2).repeat_interleave(4, 3)

    archive(folder / "d.npz")
    found = cp.audit(Spatial(), folder / "d.npz", **FAST)
    assert found.ground_truth is None
    part = next(entry for entry in found.not_run if entry.part == "scores against the known factors")
    assert part.reason == "a latent of several code columns has no single value"
    archive(folder / "few.npz", 40)
    found = cp.audit(Reader(), folder / "few.npz", **(FAST | {"rows": 40}))
    assert [entry.reason for entry in found.not_run] == ["40 images with known factors, fewer than 60"]


def test_images_without_factors_have_no_section() -> None:
    images = np.random.default_rng(0).integers(0, 256, (100, 8, 8), dtype=np.uint8)
    found = cp.audit(Reader(), images, **FAST)
    assert found.ground_truth is None
    assert not found.not_run


@pytest.mark.parametrize("memory", [4096, 2**30])
def test_pieces_are_the_rows_whatever_the_memory(memory: int) -> None:
    values = np.random.default_rng(0).integers(0, 256, (50, 4, 5), dtype=np.uint8)
    asked: list[int] = []

    def images(index: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        asked.append(len(index))
        return values[index]

    known = KnownFactors(("a",), 50, 20, images, lambda index: index[:, None])
    layout = next(other_channels(Images(values[:, None] / 255.0, "no axis of channels; one was added"))).layout
    rows = FactorRows(known, StoredRange(0.0, 255.0), None, layout, PixelRange.SIGNED, channels_last=True)
    index = np.array([1, 4, 9, 30, 49])
    found = np.zeros((5, 60))
    for where, part in rows.pieces(index, memory):
        found[where] = part
    expected = np.repeat(values[index].reshape(5, 20) / 255.0 * 2 - 1, 3, axis=1)
    assert np.allclose(found, expected, atol=1e-12)
    assert sum(asked) == 5


def test_dci_is_reported_beside_chance() -> None:
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(0, 2, 240), rng.integers(0, 3, 240)], axis=1)
    codes = np.column_stack([factors + 0.05 * rng.normal(size=factors.shape), np.zeros(240)])
    truth = cp.ground_truth(codes, factors, latents=("a", "b", "c"), resamples=20)
    assert truth.dci is not None
    assert truth.dci.disentanglement.value == pytest.approx(1.0, abs=0.02)
    assert truth.dci.disentanglement.null is not None
    assert truth.dci.disentanglement.null < 0.3
    assert truth.dci.disentanglement.low is None
    assert truth.dci.informativeness.value == 1.0
    assert truth.dci.informativeness.null is not None
    assert 0.2 < truth.dci.informativeness.null < 0.6
    assert truth.factors["v0"].importance == pytest.approx({"a": 1.0, "b": 0.0, "c": 0.0}, abs=0.01)
    assert truth.dead == ("c",)


@pytest.mark.parametrize(
    ("codes", "factors", "told"),
    [
        (np.zeros((100, 2)), np.zeros((99, 1)), "shape"),
        (np.zeros((100, 2)), np.zeros((100, 1)), "constant"),
        (np.zeros((100, 2)), np.arange(100)[:, None], "no two rows"),
        (np.full((100, 2), np.nan), np.arange(100)[:, None] % 2, "not finite"),
        (np.zeros((10, 2)), np.arange(10)[:, None] % 2, "10 rows"),
        (np.array([["a"]] * 100), np.arange(100)[:, None] % 2, "codes of shape"),
    ],
)
def test_arrays_that_make_no_sense_are_refused(codes: Any, factors: Any, told: str) -> None:
    with pytest.raises(cp.DataError, match=told):
        cp.ground_truth(codes, factors, dci=False)
    with pytest.raises(cp.DataError, match="factor names"):
        cp.ground_truth(np.zeros((100, 2)), np.arange(100)[:, None] % 2, names=("a", "b"), dci=False)


@pytest.mark.parametrize(
    ("value", "said"), [(None, "1 values of the factors are missing"), ("a", "column 1 .* text and numbers")]
)
def test_a_factor_value_that_is_no_class_is_told(value: object, said: str) -> None:
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 3, size=(90, 2)).astype(object)
    factors[7, 1] = value
    with pytest.raises(cp.DataError, match=said):
        cp.ground_truth(rng.normal(size=(90, 2)), factors, dci=False)


def test_nan_is_no_class_of_its_own() -> None:
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 3, size=(90, 2)).astype(float)
    factors[:2, 0] = np.nan
    with pytest.raises(cp.DataError, match="2 values of the factors are missing"):
        cp.ground_truth(rng.normal(size=(90, 2)), factors, dci=False)


def test_codes_that_carry_gradients_are_taken() -> None:
    rng = np.random.default_rng(0)
    factors, codes = rng.integers(0, 3, size=(90, 2)), rng.normal(size=(90, 2))
    carrying = torch.tensor(codes, requires_grad=True)
    found, known = (cp.ground_truth(given, factors, dci=False, resamples=20) for given in (carrying, codes))
    assert found == known
