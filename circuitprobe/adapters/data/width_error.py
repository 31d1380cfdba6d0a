"""The error for a table that does not fit a model, both sides shown column by column."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pandas.api.types import is_numeric_dtype

from circuitprobe.adapters.data.near_names import listed, shell_word
from circuitprobe.errors import DataError
from circuitprobe.types import Column, ColumnKind, FeatureKind, Table, TableEncoding

if TYPE_CHECKING:
    from collections.abc import Collection

SHOWN_COLUMNS = 40
LEAST_ROWS = 20
# what an audit takes for a label
MOST_CLASSES = 20


def no_encoding_fits(table: Table, encodings: list[TableEncoding], width: int, exclude: Collection[str]) -> DataError:
    """Explain why no encoding has the model's width.

    Args:
        table: the profiled table.
        encodings: every encoding that was tried, the plainest first.
        width: the model's number of input dimensions.
        exclude: columns that were left out on purpose.

    Returns:
        The error: the table's columns with their dimensions against the model's width, and changes that would fit.
    """
    widths = sorted({encoding.width for encoding in encodings})
    shown = " or ".join(str(each) for each in widths[:6])
    seen = f"The columns of {table.source} make {shown} dimensions, the model takes {width}:\n"
    hints = _hints_of_dropped_categories(encodings, width)
    if not hints:
        hints = [*_hints_to_remove(table, encodings, width), *_hints_to_add(table, encodings, width, exclude)]
    hints.append(
        "write a schema file (--schema) that says what each column was to the model, such as\n"
        '    [columns.NAME]\n    kind = "categorical"   # numeric | binary | categorical | ignore'
    )
    return DataError(
        seen + _side_by_side(table, encodings[0], width, exclude),
        expected=f"columns that make {width} dimensions: 1 for a numeric or binary column, 1 per category otherwise",
        fix="\n  or: ".join(hints),
    )


def _side_by_side(table: Table, plainest: TableEncoding, width: int, exclude: Collection[str]) -> str:
    dims = {column.name: column.width for column in plainest.columns}
    longest = max(12, *(min(len(column.name), 40) for column in table.columns))
    lines = [f"    {'column':<{longest}}  {'kind':<12} dimensions"]
    shown = table.columns if len(table.columns) <= SHOWN_COLUMNS else table.columns[: SHOWN_COLUMNS - 10]
    for column in shown:
        count = str(dims[column.name]) if column.name in dims else "left out"
        if column.name in exclude:
            count = "left out (target)" if len(exclude) == 1 else "left out (no input)"
        lines.append(f"    {column.name[:40]:<{longest}}  {column.kind:<12} {count}")
    if len(shown) < len(table.columns):
        rest = table.columns[len(shown) :]
        lines.append(
            f"    {f'and {len(rest)} more columns':<{longest}}  {'':<12} {sum(dims.get(c.name, 0) for c in rest)}"
        )
    lines.append(f"    {'all':<{longest}}  {'':<12} {plainest.width}")
    lines.append(f"    {'the model':<{longest}}  {'':<12} {width}")
    return "\n".join(lines)


def _hints_of_dropped_categories(encodings: list[TableEncoding], width: int) -> list[str]:
    """One dimension fewer per one-hot block: dropping the target instead would fit by accident and mix the columns up."""
    for encoding in encodings:
        blocks = [column.name for column in encoding.columns if column.kind is FeatureKind.CATEGORICAL]
        if blocks and encoding.width - len(blocks) == width:
            return [
                f"with one dimension fewer for each of {listed(blocks, 8)} it would fit (get_dummies with drop_first=True?); "
                "that coding is not read from a table: encode the rows as in training and audit the array in Python, "
                "cp.audit(model, x)"
            ]
    return []


def _hints_to_remove(table: Table, encodings: list[TableEncoding], width: int) -> list[str]:
    """Columns without which it would fit, with the options that leave them out; the likeliest cause first."""
    fits = dict.fromkeys(
        column.name for encoding in encodings for column in encoding.columns if encoding.width - column.width == width
    )
    counting = [name for name in encodings[0].columns if _counts_rows(table, name.name)]
    if not fits:
        return _hints_to_remove_two(table, encodings, width, [column.name for column in counting])
    hints = [
        f"without {column.name!r}, whole numbers that are all different, it would fit: --ignore {shell_word(column.name)}"
        for column in counting
        if column.name in fits
    ]
    names = [name for name in fits if f"--ignore {shell_word(name)}" not in " ".join(hints)]
    if not names:
        return hints
    # A target stands last, or else first, far more often than in between.
    order = [column.name for column in encodings[0].columns]
    labels = [name for name in names if _few_values(table, name)]
    likely = next((name for name in (order[-1], order[0], *labels) if name in labels), None)
    option = f"--target {shell_word(likely)}" if likely else f"--ignore {shell_word(names[-1])}"
    if len(names) == 1:
        hints.append(
            f"without {names[0]!r} it would fit; if that is the target: {option}"
            if likely
            else f"without {names[0]!r} it would fit: {option}"
        )
    else:
        hints.append(
            f"without one of {listed(names, 8)} it would fit; if one of them is what the model was not trained on: "
            f"{option} (or the one it is)"
        )
    return hints


def _hints_to_remove_two(table: Table, encodings: list[TableEncoding], width: int, counting: list[str]) -> list[str]:
    """A running number and one more column without which it would fit."""
    pairs = dict.fromkeys(
        (number.name, other.name)
        for encoding in encodings
        for number in encoding.columns
        if number.name in counting
        for other in encoding.columns
        if other.name != number.name and encoding.width - number.width - other.width == width
    )
    labels = [pair for pair in pairs if _few_values(table, pair[1])]
    number, other = (labels or [*pairs, ("", "")])[-1]
    if not number:
        return []
    option = "--target" if labels else "--ignore"
    return [
        f"without {number!r}, whole numbers that are all different, and {other!r} it would fit: "
        f"--ignore {shell_word(number)} {option} {shell_word(other)}"
    ]


def _counts_rows(table: Table, name: str) -> bool:
    """Whether a column holds a different whole number in every row."""
    cells = table.frame[name]
    if not is_numeric_dtype(cells.dtype) or len(cells) < LEAST_ROWS:
        return False
    return bool((cells == cells.round()).all()) and cells.nunique() == len(cells)


def _few_values(table: Table, name: str) -> bool:
    """Whether a column can be a label: from 2 to 20 different values."""
    return 2 <= table.frame[name].nunique() <= MOST_CLASSES


def _hints_to_add(table: Table, encodings: list[TableEncoding], width: int, exclude: Collection[str]) -> list[str]:
    missing = {width - encoding.width for encoding in encodings if encoding.width < width}
    if not missing:
        return []
    hints = []
    excluded = [c.name for c in table.columns if c.name in exclude and _possible_widths(c) & missing]
    if excluded:
        hints.append(f"with {listed(excluded, 8)} it would fit: the model may have been given the target, too")
    left_out = [c.name for c in table.columns if c.kind is ColumnKind.IDENTIFIER and c.name not in exclude]
    if left_out and len(left_out) in missing:
        hints.append(f'with {listed(left_out, 8)} declared kind = "numeric" in a schema file it would fit')
    ignored = _ignored_by_benchmark(table)
    if ignored and len(ignored) in missing:
        hints.append(f'with {listed(ignored)} declared kind = "numeric" in a schema file it would fit')
    coded = [
        f"{column.name} ({levels} values)"
        for column in table.columns
        if column.kind is ColumnKind.NUMERIC and column.name not in exclude
        for levels in [int(table.frame[column.name].nunique())]
        if levels <= 100 and levels - 1 in missing
    ]
    if coded:
        hints.append(f'with {listed(coded, 8)} declared kind = "categorical" in a schema file it would fit')
    return hints


def _ignored_by_benchmark(table: Table) -> tuple[str, ...]:
    from circuitprobe.adapters.benchmarks import BENCHMARKS, benchmark

    if table.source not in BENCHMARKS:
        return ()
    present = {column.name for column in table.columns}
    return tuple(name for name in benchmark(table.source).ignore if name not in present)


def _possible_widths(column: Column) -> set[int]:
    if column.kind is ColumnKind.CATEGORICAL:
        return {len(column.categories) + bool(column.missing)}
    return {1, 2} if column.kind is ColumnKind.BINARY else {1}
