"""What a build is gated on: ``[[gate]]`` tables in circuitprobe.toml or under ``[tool.circuitprobe]`` in pyproject.toml."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from circuitprobe.adapters.data.near_names import did_you_mean
from circuitprobe.adapters.toml_file import load_toml
from circuitprobe.errors import UsageError
from circuitprobe.gate.metrics import ACTIVE, COMPLETENESS, NAMES, OF_LATENT, OF_MODEL, RANGES, SIMILARITY, better_of

Severity = Literal["error", "warn"]
KEYS = ("metric", "latent", "group", "min", "max", "max_drop", "level")
EVERY = "*"
PYPROJECT = "pyproject.toml"
FILES = ("circuitprobe.toml", PYPROJECT)
HEADING = {False: "[[gate]]", True: "[[tool.circuitprobe.gate]]"}
"""What a gate's table is headed by, in pyproject.toml or not."""
LARGEST = 1e300
MOST_GATES = 1_000


@dataclass(frozen=True)
class Drop:
    """How far a figure may get worse.

    Attributes:
        amount: in units of the figure, or as a share of the baseline's value.
        relative: which of the two.
    """

    amount: float
    relative: bool

    @property
    def words(self) -> str:
        """``10%`` or ``0.05``."""
        return f"{self.amount:.4g}" if not self.relative else f"{100 * self.amount:.4g}%"


@dataclass(frozen=True)
class Gate:
    """One condition.

    Attributes:
        metric: a name of ``NAMES``.
        latent: a latent of the baseline; ``*`` for each active one; None for the model's figure.
        group: a feature group or a single feature: the latent of the baseline that drives it, the one that moves it most; for
            ``completeness`` the group itself.
        low: the figure must not be below this.
        high: the figure must not be above this.
        max_drop: how far it may get worse than in the baseline.
        level: whether a regression fails the build or is only told.
    """

    metric: str
    latent: str | None = None
    group: str | None = None
    low: float | None = None
    high: float | None = None
    max_drop: Drop | None = None
    level: Severity = "error"

    @property
    def of_latent(self) -> bool:
        """Whether it is about single latents."""
        return self.metric != COMPLETENESS and (self.latent is not None or self.group is not None)


DEFAULT: tuple[Gate, ...] = (
    Gate("mse", max_drop=Drop(0.10, relative=True)),
    Gate("ces", latent=EVERY, max_drop=Drop(0.20, relative=True)),
    Gate(SIMILARITY, latent=EVERY, low=0.90),
    Gate(ACTIVE, latent=EVERY),
    Gate("specificity", max_drop=Drop(0.05, relative=False)),
    Gate("fgd_adjusted", max_drop=Drop(0.05, relative=False)),
    Gate("modularity", max_drop=Drop(0.05, relative=False)),
)
"""The gate without a configuration; those of its figures that the baseline lacks are left out."""


def load_gates(path: str | Path | None) -> tuple[tuple[Gate, ...], str]:
    """The gates of a configuration, and where they come from, in words.

    Args:
        path: a TOML file; without it ``circuitprobe.toml``, then ``pyproject.toml``, of the current folder,
            then of those above it up to the root of the repository.

    Raises:
        UsageError: no gate in the file, or one that makes no sense; the message names it.
        DataError: no such file, or no TOML.
    """
    if path is not None:
        return _gates(_section(Path(path)) or {}, Path(path).name), Path(path).name
    for file in _files_above(Path.cwd()):
        section = _section(file)
        if section is not None:
            return _gates(section, file.name), file.name
    return DEFAULT, "the default gate"


def _files_above(folder: Path) -> Iterator[Path]:
    """Files that may hold gates, the nearest first; not beyond a repository's root, where others' files begin."""
    for place in (folder, *folder.parents):
        # also a folder or a link to nothing of that name: that it cannot be read is told
        yield from (place / name for name in FILES if os.path.lexists(place / name))
        if (place / ".git").exists():
            return


