"""Audits under test: figures with assertions, and baselines."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from circuitprobe.errors import CircuitProbeError, UsageError
from circuitprobe.gate import renewing
from circuitprobe.gate.baseline_file import read_snapshot
from circuitprobe.gate.check import check
from circuitprobe.gate.comparable import NotComparable
from circuitprobe.gate.config import Gate, load_gates
from circuitprobe.gate.metrics import LATENT
from circuitprobe.gate.questions import latent_for
from circuitprobe.gate.snapshot import Snapshot, snapshot_of
from circuitprobe.gate.tracebacks import short
from circuitprobe.gate.under_test import (
    Asserted,
    ByName,
    GateWarning,
    InconclusiveWarning,
    LatentUnderTest,
    ScoresUnderTest,
    latent_figure,
    no_figure,
)
from circuitprobe.text import visible, visible_lines

if TYPE_CHECKING:
    from circuitprobe.gate.result import CheckResult
    from circuitprobe.report import AuditReport

__all__ = [
    "Asserted",
    "Audited",
    "DriftWarning",
    "GateWarning",
    "InconclusiveWarning",
    "LatentUnderTest",
    "RegressionWarning",
    "ScoresUnderTest",
    "assert_no_regression",
]

UPDATE = renewing.UPDATE


class RegressionWarning(GateWarning):
    """A regression of a gate of level warn."""


class DriftWarning(GateWarning):
    """The rows are not quite those of the baseline, which may have moved figures beside the model."""


class _LatentFigures:
    """One figure of every latent, by the name of the attribute."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, audit: Audited, owner: type | None = None) -> Mapping[str, Asserted]:
        __tracebackhide__ = True
        latents = audit.seen.compared.latents
        return ByName("latent", {name: latent_figure(audit.seen, name, self._name) for name in latents})


@dataclass(frozen=True, eq=False, repr=False)
class Audited:
    """An audit in a test.

    Example::

        audit.ces["z3"].at_least(0.2)                       # likewise specificity, disentanglement, kl, on_support_rate
        audit.latent_for("income").specificity.at_least(0.3)
        audit.scores.mse.at_most(0.4)

    Attributes:
        report: the whole audit.
        seen: what gates see of it.
    """

    report: AuditReport
    seen: Snapshot = field(init=False)

    ces = _LatentFigures()
    specificity = _LatentFigures()
    disentanglement = _LatentFigures()
    kl = _LatentFigures()
    on_support_rate = _LatentFigures()

    def __post_init__(self) -> None:
        object.__setattr__(self, "seen", snapshot_of(self.report))

    @property
    def scores(self) -> ScoresUnderTest:
        """Figures of the whole model."""
        return ScoresUnderTest(self.seen)

    def latent(self, name: str) -> LatentUnderTest:
        """A latent by name.

        Raises:
            UsageError: there is none of that name.
        """
        __tracebackhide__ = True
        self.kl[name]
        return LatentUnderTest(name, self.seen)

    def latent_for(self, name: str) -> LatentUnderTest:
        """The latent that drives a feature, or a feature group: the one that moves it most.

        Raises:
            UsageError: there is no such feature or group, or the audit has no level 2.
        """
        __tracebackhide__ = True
        try:
            return LatentUnderTest(latent_for(self.seen, name), self.seen)
        except CircuitProbeError as error:
            raise short(error)  # noqa: B904 - the same error

    def __repr__(self) -> str:
        return visible(f"<audit of {self.report.model.source} on {self.report.data.source}>")

    if not TYPE_CHECKING:  # a type checker is to find misspelt names

        def __getattr__(self, name: str) -> NoReturn:
            __tracebackhide__ = True
            no_figure("an audit", name, ("report", "scores", "latent", "latent_for", *LATENT))


def assert_no_regression(
    audit: Audited | AuditReport,
    baseline: str | Path,
    *,
    gates: Sequence[Gate] | Gate | str | Path | None = None,
    strict: bool = False,
) -> None:
    """Fail where a gate decides for a regression (METHOD.md section 7); the message has every such gate with its interval.

    What does not fail is told as a ``GateWarning``: ``InconclusiveWarning`` for gates that the rows do not decide,
    ``RegressionWarning`` for regressions of level warn, ``DriftWarning`` for rows that differ from the baseline's.

    Args:
        audit: from the fixture ``circuitprobe_audit``, or a report.
        baseline: a baseline file or the JSON of an audit. With ``pytest --circuitprobe-update`` it is written instead, by the
            first audit that is held against it; audits after that one are compared with what it wrote.
        gates: gates, or a TOML file with them; default the configuration of the current folder, else the default gate.
        strict: gates that the rows do not decide fail too.

    Raises:
        AssertionError: a regression.
        NotComparable: the audits measure different things.
        UsageError: no such baseline, or gates that make no sense.
    """
    __tracebackhide__ = True
    path, renewal = Path(baseline), renewing.current()
    try:
        under_test = audit if isinstance(audit, Audited) else Audited(audit)
        if renewal is not None and renewal.takes(path):
            renewal.renew(under_test.seen, path)
            return
        result = _checked(under_test, path, gates, strict=strict)
    except CircuitProbeError as error:
        raise short(error)  # noqa: B904 - the same error
    failing = [entry for entry in result.results if entry.fails(strict=strict)]
    if failing:
        raise AssertionError(
            visible_lines(_failure(result, [f"{entry.outcome}: {entry.message}" for entry in failing]))
        )
    for entry in result.results:
        if entry.outcome != "pass":
            category = InconclusiveWarning if entry.outcome == "inconclusive" else RegressionWarning
            warnings.warn(visible_lines(f"{entry.outcome}: {entry.message}"), category, stacklevel=2)
    for warning in result.warnings:
        warnings.warn(visible_lines(warning), DriftWarning, stacklevel=2)


def _checked(
    audit: Audited, path: Path, gates: Sequence[Gate] | Gate | str | Path | None, *, strict: bool
) -> CheckResult:
    if not path.exists():
        where = path if path.is_absolute() else f"{path} in {Path.cwd()}"
        raise UsageError(f"there is no baseline {where}", expected="a baseline file", fix=f"pytest {UPDATE}")
    found: Sequence[Gate]
    if gates is None or isinstance(gates, str | Path):
        found, source = load_gates(gates)
    else:
        found, source = (gates,) if isinstance(gates, Gate) else gates, "the test"
    names = (path.name, audit.report.model.source)
    try:
        return check(audit.seen, read_snapshot(path), found, gates_from=source, strict=strict, names=names)
    except NotComparable as error:
        fix = f"pytest {UPDATE}, where the change is meant"
        raise NotComparable(error.seen, expected=error.expected, fix=fix) from error


def _failure(result: CheckResult, lines: Sequence[str]) -> str:
    counts = [f"{len(result.of('regression'))} regressed", f"{len(result.of('inconclusive'))} inconclusive"]
    counts.append(f"{len(result.of('pass'))} passed, gates from {result.gates_from}")
    notes = [f"note: {warning}" for warning in result.warnings]
    return "\n  ".join((f"{result.new} against {result.baseline}: {', '.join(counts)}", *lines, *notes))
