"""What every kind of table becomes before it is profiled: named columns and a stream of batches."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from circuitprobe.adapters.data.near_names import listed
from circuitprobe.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from circuitprobe.adapters.data.number_text import NumberStyle
    from circuitprobe.adapters.data.schema import TableSchema

MAX_COLUMNS = 2000
CELLS_PER_BATCH = 1 << 20
MAX_BATCH_ROWS = 1 << 16

# What pandas.read_csv takes for missing, and "nan" in capitals.
MISSING_TOKENS = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null", "NAN", "-NAN",
)  # fmt: skip


class Reading(Enum):
    """What a column's batches hold."""

    ANY = "text that may be numbers"
    TEXT = "text that stays text"
    NUMBER = "numbers"


@dataclass(frozen=True)
class RawColumn:
    """A column before profiling.

    Attributes:
        name: as in the header; ``Unnamed: 0`` for an index column without a name.
        reading: ANY and TEXT columns come as string arrays, NUMBER columns as double arrays, null where missing.
        droppable: the header has no name for it; left out if it turns out empty (a separator at the end of each line).
    """

    name: str
    reading: Reading
    droppable: bool = False


@dataclass(frozen=True)
class Blocks:
    """A table as a stream.

    Attributes:
        name: its short name.
        columns: ignored columns are not among them.
        batches: pyarrow record batches with these columns, by position; at least one row each.
        where: names the place of a row counted from 0, such as ``line 17``.
        missing: tokens that mean missing in ANY columns.
        declared_missing: tokens that the schema declares, for columns of any reading.
        style: how numbers are written.
    """

    name: str
    columns: tuple[RawColumn, ...]
    batches: Iterator[Any]
    where: Callable[[int], str]
    missing: tuple[str, ...]
    declared_missing: tuple[str, ...]
    style: NumberStyle


class WrongEncodingError(Exception):
    """A file turned out further down not to be in the encoding of its first part."""


def batch_rows(columns: int) -> int:
    """Rows per batch, so that a batch has a bounded number of cells.

    Args:
        columns: columns of the table.
    """
    return max(1, min(MAX_BATCH_ROWS, CELLS_PER_BATCH // max(1, columns)))


def check_header(names: Sequence[str], schema: TableSchema, table: str) -> None:
    """Make sure that columns can be told apart and that the schema fits them.

    Args:
        names: every column, ignored ones too.
        schema: what is declared.
        table: the table's short name.

    Raises:
        DataError: more than 2,000 columns, doubled names, the schema names a column that is not there.
    """
    if len(names) > MAX_COLUMNS:
        raise DataError(
            f"{table} has {len(names):,} columns.",
            expected=f"at most {MAX_COLUMNS:,}: effects are measured for every latent and every column",
            fix="keep the columns the model was trained on; hand over wider data as an array in Python",
        )
    positions: dict[str, list[int]] = {}
    for position, name in enumerate(names, start=1):
        positions.setdefault(name, []).append(position)
    doubled = {name: places for name, places in positions.items() if len(places) > 1}
    if doubled:
        shown = "; ".join(f"{name!r} in columns {', '.join(map(str, at))}" for name, at in list(doubled.items())[:5])
        raise DataError(
            f"{table} has {len(doubled)} doubled column name{'s' * (len(doubled) > 1)}: {shown}.",
            expected="a different name for each column",
            fix="rename " + listed(doubled, 5) + " in the header",
        )
    schema.check_names(names, table)
