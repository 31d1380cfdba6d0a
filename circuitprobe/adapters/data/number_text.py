"""Numbers as people write them, and numbers as category names."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from circuitprobe.types import FloatArray

EXACT = 2.0**53  # beyond it float64 does not tell neighbouring integers apart

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_INFINITE = r"(?i)^[+-]?inf(inity)?$"
_GROUPED_BY_SPACE = "^[+-]?\\d{1,3}([ \u00a0\u2009\u202f']\\d{3})+([.,]\\d+)?$"
_GROUPED_BY_DOT = r"^[+-]?\d{1,3}(\.\d{3})+(,\d+)?$"
_GROUPED_BY_COMMA = r"^[+-]?\d{1,3}(,\d{3})+(\.\d*)?$"
_DECIMAL_COMMA = r"^[+-]?(\d+,\d*|,\d+)([eE][+-]?\d+)?$"


@dataclass(frozen=True)
class NumberStyle:
    """How a file writes numbers.

    Attributes:
        comma: ``3,5`` is a number (the separator is not a comma).
        dot_groups: ``1.234`` is one thousand two hundred and thirty-four (the file writes decimal commas throughout).
        comma_groups: ``1,234`` is that (the file writes decimal points throughout).
    """

    comma: bool = False
    dot_groups: bool = False
    comma_groups: bool = False


def number_label(value: float) -> str:
    """A number as a category name: ``1`` rather than ``1.0``.

    Args:
        value: any float.

    Returns:
        The shortest text that reads as the same float; without a point for integers that float64 holds exactly.
    """
    if math.isfinite(value) and value == int(value) and abs(value) < EXACT:
        return str(int(value))
    return repr(float(value))


def parse_numbers(text: Any, style: NumberStyle) -> FloatArray:  # noqa: ANN401 - pyarrow has no type stubs
    """Read numbers.

    Args:
        text: pyarrow string array, shape (rows,).
        style: how the file writes them.

    Returns:
        float64 of the same shape, nan where there is no value or no number; ``inf`` where the text says so.
    """
    if style.dot_groups and pc.any(pc.match_substring(text, ".")).as_py():
        return _parse_written(text, style)
    try:
        return _to_numpy(pc.cast(text, pa.float64()))
    except pa.ArrowInvalid:
        # one value that is no plain number fails the whole block; value by value tells which
        return _parse_written(text, style)


def _parse_written(text: Any, style: NumberStyle) -> FloatArray:  # noqa: ANN401
    text = pc.utf8_trim_whitespace(text)
    text = _remove(text, _GROUPED_BY_SPACE, "[ \u00a0\u2009\u202f']")
    if style.dot_groups:
        text = _remove(text, _GROUPED_BY_DOT, r"\.")
    if style.comma_groups:
        text = _remove(text, _GROUPED_BY_COMMA, ",")
    if style.comma:
        matched = pc.match_substring_regex(text, _DECIMAL_COMMA)
        text = pc.if_else(matched, pc.replace_substring(text, ",", "."), text)
    valid = pc.or_(pc.match_substring_regex(text, _NUMBER), pc.match_substring_regex(text, _INFINITE))
    return _to_numpy(pc.cast(pc.if_else(valid, text, pa.scalar(None, pa.string())), pa.float64()))


def _remove(text: Any, where: str, what: str) -> Any:  # noqa: ANN401
    matched = pc.match_substring_regex(text, where)
    if not pc.any(matched).as_py():
        return text
    return pc.if_else(matched, pc.replace_substring_regex(text, what, ""), text)


def _to_numpy(numbers: Any) -> FloatArray:  # noqa: ANN401
    values: FloatArray = np.asarray(numbers.to_numpy(zero_copy_only=False), dtype=np.float64)
    return values
