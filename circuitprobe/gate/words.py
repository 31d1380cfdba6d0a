"""Gates and their outcomes in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from circuitprobe.gate.config import EVERY
from circuitprobe.gate.metrics import ACTIVE, LEAST_KL, better_of
from circuitprobe.report.words import number

if TYPE_CHECKING:
    from circuitprobe.gate.config import Drop, Gate
    from circuitprobe.gate.decide import Kind
    from circuitprobe.gate.result import Figure, GateResult
    from circuitprobe.types import Estimate


def condition_words(gate: Gate, kind: Kind, base: Estimate | None, bound: float | None) -> str:
    """``at least 0.3``, ``falls by 10% (0.02) at most``."""
    if gate.metric == ACTIVE:
        return f"stays active (KL above {LEAST_KL:g})" if bound == LEAST_KL else "stays active"
    if kind == "min":
        return f"at least {gate.low:.4g}"
    if kind == "max":
        return f"at most {gate.high:.4g}"
    if gate.max_drop is None:
        return ""
    verb = "rises" if better_of(gate.metric) == "lower" else "falls"
    return f"{verb} by {_amount(gate.max_drop, base)} at most" if gate.max_drop.amount else f"{verb} not at all"


def tolerance_words(gate: Gate, kind: Kind, base: Estimate | None, bound: float | None) -> str:
    """The same as short as a table needs it: ``-10% (0.02)``, ``at least 0.3``."""
    if kind != "max_drop" or gate.max_drop is None:
        return condition_words(gate, kind, base, bound).removeprefix("stays active ").strip("()")
    sign = "+" if better_of(gate.metric) == "lower" else "-"
    return f"{sign if gate.max_drop.amount else ''}{_amount(gate.max_drop, base)}"


def _amount(drop: Drop, base: Estimate | None) -> str:
    if not drop.relative or base is None or base.value is None:
        return drop.words
    return f"{drop.words} ({abs(base.value) * drop.amount:.3g})"


def gate_words(gate: Gate) -> str:
    """A gate that was not run: ``ces of every latent``, ``specificity of the latent that drives income``."""
    if gate.latent is not None:
        return f"{gate.metric} of {'every latent' if gate.latent == EVERY else gate.latent}"
    if gate.of_latent:
        return f"{gate.metric} of the latent that drives {gate.group}"
    return gate.metric if gate.group is None else f"{gate.metric} of {gate.group}"


def subject_words(result: GateResult) -> str:
    """``ces of z3 (now z7)``, ``ces of z3, which drives income``, ``completeness of body``."""
    if result.latent is None:
        return result.metric if result.group is None else f"{result.metric} of {result.group}"
    now = "gone" if result.new_latent is None else f"now {result.new_latent}"
    renamed = "" if result.new_latent == result.latent else f" ({now})"
    drives = "" if result.group is None else f", which drives {result.group}"
    return f"{result.metric} of {result.latent}{renamed}{drives}"


def figure_words(figure: Figure | Estimate | None) -> str:
    """``0.412 [0.403, 0.421]``."""
    if figure is None or figure.value is None:
        return "undefined"
    if figure.low is None or figure.high is None or figure.low == figure.high:
        return number(figure.value)
    return f"{number(figure.value)} [{number(figure.low)}, {number(figure.high)}]"


def message_of(result: GateResult) -> str:
    """What happened to a figure, in one sentence."""
    what, now = subject_words(result), figure_words(result.new)
    if result.new.value is None:
        before = "" if result.baseline is None else f", {figure_words(result.baseline)} in the baseline"
        return f"{what} is undefined or gone{before}; demanded: {result.condition}"
    if result.metric == ACTIVE:
        sentence = _activity(result)
    elif result.difference is not None and result.baseline is not None:
        change = figure_words(result.difference)
        sentence = f"{what} went from {figure_words(result.baseline)} to {now}, a change of {change}"
    else:
        sentence = f"{what} is {now}"
    sentence += f"; demanded: {result.condition}"
    if result.outcome == "inconclusive":
        rows = result.rows_to_decide
        more = f"{rows:,} rows would decide, if the value stayed" if rows else "no number of rows would decide"
        return f"{sentence}; {result.new.n:,} rows do not decide, {more}"
    return sentence


def _activity(result: GateResult) -> str:
    who = subject_words(result).removeprefix(f"{ACTIVE} of ")
    state = {"pass": "is active", "regression": "is not active any more", "inconclusive": "is hardly active"}
    said = f"{who} {state[result.outcome]}"
    if result.bound != LEAST_KL:
        return said
    return f"{said}: its KL went from {figure_words(result.baseline)} to {figure_words(result.new)}"
