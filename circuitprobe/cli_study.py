"""The commands of studies: run, report, audit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from circuitprobe.cli_options import Quiet

if TYPE_CHECKING:
    from circuitprobe.study.session import Study

FAILED = 1
"""Exit code of a study in which a run has failed."""

study = typer.Typer(help="Many models trained and audited, and what they say together.", no_args_is_help=True)

Executor = Annotated[str, typer.Option(help="local, processes of this machine; or ray, tasks of a cluster.")]
Workers = Annotated[
    int | None, typer.Option(help="Runs at a time; default: as many as there are cores, here or in the cluster.", min=1)
]
Address = Annotated[
    str | None, typer.Option(help="Of a Ray cluster, such as ray://head:10001; default: one on this machine.")
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Runs that have failed are tried again.")]


@study.command("run")
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
        typer.echo(f"circuitprobe: finished runs are kept in {out}; the same command goes on", err=True)
        raise
    _tell(made, out, quiet=quiet)


def _tell(made: Study, out: Path, *, quiet: bool) -> None:
    failed = made.outcome.failed
    for name, then, now in made.changed:
        typer.echo(f"circuitprobe: the study was begun with {name} {then}, this is {now}", err=True)
    if not quiet:
        whole = len(made.outcome.finished) + len(failed)
        typer.echo(f"{len(made.outcome.finished)} of {whole} runs finished: {out}")
        for name, record in failed.items():
            typer.echo(f"  {name}: {record.failure.text if record.failure else ''}")
        typer.echo(f"next: circuitprobe study report {out}")
    if failed:
        raise typer.Exit(FAILED)
