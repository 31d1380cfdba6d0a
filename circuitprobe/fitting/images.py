"""Bringing images and a model together: the axes, the range and the reading of the output under which it reconstructs best."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from circuitprobe.adapters.data import Images, grid_of, image_layouts, other_channels, patch_features, stored_range
from circuitprobe.adapters.data.pixels import RANGES, WORDS
from circuitprobe.adapters.models import ProbedVAE, check_finite
from circuitprobe.errors import CircuitProbeError, DataError, ModelError, UsageError
from circuitprobe.fitting.digests import array_digest
from circuitprobe.fitting.image_errors import does_not_fit, is_misfit
from circuitprobe.fitting.known_factors import FactorRows, model_rows
from circuitprobe.fitting.options import DataOptions, Fitted, Tried
from circuitprobe.levels.reconstruction import squared_errors
from circuitprobe.probe import Readout
from circuitprobe.types import AuditData, Feature, ImageEncoding, Link, PixelRange

if TYPE_CHECKING:
    from torch import Tensor

    from circuitprobe.adapters.data import ArrayRows
    from circuitprobe.types import FloatArray

FIRST_ROWS = 32
SCORED_ROWS = 256
INSIDE = 1e-3
# error over that of the mean image
RECONSTRUCTS = 0.9
NEAR_TIE = 1.05


@dataclass(frozen=True)
class _Form:
    """One way of giving images to the model.

    Attributes:
        images: their axes.
        channels_last: a row counts channels last.
        row_shape: as the encoder takes one.
    """

    images: Images
    channels_last: bool
    row_shape: tuple[int, ...]

    def rows(self, scaling: PixelRange, most: int | None = None) -> FloatArray:
        """Flat rows in the model's space, shape (rows, dims); evenly spaced ones where there are more than ``most``."""
        values = self.images.values
        if most is not None:
            values = values[:: -(-len(values) // most)]
        return model_rows(values, scaling, channels_last=self.channels_last)

    @property
    def words(self) -> str:
        """Axes and channels, for the report."""
        given = " x ".join(map(str, self.row_shape)) if self.row_shape else f"{self.images.values[0].size} in a row"
        order = ", channels last" if self.channels_last and not self.row_shape else ""
        return f"{self.images.layout}; given as {given}{order}"


@dataclass(frozen=True)
class _Reading:
    """How the decoder's output becomes intensities: ``link(output) * scale + center``."""

    words: str
    link: Link
    scale: float
    center: float


def fit_images(vae: ProbedVAE, rows: ArrayRows, options: DataOptions) -> Fitted:
    """Give images to a model in the form in which it takes them and reconstructs best.

    Tried are: channels before or behind height and width where both can be; rows as images or flat; intensities from 0 to 1, -1
    to 1 and 0 to 255; the output as intensities of the same range, of another, or as logits. Where the model takes the images
    in none of these, grey ones are given as three equal channels and coloured ones as grey.

    Args:
        vae: the model, inside ``untouched``.
        rows: the audited images as they are stored.
        options: what the caller says about them.

    Returns:
        The settled model and the rows; groups are still to be made.

    Raises:
        DataError: the images cannot be read or do not fit the model; both sides are shown.
        ModelError: the model does not behave like a VAE on them.
        UsageError: an option that makes no sense with images.
    """
    options.refuse_table_options("images")
    if vae.encoding is not None:
        raise DataError(
            f"{rows.source} holds images, and {vae.source} says itself that it takes the columns of a table.",
            expected="a table with these columns: " + ", ".join(column.name for column in vae.encoding.columns[:12]),
            fix="circuitprobe audit MODEL data.csv",
        )
    known = stored_range(rows)
    values = known.intensities(rows.values)
    if float(np.ptp(values, axis=0).max()) == 0.0:
        raise DataError(
            f"all {len(values):,} audited images of {rows.source} are equal",
            expected="images that differ",
            fix="audit other rows (--seed, --rows)",
        )
    stored = "; ".join((known.words, *rows.notes))
    forms = _forms_that_run(vae, image_layouts(values, channels_last=rows.channels_last), rows.source)
    scalings = _scalings(options)
    tried, readings = _tried(vae, forms, scalings, stored, options)
    scored = [(entry.mse, place) for place, entry in enumerate(tried) if entry.mse is not None]
    if not scored:
        raise ModelError(
            f"{vae.source} gives nan or infinity on {rows.source} under every range of intensities",
            expected="a reconstruction of finite numbers",
            fix="check that training did not diverge",
        )
    best = _best(scored)
    tried[best] = replace(tried[best], chosen=True)
    form, encoding, reading = readings[best]
    x = form.rows(encoding.scaling)
    settled = _with_shape(vae, form).resolved(vae.to_input(x[:: -(-len(x) // SCORED_ROWS)]))
    features = _features(form, encoding.scaling, reading, options) if options.features is None else options.features
    data = AuditData(
        x=x, features=tuple(features), groups=(), groups_from="", source=rows.source, total=rows.total, index=rows.index,
        target=rows.labels, target_name=None if rows.labels is None else options.target, image=encoding,
        sample=array_digest(values),
    )  # fmt: skip
    factors = None
    if rows.factors is not None:
        factors = FactorRows(
            rows.factors, known, rows.channels_last, form.images.layout, encoding.scaling, form.channels_last
        )
    return Fitted(settled, data, tuple(tried), factors)


def _best(scored: Sequence[tuple[float, int]]) -> int:
    """The form with the smallest error; the plainest of near ties where that is poor, and of all where it says nothing."""
    least = min(scored)
    if least[0] < RECONSTRUCTS:
        return least[1]
    if least[0] >= 1.0:
        return min(place for _, place in scored)
    return min(place for error, place in scored if error <= least[0] * NEAR_TIE)


def _scalings(options: DataOptions) -> tuple[PixelRange, ...]:
    if options.pixels is None:
        return tuple(RANGES)
    if options.pixels not in WORDS:
        raise UsageError(
            f"--pixels {options.pixels}",
            expected="unit (0 to 1), signed (-1 to 1) or bytes (0 to 255)",
            fix="leave it out: the range is found by trying",
        )
    return (WORDS[options.pixels],)


def _forms_that_run(vae: ProbedVAE, layouts: Sequence[Images], source: str) -> tuple[_Form, ...]:
    """Per order of the flat row the first shape that the model takes.

    Raises:
        DataError: it takes none, also not in grey or in colour.
        ModelError: it takes them and does not behave like a VAE.
    """
    errors: list[CircuitProbeError] = []
    for candidates in (layouts, [other for images in layouts for other in other_channels(images)]):
        found = []
        for images in candidates:
            for channels_last in (False, True) if images.shape[0] > 1 else (False,):
                form = _first_that_runs(vae, images, errors, channels_last=channels_last)
                if form is not None:
                    found.append(form)
        if found:
            return tuple(found)
    # what no other shape would mend
    for error in errors:
        if not is_misfit(error):
            raise error
    raise does_not_fit(vae, layouts[0].shape, source, errors[0] if errors else None)


def _first_that_runs(
    vae: ProbedVAE, images: Images, errors: list[CircuitProbeError], *, channels_last: bool
) -> _Form | None:
    for shape in _row_shapes(vae, images.shape, channels_last=channels_last):
        form = _Form(images, channels_last, shape)
        try:
            _with_shape(vae, form).resolved(vae.to_input(form.rows(PixelRange.UNIT, FIRST_ROWS)))
        except CircuitProbeError as error:
            errors.append(error)
        else:
            return form
    return None


def _row_shapes(vae: ProbedVAE, shape: tuple[int, int, int], *, channels_last: bool) -> Iterator[tuple[int, ...]]:
    channels, height, width = shape
    shapes: list[tuple[int, ...]] = [(height, width, channels) if channels_last else (channels, height, width)]
    if channels == 1:
        shapes.append((height, width))
    for each in (*shapes, ()):
        if vae.row_shape in ((), each):
            yield each


def _with_shape(vae: ProbedVAE, form: _Form) -> ProbedVAE:
    return replace(vae, row_shape=form.row_shape)


def _tried(
    vae: ProbedVAE, forms: Sequence[_Form], scalings: Sequence[PixelRange], stored: str, options: DataOptions
) -> tuple[list[Tried], list[tuple[_Form, ImageEncoding, _Reading]]]:
    """Every form under every range and reading, with its error."""
    tried: list[Tried] = []
    readings: list[tuple[_Form, ImageEncoding, _Reading]] = []
    for form in forms:
        grid = (0, 0) if options.features is not None else grid_of(*form.images.shape[1:], options.grid)
        for scaling in scalings:
            for reading, mse in _scored(vae, form, scaling, options):
                encoding = ImageEncoding(
                    form.images.shape,
                    form.row_shape,
                    form.channels_last,
                    scaling,
                    reading.words,
                    form.words,
                    stored,
                    grid,
                )
                tried.append(Tried(encoding, mse))
                readings.append((form, encoding, reading))
    return tried, readings


def _scored(
    vae: ProbedVAE, form: _Form, scaling: PixelRange, options: DataOptions
) -> list[tuple[_Reading, float | None]]:
    """Relative MSE of the images under each reading of the output; None where the model fails on this range."""
    x = form.rows(scaling, SCORED_ROWS)
    inputs = vae.to_input(x)
    scale, center = RANGES[scaling]
    same = _Reading("intensities of the same range", Link.IDENTITY, 1 / scale, -center / scale)
    try:
        settled = _with_shape(vae, form).resolved(inputs)
        output = settled.decode(settled.encode(inputs).mean).detach()
        check_finite(output, settled.recognition.decode)
    except CircuitProbeError:
        return [(same, None)]
    return [
        (reading, _relative_mse(_features(form, scaling, reading, options), x, output))
        for reading in _readings(settled, output, same, scaling)
    ]


def _readings(vae: ProbedVAE, output: Tensor, same: _Reading, scaling: PixelRange) -> list[_Reading]:
    sigmoid = _Reading("logits", Link.SIGMOID, 1.0, 0.0)
    if vae.output == "logits":
        return [sigmoid]
    found = [same]
    low, high = float(output.min()), float(output.max())
    if scaling is not PixelRange.UNIT:
        found.append(_Reading("intensities from 0 to 1", Link.IDENTITY, 1.0, 0.0))
    if scaling is not PixelRange.SIGNED and low < -INSIDE and low >= -1 - INSIDE and high <= 1 + INSIDE:
        found.append(_Reading("intensities from -1 to 1", Link.IDENTITY, 0.5, 0.5))
    if vae.output == "auto" and (low < -INSIDE or high > 1 + INSIDE):
        found.append(sigmoid)
    return found


def _features(form: _Form, scaling: PixelRange, reading: _Reading, options: DataOptions) -> tuple[Feature, ...]:
    scale, center = RANGES[scaling]
    return tuple(
        replace(
            feature,
            decode=replace(
                feature.decode,
                link=reading.link,
                scale=reading.scale,
                center=reading.center,
                row_scale=1 / scale,
                row_center=-center / scale,
            ),
        )
        for feature in patch_features(form.images.shape, options.grid, channels_last=form.channels_last)
    )


def _relative_mse(features: Sequence[Feature], x: FloatArray, output: Tensor) -> float:
    readout = Readout.build(features, np.ones(len(features)), output.device)
    rows = readout.rows(torch.as_tensor(x, device=output.device))
    errors, constant = squared_errors(readout, readout.read(output), rows)
    return float(errors.mean() / constant.mean())