def _section(path: Path) -> Mapping[str, Any] | None:
    """The part of a file that is ours; None for a pyproject.toml that has none."""
    content = load_toml(path, what="gate file")
    if path.name == PYPROJECT and "gate" in content:
        raise _wrong(path.name, "has [[gate]] outside [tool.circuitprobe]", f"{HEADING[True]} tables", None)
    if path.name != PYPROJECT and ("tool" not in content or "gate" in content):
        return content
    tool = content.get("tool", {})
    section = tool.get("circuitprobe") if isinstance(tool, dict) else None
    if section is not None and not isinstance(section, dict):
        raise _wrong(path.name, f"tool.circuitprobe is {section!r}", f"{HEADING[True]} tables", None)
    return section


def _gates(section: Mapping[str, Any], source: str) -> tuple[Gate, ...]:
    extra = [key for key in section if key != "gate"]
    if extra:
        raise _wrong(
            source, f"has the key {extra[0]!r}", f"{_heading(source)} tables only", did_you_mean(extra[0], ("gate",))
        )
    entries = section.get("gate")
    if isinstance(entries, dict):
        raise _wrong(source, "has one table called gate", f"a list of them: {_heading(source)}", None)
    if not isinstance(entries, list) or not entries:
        raise _wrong(source, "has no gate", f"at least one {_heading(source)} table", None)
    if len(entries) > MOST_GATES:
        raise _wrong(
            source, f"has {len(entries):,} gates", f"at most {MOST_GATES:,}", 'latent = "*" for all latents at once'
        )
    return tuple(_gate(entry, number, source) for number, entry in enumerate(entries, start=1))


def _gate(entry: object, number: int, source: str) -> Gate:
    where = f"gate {number}"
    if not isinstance(entry, dict):
        raise _wrong(source, f"{where} is no table", f"{_heading(source)} and lines under it", None)
    for key in entry:
        if key not in KEYS:
            raise _wrong(source, f"{where} has the key {key!r}", f"of {', '.join(KEYS)}", did_you_mean(key, KEYS))
    metric = entry.get("metric")
    if not isinstance(metric, str):
        seen = f"{where} names no metric" if metric is None else f"{where}: metric is {metric!r}"
        raise _wrong(source, seen, f"one of {', '.join(NAMES)}", None)
    gate = Gate(
        metric,
        _name(entry, "latent", where, source),
        _name(entry, "group", where, source),
        _number(entry, "min", where, source),
        _number(entry, "max", where, source),
        _drop(entry.get("max_drop"), where, source),
        _level(entry.get("level", "error"), where, source),
    )
    check_gate(gate, where, source)
    return gate


def check_gate(gate: Gate, where: str, source: str) -> None:
    """Refuse a gate that cannot mean anything.

    Raises:
        UsageError: which gate of which source, and what is wrong with it.
    """
    seen, expected, fix = _misvalued(gate)
    if not seen:
        seen, expected, fix = _misfit(gate)
    if seen:
        raise _wrong(source, f"{where}: {seen}", expected, fix)


def _misvalued(gate: Gate) -> tuple[str, str, str | None]:
    """Values that no gate can have; of those from Python, as a file's are checked where they are read."""
    for name, limit in (("min", gate.low), ("max", gate.high)):
        if limit is not None and not _usable(limit):
            return f"{name} is {limit!r}", "a number", None
    drop: object = gate.max_drop
    if drop is not None and not (isinstance(drop, Drop) and _usable(drop.amount) and drop.amount >= 0):
        return f"max_drop is {drop!r}", "a Drop of a number from 0 up", "Drop(0.1, relative=True) for 10%"
    if gate.level not in ("error", "warn"):
        return f"level is {gate.level!r}", '"error" or "warn"', None
    return "", "", None


