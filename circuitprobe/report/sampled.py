"""Validating JSON that may be no report at all: a part of it first.

Pydantic notes every error before it raises the first, a kilobyte each and several for each entry, so that a list of empty objects
takes hundreds of times its bytes. A few entries of each long list are validated before the whole: what is no report fails there.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel

from circuitprobe.adapters.user_files import parse_json

ENTRIES = (64, 16, 8)
"""Entries that are kept of a list or object, by how deep it lies; the last of them below. A list of fixed length is shorter."""
_FIELDS = 200
"""Entries that an object may have and be kept whole: no model has so many fields."""

Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], text: bytes | str) -> Model:
    """The object of a JSON text.

    Args:
        model: its class.
        text: the whole.

    Raises:
        ValidationError: it is none; with the errors of a part of it, or of all where that part has none.
        ValueError: it is no JSON.
    """
    content = parse_json(text.encode("utf-8") if isinstance(text, str) else text)
    # strict: a number that is written as a text is none
    model.model_validate_json(json.dumps(sampled(content)), strict=True)
    return model.model_validate_json(text, strict=True)


def sampled(value: Any, depth: int = 0) -> Any:  # noqa: ANN401 - any JSON
    """JSON with some entries of every long list and object, evenly spaced."""
    most = ENTRIES[min(depth, len(ENTRIES) - 1)]
    if isinstance(value, dict):
        kept = list(value.items()) if len(value) <= _FIELDS else _spaced(list(value.items()), most)
        return {key: sampled(item, depth + (len(value) > _FIELDS)) for key, item in kept}
    if isinstance(value, list):
        return [sampled(item, depth + 1) for item in _spaced(value, most)]
    return value


def _spaced(entries: list[Any], most: int) -> list[Any]:
    step = -(-len(entries) // most)
    return entries[:: max(1, step)]
