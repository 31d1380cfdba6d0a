"""What a benchmark declares about its table or its images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from circuitprobe.adapters.data.number_text import number_label
from circuitprobe.adapters.data.schema import ColumnSchema, TableSchema
from circuitprobe.types import ColumnKind, FeatureGroup

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Benchmark:
    """A table that comes with the package.

    Attributes:
        name: what a user types for it.
        title: its published name.
        filename: the data file, inside the package.
        target: the target column.
        outcomes: columns that are no features because they are outcomes; the target is one of them, the others can be
            named as the target instead.
        ignore: columns that are neither feature nor outcome; they are left out of the table.
        groups: semantic feature groups, a partition of the features; patterns are already spelled out.
        schema: kinds that inference would not find, and the ignored columns.
        attribution: authors, title, source and licence.
        positive_from: the target's positive class starts at this value; None for a target that is already a class.
        positive_labels: names of the (negative, positive) class that ``positive_from`` makes.
    """

    name: str
    title: str
    filename: str
    target: str
    outcomes: tuple[str, ...]
    ignore: tuple[str, ...]
    groups: tuple[FeatureGroup, ...]
    schema: TableSchema
    attribution: str
    positive_from: float | None = None
    positive_labels: tuple[str, str] = ("no", "yes")

    @property
    def not_features(self) -> tuple[str, ...]:
        """Columns that are no features: outcomes and ignored ones."""
        return (*self.outcomes, *self.ignore)

    def target_labels(self, frame_column: pd.Series[Any]) -> tuple[str, ...]:
        """Classes of the target column's values.

        Args:
            frame_column: the target column of a table's frame: texts, or numbers where the target is numeric.

        Returns:
            One label per row: the value itself, or which side of ``positive_from`` it is on.
        """
        if self.positive_from is None:
            return tuple(number_label(v) if isinstance(v, float) else str(v) for v in frame_column.tolist())
        below, reached = self.positive_labels
        return tuple(reached if float(value) >= self.positive_from else below for value in frame_column.tolist())


@dataclass(frozen=True)
class Factor:
    """What an image was made from: one of the things that vary independently.

    Attributes:
        name: as published.
        values: in the order of its classes 0, 1, ...
    """

    name: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class ImageBenchmark:
    """Images of which each is a combination of factors, every combination once.

    Attributes:
        name: what a user types for it.
        title: its published name.
        side: height and width in pixels.
        factors: the last one varies fastest from image to image.
        target: the factor that is predicted from the latents unless another is named.
        note: how the images come about, for reports.
        attribution: authors, title, source and licence.
    """

    name: str
    title: str
    side: int
    factors: tuple[Factor, ...]
    target: str
    note: str
    attribution: str

    @property
    def images(self) -> int:
        """How many there are."""
        return math.prod(len(factor.values) for factor in self.factors)

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the factors that vary."""
        return tuple(factor.name for factor in self.factors if len(factor.values) > 1)


def columns_schema(
    *, categorical: tuple[str, ...] = (), numeric: tuple[str, ...] = (), ignore: tuple[str, ...] = (), source: str
) -> TableSchema:
    """A schema that declares kinds and nothing else.

    Args:
        categorical: categorical columns.
        numeric: numeric columns.
        ignore: columns left out of the table.
        source: where the schema comes from, for messages.
    """
    return TableSchema(
        columns=(
            *(ColumnSchema(name, kind=ColumnKind.CATEGORICAL) for name in categorical),
            *(ColumnSchema(name, kind=ColumnKind.NUMERIC) for name in numeric),
            *(ColumnSchema(name, ignore=True) for name in ignore),
        ),
        source=source,
    )


def feature_groups(**groups: tuple[str, ...]) -> tuple[FeatureGroup, ...]:
    """Groups by name.

    Args:
        **groups: member features of each group.
    """
    return tuple(FeatureGroup(name, features) for name, features in groups.items())
