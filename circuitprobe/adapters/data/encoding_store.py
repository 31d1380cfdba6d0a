"""The encoding as plain values, for a checkpoint that loads without running pickled code."""

from __future__ import annotations

import math
import reprlib
from typing import Any

from circuitprobe.errors import DataError
from circuitprobe.types import ColumnEncoding, FeatureKind, Scaling, TableEncoding

SMALLEST, LARGEST = 1e-30, 1e30
"""Between which a scale lies: the model's numbers have 32 bits."""
_KINDS = (FeatureKind.NUMERIC, FeatureKind.BINARY, FeatureKind.CATEGORICAL)


def encoding_to_dict(encoding: TableEncoding) -> dict[str, Any]:
    """Write an encoding as str, float, list and dict only.

    Args:
        encoding: any encoding.

    Returns:
        What ``encoding_from_dict`` reads.
    """
    return {
        "scaling": str(encoding.scaling.value),
        "layout": str(encoding.layout),
        "columns": [_column_to_dict(column) for column in encoding.columns],
    }


def _column_to_dict(column: ColumnEncoding) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "name": str(column.name),
        "kind": str(column.kind.value),
        "categories": [str(category) for category in column.categories],
        "center": float(column.center),
        "scale": float(column.scale),
    }
    if column.fill is not None:
        plain["fill"] = float(column.fill)
    return plain


def encoding_from_dict(plain: dict[str, Any]) -> TableEncoding:
    """Read an encoding back.

    Args:
        plain: what ``encoding_to_dict`` wrote; nothing in it is trusted.

    Returns:
        The same encoding.

    Raises:
        DataError: keys are missing or unknown, or values make no sense.
    """
    _require(isinstance(plain, dict) and set(plain) == {"scaling", "layout", "columns"}, "keys", plain)
    _require(plain["scaling"] in [scaling.value for scaling in Scaling], "scaling", plain["scaling"])
    _require(isinstance(plain["layout"], str), "layout", plain["layout"])
    _require(isinstance(plain["columns"], list) and len(plain["columns"]) > 0, "columns", plain["columns"])
    columns = tuple(_column_from_dict(column) for column in plain["columns"])
    names = [column.name for column in columns]
    _require(len(set(names)) == len(names), "column names", names)
    return TableEncoding(columns, Scaling(plain["scaling"]), plain["layout"])


def _column_from_dict(plain: object) -> ColumnEncoding:
    if not isinstance(plain, dict):
        raise _nonsense("a column", plain)
    keys = {"name", "kind", "categories", "center", "scale"}
    _require(keys <= set(plain) <= keys | {"fill"}, "a column's keys", plain)
    name, kind, categories = plain["name"], plain["kind"], plain["categories"]
    _require(isinstance(name, str), "a column's name", name)
    _require(kind in [known.value for known in _KINDS], f"kind of {name!r}", kind)
    _require(
        isinstance(categories, list)
        and all(isinstance(category, str) for category in categories)
        and len(set(categories)) == len(categories),
        f"categories of {name!r}",
        categories,
    )
    counts = {"numeric": len(categories) == 0, "binary": len(categories) == 2, "categorical": len(categories) >= 1}
    _require(counts[kind], f"categories of {name!r}", categories)
    _require(_is_finite(plain["center"]), f"center of {name!r}", plain["center"])
    _require(_is_finite(plain["scale"]) and SMALLEST <= plain["scale"] <= LARGEST, f"scale of {name!r}", plain["scale"])
    _require("fill" not in plain or _is_finite(plain["fill"]), f"fill of {name!r}", plain.get("fill"))
    return ColumnEncoding(
        name=name,
        kind=FeatureKind(kind),
        categories=tuple(categories),
        center=float(plain["center"]),
        scale=float(plain["scale"]),
        fill=float(plain["fill"]) if "fill" in plain else None,
    )


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _require(holds: bool, what: str, seen: object) -> None:
    if not holds:
        raise _nonsense(what, seen)


def _nonsense(what: str, seen: object) -> DataError:
    # short, however large or deep it is
    return DataError(
        f"The data schema of the checkpoint makes no sense: {what}: {reprlib.repr(seen)[:120]}.",
        expected="a data schema as circuitprobe train writes it",
        fix="train or save the model again",
    )
