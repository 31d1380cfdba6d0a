"""What a caller says about the rows, and what fitting gives back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from circuitprobe.errors import UsageError

if TYPE_CHECKING:
    from circuitprobe.adapters.data import TableSchema
    from circuitprobe.adapters.models import ProbedVAE
    from circuitprobe.fitting.known_factors import FactorRows
    from circuitprobe.types import AuditData, Feature, ImageEncoding, TableEncoding


@dataclass(frozen=True)
class DataOptions:
    """What the caller says about the rows.

    Attributes:
        rows: how many are audited.
        seed: of their choice.
        schema: overrides what is inferred.
        groups: feature groups, by name or in a file; None: the benchmark's, else clustered.
        target: the label column, never a feature; for images an array of labels, or ``folder``.
        features: how the dimensions of an array read.
        condition: columns that condition encoder and decoder; no features.
        ignore: columns that are left out of the table.
        array: which array of an archive holds the images or rows.
        grid: patches per side of an image.
        pixels: the range of intensities that the model takes, ``unit``, ``signed`` or ``bytes``; None: found by trying.
    """

    rows: int = 2048
    seed: int = 0
    schema: TableSchema | None = None
    groups: Mapping[str, Sequence[str]] | str | Path | None = None
    target: str | None = None
    features: Sequence[Feature] | None = None
    condition: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    array: str | None = None
    grid: int | None = None
    pixels: str | None = None

    def refuse_table_options(self, what: str) -> None:
        """Refuse options that only a table with named columns can have.

        Args:
            what: the rows are instead.

        Raises:
            UsageError: one of them was given.
        """
        given = {"schema": self.schema, "condition": self.condition, "ignore": self.ignore}
        _refuse(given, f"with {what}", "a table with named columns")

    def refuse_image_options(self, what: str) -> None:
        """Refuse options that only images or archives of arrays can have.

        Args:
            what: the rows are instead.

        Raises:
            UsageError: one of them was given.
        """
        _refuse({"array": self.array, "grid": self.grid, "pixels": self.pixels}, f"with {what}", "images")


def names_of(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """One name or several as a tuple."""
    return (given,) if isinstance(given, str) else tuple(given or ())


def _refuse(given: Mapping[str, object], seen: str, expected: str) -> None:
    for name, value in given.items():
        if value:
            raise UsageError(f"--{name} {seen}", expected=expected, fix=f"leave out --{name} ({name}=... in Python)")


@dataclass(frozen=True)
class Tried:
    """One encoding and its reconstruction MSE over that of the column means; None where the model gave no finite rows."""

    encoding: TableEncoding | ImageEncoding
    mse: float | None
    chosen: bool = False


@dataclass(frozen=True)
class Fitted:
    """A model settled on rows that fit it.

    Attributes:
        vae: the model.
        data: the rows.
        tried: encodings and how well the model reconstructs under each.
        factors: further rows whose factors are known; None where there are none.
    """

    vae: ProbedVAE
    data: AuditData
    tried: tuple[Tried, ...]
    factors: FactorRows | None = None
