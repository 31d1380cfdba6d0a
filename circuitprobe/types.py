"""Every noun of circuitprobe: what flows between its rooms.

Nothing here runs: frozen dataclasses and enumerations, no torch at import. Arrays are documented by shape; ``rows`` is
the number of audited rows n, ``latents`` is d, ``dims`` the number of model dimensions, ``features`` is F.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from torch import Tensor

    FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    IntArray = np.ndarray[tuple[int, ...], np.dtype[np.int64]]

MISSING_CATEGORY = "(missing)"


class ColumnKind(StrEnum):
    """What a raw column of a table holds."""

    NUMERIC = "numeric"
    BINARY = "binary"
    CATEGORICAL = "categorical"
    CONSTANT = "constant"
    IDENTIFIER = "identifier"
    TEXT = "text"


class FeatureKind(StrEnum):
    """How the change of a feature is measured (METHOD.md section 0, feature change)."""

    NUMERIC = "numeric"
    BINARY = "binary"
    CATEGORICAL = "categorical"
    PIXEL = "pixel"


class Link(StrEnum):
    """What turns the decoder's output columns of a feature into values or probabilities."""

    IDENTITY = "identity"
    SIGMOID = "sigmoid"
    SOFTMAX = "softmax"


class Scaling(StrEnum):
    """How raw numeric columns became the model's inputs."""

    NONE = "none"
    STANDARD = "standard"
    STANDARD_ALL = "standard, binary columns too"
    MIN_MAX = "min-max"
    MODEL = "the model's own"


class PixelRange(StrEnum):
    """In which range a model takes the intensities of pixels."""

    UNIT = "intensities from 0 to 1"
    SIGNED = "intensities from -1 to 1"
    BYTES = "intensities from 0 to 255"


@dataclass(frozen=True)
class Posterior:
    """q(z|x) = N(mean, diag exp(log_var)).

    Attributes:
        mean: shape (rows, latents), in latent units.
        log_var: natural logarithm of the variance, shape (rows, latents); None for an encoder that states no variance.
    """

    mean: Tensor
    log_var: Tensor | None


@dataclass(frozen=True)
class Latent:
    """What one intervention moves: usually one dimension of the code, for a spatial code all positions of one channel.

    Attributes:
        name: such as ``z3``.
        dims: columns of the flat code (rows, code width).
    """

    name: str
    dims: tuple[int, ...]


@dataclass(frozen=True)
class Column:
    """One raw column of a table, as profiled over every row of it.

    Attributes:
        name: its name in the header.
        kind: what it holds, inferred or from the schema file.
        count: rows of the whole table.
        missing: how many of them have no value.
        mean: mean over the values present (numeric columns), share of ``categories[1]`` (binary ones); nan otherwise.
        std: their standard deviation, divisor count - missing.
        low: their minimum.
        high: their maximum.
        categories: distinct values in sorted order (binary and categorical columns), without the missing category.
        inferred: False where the schema file said so.
    """

    name: str
    kind: ColumnKind
    count: int
    missing: int
    mean: float = float("nan")
    std: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    categories: tuple[str, ...] = ()
    inferred: bool = True


@dataclass(frozen=True)
class Table:
    """The audited rows of a table with what is known of the whole of it.

    Attributes:
        source: a short name for messages and reports (file name without its folder, or the benchmark's name).
        total: rows of the whole table.
        index: which rows of it are here, ascending, counted from 0, shape (rows,).
        frame: those rows; numeric columns as float64 with nan, all others as str with None for missing.
        columns: one entry per column of ``frame``, in order.
        renamed: names here and in the file of columns that were matched although case, spaces or signs differ.
        path: the file as the user typed it; "" where there is none.
    """

    source: str
    total: int
    index: IntArray
    frame: pd.DataFrame
    columns: tuple[Column, ...]
    renamed: tuple[tuple[str, str], ...] = ()
    path: str = ""


@dataclass(frozen=True)
class ColumnEncoding:
    """How one raw column becomes model dimensions: the recipe kept in a checkpoint's data schema.

    Attributes:
        name: the raw column.
        kind: numeric: one dimension (value - center) / scale; binary: one dimension (code - center) / scale with code 1
            for ``categories[1]``; categorical: one dimension per category, one-hot.
        categories: values in the order of their dimensions; ``MISSING_CATEGORY`` is one of them where missing values
            have a category of their own. A value that is not listed gives a block of zeros and is counted.
        center: subtracted from numeric and binary values.
        scale: divides them.
        fill: numeric: what replaces a missing value, in raw units; None where training saw none missing.
    """

    name: str
    kind: FeatureKind
    categories: tuple[str, ...] = ()
    center: float = 0.0
    scale: float = 1.0
    fill: float | None = None

    @property
    def width(self) -> int:
        """Number of model dimensions."""
        return len(self.categories) if self.kind is FeatureKind.CATEGORICAL else 1


@dataclass(frozen=True)
class TableEncoding:
    """How a table becomes the model's input matrix: its columns in the order of the model's dimensions."""

    columns: tuple[ColumnEncoding, ...]
    scaling: Scaling
    layout: str = "columns in file order"

    @property
    def width(self) -> int:
        """Number of model dimensions."""
        return sum(column.width for column in self.columns)


