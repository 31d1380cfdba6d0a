"""``circuitprobe inspect`` in a terminal: model, columns, sites, and how to override each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from circuitprobe.report.code_words import code_words
from circuitprobe.report.layout import NARROW, add_row, dim, plain_table, section
from circuitprobe.report.words import counted, members_of, number, short
from circuitprobe.text import visible
from circuitprobe.types import Link

if TYPE_CHECKING:
    from circuitprobe.report.inspection import InspectedFeature, InspectedSite, Inspection
    from circuitprobe.report.model import DataReport

MOST_FEATURES = 40
MOST_TRIED = 4


def render_inspection(found: Inspection, width: int, *, unicode: bool = True) -> Iterator[RenderableType]:
    """The parts of an inspection in reading order.

    Args:
        found: what to show.
        width: columns of the terminal.
        unicode: whether letters beyond ASCII can be printed.
    """
    yield _title(found)
    yield from section("Model", _model(found))
    if found.data is not None:
        yield from section("How the rows were read", _data(found, found.data))
    if found.features:
        yield from section("Features", _features(found))
    if found.scripted:
        note = "none: TorchScript runs no hooks, so that no unit can be read or patched; levels 1, 2 and 4 need none"
        yield from section("Sites", Text(note, overflow="fold"))
    for half in ("encoder", "decoder"):
        sites = [site for site in found.sites if site.half == half]
        if sites:
            title = f"Sites of the {half}, in the order in which they run"
            yield from section(title, _sites(found, sites, width, unicode=unicode))
    yield from section("To override", _overriding(found))


def _title(found: Inspection) -> Text:
    title = Text("circuitprobe inspect  ", style="bold")
    title.append(
        visible(f"{short(found.source)} ({found.class_name}, {counted(found.latents, 'latent')})"), style="bold cyan"
    )
    return title


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def _model(found: Inspection) -> Table:
    grid = _grid()
    add_row(grid, "encode", found.encode)
    add_row(grid, "decode", found.decode)
    add_row(grid, "posterior", found.posterior)
    for place, line in enumerate(found.evidence):
        add_row(grid, "seen" if place == 0 else "", line)
    add_row(grid, "latents", f"{found.latents:,}")
    code = code_words(found)
    if code:
        add_row(grid, "code", code)
    add_row(grid, "model dimensions", f"{found.input_width:,}")
    add_row(grid, "weights", f"{found.parameters:,}, {found.dtype}")
    add_row(grid, "run on", found.rows_from)
    return grid


def _data(found: Inspection, data: DataReport) -> Table:
    grid = _grid()
    if data.scaling is not None:
        add_row(grid, "scaling", data.scaling.value)
    if data.image is not None:
        add_row(grid, "stored as", data.image.stored)
        add_row(grid, "given as", f"{data.image.range.value}; {data.image.layout}; output read as {data.image.output}")
        add_row(grid, "patches", f"{data.image.grid[0]} x {data.image.grid[1]}")
    if data.condition:
        add_row(grid, "condition", f"{', '.join(map(short, data.condition))}: given to encoder and decoder, no feature")
    if found.layout is not None:
        add_row(grid, "layout", found.layout)
    # rivals with their error, so that a near tie shows
    unit = " squared from the mean row" if found.prior_only else " of the column means' MSE"
    tried = sorted((entry for entry in data.encodings_tried if entry.mse is not None), key=lambda entry: entry.mse or 0)
    for place, entry in enumerate(tried[:MOST_TRIED]):
        mse = f"{entry.scaling.value}, {entry.layout}: {number(entry.mse)}{unit}"
        head = f"best of {len(data.encodings_tried)} tried" if place == 0 else ""
        add_row(grid, head, mse + (" (taken)" if entry.chosen else ""))
    if data.target is not None:
        add_row(grid, "target", data.target)
    if data.left_out:
        add_row(grid, "left out", "; ".join(f"{short(entry.name)} ({entry.reason})" for entry in data.left_out))
    missing = [f"{short(entry.name)}: {entry.count:,} ({entry.treatment})" for entry in data.missing]
    if missing:
        add_row(grid, "missing values", "; ".join(missing))
    groups = "; ".join(f"{short(name)}: {members_of(members)}" for name, members in data.groups.items())
    add_row(grid, "groups", f"{groups} ({data.groups_from})")
    return grid


def _features(found: Inspection) -> RenderableType:
    grouped = any(feature.group is not None for feature in found.features)
    columns = [("", False), ("kind", False), ("dimensions", False)]
    linked = any(feature.link not in {None, Link.IDENTITY} for feature in found.features)
    columns += [("group", False)] * grouped + [("decoder's output", False)] * linked
    table = plain_table(columns)
    for feature in found.features[:MOST_FEATURES]:
        cells = [short(feature.name), feature.kind.value, _dims(feature)]
        cells += [short(feature.group or "")] * grouped + [_link(feature)] * linked
        add_row(table, *cells)
    parts: list[RenderableType] = [table]
    if len(found.features) > MOST_FEATURES:
        parts.append(dim(f"and {len(found.features) - MOST_FEATURES:,} more; inspection.to_frame('features') has them"))
    if not grouped:
        parts.append(dim("from the model's own schema; with DATA the groups are shown too"))
    return Group(*parts)


def _dims(feature: InspectedFeature) -> str:
    """``3``, ``3-7``, or the first few of scattered ones."""
    dims = feature.dims
    if len(dims) == 1:
        return str(dims[0])
    if dims == tuple(range(dims[0], dims[0] + len(dims))):
        return f"{dims[0]}-{dims[-1]}"
    return ", ".join(map(str, dims[:4])) + (f", ... ({len(dims)})" if len(dims) > 4 else "")


def _link(feature: InspectedFeature) -> str:
    """What is applied to the decoder's output before it is compared."""
    return "as it is" if feature.link in {None, Link.IDENTITY} else str(feature.link)


