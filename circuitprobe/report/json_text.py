"""Reports as JSON text: the same bytes for the same report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitprobe.report.files import write_atomically
from circuitprobe.report.resamples import SIGNIFICANT_DIGITS

if TYPE_CHECKING:
    from pydantic import BaseModel


def json_text(report: BaseModel, path: str | Path | None = None) -> str:
    """A report as JSON: sorted keys, floats of nine significant digits, which all machines agree on.

    Args:
        report: any pydantic model.
        path: where to write it as well; the file appears whole or not at all.

    Raises:
        UsageError: the file cannot be written.
    """
    content = _rounded(report.model_dump(mode="json"))
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    if path is not None:
        write_atomically(path, lambda handle: handle.write(text.encode("utf-8")))
    return text


def _rounded(content: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(content, float):
        return float(f"{content:.{SIGNIFICANT_DIGITS}g}")
    if isinstance(content, dict):
        return {key: _rounded(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_rounded(value) for value in content]
    return content
