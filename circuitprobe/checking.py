"""``circuitprobe check``, ``compare`` and ``baseline`` from files to results."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from circuitprobe.adapters.user_files import open_file
from circuitprobe.errors import CircuitProbeError, DataError, UsageError
from circuitprobe.gate.baseline_file import read_snapshot, write_baseline
from circuitprobe.gate.check import check
from circuitprobe.gate.config import Gate, load_gates
from circuitprobe.gate.github import commands_off, error_command, summarise, under_actions, workflow_commands
from circuitprobe.gate.junit import junit, junit_error
from circuitprobe.gate.markdown import markdown, markdown_error
from circuitprobe.gate.metrics import TRUTH
from circuitprobe.gate.result import CHECK_VERSION
from circuitprobe.gate.snapshot import Snapshot, snapshot_of
from circuitprobe.report.files import check_writable, write_atomically

if TYPE_CHECKING:
    from circuitprobe.adapters.models import ProbedVAE
    from circuitprobe.gate.result import CheckResult
    from circuitprobe.levels.chosen import Progress
    from circuitprobe.report import AuditReport


@dataclass(frozen=True)
class Outputs:
    """Where a check is written; None for nowhere.

    Attributes:
        json: the result.
        junit: JUnit XML.
        markdown: a table for pull requests.
        audit: with a model, its audit, from which the next baseline is made.
        inputs: files that are read in the same run and must not be replaced.
    """

    json: Path | None = None
    junit: Path | None = None
    markdown: Path | None = None
    audit: Path | None = None
    inputs: tuple[str | Path | None, ...] = ()

    def check(self) -> None:
        """Refuse places that cannot be written to, or are named twice, before anything is run.

        Raises:
            UsageError: which place, and why.
        """
        for path in (self.json, self.junit, self.markdown, self.audit):
            if path is not None:
                self._check_place(path)

    def write(self, result: CheckResult) -> None:
        """Write everything that was asked for."""
        if self.json is not None:
            _write(self.json, result.model_dump_json(indent=1) + "\n")
        if self.junit is not None:
            _write(self.junit, junit(result, datetime.now(UTC)))
        if self.markdown is not None:
            _write(self.markdown, markdown(result))

    def write_error(self, error: CircuitProbeError, gates: Sequence[Gate]) -> None:
        """A check that could not be made is an error in every output, not an absent file, or yesterday's, that looks like a pass.

        Args:
            error: why. It is what the user is told: a place that cannot be written to is left out here.
            gates: that were not run.
        """
        texts = (
            (self.json, _error_json(error)),
            (self.junit, junit_error(error, gates, datetime.now(UTC))),
            (self.markdown, markdown_error(error)),
        )
        for path, text in texts:
            if path is not None:
                with suppress(UsageError):
                    self._check_place(path)
                    _write(path, text)

    def _check_place(self, path: Path) -> None:
        check_writable(path, self.inputs)
        places = [other.resolve() for other in (self.json, self.junit, self.markdown, self.audit) if other is not None]
        if places.count(path.resolve()) > 1:
            raise UsageError(f"{path} is named for two outputs", expected="a file for each", fix="name another file")


def _error_json(error: CircuitProbeError) -> str:
    told = {"seen": error.seen, "expected": error.expected, "try": error.fix}
    content = {"check_version": CHECK_VERSION, "outcome": "error", "exit_code": error.exit_code, "error": told}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _write(path: Path, text: str) -> None:
    write_atomically(path, lambda handle: handle.write(text.encode("utf-8", errors="replace")))


@dataclass(frozen=True)
class DataOptions:
    """How a model's rows are read where the baseline cannot tell.

    Attributes:
        schema: TOML file that says what the columns are.
        ignore: columns that are left out.
        array: which array of an .npz or .pt file.
    """

    schema: Path | None = None
    ignore: Sequence[str] | None = None
    array: str | None = None


@dataclass(frozen=True)
class Demand:
    """What is demanded of the new audit.

    Attributes:
        baseline: a baseline file or the JSON of an audit.
        config: TOML file with gates; see ``load_gates``.
        strict: inconclusive gates fail too.
    """

    baseline: Path
    config: Path | None = None
    strict: bool = False


@contextmanager
def told_everywhere(demand: Demand, outputs: Outputs, say: Callable[[list[str]], None]) -> Iterator[None]:
    """Whatever ends a check before its result is told wherever the result would have been.

    Args:
        demand: its gates are the ones that were not run.
        outputs: where the result would have been written.
        say: prints workflow commands.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        told = error if isinstance(error, CircuitProbeError) else _defect(error)
        gates: Sequence[Gate] = ()
        with suppress(CircuitProbeError):
            gates, _ = load_gates(demand.config)
        outputs.write_error(told, gates)
        summarise(markdown_error(told), os.environ)
        say(workflow_lines(told))
        raise


def _defect(error: BaseException) -> CircuitProbeError:
    if isinstance(error, KeyboardInterrupt):
        return CircuitProbeError("interrupted", expected="a check that ends by itself", fix="the same command again")
    return CircuitProbeError(
        f"internal error, {type(error).__name__}: {error}",
        expected="this never to happen",
        fix="the same command with CIRCUITPROBE_TRACEBACK=1, and report what it prints",
    )