def _sites(found: Inspection, sites: list[InspectedSite], width: int, *, unicode: bool) -> RenderableType:
    wide, arrow = width >= NARROW, "→" if unicode else "->"
    head = [("site", False), ("module", False), ("one row", True), ("axis", True), ("units", True)]
    last = [("audited", False), ("patched by", False)] if wide else [("audited; patched by", False)]
    table = plain_table([*head, *last])
    for site in sites:
        one_row = ("×" if unicode else "x").join(map(str, site.shape)) or "-"
        axis, units = (str(site.unit_axis), f"{site.units:,}") if site.unit_axis else ("-", "-")
        audited = _audited(found, site)
        way = "-" if site.way is None else f"{site.way}: {site.way_reason}" if site.way_reason else site.way
        cells: list[str | Text] = [site.name, site.module_class, one_row, axis, units]
        cells += (
            [audited, way]
            if wide
            else [Text(visible(audited) + ("" if site.way is None else f"\n{arrow} {visible(way)}"))]
        )
        add_row(table, *cells, style="" if site.chosen else "dim")
    chosen = sum(site.chosen for site in sites)
    how = "by default" if found.globs is None else f"with --sites {' '.join(found.globs)}"
    return Group(table, dim(f"{chosen:,} of {counted(len(sites), 'site')} audited {how}"))


def _audited(found: Inspection, site: InspectedSite) -> str:
    if found.globs is None:
        return f"{'yes' if site.chosen else 'no'}: {site.reason}"
    return f"{'yes' if site.chosen else 'no'} ({'a default' if site.default else 'no default'}: {site.reason})"


def _overriding(found: Inspection) -> RenderableType:
    parts: list[RenderableType] = []
    if found.own_schema:
        parts.append(Text("model: nothing to override, a checkpoint of circuitprobe train says what its parts are"))
    else:
        parts.append(
            Text("model: put this into vae.toml, change what is wrong, and add --spec vae.toml", overflow="fold")
        )
        parts += [
            Text(f"  {visible(line)}", style="dim" if line.startswith("#") else "cyan", overflow="fold")
            for line in found.spec
        ]
        parts.append(
            Text(
                "  in Python: cp.wrap(model, encode=lambda m, x: (mean, log_var), decode=lambda m, z: ...)",
                overflow="fold",
            )
        )
    if found.sites:
        parts.append(
            Text(
                f"sites: --sites '{visible(_example(found))}' chooses what level 3 patches; may be repeated",
                overflow="fold",
            )
        )
    parts.append(
        Text("columns: --schema schema.toml says what they are, --target NAME which one is the label", overflow="fold")
    )
    parts.append(Text("groups: audit with --groups groups.toml", overflow="fold"))
    return Group(*parts)


def _example(found: Inspection) -> str:
    """A pattern that matches something here."""
    decoder = [site for site in found.sites if site.half == "decoder" and site.way is not None] or found.sites
    name = decoder[0].name
    return f"{name.split('.')[0]}.*" if "." in name else name
