"""What is wrong with a column, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from circuitprobe.adapters.data.near_names import listed
from circuitprobe.errors import DataError

if TYPE_CHECKING:
    from circuitprobe.adapters.data.blocks import Blocks
    from circuitprobe.adapters.data.profile import ColumnProfile
    from circuitprobe.types import ColumnKind


def _heading(name: str) -> str:
    bare = name.replace("_", "").replace("-", "")
    return f"[columns.{name}]" if bare.isascii() and bare.isalnum() else f"[columns.{_quoted(name)}]"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _declare(name: str, kind: str) -> str:
    return f'{_heading(name)}\n    kind = "{kind}"'


def all_missing(name: str, count: int, blocks: Blocks) -> DataError:
    """A column without any value."""
    return DataError(
        f"Column {name!r} of {blocks.name} has no value in any of its {count:,} rows.",
        expected="at least one value in each column",
        fix=f"remove the column, or leave it out in a schema file (--schema):\n    {_declare(name, 'ignore')}",
    )


def text_among_numbers(name: str, profile: ColumnProfile, blocks: Blocks) -> DataError:
    """A column of numbers with a few texts in it."""
    tokens = ", ".join(_quoted(value) for value in profile.text_examples)
    return DataError(
        _seen(name, profile, blocks),
        expected="numbers only, or a schema file that says what the others are",
        fix=f"in a schema file (--schema), if they mean missing:\n    missing = [{tokens}]\n"
        f"  or, if the column holds categories:\n    {_declare(name, 'categorical')}",
    )


def not_numeric(name: str, profile: ColumnProfile, blocks: Blocks, *, declared: bool) -> DataError:
    """A column that has to be numeric and is not."""
    tokens = ", ".join(_quoted(value) for value in profile.text_examples)
    return DataError(
        _seen(name, profile, blocks),
        expected="numbers only" + (": the schema declares the column numeric" if declared else ""),
        fix=f"if they mean missing, say so in the schema file: missing = [{tokens}]",
    )


def _seen(name: str, profile: ColumnProfile, blocks: Blocks) -> str:
    row, value = profile.first_text or (0, "")
    cells, present = profile.text_cells, profile.present
    examples = listed(profile.text_examples)
    return (
        f"Column {name!r} of {blocks.name} holds {value!r} in {blocks.where(row)}: "
        f"{cells:,} of its {present:,} values {'is no number' if cells == 1 else f'are no numbers ({examples})'}."
    )


def infinite_value(name: str, profile: ColumnProfile, blocks: Blocks) -> DataError:
    """An infinite number."""
    row, value = profile.numbers.first_infinite or (0, 0.0)
    return DataError(
        f"Column {name!r} of {blocks.name} holds {value} in {blocks.where(row)}.",
        expected="finite numbers",
        fix='correct the value, or take it for missing in a schema file: missing = ["inf", "-inf"]',
    )


def too_large(name: str, profile: ColumnProfile, blocks: Blocks) -> DataError:
    """Numbers whose squares no float64 holds."""
    return DataError(
        f"Column {name!r} of {blocks.name} reaches from {profile.numbers.low:g} to {profile.numbers.high:g}.",
        expected="numbers whose variance float64 can hold",
        fix="rescale the column, for example by its logarithm",
    )


def wrong_levels(name: str, kind: ColumnKind, levels: str, blocks: Blocks) -> DataError:
    """A number of different values that the declared kind does not allow."""
    expected = "exactly 2" if kind == "binary" else "at most 1,000"
    return DataError(
        f"Column {name!r} of {blocks.name} has {levels} different values, and the schema declares it {kind}.",
        expected=f"{expected} different values in a {kind} column",
        fix=f"declare it numeric, or leave it out:\n    {_declare(name, 'ignore')}",
    )
