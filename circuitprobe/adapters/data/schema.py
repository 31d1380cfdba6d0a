"""The schema file: what a user knows about a table and the reader cannot see."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from circuitprobe.adapters.data.near_names import did_you_mean, listed
from circuitprobe.adapters.data.number_text import number_label
from circuitprobe.adapters.toml_file import load_toml
from circuitprobe.errors import DataError
from circuitprobe.types import ColumnKind, Scaling

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

KINDS = ("numeric", "binary", "categorical", "ignore")
SCALINGS = (Scaling.NONE, Scaling.STANDARD, Scaling.MIN_MAX)
TABLE_KEYS = ("separator", "encoding", "missing", "scaling", "target", "columns")
COLUMN_KEYS = ("kind", "center", "scale", "categories")
EXAMPLE = 'scaling = "standard"\n[columns.education]\nkind = "categorical"'


@dataclass(frozen=True)
class ColumnSchema:
    """What is said about one column.

    Attributes:
        name: its name in the header.
        kind: numeric, binary or categorical; None leaves it to inference.
        ignore: the column is left out of the table.
        center: subtracted from its values before the model saw them; overrides the table's scaling.
        scale: divided them; given together with ``center``.
        categories: values in the order of the one-hot block, or (zero, one) of a binary column.
    """

    name: str
    kind: ColumnKind | None = None
    ignore: bool = False
    center: float | None = None
    scale: float | None = None
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableSchema:
    """What overrides inference; the file form is TOML.

    ```toml
    separator = ";"            # optional, one character
    encoding = "latin-1"       # optional
    missing = ["?"]            # further tokens that mean missing
    scaling = "standard"       # none | standard | min-max: how numeric columns were scaled before the model saw them
    target = "income"          # optional
    [columns.age]
    kind = "numeric"           # numeric | binary | categorical | ignore; left out: inferred
    center = 38.6              # optional, with scale: overrides scaling
    scale = 13.7
    [columns.education]
    kind = "categorical"
    categories = ["a", "b"]    # order of the one-hot block
    ```

    Attributes:
        separator: between fields of a CSV.
        encoding: of a CSV, a name Python knows.
        missing: tokens that mean missing, besides the usual ones (empty, NA, NaN, null, ...).
        scaling: None where the file does not say.
        target: the target column.
        columns: what is said about single columns.
        source: where it comes from, for messages.
        optional: columns among ``columns`` that a table may lack.
    """

    separator: str | None = None
    encoding: str | None = None
    missing: tuple[str, ...] = ()
    scaling: Scaling | None = None
    target: str | None = None
    columns: tuple[ColumnSchema, ...] = ()
    source: str = "the schema"
    optional: tuple[str, ...] = ()

    @property
    def ignored(self) -> tuple[str, ...]:
        """Columns declared ``kind = "ignore"``."""
        return tuple(column.name for column in self.columns if column.ignore)

    @property
    def by_name(self) -> dict[str, ColumnSchema]:
        """Column declarations by column name."""
        return {column.name: column for column in self.columns}

    @classmethod
    def load(cls, path: str | Path) -> TableSchema:
        """Read a schema file.

        Args:
            path: a TOML file as in the class's example.

        Returns:
            What it declares.

        Raises:
            DataError: unreadable, not TOML, unknown keys (with close names), values of the wrong type.
        """
        return _parse_table(load_toml(path, what="schema file"), str(path))

    def merged(self, over: TableSchema | None) -> TableSchema:
        """This schema with another on top.

        Args:
            over: wins wherever it says something; a column it names replaces this schema's declaration of it.

        Returns:
            The two in one.
        """
        if over is None:
            return self
        return replace(
            self,
            separator=over.separator or self.separator,
            encoding=over.encoding or self.encoding,
            missing=tuple(dict.fromkeys((*self.missing, *over.missing))),
            scaling=over.scaling or self.scaling,
            target=over.target or self.target,
            columns=tuple((self.by_name | over.by_name).values()),
            source=over.source,
            optional=tuple(name for name in self.optional if name not in over.by_name),
        )

    def check_names(self, names: Iterable[str], table: str) -> None:
        """Make sure that every column the schema names is in the table.

        Args:
            names: the table's columns.
            table: the table's short name, for the message.

        Raises:
            DataError: a name is not among them.
        """
        known = tuple(names)
        present = set(known)
        named = [(column.name, f"[columns.{column.name}]") for column in self.columns]
        if self.target is not None:
            named.append((self.target, f'target = "{self.target}"'))
        for name, where in named:
            if name not in present and name not in self.optional:
                raise DataError(
                    f"{self.source} names the column {name!r} ({where}), which {table} does not have.",
                    expected=f"one of the columns {listed(known, 30)}",
                    fix=did_you_mean(name, known) or f"correct or remove {where}",
                )


def _wrong(source: str, where: str, seen: object, expected: str) -> DataError:
    return DataError(f"{source}: {where} is {seen!r}.", expected=expected, fix=f"for example:\n{EXAMPLE}")


def _check_keys(given: dict[str, Any], known: tuple[str, ...], source: str, where: str) -> None:
    for key in given:
        if key not in known:
            raise DataError(
                f"{source}: unknown key {key!r} {where}.",
                expected=f"one of {', '.join(known)}",
                fix=did_you_mean(key, known) or f"remove {key!r}; a complete file:\n{EXAMPLE}",
            )


def _parse_table(given: dict[str, Any], source: str) -> TableSchema:
    _check_keys(given, TABLE_KEYS, source, "at the top")
    separator = _text(given, "separator", source)
    if separator is not None and len(separator) != 1:
        raise _wrong(source, "separator", separator, "one character, such as ';' or \"\\t\"")
    scaling = _text(given, "scaling", source)
    if scaling is not None and scaling not in SCALINGS:
        raise _wrong(source, "scaling", scaling, f"one of {', '.join(SCALINGS)}")
    encoding = _text(given, "encoding", source)
    if encoding is not None:
        _check_encoding(encoding, source)
    columns = given.get("columns", {})
    if not isinstance(columns, dict):
        raise _wrong(source, "columns", columns, "a table per column, such as [columns.age]")
    return TableSchema(
        separator=separator,
        encoding=encoding,
        missing=_labels(given.get("missing", []), source, "missing"),
        scaling=Scaling(scaling) if scaling is not None else None,
        target=_text(given, "target", source),
        columns=tuple(_parse_column(name, column, source) for name, column in columns.items()),
        source=source,
    )


def _text(given: dict[str, Any], key: str, source: str) -> str | None:
    value = given.get(key)
    if value is None or (isinstance(value, str) and value):
        return value
    raise _wrong(source, key, value, f'text in quotes, such as {key} = "..."')


def _check_encoding(encoding: str, source: str) -> None:
    try:
        "".encode(encoding)
    except (LookupError, ValueError):
        raise _wrong(source, "encoding", encoding, "an encoding such as utf-8, utf-16, latin-1 or cp1252") from None


def _labels(values: object, source: str, where: str) -> tuple[str, ...]:
    if not isinstance(values, list) or any(isinstance(value, list | dict) for value in values):
        raise _wrong(source, where, values, f'a list of values, such as {where.rpartition(".")[2]} = ["a", "b"]')
    labels = tuple(number_label(float(v)) if _is_number(v) else str(v) for v in values)
    doubled = sorted(label for label, times in Counter(labels).items() if times > 1)
    if doubled:
        raise _wrong(source, where, values, f"each value once, but {listed(doubled)} is there more than once")
    return labels


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _parse_column(name: str, given: object, source: str) -> ColumnSchema:
    where = f"columns.{name}"
    if not isinstance(given, dict):
        raise _wrong(source, where, given, f'a table: [{where}] and below it kind = "numeric"')
    _check_keys(given, COLUMN_KEYS, source, f"in [{where}]")
    kind = given.get("kind")
    if kind is not None and kind not in KINDS:
        raise DataError(
            f"{source}: {where}.kind is {kind!r}.",
            expected=f"one of {', '.join(KINDS)}",
            fix=did_you_mean(str(kind), KINDS) or 'for example: kind = "categorical"',
        )
    categories = _labels(given.get("categories", []), source, f"{where}.categories")
    if kind == "binary" and categories and len(categories) != 2:
        raise _wrong(source, f"{where}.categories", list(categories), "two values for a binary column: [zero, one]")
    if categories and kind not in ("binary", "categorical"):
        raise _wrong(source, f"{where}.kind", kind, 'kind = "categorical" or "binary" beside categories')
    center, scale = given.get("center"), given.get("scale")
    for key, value in (("center", center), ("scale", scale)):
        if value is not None and not (_is_number(value) and math.isfinite(value)):
            raise _wrong(source, f"{where}.{key}", value, "a finite number")
    if (center is None) != (scale is None):
        raise _wrong(source, where, given, "center and scale together: the model saw (value - center) / scale")
    if scale == 0:
        raise _wrong(source, f"{where}.scale", scale, "a number other than 0: it divides")
    if center is not None and kind in ("categorical", "ignore"):
        raise _wrong(source, where, given, "center and scale only for numeric and binary columns")
    return ColumnSchema(
        name=name,
        kind=ColumnKind(kind) if kind in KINDS[:3] else None,
        ignore=kind == "ignore",
        center=float(center) if center is not None else None,
        scale=float(scale) if scale is not None else None,
        categories=categories,
    )
