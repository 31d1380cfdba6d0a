"""Audits and gates as files, for the commands of the gate: known figures with narrow intervals, and changes to them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))

from builders import Shape, make_report

NARROW = 0.01
"""Half an interval as a share of the value."""

HOSTILE = (
    "[red]warm[/red]",
    "*",
    "a|b",
    "<script>alert(1)</script>",
    "two\nlines",
    "\n::error::made up",
    "##[error]made up",
    "$x$ and $y$",
    "@someone",
    "#12",
    "https://example.org/a_b",
    "\x1b[31mred",
    "100% 50%25",
    "`code` _it_ ~~no~~ **bold**",
    "a, b: c",
    "\N{ZERO WIDTH NON-JOINER}\u202egnidliub",
    "]]>&amp;",
)
"""Names of columns that mean something to a terminal, Markdown, XML, or a runner of workflows."""


def audit_file(path: Path, change: Callable[[dict[str, Any]], object] = lambda content: None, **shape: Any) -> Path:
    """The JSON of an audit whose intervals are narrow, after a change to it."""
    make_report(Shape(**{"latents": 3, "levels": (2,), **shape})).to_json(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    narrow(content)
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def narrow(content: Any, share: float = NARROW) -> None:
    """Give every estimate an interval of that share of its value to both sides."""
    for entry in content.values() if isinstance(content, dict) else content if isinstance(content, list) else ():
        narrow(entry, share)
    if isinstance(content, dict) and {"value", "low", "high", "n"} <= content.keys() and content["value"] is not None:
        half = share * abs(content["value"])
        content |= {"low": content["value"] - half, "high": content["value"] + half}


def scaled(estimate: dict[str, Any], factor: float) -> None:
    """Multiply a figure and its interval."""
    for end in ("value", "low", "high"):
        estimate[end] *= factor


def weak_z0(content: dict[str, Any]) -> None:
    """z0 has half its effect: a regression of the default gate."""
    scaled(content["latents"][0]["ces"], 0.5)


def vague(content: dict[str, Any]) -> None:
    """The model's specificity is hardly known: inconclusive under the default gate."""
    narrow({"it": content["scores"]["specificity"]}, 0.2)


def gates(path: Path, *entries: dict[str, object]) -> Path:
    """A configuration; what JSON writes of words and numbers is TOML too."""
    lines = [
        f"[[gate]]\n{''.join(f'{key} = {json.dumps(value)}{chr(10)}' for key, value in e.items())}" for e in entries
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def hostile_groups() -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Feature groups of which each is one column with a hostile name."""
    return tuple((name, (name,)) for name in HOSTILE)
