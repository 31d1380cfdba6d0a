"""One gate's outcome as the cells of a table, for the terminal and for Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from circuitprobe.gate.metrics import SIMILARITY
from circuitprobe.gate.words import figure_words, subject_words

if TYPE_CHECKING:
    from circuitprobe.gate.result import CheckResult, GateResult

HEADER = ("metric", "baseline", "new", "difference", "tolerance", "outcome")


def cells(entry: GateResult) -> tuple[str, str, str, str, str, str]:
    """One cell per column of ``HEADER``."""
    warn = " (warn)" if entry.level == "warn" else ""
    return (
        subject_words(entry),
        # a latent is as similar to itself as 1
        "" if entry.baseline is None or entry.metric == SIMILARITY else figure_words(entry.baseline),
        figure_words(entry.new),
        "" if entry.difference is None else figure_words(entry.difference),
        entry.tolerance,
        f"{entry.outcome}{warn}",
    )


def headline(result: CheckResult) -> str:
    """``circuitprobe check  new.json against old.json: 2 regressions, 1 inconclusive, 20 passed``."""
    regressions = len(result.of("regression"))
    counts = [
        f"{regressions} regression{'s' * (regressions != 1)}",
        f"{len(result.of('inconclusive'))} inconclusive",
        f"{len(result.of('pass'))} passed",
    ]
    return f"circuitprobe check  {result.new} against {result.baseline}: {', '.join(counts)}"


def how(result: CheckResult) -> str:
    """How it was decided."""
    rows = "paired bootstrap over the same rows" if result.paired else "other rows or another seed, unpaired bootstrap"
    return f"{rows}; 95 % intervals; Holm-Sidak over {len(result.results)} conditions of {result.gates_from}"


def remarks(result: CheckResult) -> list[str]:
    """What a reader should know beside the gates."""
    lacking = f"not gated, as the baseline has no such figures: {', '.join(result.not_gated)}"
    return [*result.warnings, *([lacking] if result.not_gated else [])]


def verdict(result: CheckResult) -> str:
    """What the build does about it."""
    if result.exit_code:
        return "the check fails"
    if result.outcome == "regression":
        return "regressions of level warn do not fail the check"
    if result.outcome == "inconclusive":
        return "inconclusive gates do not fail the check; --strict would"
    return "the check passes"