@dataclass(frozen=True)
class ImageEncoding:
    """How stored images became the model's input.

    Attributes:
        shape: (channels, height, width) of one image as the model gets it.
        row_shape: shape in which the encoder takes it, () for a flat row.
        channels_last: a row counts channels last, whatever its shape.
        scaling: the range that intensities from 0 to 1 became.
        output: how the decoder's output reads as intensities, in words.
        layout: axes and channels, in words.
        stored: how the images were stored, in words.
        grid: rows and columns of patches; (0, 0) where the caller says what the features are.
    """

    shape: tuple[int, int, int]
    row_shape: tuple[int, ...]
    channels_last: bool
    scaling: PixelRange
    output: str
    layout: str
    stored: str
    grid: tuple[int, int] = (0, 0)

    @property
    def described(self) -> str:
        """Axes, channels and the reading of the output, in words."""
        return f"{self.layout}; output read as {self.output}"


@dataclass(frozen=True)
class Decode:
    """How the decoder's output columns of one feature read.

    The value or probability is ``link(output[dims]) * scale + center``; scale and center differ from 1 and 0 only for a
    binary column that was standardised before training, and for pixels of a model whose intensities are not in [0, 1].

    Attributes:
        dims: columns of the decoder's output.
        link: what is applied to them.
        center: added afterwards.
        scale: multiplied with before that.
        row_center: the same for the model's input; None where it is ``center``.
        row_scale: see ``row_center``.
    """

    dims: tuple[int, ...]
    link: Link = Link.IDENTITY
    center: float = 0.0
    scale: float = 1.0
    row_center: float | None = None
    row_scale: float | None = None


@dataclass(frozen=True)
class Feature:
    """One raw column of a table, or one pixel or patch of an image (METHOD.md section 0).

    Attributes:
        name: the column's name.
        kind: how its change is measured.
        dims: the model's input dimensions it spans.
        decode: how the decoder's output reads.
        categories: names of the dimensions of a categorical feature, of (zero, one) for a binary one.
    """

    name: str
    kind: FeatureKind
    dims: tuple[int, ...]
    decode: Decode
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class FeatureGroup:
    """A named set of features; groups partition the features of an audit."""

    name: str
    features: tuple[str, ...]


@dataclass(frozen=True)
class LeftOut:
    """A column that no score is computed on, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class MissingValues:
    """Missing or unseen values of one column among the audited rows, and what became of them."""

    name: str
    count: int
    treatment: str


@dataclass(frozen=True)
class AuditData:
    """What is audited: rows in the model's space, and how to read them.

    Attributes:
        x: shape (rows, dims), float64, in the model's space.
        features: what scores are computed on, constant numeric columns left out.
        groups: a partition of ``features``.
        groups_from: where the groups come from: "file", "benchmark" or "clustered".
        target: labels of the audited rows as strings, None where one is missing; None where no target is named.
        target_name: the target column.
        left_out: columns that no score is computed on.
        missing: what was done about missing values.
        encoding: how the table became ``x``; None where rows came as an array in the model's space.
        image: how images became ``x``; None for anything else.
        condition: columns that condition both halves; the last dimensions of ``x`` hold them, no feature spans these.
        renamed: the model's names of columns with those in the table, where they differ in case, spaces or signs.
        source: short name of the table.
        total: rows of the whole table.
        index: which rows of it are audited, shape (rows,).
        columns: the profiled columns of the table, in file order.
        sample: digest over the audited rows as they were before any encoding; "" where they came in the model's space.
    """

    x: FloatArray
    features: tuple[Feature, ...]
    groups: tuple[FeatureGroup, ...]
    groups_from: str
    source: str
    total: int
    index: IntArray
    target: tuple[str | None, ...] | None = None
    target_name: str | None = None
    left_out: tuple[LeftOut, ...] = ()
    missing: tuple[MissingValues, ...] = ()
    encoding: TableEncoding | None = None
    columns: tuple[Column, ...] = ()
    image: ImageEncoding | None = None
    condition: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    sample: str = ""


@dataclass(frozen=True)
class Site:
    """A place in a network where activations are read or written.

    Attributes:
        module: dotted path of the module inside the model.
        selector: which tensor of its output: () for a tensor, else the indices or keys that lead to it.
        unit_axis: the axis of the tensor that counts units; units are channels for convolutions.
        units: how many there are.
        call: which call of the module, counted from 0 (a module may run twice).
    """

    module: str
    selector: tuple[int | str, ...] = ()
    unit_axis: int = 1
    units: int = 0
    call: int = 0

    @property
    def name(self) -> str:
        """Readable and unique: ``decoder.1``, ``lstm[0]``, ``act#1`` for a second call."""
        picked = "".join(f"[{key}]" for key in self.selector)
        return f"{self.module}{picked}" + (f"#{self.call}" if self.call else "")


@dataclass(frozen=True)
class Estimate:
    """A number with its uncertainty (METHOD.md section 0, last item).

    Attributes:
        value: the estimate; None where it is undefined (never 0 or 1 instead).
        low: lower end of the 95 % interval; None where undefined.
        high: upper end.
        n: rows it was computed from.
        null: the value that chance alone gives, where that is more than zero and known.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    null: float | None = None


@dataclass(frozen=True)
class Recognition:
    """What was taken for the parts of a VAE, in words a user can check.

    Attributes:
        encode: what encodes, such as ``model.encode``.
        decode: what decodes.
        posterior: how the encoder's output was read, such as ``(mean, log_var)``.
        evidence: what was seen that supports it.
    """

    encode: str
    decode: str
    posterior: str
    evidence: tuple[str, ...] = field(default=())