def check_files(new: str, demand: Demand, outputs: Outputs) -> CheckResult:
    """Check an audit's JSON against a baseline.

    Raises:
        NotComparable: the audits measure different things.
        UsageError: a file that is no audit, or gates that make no sense.
    """
    if outputs.audit is not None:
        raise UsageError(
            "--audit-json without DATA: nothing is audited",
            expected="a model and its data",
            fix=f"leave it out; {new} is what the next baseline is made of",
        )
    if _no_text(Path(new)):
        raise UsageError(
            f"{Path(new).name} is no audit, and there is no data to audit it on",
            expected="the JSON of an audit, or a model and its data",
            fix=f"circuitprobe check {new} DATA --baseline {demand.baseline}",
        )
    return _checked(lambda _, __: read_snapshot(new), new, demand, outputs)


def _no_text(path: Path) -> bool:
    """Whether this is a model rather than the JSON of an audit: a folder, or a file that does not begin as an object does."""
    if path.is_dir():
        return True
    if not path.is_file() or path.suffix.lower() == ".json":
        return False
    try:
        with open_file(path) as handle:
            return not handle.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
    except OSError:
        # said by the reading of the audit
        return False


def check_model(
    load: Callable[[], ProbedVAE],
    source: str,
    data: str,
    demand: Demand,
    outputs: Outputs,
    options: DataOptions,
    progress: Progress | None = None,
) -> CheckResult:
    """Audit a model as the baseline was audited (rows, seed, groups, target, conditions, patches), then check.

    Args:
        load: gives the new model.
        source: its file.
        data: what it is audited on.
        demand: baseline and gates.
        outputs: where the result is written.
        options: how the rows are read.
        progress: told of the audit.
    """

    def audited(old: Snapshot, gates: Sequence[Gate]) -> Snapshot:
        report = _audited_alike(load(), data, old, gates, options, progress)
        if outputs.audit is not None:
            report.to_json(outputs.audit)
        return snapshot_of(report)

    return _checked(audited, source, demand, outputs)


def _audited_alike(
    vae: ProbedVAE, data: str, old: Snapshot, gates: Sequence[Gate], options: DataOptions, progress: Progress | None
) -> AuditReport:
    """Audit a model on the rows, and in the way, of a baseline."""
    # not at the top: two files are compared in a moment, torch takes seconds to be imported
    from circuitprobe.auditing import audit
    from circuitprobe.levels.truth_sample import MOST_ROWS

    seen = old.compared
    truth = MOST_ROWS if any(gate.metric in TRUTH for gate in gates) else 0

    def run(groups: dict[str, tuple[str, ...]] | None) -> AuditReport:
        return audit(
            vae, data, rows=seen.rows.audited, seed=seen.rows.seed, n_values=seen.rows.intervention_values, target=seen.target,
            groups=groups, condition=seen.condition or None, grid=seen.rows.grid[0] if seen.rows.grid else None,
            schema=options.schema, ignore=options.ignore, array=options.array, truth_rows=truth, progress=progress,
            levels=(2,), twin=False,
        )  # fmt: skip

    if seen.rows.grid is not None:
        return run(None)
    try:
        return run(dict(seen.groups))
    except DataError:
        # of other features the baseline's groups are no groups: which features these are is for the comparison to tell
        return run(None)


def _checked(
    make: Callable[[Snapshot, Sequence[Gate]], Snapshot], new: str, demand: Demand, outputs: Outputs
) -> CheckResult:
    gates, source = load_gates(demand.config)
    old = read_snapshot(demand.baseline)
    before, now = names_apart((demand.baseline, Path(new)))
    result = check(make(old, gates), old, gates, gates_from=source, strict=demand.strict, names=(before, now))
    outputs.write(result)
    summarise(markdown(result), os.environ)
    return result


def names_apart(paths: Sequence[Path]) -> tuple[str, ...]:
    """Names of files; their paths as given where two files have one name. Bytes that are no UTF-8 are shown as such."""
    names = [path.name or str(path) for path in paths]
    shown = names if len(set(names)) == len(names) else [str(path) for path in paths]
    return tuple(os.fsencode(name).decode("utf-8", errors="replace") for name in shown)


def workflow_lines(result: CheckResult | CircuitProbeError) -> list[str]:
    """Workflow commands for GitHub Actions; none anywhere else."""
    if not under_actions(os.environ):
        return []
    return [error_command(result)] if isinstance(result, CircuitProbeError) else list(workflow_commands(result))


def fence() -> tuple[str, str]:
    """What keeps Actions from taking a column's name for a command, before and behind a report; nothing anywhere else."""
    return commands_off() if under_actions(os.environ) else ("", "")


def read_audits(paths: Sequence[Path]) -> tuple[Snapshot, ...]:
    """The audits to compare.

    Raises:
        UsageError: fewer than two, or a file that is no audit.
    """
    if len(paths) < 2:
        raise UsageError("one audit", expected="at least two to compare", fix="circuitprobe compare old.json new.json")
    return tuple(read_snapshot(path) for path in paths)


def make_baseline(source: Path, out: Path) -> Snapshot:
    """Write the baseline of an audit, or renew one.

    Raises:
        UsageError: the source is no audit, it has no level 2, or the baseline cannot be written.
    """
    check_writable(out, (source,))
    snapshot = read_snapshot(source)
    if "ces" not in snapshot.compared.figures:
        raise UsageError(f"{source.name} has no level 2", expected="an audit with level 2", fix="audit with --levels 2")
    write_baseline(snapshot, out)
    return snapshot
