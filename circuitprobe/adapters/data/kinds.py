"""What kind of column this is: inferred from its profile, or as the schema says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from circuitprobe.adapters.data.blocks import Blocks, RawColumn, Reading
from circuitprobe.adapters.data.column_errors import (
    all_missing,
    infinite_value,
    not_numeric,
    text_among_numbers,
    too_large,
    wrong_levels,
)
from circuitprobe.adapters.data.column_names import names_an_index
from circuitprobe.adapters.data.number_text import number_label, parse_numbers
from circuitprobe.adapters.data.text_stats import MAX_LEVELS
from circuitprobe.types import Column, ColumnKind

if TYPE_CHECKING:
    from circuitprobe.adapters.data.profile import ColumnProfile
    from circuitprobe.adapters.data.schema import ColumnSchema

NUMERIC_SHARE = 0.9  # from here on, texts among the numbers are taken for mistakes
DISTINCT_SHARE = 0.9
IDENTIFIER_ROWS = 50
SEQUENCE_ROWS = 20
LONG_TEXT = 40


def settle_column(
    raw: RawColumn, profile: ColumnProfile, declared: ColumnSchema | None, blocks: Blocks
) -> Column | None:
    """Decide what a column is.

    Args:
        raw: the column before profiling.
        profile: what all its rows showed.
        declared: what the schema says about it.
        blocks: the table it comes from, for messages.

    Returns:
        The column; None for one without name and values.

    Raises:
        DataError: all values missing, texts in a numeric column, infinite values, a declared kind that cannot be.
    """
    if profile.present == 0:
        if raw.droppable:
            return None
        raise all_missing(raw.name, profile.count, blocks)
    kind = declared.kind if declared is not None else None
    levels = category_levels(profile, blocks)
    if kind is None:
        kind = _infer(raw, profile, levels, blocks)
    _check(raw, profile, kind, blocks, declared=declared)
    categories: tuple[str, ...] = ()
    if kind in (ColumnKind.BINARY, ColumnKind.CATEGORICAL):
        listed = declared.categories if declared is not None else ()
        if levels is None and not listed:
            raise wrong_levels(raw.name, kind, f"more than {MAX_LEVELS:,}", blocks)
        categories = listed or sort_labels(levels or {})
        if kind is ColumnKind.BINARY and len(categories) != 2:
            raise wrong_levels(raw.name, kind, str(len(categories)), blocks)
    mean, std, low, high = _moments(profile, kind, levels, categories)
    return Column(
        name=raw.name,
        kind=kind,
        count=profile.count,
        missing=profile.count - profile.present,
        mean=mean,
        std=std,
        low=low,
        high=high,
        categories=categories,
        inferred=declared is None or declared.kind is None,
    )


def category_levels(profile: ColumnProfile, blocks: Blocks) -> dict[str, int] | None:
    """Distinct values as category names with their counts; None above the cap. Numbers read ``1``, not ``1.0``."""
    levels = profile.texts.levels
    if levels is None or not profile.all_numbers or profile.cells.reading is not Reading.ANY:
        return levels
    merged: dict[str, int] = {}
    for label, count in levels.items():
        name = _number_name(label, blocks)
        merged[name] = merged.get(name, 0) + count
    return merged


def _number_name(label: str, blocks: Blocks) -> str:
    import pyarrow as pa

    return number_label(float(parse_numbers(pa.array([label]), blocks.style)[0]))


def sort_labels(labels: dict[str, int]) -> tuple[str, ...]:
    """Category names in order: numerically if all are numbers, else alphabetically."""
    try:
        return tuple(sorted(labels, key=float))
    except ValueError:
        return tuple(sorted(labels))


def _infer(raw: RawColumn, profile: ColumnProfile, levels: dict[str, int] | None, blocks: Blocks) -> ColumnKind:
    share = profile.numbers.present / profile.present
    if raw.reading is Reading.ANY and NUMERIC_SHARE <= share < 1:
        raise text_among_numbers(raw.name, profile, blocks)
    whole = profile.present == profile.count
    if levels is not None and len(levels) == 1 and whole:
        return ColumnKind.CONSTANT
    if profile.all_numbers:
        if levels is not None and set(levels) == {"0", "1"}:
            return ColumnKind.BINARY if whole else ColumnKind.CATEGORICAL
        return ColumnKind.IDENTIFIER if _is_index(raw, profile, levels) else _infer_numeric(profile)
    if levels is not None and len(levels) == 2:
        return ColumnKind.BINARY if whole else ColumnKind.CATEGORICAL
    distinct = profile.texts.distinct / profile.present
    if profile.texts.mean_length > LONG_TEXT and profile.texts.share_spaced > 0.5 and distinct > 0.5:
        return ColumnKind.TEXT
    if distinct > DISTINCT_SHARE and profile.count > IDENTIFIER_ROWS:
        return ColumnKind.IDENTIFIER
    return ColumnKind.TEXT if levels is None else ColumnKind.CATEGORICAL


def _is_index(raw: RawColumn, profile: ColumnProfile, levels: dict[str, int] | None) -> bool:
    """Different whole numbers under no name or one that says index: the index of a table that was shuffled or cut."""
    if not (raw.droppable or names_an_index(raw.name)) or not profile.numbers.integers:
        return False
    return profile.present == profile.count >= SEQUENCE_ROWS and (levels is None or len(levels) == profile.count)


def _infer_numeric(profile: ColumnProfile) -> ColumnKind:
    if profile.numbers.sequence and profile.count >= SEQUENCE_ROWS:
        return ColumnKind.IDENTIFIER
    # Integers of more digits than a float holds, nearly all different: codes, not quantities.
    many = profile.count > IDENTIFIER_ROWS and profile.texts.distinct > DISTINCT_SHARE * profile.present
    if profile.numbers.beyond_exact and many:
        return ColumnKind.IDENTIFIER
    return ColumnKind.NUMERIC


def _check(
    raw: RawColumn, profile: ColumnProfile, kind: ColumnKind, blocks: Blocks, *, declared: ColumnSchema | None
) -> None:
    if kind is not ColumnKind.NUMERIC:
        if profile.all_numbers and profile.numbers.first_infinite and kind is not ColumnKind.CATEGORICAL:
            raise infinite_value(raw.name, profile, blocks)
        return
    if profile.text_cells:
        raise not_numeric(raw.name, profile, blocks, declared=declared is not None and declared.kind is not None)
    if profile.numbers.first_infinite:
        raise infinite_value(raw.name, profile, blocks)
    if not math.isfinite(profile.numbers.std):
        raise too_large(raw.name, profile, blocks)


def _moments(
    profile: ColumnProfile, kind: ColumnKind, levels: dict[str, int] | None, categories: tuple[str, ...]
) -> tuple[float, float, float, float]:
    if kind is ColumnKind.BINARY and levels is not None:
        ones = levels.get(categories[1], 0)
        share = ones / max(1, ones + levels.get(categories[0], 0))
        return share, math.sqrt(share * (1 - share)), 0.0, 1.0
    numbers = profile.numbers
    if not profile.all_numbers or kind is ColumnKind.CATEGORICAL:
        return math.nan, math.nan, math.nan, math.nan
    return numbers.mean, numbers.std, numbers.low, numbers.high
