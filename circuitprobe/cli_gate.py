"""The commands of the gate: check, baseline, compare."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from circuitprobe.cli_options import ArrayName, Device, Entry, Factory, Ignore, Imports, Quiet, SchemaFile, Spec, Trust

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType


def check(
    new: Annotated[str, typer.Argument(help="JSON of the new audit; or, with DATA, the new model.")],
    baseline: Annotated[Path, typer.Option(help="Baseline file, or the JSON of the audit to compare with.")],
    data: Annotated[str | None, typer.Argument(help="What the model is audited on first, as the baseline was.")] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="TOML file with gates; default circuitprobe.toml or pyproject.toml, here or above."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Gates that the rows do not decide fail too.")] = False,
    json: Annotated[Path | None, typer.Option("--json", help="Write the result here as JSON.")] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write it here as JUnit XML.")] = None,
    markdown: Annotated[Path | None, typer.Option("--markdown", help="Write it here as Markdown.")] = None,
    audit_json: Annotated[
        Path | None, typer.Option("--audit-json", help="With DATA: write the new audit here, the next baseline.")
    ] = None,
    spec: Spec = None,
    factory: Factory = None,
    trust: Trust = False,
    imports: Imports = None,
    entry: Entry = None,
    schema: SchemaFile = None,
    ignore: Ignore = None,
    array: ArrayName = None,
    device: Device = "cpu",
    quiet: Quiet = False,
) -> None:
    """Fail the build when a model's circuits got worse: exit 0 pass, 1 regression, 2 wrong input, 3 not comparable.

    Example: circuitprobe check new.json --baseline baseline.json --junit check.xml
    """
    from circuitprobe.checking import DataOptions, Demand, Outputs, check_files, check_model, told_everywhere
    from circuitprobe.checking import workflow_lines as commands
    from circuitprobe.gate.baseline_file import details_path
    from circuitprobe.gate.config import FILES
    from circuitprobe.gate.terminal import render
    from circuitprobe.report.progress import model_output_aside, progress_display

    inputs = (
        new,
        data,
        baseline,
        details_path(baseline),
        *([config] if config else FILES),
        spec,
        schema,
        *(imports or ()),
    )
    outputs, demand = Outputs(json, junit, markdown, audit_json, inputs), Demand(baseline, config, strict)
    with told_everywhere(demand, outputs, say=lambda lines: _print(None, lines)):
        outputs.check()
        if data is None:
            result = check_files(new, demand, outputs)
        else:
            # not above: two files are compared in a moment, torch takes seconds to be imported
            from circuitprobe.loading import load

            with progress_display(quiet=quiet) as progress, model_output_aside(quiet=quiet):
                found = partial(
                    load, new, spec=spec, factory=factory, trust=trust, imports=imports or (), entry=entry,
                    device=device,
                )  # fmt: skip
                how = DataOptions(schema, ignore, array)
                result = check_model(found, new, data, demand, outputs, how, progress)
    _print(None if quiet else lambda width: list(render(result, width)), commands(result))
    raise typer.Exit(result.exit_code)


def baseline(
    audit: Annotated[Path, typer.Argument(help="JSON of an audit with level 2; or a baseline.")],
    out: Annotated[Path, typer.Option("--out", help="Where the baseline goes.")],
    quiet: Quiet = False,
) -> None:
    """Make the baseline of an audit: what is compared, sorted and rounded, so that its changes read well in a pull request.

    Example: circuitprobe baseline audit.json --out baseline.json
    """
    from rich.text import Text

    from circuitprobe.checking import make_baseline
    from circuitprobe.gate.baseline_file import details_path
    from circuitprobe.text import visible

    made = make_baseline(audit, out)
    seen = made.compared
    held = f"{len(seen.figures)} figures of the model, {len(seen.latents)} latents, {seen.rows.audited:,} rows"
    said = f"{out} and {details_path(out).name} beside it: {held}"
    if not quiet:
        _print(lambda _: [Text(visible(said), overflow="fold")])


def compare(
    audits: Annotated[
        list[Path],
        typer.Argument(help="Two or more: JSON of audits, or baselines; the others are compared with the first."),
    ],
) -> None:
    """Audits side by side, latents matched, what changed most first.

    Example: circuitprobe compare old.json new.json
    """
    from circuitprobe.checking import names_apart, read_audits
    from circuitprobe.gate.compare import compare as run
    from circuitprobe.gate.compare_terminal import render

    rows = run(read_audits(audits))
    _print(lambda width: list(render(rows, names_apart(audits), width)))


def _print(parts: Callable[[int], list[RenderableType]] | None, commands: Sequence[str] = ()) -> None:
    """Print workflow commands and a report; a reader that leaves early (``| head``) changes no exit code."""
    from circuitprobe.checking import fence
    from circuitprobe.report.terminal import show_parts
    from circuitprobe.streams import abandon_output, say

    off, on = fence()
    try:
        for line in commands:
            say(line)
        if parts is not None:
            if off:
                say(off)
            try:
                show_parts(parts)
            finally:
                if on:
                    say(on)
    except BrokenPipeError:
        abandon_output()