def _misfit(gate: Gate) -> tuple[str, str, str | None]:
    """What is wrong with a gate, what would be right, what to type; empty where nothing is."""
    limits = (gate.low, gate.high, gate.max_drop)
    demands = sum(limit is not None for limit in limits)
    if gate.metric not in NAMES:
        return f"there is no metric {gate.metric!r}", f"one of {', '.join(NAMES)}", did_you_mean(gate.metric, NAMES)
    if gate.latent is not None and gate.group is not None:
        return "latent and group", "one of the two", None
    if gate.metric == COMPLETENESS and gate.group is None:
        return "completeness is a figure of one feature group", "a group", 'group = "a feature group"'
    if gate.latent is not None and gate.metric not in OF_LATENT:
        return f"{gate.metric} is no figure of one latent", f"one of {', '.join(OF_LATENT)}", None
    if gate.group is not None and gate.metric not in (*OF_LATENT, COMPLETENESS):
        return f"{gate.metric} is no figure of a group", f"one of {', '.join((*OF_LATENT, COMPLETENESS))}", None
    if not gate.of_latent and gate.metric not in (*OF_MODEL, COMPLETENESS):
        fix = f'latent = "*", or group = "a column", beside metric = "{gate.metric}"'
        return f"{gate.metric} is a figure of single latents", "a latent", fix
    if gate.metric == ACTIVE and demands:
        return "active has no limits, a latent is active or not", "neither min, max nor max_drop", None
    if gate.metric != ACTIVE and not demands:
        return f"{gate.metric} has no min, max or max_drop", "at least one of them", 'max_drop = "10%"'
    if gate.low is not None and gate.high is not None and gate.low > gate.high:
        return f"min {gate.low:g} is above max {gate.high:g}", "min below max", None
    return _toothless(gate)


def _toothless(gate: Gate) -> tuple[str, str, str | None]:
    """Limits that no figure can break: a slip, such as 10 for 10%."""
    least, most = RANGES[gate.metric]
    if gate.low is not None and gate.low <= least:
        return f"{gate.metric} is never below min {gate.low:g}", f"a min above {least:g}", None
    if gate.high is not None and gate.high >= most:
        return f"{gate.metric} is never above max {gate.high:g}", f"a max below {most:g}", None
    drop = gate.max_drop
    if drop is None or better_of(gate.metric) == "lower":
        return "", "", None
    if (drop.relative and drop.amount >= 1 and least == 0) or (not drop.relative and drop.amount >= most - least):
        return f"{gate.metric} can never fall by more than {drop.words}", "a smaller max_drop", 'max_drop = "10%"'
    return "", "", None


def _name(entry: Mapping[str, Any], key: str, where: str, source: str) -> str | None:
    value = entry.get(key)
    if value is not None and (not isinstance(value, str) or not value):
        raise _wrong(source, f"{where}: {key} is {value!r}", "a name in quotes", None)
    return value


def _number(entry: Mapping[str, Any], key: str, where: str, source: str) -> float | None:
    value = entry.get(key)
    if value is None:
        return None
    if not _usable(value):
        raise _wrong(source, f"{where}: {key} is {value!r}", "a number", None)
    return float(value)


def _usable(value: object) -> bool:
    """A number that a figure can be compared with; TOML has inf, nan and integers of any length."""
    return not isinstance(value, bool) and isinstance(value, int | float) and abs(value) < LARGEST


def _drop(value: object, where: str, source: str) -> Drop | None:
    if value is None:
        return None
    if isinstance(value, str):
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", value)
        if found is not None and float(found[1]) < LARGEST:
            return Drop(float(found[1]) / 100.0, relative=True)
    elif isinstance(value, int | float) and _usable(value) and value >= 0:
        return Drop(float(value), relative=False)
    raise _wrong(source, f"{where}: max_drop is {value!r}", 'a number such as 0.05, or a share such as "10%"', None)


def _level(value: object, where: str, source: str) -> Severity:
    if value == "error":
        return "error"
    if value == "warn":
        return "warn"
    raise _wrong(source, f"{where}: level is {value!r}", '"error" or "warn"', None)


def _heading(source: str) -> str:
    return HEADING[source == PYPROJECT]


def _wrong(source: str, seen: str, expected: str, fix: str | None) -> UsageError:
    example = f'{_heading(source)} with metric = "ces", latent = "*", max_drop = "10%"'
    return UsageError(f"{source}: {seen}", expected=expected, fix=fix or example)
