"""The command line: parse, call, print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from circuitprobe import __version__
from circuitprobe.cli_gate import baseline, check, compare
from circuitprobe.cli_help import Command, Group
from circuitprobe.cli_options import (
    ArrayName,
    AuditRows,
    Condition,
    Device,
    Entry,
    Factory,
    Grid,
    Groups,
    Ignore,
    Imports,
    Levels,
    Model,
    Pixels,
    Quiet,
    Rows,
    SchemaFile,
    Seed,
    Spec,
    Target,
    Trust,
)
from circuitprobe.cli_study import study
from circuitprobe.streams import say

app = typer.Typer(
    cls=Group,
    name="circuitprobe",
    help="What a variational autoencoder has learned: which latent drives which column, through which units, "
    "and how sure that is.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

benchmarks = typer.Typer(cls=Group, help="The benchmarks: what there is, and as files.", no_args_is_help=True)
app.add_typer(benchmarks, name="data")
app.add_typer(study, name="study")


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Options of the program itself."""
    if version:
        say(f"circuitprobe {__version__}")
        raise typer.Exit


@app.command(cls=Command)
def audit(
    model: Model,
    data: Rows,
    rows: AuditRows = 2048,
    seed: Seed = 0,
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
    device: Device = "cpu",
    levels: Levels = "1,2,3,4",
    sites: Annotated[
        list[str] | None, typer.Option(help="Glob over the sites that level 3 patches (see inspect); may be repeated.")
    ] = None,
    patch_rows: Annotated[
        int | None, typer.Option(help="Rows of levels 3 and 4; default: by what the model costs.", min=2)
    ] = None,
    patch_units: Annotated[
        int | None, typer.Option(help="Receivers per layer and sender; default: by what the model costs.", min=1)
    ] = None,
    truth_rows: Annotated[
        int,
        typer.Option(
            help="Images for MIG, SAP and FactorVAE score at most, where factors are known (dSprites); 0: none.", min=0
        ),
    ] = 15_000,
    dci: Annotated[
        bool,
        typer.Option("--dci", help="DCI too, where the factors of the images are known (dSprites); takes minutes."),
    ] = False,
    memory: Annotated[
        str, typer.Option(help="What activations and results may take, such as 512MiB or 2GiB.")
    ] = "1GiB",
    backend: Annotated[str, typer.Option(help="hooks, or nnsight to run everything through nnsight traces.")] = "hooks",
    chunk: Annotated[
        int | None, typer.Option(help="Rows per run of the model; changes no figure beyond rounding.", min=1)
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the report here as JSON.")] = None,
    quiet: Quiet = False,
) -> None:
    """Audit a VAE on a table or on images: what each latent drives, through which units, and how sure that is.

    Example: circuitprobe audit model.pt data.csv --target income --json audit.json
    """
    from circuitprobe.auditing import audit as run
    from circuitprobe.loading import load
    from circuitprobe.options import backend_name, level_numbers, memory_bytes, names
    from circuitprobe.report.files import check_writable
    from circuitprobe.report.progress import model_output_aside, progress_display
    from circuitprobe.report.terminal import show

    chosen, size, how = level_numbers(levels), memory_bytes(memory), backend_name(backend)
    if json is not None:
        check_writable(json, (model, data, groups, schema, spec, *(imports or ())))
    with progress_display(quiet=quiet) as progress, model_output_aside(quiet=quiet):
        vae = load(
            model, factory=factory, spec=spec, trust=trust, device=device, imports=imports or (), entry=entry,
        )  # fmt: skip
        report = run(
            vae, data, rows=rows, seed=seed, target=target, groups=groups, schema=schema, condition=names(condition), ignore=ignore,
            array=array, grid=grid, pixels=pixels, levels=chosen, sites=sites or None,
            patch_rows=patch_rows, patch_units=patch_units, truth_rows=truth_rows, dci=dci, chunk=chunk, memory=size, backend=how,
            progress=progress,
        )  # fmt: skip
    if json is not None:
        report.to_json(json)
    if not quiet:
        show(report)


for command in (check, baseline, compare):
    app.command(cls=Command)(command)


@app.command(cls=Command)
def train(
    data: Rows,
    out: Annotated[Path, typer.Option("--out", help="Where the checkpoint goes.")],
    arch: Annotated[str, typer.Option(help="vae, beta-vae, factor-vae, beta-tcvae or dip-vae-ii.")] = "vae",
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Passes over the rows; default: 30 and 2,000 steps at least, or 10,000 steps of images.", min=1
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Batches instead of epochs.", min=1)] = None,
    beta: Annotated[
        float | None, typer.Option(help="Weight of the KL term of beta-vae, of the total correlation of beta-tcvae.")
    ] = None,
    gamma: Annotated[float | None, typer.Option(help="Weight of the total correlation of factor-vae.")] = None,
    lambda_od: Annotated[float | None, typer.Option("--lambda", help="Weight of the moments of dip-vae-ii.")] = None,
    latents: Annotated[int, typer.Option(help="Number of latents.", min=1)] = 10,
    batch: Annotated[
        int | None, typer.Option(help="Rows per batch; default: 256 of a table, 64 images.", min=1)
    ] = None,
    lr: Annotated[
        float | None, typer.Option(help="Learning rate; default: 0.001 for tables, 0.0005 for images.")
    ] = None,
    patience: Annotated[
        int,
        typer.Option(
            help="Stop after so many rounds (a fortieth of the steps, at most 1,000) without a better validation loss; 0: never. "
            "factor-vae does all steps.",
            min=0,
        ),
    ] = 10,
    seed: Seed = 0,
    target: Annotated[str | None, typer.Option(help="Label column of a table, never a feature.")] = None,
    schema: SchemaFile = None,
    ignore: Ignore = None,
    array: ArrayName = None,
    rows: Annotated[int | None, typer.Option(help="Train on a sample of this many rows; default: all.", min=50)] = None,
    device: Device = "cpu",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what the same command left when it was interrupted.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Train a reference VAE on a table or on images. Ctrl-C keeps the best weights so far; --resume goes on.

    Example: circuitprobe train adult --arch beta-vae --epochs 5 --out model.pt
    """
    from circuitprobe.reference_models import TrainingInterrupted
    from circuitprobe.reference_models import train as run
    from circuitprobe.reference_models.summary import training_summary
    from circuitprobe.report.progress import training_display

    try:
        with training_display(quiet=quiet) as progress:
            trained = run(
                data, arch=arch, epochs=epochs, steps=steps, beta=beta, gamma=gamma, lambda_od=lambda_od, latents=latents,
                batch=batch, lr=lr, patience=patience, seed=seed, target=target,
                schema=schema, ignore=ignore or (), array=array, rows=rows, device=device, out=out, resume=resume,
                progress=progress,
            )  # fmt: skip
    except TrainingInterrupted as kept:
        say(f"circuitprobe: {kept}", error=True)
        raise
    if not quiet:
        say(training_summary(trained, data, str(out), progress.pace, array))


@app.command(cls=Command)
def schema(
    of: Annotated[
        Literal["audit", "study"], typer.Option(help="Of which JSON: audit --json, or study report --json.")
    ] = "audit",
    out: Annotated[Path | None, typer.Option("--out", help="Write it here instead of printing it.")] = None,
) -> None:
    """Print the JSON Schema of audit reports, or of study reports."""
    import json

    from circuitprobe.report.files import write_atomically

    if of == "audit":
        from circuitprobe.report.audit_report import json_schema
    else:
        from circuitprobe.study.telling.model import json_schema
    text = json.dumps(json_schema(), indent=2, sort_keys=True) + "\n"
    if out is None:
        sys.stdout.write(text)
    else:
        write_atomically(out, lambda handle: handle.write(text.encode("utf-8")))


@app.command(cls=Command)
def inspect(
    model: Model,
    data: Annotated[
        str | None,
        typer.Argument(help="Table, images, or a benchmark's name; without it the model runs on made-up rows."),
    ] = None,
    sites: Annotated[
        list[str] | None, typer.Option(help="Glob over sites, to see what it chooses; may be repeated.")
    ] = None,
    spec: Spec = None,
    factory: Factory = None,
    trust: Trust = False,
    imports: Imports = None,
    entry: Entry = None,
    schema: SchemaFile = None,
    target: Target = None,
    condition: Condition = None,
    ignore: Ignore = None,
    array: ArrayName = None,
    grid: Grid = None,
    pixels: Pixels = None,
    rows: Annotated[int, typer.Option(help="How many rows are read at most.", min=2)] = 2048,
    device: Device = "cpu",
) -> None:
    """Show what was recognised in a model and a table: encoder, decoder, columns, sites, and how to override it.

    Example: circuitprobe inspect model.pt data.csv --sites 'decoder.*'
    """
    from circuitprobe.inspecting import inspect as run
    from circuitprobe.loading import load
    from circuitprobe.options import names
    from circuitprobe.report.progress import model_output_aside, progress_display
    from circuitprobe.report.terminal import show

    with progress_display() as progress, model_output_aside():
        vae = load(
            model, factory=factory, spec=spec, trust=trust, device=device, imports=imports or (), entry=entry,
        )  # fmt: skip
        found = run(
            vae, data, sites=sites or None, target=target, schema=schema, condition=names(condition), ignore=ignore,
            array=array, grid=grid, pixels=pixels, rows=rows, progress=progress,
        )  # fmt: skip
    show(found)


@benchmarks.command("list", cls=Command)
def list_benchmarks() -> None:
    """List the benchmarks: rows, features, targets, feature groups and sources."""
    from circuitprobe.adapters.benchmarks.overview import overviews
    from circuitprobe.report.benchmark_list import BenchmarkList
    from circuitprobe.report.terminal import show

    show(BenchmarkList(overviews()))


@benchmarks.command("export", cls=Command)
def export_benchmark(
    name: Annotated[
        str, typer.Argument(help="adult, default_credit, german_credit, wine_quality or dsprites.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Argument(help="File to write: .csv or .parquet; for dsprites .npz, or .csv of its factors.")
    ],
    rows: Annotated[
        int | None, typer.Option(help="How many rows, drawn as an audit draws them; default: all.", min=2)
    ] = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Write a benchmark to a file, with every column of the published one; an existing file is replaced.

    Example: circuitprobe data export adult adult.csv
    """
    from circuitprobe.exporting import export
    from circuitprobe.report.progress import progress_display

    with progress_display(quiet=quiet) as progress:
        written = export(name, out, rows=rows, seed=seed, progress=progress)
    if not quiet:
        say(str(written))
