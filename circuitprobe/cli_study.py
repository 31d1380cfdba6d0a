"""The commands of studies: run, report, audit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from circuitprobe.cli_help import Command, Group
from circuitprobe.cli_options import (
    ArrayName,
    AuditRows,
    Condition,
    Entry,
    Factory,
    Grid,
    Groups,
    Ignore,
    Imports,
    Levels,
    Pixels,
    Quiet,
    SchemaFile,
    Seed,
    Spec,
    Target,
    Trust,
)
from circuitprobe.streams import say

if TYPE_CHECKING:
    from circuitprobe.report import AuditReport
    from circuitprobe.study.running import Outcome
    from circuitprobe.study.session import Study

FAILED = 1
"""Exit code of a study in which a run has failed."""

study = typer.Typer(
    cls=Group, help="Many models trained and audited, and what they say together.", no_args_is_help=True
)

Executor = Annotated[str, typer.Option(help="local, processes of this machine; or ray, tasks of a cluster.")]
Workers = Annotated[
    int | None, typer.Option(help="Runs at a time; default: as many as there are cores, here or in the cluster.", min=1)
]
Address = Annotated[
    str | None, typer.Option(help="Of a Ray cluster, such as ray://head:10001; default: one on this machine.")
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Runs that have failed are tried again.")]


@study.command("run", cls=Command)
def run(
    out: Annotated[Path, typer.Option("--out", help="Folder of the study; one that is there is gone on with.")],
    archs: Annotated[
        list[str] | None, typer.Option(help="Architectures with commas between; default: all five.")
    ] = None,
    benchmarks: Annotated[
        list[str] | None, typer.Option(help="Benchmarks with commas between; default: all five.")
    ] = None,
    seeds: Annotated[list[str] | None, typer.Option(help="Seeds with commas between; default: 0,1,2.")] = None,
    rows: Annotated[
        int | None, typer.Option(help="Rows audited at most; default: 2,048 of a table, 512 images.", min=2)
    ] = None,
    train_rows: Annotated[
        int | None, typer.Option(help="Train on samples of this many rows; default: all.", min=50)
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(help="Gradient steps of every training; default: those of train, for images 2,000.", min=1),
    ] = None,
    levels: Annotated[
        str | None, typer.Option(help="Levels of the audits; default: 2, from which the findings are.")
    ] = None,
    plan: Annotated[
        Path | None, typer.Option("--study", help="Make the study of this study.toml; no other option of it then.")
    ] = None,
    executor: Executor = "local",
    workers: Workers = None,
    address: Address = None,
    retry_failed: RetryFailed = False,
    quiet: Quiet = False,
) -> None:
    """Train and audit every architecture on every benchmark with every seed: 75 runs, or those asked for.

    May be interrupted at any time; the same command goes on. Exit 1: a run has failed, which its log tells.

    Example: circuitprobe study run --out study --archs vae,beta-vae --benchmarks wine_quality,adult
    """
    from circuitprobe.study.asked import Asked, settled_plan
    from circuitprobe.study.display import study_display
    from circuitprobe.study.executors import executor_named
    from circuitprobe.study.session import run_study

    how = executor_named(executor, workers, address)
    asked = Asked(archs, benchmarks, seeds, rows, train_rows, steps, levels)
    wanted = settled_plan(asked, plan, out)
    try:
        with study_display(quiet=quiet) as watcher:
            made = run_study(out, wanted, how, watcher, retry_failed=retry_failed)
    except KeyboardInterrupt:
        say(f"circuitprobe: finished runs are kept in {out}; the same command goes on", error=True)
        raise
    _tell(made, out, quiet=quiet)


def _tell(made: Study, out: Path, *, quiet: bool) -> None:
    failed = made.outcome.failed
    for name, then, now in made.changed:
        say(f"circuitprobe: the study was begun with {name} {then}, this is {now}", error=True)
    if not quiet:
        whole = len(made.outcome.finished) + len(failed)
        say(f"{len(made.outcome.finished)} of {whole} runs finished: {out}")
        for name, record in failed.items():
            say(f"  {name}: {record.failure.text if record.failure else ''}")
        say(f"next: circuitprobe study report {out}")
    if failed:
        raise typer.Exit(FAILED)


@study.command("report", cls=Command)
def report(
    source: Annotated[Path, typer.Argument(metavar="STUDY", help="Folder of a study, or an archive of it.")],
    json: Annotated[Path | None, typer.Option("--json", help="Write the report here as JSON.")] = None,
    markdown: Annotated[Path | None, typer.Option("--markdown", help="Write it here as Markdown.")] = None,
    figures: Annotated[Path | None, typer.Option("--figures", help="Folder for three figures as SVG.")] = None,
    archive: Annotated[
        Path | None,
        typer.Option(
            help="Write the study here without checkpoints, such as study.tar.xz: the report can be made of it."
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Which of the paper's findings come out in a study: intervals, verdicts, tables, and what it could have shown.

    Example: circuitprobe study report study --json report.json --markdown report.md --figures figures
    """
    from circuitprobe.report.terminal import show
    from circuitprobe.study.reporting import ReportOutputs
    from circuitprobe.study.reporting import report as run

    made = run(source, ReportOutputs(json, markdown, figures, archive))
    if not quiet:
        show(made)


