"""``circuitprobe check``: a new audit against a baseline, gate by gate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from circuitprobe.errors import UsageError
from circuitprobe.gate.baseline_file import read_snapshot
from circuitprobe.gate.comparable import check_comparable, drifted
from circuitprobe.gate.config import DEFAULT, Gate, check_gate
from circuitprobe.gate.questions import Pair, Question, questions_of
from circuitprobe.gate.result import CheckResult, Figure, GateResult, LatentMatch
from circuitprobe.gate.snapshot import Snapshot, snapshot_of
from circuitprobe.gate.words import condition_words, gate_words, message_of, tolerance_words
from circuitprobe.stats.corrected import holm_sidak

if TYPE_CHECKING:
    from circuitprobe.report import AuditReport
    from circuitprobe.types import Estimate

ORDER = {"regression": 0, "inconclusive": 1, "pass": 2}


def check(
    new: AuditReport | Snapshot | str | Path,
    baseline: AuditReport | Snapshot | str | Path,
    gates: Sequence[Gate] = DEFAULT,
    *,
    gates_from: str | None = None,
    strict: bool = False,
    names: tuple[str, str] | None = None,
) -> CheckResult:
    """Decide every gate on two audits (METHOD.md section 7).

    Args:
        new: the audit to check, or its JSON file.
        baseline: what it is compared with: an audit, its JSON file, or a baseline file.
        gates: conditions; without them the default gate.
        gates_from: where the gates come from, in words.
        strict: inconclusive gates of level error fail too.
        names: of baseline and new audit, for the report; default their models'.

    Returns:
        Every gate with its outcome, regressions first.

    Raises:
        NotComparable: the audits measure different things.
        UsageError: a gate makes no sense, or names a latent, feature or figure that the audits lack; or there is no gate.
    """
    if not gates:
        raise UsageError("no gate", expected="at least one", fix="leave the gates out for the default gate")
    source = gates_from or ("the default gate" if gates is DEFAULT else "the gates given")
    for number, gate in enumerate(gates, start=1):
        check_gate(gate, f"gate {number}", source)
    before, now = _seen(baseline), _seen(new)
    check_comparable(before.compared, now.compared)
    pair = Pair.of(before, now)
    by_gate = [(gate, questions_of(gate, pair, optional=gates is DEFAULT)) for gate in gates]
    results = _decided([question for _, asked in by_gate for question in asked])
    failing = any(result.fails(strict=strict) for result in results)
    shown = names or (before.source.model, now.source.model)
    return CheckResult(
        baseline=shown[0],
        new=shown[1],
        gates_from=source,
        paired=pair.paired,
        warnings=(
            *drifted(before.compared, now.compared),
            *(w for w in now.source.warnings if w not in before.source.warnings),
        ),
        not_gated=tuple(gate_words(gate) for gate, asked in by_gate if not asked),
        latents=tuple(
            LatentMatch(baseline=m.baseline, new=m.new, similarity=m.similarity if np.isfinite(m.similarity) else None)
            for m in pair.matches
        ),
        results=tuple(results),
        strict=strict,
        outcome=results[0].outcome,
        exit_code=1 if failing else 0,
    )


def _decided(questions: Sequence[Question]) -> list[GateResult]:
    """The outcome of every question, corrected for all of them, regressions first."""
    if not questions:
        raise UsageError(
            "no gate is about anything that the baseline has: it has no active latent, or no level 2",
            expected="figures to gate on",
            fix="audit the baseline with level 2, or gate on mse",
        )
    # a figure that is gone needs no test: it counts as one with p = 0
    corrected = holm_sidak(np.array([0.0 if q.test is None else q.test.p for q in questions]))
    results = [_result(question, float(p), len(questions)) for question, p in zip(questions, corrected, strict=True)]
    return sorted(results, key=lambda result: (ORDER[result.outcome], result.level == "warn"))


def _seen(audit: AuditReport | Snapshot | str | Path) -> Snapshot:
    if isinstance(audit, str | Path):
        return read_snapshot(audit)
    return audit if isinstance(audit, Snapshot) else snapshot_of(audit)


def _result(question: Question, p: float, tests: int) -> GateResult:
    test, gate, match = question.test, question.gate, question.match
    change = None if test is None else test.difference
    demanded = (gate, question.kind, question.base, None if test is None else test.limit)
    result = GateResult(
        metric=gate.metric,
        group=gate.group,
        latent=match.baseline if match else None,
        new_latent=match.new if match else None,
        condition=condition_words(*demanded),
        tolerance=tolerance_words(*demanded),
        level=gate.level,
        baseline=None if question.base is None else _figure(question.base),
        new=_figure(question.new),
        difference=None
        if change is None
        else Figure(value=change.value, low=_known(change.low), high=_known(change.high), n=question.new.n),
        paired=change is not None and change.paired,
        bound=None if test is None else test.limit,
        p=None if test is None else test.p,
        p_corrected=None if test is None else p,
        outcome="regression" if test is None else test.outcome(p),
        rows_to_decide=None,
        message="",
    )
    if test is not None and result.outcome == "inconclusive":
        result = result.model_copy(update={"rows_to_decide": test.rows_to_decide(tests)})
    return result.model_copy(update={"message": message_of(result)})


def _known(number: float) -> float | None:
    return number if np.isfinite(number) else None


def _figure(estimate: Estimate) -> Figure:
    return Figure(value=estimate.value, low=estimate.low, high=estimate.high, n=estimate.n)
