"""The report in a terminal: verdict first, then the tables, for any width, with and without colour."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from circuitprobe.report.heat import heat_strip
from circuitprobe.report.words import drives, interval, number, plain, short

if TYPE_CHECKING:
    from circuitprobe.report.audit_report import AuditReport
    from circuitprobe.types import Estimate

NARROW = 90

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
        yield _hanging("!" if not unicode else "⚠", warning.message, "yellow")
    if report.downstream is not None:
        auc = report.downstream.auc
        yield _hanging(
            _bullet(unicode=unicode),
            f"{report.downstream.target} is told from the latents with AUC {interval(auc)} (chance 0.5).",
        )
    yield from _section("Scores", _scores(report, width, unicode=unicode))
    yield from _section("Latents", _latents(report, width, unicode=unicode))
    strip = heat_strip(report, width, unicode=unicode)
    if strip is not None:
        yield from _section("Effect of each latent on each column (standard deviations, or probability moved)", strip)
    yield from _section("Reconstruction", _reconstruction(report, width, unicode=unicode))
    yield from _section("What was audited", _facts(report))


class _PipedConsole(Console):
    """Leaves a reader that stops early (``| head``) to the caller; rich would end the process with code 1."""

    def on_broken_pipe(self) -> None:
        """Tell the caller."""
        raise BrokenPipeError


def show(report: AuditReport) -> None:
    """Print the report on standard output.

    Raises:
        BrokenPipeError: the reader has closed the pipe.
    """
    console = _PipedConsole(highlight=False)
    console.print(report)
    console.file.flush()


def to_html(report: AuditReport) -> str:
    """The report as an HTML fragment with its own colours, for notebooks."""
    console = Console(record=True, width=110, file=io.StringIO(), force_terminal=True)
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


def _bullet(*, unicode: bool) -> str:
    return "•" if unicode else "*"


def _verdict(report: AuditReport, *, unicode: bool) -> Iterator[RenderableType]:
    for position, line in enumerate(report.verdict):
        style = ("bold green" if report.reconstruction.reconstructs else "bold red") if position == 0 else ""
        yield _hanging(_bullet(unicode=unicode), line, style)


def _hanging(mark: str, text: str, style: str = "") -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(mark, style=style), Text(plain(text), style=style))
    return grid


def _section(title: str, body: RenderableType) -> Iterator[RenderableType]:
    yield Text()
    yield Text(title, style="bold")
    yield Padding(body, (0, 0, 0, 1))


def _table(columns: Sequence[tuple[str, bool]]) -> Table:
    """A table without lines; a column is (header, figures or not)."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    for header, figures in columns:
        table.add_column(header, justify="right" if figures else "left", no_wrap=figures, overflow="fold")
    return table


_PLUS_MINUS = {True: "±", False: "+-"}


def _add(table: Table, *cells: str | Text, style: str = "") -> None:
    """A row of cells taken literally: names from a user's table are no markup."""
    table.add_row(*(Text(plain(cell)) if isinstance(cell, str) else cell for cell in cells), style=style)


def _show(e: Estimate | None, width: int, *, unicode: bool) -> str:
    """An estimate as wide as the terminal allows: with its interval, or with half its length."""
    if e is None:
        return ""
    if width >= NARROW or e.value is None or e.low is None or e.high is None:
        return interval(e)
    return f"{number(e.value)} {_PLUS_MINUS[unicode]}{number((e.high - e.low) / 2, 1)}"


def _scores(report: AuditReport, width: int, *, unicode: bool) -> Table:
    wide = width >= NARROW
    span = "value [95 % interval]" if wide else f"value {_PLUS_MINUS[unicode]}95 %"
    table = _table(
        [("", False), (span, True), ("chance", True), ("untrained twin", True)] + ([("", False)] if wide else [])
    )
    for name, label, meaning in _SCORES:
        own: Estimate = getattr(report.scores, name)
        twin = getattr(report.twin.scores, name).value if report.twin.scores else None
        row = [label, _show(own, width, unicode=unicode), "" if own.null is None else number(own.null), number(twin)]
        p = f", p = {number(report.scores.fgd_p)}" if name == "fgd_adjusted" and report.scores.fgd_p is not None else ""
        _add(table, *row, *([Text(meaning + p, style="dim")] if wide else []))
    mse = report.reconstruction.mse
    twin_mse = report.twin.mse.value if report.twin.mse else None
    lower = [Text("reconstruction error; lower is better", style="dim")] if wide else []
    _add(table, "MSE", _show(mse, width, unicode=unicode), number(mse.null), number(twin_mse), *lower)
    return table


def _latents(report: AuditReport, width: int, *, unicode: bool) -> Table:
    wide = width >= NARROW
    columns = [("", False), ("CES", True), ("specificity", True), ("KL", True), ("on support", True), ("drives", False)]
    table = _table(columns if wide else [columns[0], columns[1], columns[3], columns[5]])
    for latent in sorted(report.latents, key=lambda x: (not x.active, -(x.ces.value or 0.0))):
        named = ", ".join(f"{short(name)} {share:.0%}" for name, share in drives(latent)) or "nothing"
        cells = [latent.name, _show(latent.ces, width, unicode=unicode)]
        if wide:
            cells += [
                _show(latent.specificity, width, unicode=unicode),
                number(latent.kl.value),
                _percent(latent.on_support_rate),
            ]
        else:
            cells += [number(latent.kl.value, 2)]
        _add(table, *cells, named if latent.active else f"inactive ({named})", style="" if latent.active else "dim")
    return table


def _percent(e: Estimate) -> str:
    return "-" if e.value is None else f"{e.value:.0%}"


def _reconstruction(report: AuditReport, width: int, *, unicode: bool) -> Table:
    table = _table(
        [("", False), ("R² or accuracy" if unicode else "R2 or accuracy", True), ("chance", True), ("kind", False)]
    )
    for feature in report.data.features:
        entry = report.reconstruction.features[feature.name]
        shown = entry.r2 or entry.accuracy
        chance = 0.0 if entry.r2 is not None else shown.null if shown is not None else None
        weak = shown is not None and shown.value is not None and chance is not None and shown.value <= chance
        _add(
            table,
            feature.name,
            _show(shown, width, unicode=unicode),
            number(chance),
            feature.kind.value,
            style="yellow" if weak else "",
        )
    return table


def _facts(report: AuditReport) -> Table:
    model, data = report.model, report.data
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(
        "model", f"{model.encode} -> {model.posterior}, {model.decode}; {model.parameters:,} weights, {model.dtype}"
    )
    if data.scaling is not None:
        best = next((entry for entry in data.encodings_tried if entry.chosen), None)
        by_place = "columns matched by place, as the model does not name them; "
        tried = f" ({by_place}{best.layout}; the best of {len(data.encodings_tried)} tried)" if best else ""
        _add(grid, "scaling", f"{data.scaling.value}{tried}")
    groups = "; ".join(f"{short(name)}: {', '.join(map(short, members))}" for name, members in data.groups.items())
    _add(grid, "groups", f"{groups} ({data.groups_from})")
    if data.left_out:
        _add(grid, "left out", "; ".join(f"{short(entry.name)} ({entry.reason})" for entry in data.left_out))
    _add(grid, "twin", report.twin.how)
    skipped = [f"{level.level} {level.name}" for level in report.levels if not level.run]
    if skipped:
        reasons = {level.reason for level in report.levels if level.reason}
        _add(grid, "not run", f"level {', '.join(skipped)} ({'; '.join(sorted(reasons))})")
    _add(grid, "intervals", f"{report.settings.interval}, {report.settings.resamples:,} resamples")
    return grid