@study.command("audit", cls=Command)
def audit(
    models: Annotated[list[str], typer.Argument(help="Model files or folders, as for circuitprobe audit.")],
    data: Annotated[str, typer.Option("--data", help="Table, images or a benchmark's name; one for all models.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the audits; one that is there is gone on with.")],
    rows: AuditRows = 2048,
    seed: Seed = 0,
    levels: Levels = "1,2,3,4",
    target: Target = None,
    groups: Groups = None,
    schema: SchemaFile = None,
    condition: Condition = None,
    ignore: Ignore = None,
    array: ArrayName = None,
    grid: Grid = None,
    pixels: Pixels = None,
    spec: Spec = None,
    factory: Factory = None,
    trust: Trust = False,
    imports: Imports = None,
    entry: Entry = None,
    truth_rows: Annotated[
        int, typer.Option(help="Images for scores against known factors (dSprites); 0: none.", min=0)
    ] = 0,
    executor: Executor = "local",
    workers: Workers = None,
    address: Address = None,
    retry_failed: RetryFailed = False,
    quiet: Quiet = False,
) -> None:
    """Audit many models on the same rows, side by side: OUT/runs/MODEL/audit.json of each, and a table.

    May be interrupted at any time; the same command goes on, and audits again what has changed. Exit 1: an audit has failed.

    Example: circuitprobe study audit models/*.pt --data data.csv --target income --out audits
    """
    from circuitprobe.options import level_numbers, names
    from circuitprobe.study.audits import audit_jobs, run_audits
    from circuitprobe.study.display import study_display
    from circuitprobe.study.executors import executor_named
    from circuitprobe.study.jobs import AuditOptions, ModelOptions

    how = executor_named(executor, workers, address)
    options = ModelOptions(
        target=target, groups=_text(groups), schema_file=_text(schema), condition=names(condition), ignore=tuple(ignore or ()),
        array=array, grid=grid, pixels=pixels, spec=_text(spec), factory=factory, trust=trust,
        imports=tuple(map(str, imports or ())), entry=entry,
    )  # fmt: skip
    asked = AuditOptions(
        rows=rows, seed=seed, levels=level_numbers(levels), intervention_values=8, resamples=1000, permutations=500,
        truth_rows=truth_rows,
    )  # fmt: skip
    jobs = audit_jobs(models, data, options, asked)
    try:
        with study_display(quiet=quiet) as watcher:
            outcome = run_audits(out, jobs, how, watcher, retry_failed=retry_failed)
    except KeyboardInterrupt:
        say(f"circuitprobe: finished audits are kept in {out}; the same command goes on", error=True)
        raise
    _tell_audits(outcome, out, quiet=quiet)


def _tell_audits(outcome: Outcome, out: Path, *, quiet: bool) -> None:
    from circuitprobe.report import AuditReport
    from circuitprobe.report.terminal import show_parts
    from circuitprobe.study.audits_terminal import render
    from circuitprobe.study.perform import AUDIT
    from circuitprobe.study.store import FINISHED

    if not quiet:
        found: dict[str, AuditReport] = {
            name: AuditReport.from_json(out / FINISHED / name / AUDIT) for name in sorted(outcome.finished)
        }
        show_parts(lambda width: render(found, outcome.failed, width))
    if outcome.failed:
        raise typer.Exit(FAILED)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
