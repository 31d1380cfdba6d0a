"""How often the default gate fails a build that did not get worse, and how often it misses one that did.

``python -m benchmarks.gate`` takes about half an hour on 2 cores and writes GATE.md beside this file. Subjects are the five
example models on Adult and a VAE trained for the default budget on each other table; every audit is level 2 with the defaults.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import torch

import circuitprobe as cp
from benchmarks.gate_models import (
    RATE,
    STEPS,
    Subject,
    collapsed,
    ignored,
    retrained,
    rotated,
    shrunk,
    shuffled,
    subjects,
    untrained,
)
from benchmarks.gate_report import Kind, Outcome, report
from circuitprobe.adapters.benchmarks import BENCHMARKS
from circuitprobe.gate.snapshot import Snapshot

NULL_PAIRS = 100
"""Of each kind of pair that did not get worse."""
TWINS = 3
EVERY = 3
"""Of the pairs of latents that are rotated."""
SEEDS = 4
CHANGES = {"shrunk": shrunk, "collapsed": collapsed, "ignored": ignored}


@dataclass(frozen=True)
class Case:
    """One pair of audits.

    Attributes:
        kind: of pair.
        subject: number of the subject.
        seed: of samples and changes.
        latents: what was changed.
        same_rows: both audits are of the same rows.
    """

    kind: Kind
    subject: int
    seed: int
    latents: tuple[int, ...] = ()
    same_rows: bool = False


def cases(every: Sequence[Subject], pairs: int) -> Iterator[Case]:
    """All pairs: those that did not get worse, then those that did."""
    # those whose objective is the plain ELBO, which ``retrained`` goes on with
    vaes = [number for number, subject in enumerate(every) if subject.name in {f"{table}_vae" for table in BENCHMARKS}]
    for seed in range(pairs):
        yield Case("other rows", seed % len(every), seed)
        # half of them audited on the same rows, so that the paired bootstrap is tried as well
        yield Case("retrained", vaes[seed % len(vaes)], seed, same_rows=seed // len(vaes) % 2 == 0)
    for number, subject in enumerate(every):
        active = [i for i, latent in enumerate(baseline(subject, number).compared.latents.values()) if latent.active]
        for kind in CHANGES:
            for count, latent in enumerate(active):
                yield Case(kind, number, number, (latent,), same_rows=count % 2 == 0)  # type: ignore[arg-type]
        for count, pair in enumerate([*itertools.combinations(active, 2)][::EVERY]):
            yield Case("rotated", number, number, pair, same_rows=count % 2 == 0)
        for twin in range(TWINS):
            yield Case("untrained", number, number, (twin,), same_rows=twin % 2 == 0)


@cache
def baseline(subject: Subject, seed: int) -> Snapshot:
    """The audit before, on the first of two disjoint samples."""
    return subject.audit(subject.samples(seed)[0])


def run(case: Case) -> Outcome:
    """Audit both sides and check."""
    torch.set_num_threads(1)
    subject = _EVERY[case.subject]
    first, second = subject.samples(case.seed)
    new = subject.audit(first if case.same_rows else second, _changed(case, subject))
    try:
        result = cp.check(new, baseline(subject, case.seed))
    except cp.NotComparable as error:
        # exit code 3 fails a build as well
        return Outcome(case.kind, subject.name, case.same_rows, True, 0, 0, False, (error.seen,), case.latents)
    return _outcome(case.kind, subject.name, result, same_rows=case.same_rows, latents=case.latents)


def _outcome(
    kind: Kind, subject: str, result: cp.CheckResult, *, same_rows: bool, latents: tuple[int, ...] = ()
) -> Outcome:
    regressions = result.of("regression")
    named = {entry.latent for entry in regressions}
    return Outcome(
        kind=kind,
        subject=subject,
        same_rows=same_rows,
        failed=bool(result.exit_code),
        inconclusive=len(result.of("inconclusive")),
        gates=len(result.results),
        # of an untrained twin any latent may be named
        named=bool(named - {None}) if kind == "untrained" else any(f"z{latent}" in named for latent in latents),
        what=tuple(entry.message for entry in regressions),
        latents=latents,
    )


def _changed(case: Case, subject: Subject) -> cp.ProbedVAE:
    if case.kind == "rotated":
        return rotated(subject, *case.latents)
    if case.kind == "untrained":
        return untrained(subject, case.latents[0] + 1)
    if case.kind in CHANGES:
        return subject.changed(CHANGES[case.kind](case.latents[0]))
    shuffle = shuffled(case.seed)
    return (
        subject.changed(shuffle)
        if case.kind == "other rows"
        else subject.changed(retrained(subject, case.seed), shuffle)
    )


def fresh_seeds(folder: Path) -> list[Outcome]:
    """Trainings of wine_quality that differ in their seed alone: other circuits, whatever they are worth."""
    found = []
    for seed in range(SEEDS):
        cp.train("wine_quality", seed=seed, out=folder / f"{seed}.pt")
    every = [Subject(f"seed {seed}", cp.load(folder / f"{seed}.pt"), "wine_quality") for seed in range(SEEDS)]
    rows = every[0].samples(0)[0]
    audits = [subject.audit(rows) for subject in every]
    for before, now in itertools.combinations(range(SEEDS), 2):
        result = cp.check(audits[now], audits[before])
        found.append(_outcome("fresh seed", "wine_quality", result, same_rows=True))
    return found


_EVERY: list[Subject] = []


def _start(folder: Path, tables: tuple[str, ...]) -> None:
    _EVERY.extend(subjects(folder, tables))


def main() -> None:
    """Run every case in some processes, write GATE.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("GATE.md"))
    parser.add_argument("--tables", nargs="*", default=list(BENCHMARKS))
    parser.add_argument("--pairs", type=int, default=NULL_PAIRS)
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made:
        folder, tables = Path(made), tuple(chosen.tables)
        _start(folder, tables)
        todo = list(cases(_EVERY, chosen.pairs))
        outcomes = _all(run, todo, chosen.workers, (folder, tables)) + fresh_seeds(folder)
    text = report(outcomes, f"{STEPS} steps of Adam at {RATE:g}")
    chosen.out.write_text(text)
    print(text)


def _all(
    work: Callable[[Case], Outcome], todo: Sequence[Case], workers: int, about: tuple[Path, tuple[str, ...]]
) -> list[Outcome]:
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start, initargs=about) as pool:
        found = []
        for outcome in pool.map(work, todo, chunksize=4):
            found.append(outcome)
            wrong = (
                outcome.failed
                if outcome.kind in ("other rows", "retrained")
                else not (outcome.failed and outcome.named)
            )
            print(f"{len(found)}/{len(todo)} {'WRONG ' if wrong else ''}{outcome.line}", flush=True)
    return found


if __name__ == "__main__":
    main()
