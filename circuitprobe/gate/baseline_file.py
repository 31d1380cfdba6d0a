"""The baseline file: what a gate sees of an audit, written so that its changes can be read.

A baseline lives in a repository, and its changes are read in pull requests. Its compared part is therefore small: one figure per
line under sorted keys, rounded to what the figure's interval supports, nothing in it that depends on the time or on a machine.
The details that intervals are computed from, which nobody reads, lie beside it in a compressed file that belongs to it.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from circuitprobe.errors import UsageError
from circuitprobe.gate.snapshot import BASELINE_VERSION, Snapshot, snapshot_of
from circuitprobe.gate.whole import lacking
from circuitprobe.report import AuditReport
from circuitprobe.report.files import check_writable, write_atomically
from circuitprobe.types import Estimate

DIGITS = 2
"""Digits of half an interval that a baseline keeps: 0.41234 [0.4031, 0.4215] is written as 0.4123."""
PLAIN_DIGITS = 4
"""Significant digits of a figure without an interval."""
DIGEST = "details_sha256"


def read_snapshot(path: str | Path) -> Snapshot:
    """A baseline file, or the JSON of an audit.

    Raises:
        UsageError: no such file, or it is neither.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise _unreadable(path, f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, f"{Path(path).name} is no JSON: {str(error)[:120]}") from error
    if not isinstance(content, dict) or "baseline_version" not in content:
        return snapshot_of(AuditReport.from_json(path))
    version = content["baseline_version"]
    if str(version).split(".")[0] != BASELINE_VERSION.split(".", maxsplit=1)[0]:
        raise _unreadable(
            path, f"{Path(path).name} is a baseline of version {version}, this one reads {BASELINE_VERSION}"
        )
    try:
        snapshot = Snapshot.model_validate_json(json.dumps(_with_details(content, Path(path))), strict=True)
    except ValidationError as error:
        raise _unreadable(path, f"{Path(path).name} is no baseline: {' '.join(str(error).splitlines()[:3])}") from error
    for what in lacking(snapshot):
        raise _unreadable(path, f"{Path(path).name} is no whole baseline: {what}")
    latents = dict(sorted(snapshot.compared.latents.items(), key=lambda entry: _natural(entry[0])))
    return snapshot.model_copy(update={"compared": snapshot.compared.model_copy(update={"latents": latents})})


def _natural(name: str) -> list[tuple[int, str]]:
    """z2 before z10, which sorted keys turn round."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def details_path(path: str | Path) -> Path:
    """The file beside a baseline: ``baseline.details`` of ``baseline.json``."""
    return Path(path).with_suffix(".details")


def _with_details(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """A baseline with what lies beside it.

    Raises:
        UsageError: that file is not there, damaged, or of another baseline.
    """
    digest, beside = content.get(DIGEST), details_path(path)
    try:
        text = gzip.decompress(beside.read_bytes())
        details = json.loads(text)
    except FileNotFoundError as error:
        raise _unreadable(path, f"{beside.name} is not beside {path.name}: a baseline is both files") from error
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise _unreadable(
            path, f"{beside.name}, which belongs to {path.name}, cannot be read: {str(error)[:120]}"
        ) from error
    if hashlib.sha256(text).hexdigest() != digest:
        raise _unreadable(path, f"{beside.name} does not belong to this {path.name}: one of them is of another audit")
    return {**{key: value for key, value in content.items() if key != DIGEST}, "details": details}


def write_baseline(snapshot: Snapshot, path: str | Path) -> None:
    """Write a baseline: a sorted text, a figure per line, rounded to what the intervals support; and its details beside it.

    Both files appear or none.

    Raises:
        UsageError: a file cannot be written.
    """
    text, details, beside = baseline_text(snapshot), gzip.compress(_details_text(snapshot), mtime=0), details_path(path)
    if beside == Path(path):
        raise UsageError(f"a baseline called {beside.name}", expected="another name", fix=f"{Path(path).stem}.json")
    check_writable(path)
    before = beside.read_bytes() if beside.is_file() else None
    write_atomically(beside, lambda handle: handle.write(details))
    try:
        write_atomically(path, lambda handle: handle.write(text.encode("utf-8")))
    except UsageError:
        # the details before belong to the baseline that stays
        if before is None:
            beside.unlink()
        else:
            write_atomically(beside, lambda handle: handle.write(before))
        raise


def _details_text(snapshot: Snapshot) -> bytes:
    """What a baseline's file of details holds, before compression."""
    content = snapshot.details.model_dump(mode="json")
    for responses in content["responses"].values():
        for name, response in responses.items():
            responses[name] = _of_response(response)
    return json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1).encode("utf-8")


