"""The report in a terminal: verdict first, then the tables, for any width, with and without colour."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from circuitprobe.console import terminal
from circuitprobe.report.code_words import code_words
from circuitprobe.report.heat import heat_strip
from circuitprobe.report.image_maps import error_map, latent_maps
from circuitprobe.report.layout import NARROW, PLUS_MINUS, add_row, bullet, estimate_text, hanging, plain_table, section
from circuitprobe.report.order import group_names, ordered
from circuitprobe.report.terminal_levels import level_sections
from circuitprobe.report.terminal_map import circuit_map
from circuitprobe.report.terminal_truth import truth_body
from circuitprobe.report.words import drives, interval, joined, measured, members_of, number, percent, short

if TYPE_CHECKING:
    from circuitprobe.report.audit_report import AuditReport
    from circuitprobe.report.model import DataReport, Reconstruction
    from circuitprobe.types import Estimate

_SCORES = (
    ("ces", "CES, all latents", "output change per intervention"),
    ("ces_active", "CES, active latents", "the same, live latents only"),
    ("specificity", "specificity", "1 = each latent moves one column, 0 = all alike"),
    ("fgd", "FGD", "1 = each latent moves one group of columns"),
    ("fgd_adjusted", "FGD above chance", "0 = as if groups were drawn by lot"),
    ("fgc", "FGC", "1 = each group is moved by one latent"),
    ("modularity", "modularity", "1 = latents use different hidden units"),
    ("on_support_rate", "on-support rate", "interventions that stay among known codes"),
    ("ces_prior", "CES, prior scale", "with values from -3 to 3 instead"),
    ("calibration_ratio", "calibration ratio", "above 1: prior scale overstates"),
)


def render(report: AuditReport, width: int, *, unicode: bool = True) -> Iterator[RenderableType]:
    """The parts of the report in reading order.

    Args:
        report: what to show.
        width: columns of the terminal.
        unicode: whether shades and dashes can be printed.
    """
    yield _title(report)
    yield Text()
    yield from _verdict(report, unicode=unicode)
    for warning in report.warnings:
        yield hanging("!" if not unicode else "⚠", warning.message, "yellow")
    if report.downstream is not None:
        auc = report.downstream.auc
        yield hanging(
            bullet(unicode=unicode),
            f"{report.downstream.target} is told from the latents with AUC {interval(auc)} (chance 0.5).",
        )
    yield from section("Scores", _scores(report, width, unicode=unicode))
    yield from section("Latents", _latents(report, width, unicode=unicode))
    maps = latent_maps(report)
    if maps is not None:
        yield from section("What each latent changes in the image (mean change of intensity per patch)", maps)
    strip = heat_strip(report, width, unicode=unicode) if maps is None else None
    if strip is not None:
        yield from section("Effect of each latent on each column (standard deviations, or probability moved)", strip)
    tree = circuit_map(report, width, unicode=unicode)
    if tree is not None:
        title = "Circuit map (what moves each latent, the units that its effect runs through, what it reaches)"
        yield from section(title, tree)
    for title, body in level_sections(report, width, unicode=unicode):
        yield from section(title, body)
    if report.ground_truth is not None:
        truth = report.ground_truth
        title = f"Known factors against latents ({truth.rows_train:,} images to fit on, {truth.rows_test:,} held out)"
        yield from section(title, truth_body(truth, width, unicode=unicode))
    if report.reconstruction is not None:
        drawn = error_map(report) or _reconstruction(report, report.reconstruction, width, unicode=unicode)
        yield from section("Reconstruction", drawn)
    yield from section("What was audited", _facts(report))


def show(report: RenderableType) -> None:
    """Print a report or an inspection on standard output.

    Raises:
        BrokenPipeError: the reader has closed the pipe.
    """
    console = terminal()
    console.print(report)
    console.file.flush()


def show_parts(parts: Callable[[int], Iterable[RenderableType]]) -> None:
    """Print what ``parts`` makes for the width of standard output; see ``show``."""
    console = terminal()
    for part in parts(console.width):
        console.print(part)
    console.file.flush()


def to_html(report: AuditReport) -> str:
    """The report as an HTML fragment with its own colours, for notebooks."""
    console = terminal(record=True, width=110, file=io.StringIO(), force_terminal=True)
    console.print(report)
    return console.export_html(
        inline_styles=True, code_format="<pre style='line-height:1.25;font-family:monospace'>{code}</pre>"
    )


def _title(report: AuditReport) -> Text:
    model, data = report.model, report.data
    title = Text("circuitprobe audit  ", style="bold")
    title.append(
        f"{short(model.source)} ({model.class_name}, {model.latents} latents) on {short(data.source)} ",
        style="bold cyan",
    )
    title.append(
        f"({data.rows_audited:,} of {data.rows_total:,} rows, {len(data.features)} features, seed {report.settings.seed})"
    )
    return title


def _verdict(report: AuditReport, *, unicode: bool) -> Iterator[RenderableType]:
    known = report.reconstruction
    first = "bold" if known is None else "bold green" if known.reconstructs else "bold red"
    for position, line in enumerate(report.verdict):
        yield hanging(bullet(unicode=unicode), line, first if position == 0 else "")


def _scores(report: AuditReport, width: int, *, unicode: bool) -> Table:
    wide = width >= NARROW
    span = "value [95 % interval]" if wide else f"value {PLUS_MINUS[unicode]}95 %"
    table = plain_table(
        [("", False), (span, True), ("chance", True), ("untrained twin", True)] + ([("", False)] if wide else [])
    )
    fgd_p = None if report.scores is None else report.scores.fgd_p
    for name, label, meaning in _SCORES if report.scores is not None else ():
        own: Estimate = getattr(report.scores, name)
        twin = getattr(report.twin.scores, name).value if report.twin.scores else None
        row = [
            label,
            estimate_text(own, width, unicode=unicode),
            "" if own.null is None else number(own.null),
            number(twin),
        ]
        codebook = name == "ces_prior" and report.model.codes is not None
        told = "with indices from the whole codebook instead" if codebook else meaning
        p = f", p = {number(fgd_p)}" if name == "fgd_adjusted" and fgd_p is not None else ""
        add_row(table, *row, *([Text(told + p, style="dim")] if wide else []))
    if report.reconstruction is None:
        return table
    mse = report.reconstruction.mse
    twin_mse = report.twin.mse.value if report.twin.mse else None
    lower = [Text("reconstruction error; lower is better", style="dim")] if wide else []
    add_row(table, "MSE", estimate_text(mse, width, unicode=unicode), number(mse.null), number(twin_mse), *lower)
    return table


def _latents(report: AuditReport, width: int, *, unicode: bool) -> Table:
    """One row per latent, live ones first; where level 2 was not run only what the encoder says of them."""
    wide, known = width >= NARROW, any(measured(latent) for latent in report.latents)
    full = wide and known
    columns = [("", False)] + [("CES", True)] * known + [("specificity", True)] * full
    columns += [("KL", True)] + [("on support", True)] * full + [("drives" if known else "", False)]
    table = plain_table(columns)
    for latent in sorted(report.latents, key=lambda x: (not x.active, -(x.ces.value or 0.0))):
        cells = [latent.name]
        if known:
            cells.append(estimate_text(latent.ces, width, unicode=unicode))
        if full:
            cells.append(estimate_text(latent.specificity, width, unicode=unicode))
        cells.append(number(latent.kl.value, 3 if wide else 2))
        if full:
            cells.append(percent(latent.on_support_rate))
        named = ", ".join(f"{short(name)} {share:.0%}" for name, share in drives(latent)) or "nothing"
        if not known:
            named = "active" if latent.active else "inactive"
        elif not latent.active:
            named = f"inactive ({named})"
        add_row(table, *cells, named, style="" if latent.active else "dim")
    return table


def _reconstruction(report: AuditReport, found: Reconstruction, width: int, *, unicode: bool) -> Table:
    table = plain_table(
        [("", False), ("R² or accuracy" if unicode else "R2 or accuracy", True), ("chance", True), ("kind", False)]
    )
    for feature in report.data.features:
        entry = found.features[feature.name]
        own = entry.r2 or entry.accuracy
        chance = 0.0 if entry.r2 is not None else own.null if own is not None else None
        weak = own is not None and own.value is not None and chance is not None and own.value <= chance
        add_row(
            table,
            feature.name,
            estimate_text(own, width, unicode=unicode),
            number(chance),
            feature.kind.value,
            style="yellow" if weak else "",
        )
    return table


def _image_facts(grid: Table, data: DataReport) -> None:
    image = data.image
    if image is None:
        return
    channels, height, width = image.shape
    add_row(grid, "images", f"{height} x {width}, {channels} channel{'s' * (channels > 1)}; stored as {image.stored}")
    tried = f"; the best of {len(data.encodings_tried)} tried" if len(data.encodings_tried) > 1 else ""
    add_row(grid, "given as", f"{image.range.value}; {image.layout}; output read as {image.output}{tried}")


def _facts(report: AuditReport) -> Table:
    model, data = report.model, report.data
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    encode = "no encoder" if model.prior_only is not None else f"{model.encode} -> {model.posterior}"
    add_row(
        grid,
        "model",
        f"{encode}, {model.decode}; {model.parameters:,} weights, {model.dtype}",
    )
    code = code_words(model)
    if code:
        add_row(grid, "code", code)
    if data.scaling is not None:
        best = next((entry for entry in data.encodings_tried if entry.chosen), None)
        by_place = "columns matched by place, as the model does not name them; "
        tried = f" ({by_place}{best.layout}; the best of {len(data.encodings_tried)} tried)" if best else ""
        add_row(grid, "scaling", f"{data.scaling.value}{tried}")
    if data.image is not None:
        _image_facts(grid, data)
    if data.condition:
        add_row(grid, "condition", f"{joined(data.condition)}: given to encoder and decoder, no feature")
    members = ordered(data.groups, group_names(report))
    groups = "; ".join(f"{short(name)}: {members_of(names)}" for name, names in members.items())
    add_row(grid, "groups", f"{groups} ({data.groups_from})")
    if data.left_out:
        add_row(grid, "left out", "; ".join(f"{short(entry.name)} ({entry.reason})" for entry in data.left_out))
    add_row(grid, "twin", report.twin.how)
    skipped: dict[str | None, list[str]] = {}
    for level in report.levels:
        if not level.run:
            names = skipped.setdefault(level.reason, [])
            names.append(f"{'' if names else 'level '}{level.level} {level.name}")
    for left in report.not_run:
        skipped.setdefault(left.reason, []).append(left.part)
    if skipped:
        why = [", ".join(names) + (f" ({reason})" if reason else "") for reason, names in skipped.items()]
        add_row(grid, "not run", "; ".join(why))
    add_row(grid, "intervals", f"{report.settings.interval}, {report.settings.resamples:,} resamples")
    return grid
