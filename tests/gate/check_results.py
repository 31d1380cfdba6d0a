"""Results of checks put together by hand, with any names and outcomes."""

from __future__ import annotations

from typing import Any

from circuitprobe.gate.result import CheckResult, Figure, GateResult

N = 500


def figure(value: float | None = 0.5) -> Figure:
    """With an interval of a tenth of it to both sides."""
    if value is None:
        return Figure(value=None, low=None, high=None, n=N)
    return Figure(value=value, low=value - 0.1 * abs(value), high=value + 0.1 * abs(value), n=N)


def gate_result(outcome: str = "pass", **changes: Any) -> GateResult:
    """One gate on the CES of z0, which drives a column."""
    about: dict[str, Any] = {
        "metric": "ces", "group": None, "latent": "z0", "new_latent": "z0", "condition": "falls by 0.1 at most",
        "tolerance": "-0.1", "level": "error", "baseline": figure(), "new": figure(0.4), "difference": figure(-0.1),
        "paired": True, "bound": -0.1, "p": 0.5, "p_corrected": 0.9, "outcome": outcome, "rows_to_decide": None,
        "message": f"ces of z0: {outcome}",
    }  # fmt: skip
    return GateResult(**{**about, **changes})


def check_result(*entries: GateResult, strict: bool = False, **changes: Any) -> CheckResult:
    """A check of these gates."""
    order = {"regression": 0, "inconclusive": 1, "pass": 2}
    results = sorted(entries, key=lambda entry: order[entry.outcome])
    about: dict[str, Any] = {
        "baseline": "old.json", "new": "new.json", "gates_from": "the default gate", "paired": True, "warnings": (),
        "not_gated": (), "latents": (), "results": tuple(results), "strict": strict, "outcome": results[0].outcome,
        "exit_code": int(any(entry.fails(strict=strict) for entry in results)),
    }  # fmt: skip
    return CheckResult(**{**about, **changes})