def baseline_text(snapshot: Snapshot) -> str:
    """The content of a baseline file."""
    compared = snapshot.compared
    content = snapshot.model_dump(mode="json", exclude={"details"})
    content[DIGEST] = hashlib.sha256(_details_text(snapshot)).hexdigest()
    seen = content["compared"]
    seen["figures"] = _figures(compared.figures)
    for name, feature in compared.features.items():
        ends = rounded(Estimate(feature.spread, feature.spread_low, feature.spread_high, 0))
        seen["features"][name] |= {"spread": ends["value"], "spread_low": ends["low"], "spread_high": ends["high"]}
    for name, latent in compared.latents.items():
        for part in ("figures", "effects", "group_effects"):
            seen["latents"][name][part] = _figures(getattr(latent, part))
    return "".join(_lines(content, 0)) + "\n"


def rounded(figure: Estimate) -> dict[str, float | int | None]:
    """Value and ends rounded to the second digit of half the interval; four significant digits where there is none."""
    half = None if figure.low is None or figure.high is None else (figure.high - figure.low) / 2.0
    shown: dict[str, float | int | None] = {}
    for end in ("high", "low", "value"):
        number = getattr(figure, end)
        if number is None:
            shown[end] = None
        elif half:
            shown[end] = round(number, DIGITS - 1 - math.floor(math.log10(half))) + 0.0
        else:
            shown[end] = _significant(number)
    return {**shown, "n": figure.n}


def _of_response(response: dict[str, list[float]]) -> dict[str, list[float]]:
    """A response's lists, each entry rounded as its interval allows."""
    entries = [
        rounded(Estimate(value, low, high, 0))
        for value, low, high in zip(response["value"], response["low"], response["high"], strict=True)
    ]
    return {part: [float(entry[part] or 0.0) for entry in entries] for part in ("value", "low", "high")}


def _significant(number: float) -> float:
    # adding 0.0 makes a zero of a negative zero
    return float(f"{number:.{PLAIN_DIGITS}g}") + 0.0


def _figures(figures: dict[str, Estimate]) -> dict[str, dict[str, float | int | None]]:
    return {name: rounded(figure) for name, figure in figures.items()}


def _lines(content: Any, depth: int) -> Iterator[str]:  # noqa: ANN401 - JSON
    """JSON with sorted keys; what holds numbers and words only stands on one line."""
    if not isinstance(content, dict) or (depth > 1 and not any(isinstance(value, dict) for value in content.values())):
        yield json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)
        return
    yield "{\n"
    entries = sorted(content.items())
    for number, (key, value) in enumerate(entries):
        yield f"{' ' * (depth + 1)}{json.dumps(key, ensure_ascii=False)}: "
        yield from _lines(value, depth + 1)
        yield ",\n" if number < len(entries) - 1 else "\n"
    yield f"{' ' * depth}}}"


def _unreadable(path: str | Path, seen: str) -> UsageError:
    return UsageError(
        seen,
        expected="what circuitprobe baseline or circuitprobe audit --json wrote",
        fix=f"circuitprobe audit MODEL DATA --json audit.json && circuitprobe baseline audit.json --out {Path(path).name}",
    )
