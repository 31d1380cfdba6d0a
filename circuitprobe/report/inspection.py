"""What was recognised in a model and its rows, before anything is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from circuitprobe.errors import UsageError
from circuitprobe.report.model import DataReport
from circuitprobe.types import FeatureKind, Link

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from rich.console import Console, ConsoleOptions, RenderableType


@dataclass(frozen=True)
class InspectedFeature:
    """One feature, and the model dimensions that it spans.

    Attributes:
        name: its name.
        kind: how its change is measured.
        dims: model dimensions.
        group: its feature group; None where only the model's own schema is known.
        link: what turns the decoder's output into values or probabilities; None likewise.
    """

    name: str
    kind: FeatureKind
    dims: tuple[int, ...]
    group: str | None
    link: Link | None


@dataclass(frozen=True)
class InspectedSite:
    """One place where activations can be read, and patched where it has units.

    Attributes:
        name: what ``--sites`` calls it.
        half: ``encoder`` or ``decoder``.
        module_class: class name of the module.
        unit_axis: which axis of the tensor counts units; 0 where none does.
        shape: of one row, without the axis that counts rows.
        units: how many.
        default: whether it is audited where nobody chooses.
        chosen: whether it is with the globs that were given.
        reason: why it is or is not by default.
        way: which way the engine patches it; None where it cannot be patched.
        way_reason: why that way.
    """

    name: str
    half: Literal["encoder", "decoder"]
    module_class: str
    unit_axis: int
    shape: tuple[int, ...]
    units: int
    default: bool
    chosen: bool
    reason: str
    way: str | None
    way_reason: str | None


@dataclass(frozen=True)
class Inspection:
    """What ``cp.inspect`` found.

    Attributes:
        source: name of the model.
        class_name: its class.
        latents: d.
        input_width: number of model dimensions.
        parameters: number of weights.
        dtype: of the weights.
        encode: what was taken for the encoder.
        decode: what was taken for the decoder.
        posterior: how the encoder's output was read.
        evidence: what supports that.
        spec: lines of a spec file that says the same; a line that begins with ``#`` is to be completed.
        own_schema: the model's file says itself how a table becomes its input; no spec file is read for it.
        rows: how many rows the model was run on.
        rows_from: where they come from, in words.
        layout: in which order columns became model dimensions; None for arrays and without data.
        data: the rows; None without them.
        features: with their dimensions; of the model's own schema where there are no rows.
        globs: that chose the sites; None: the defaults.
        sites: every tensor that a leaf module of encoder or decoder returns, in execution order.
        scripted: the model is TorchScript, whose modules run no hooks, so that there are no sites.
        prior_only: why there is no encoder, "" where there is one.
        code_columns: columns of the flat code without the condition; d where every latent is one column.
        code_shape: shape of one code; () for a flat one.
        codes: size of the codebook of a discrete code.
        condition_width: last dimensions of a row, given to both halves.
    """

    source: str
    class_name: str
    latents: int
    input_width: int
    parameters: int
    dtype: str
    encode: str
    decode: str
    posterior: str
    evidence: tuple[str, ...]
    spec: tuple[str, ...]
    own_schema: bool
    rows: int
    rows_from: str
    layout: str | None
    data: DataReport | None
    features: tuple[InspectedFeature, ...]
    globs: tuple[str, ...] | None
    sites: tuple[InspectedSite, ...]
    scripted: bool
    prior_only: str = ""
    code_columns: int | None = None
    code_shape: tuple[int, ...] = ()
    codes: int | None = None
    condition_width: int = 0

    def to_frame(self, table: Literal["sites", "features"] = "sites") -> pd.DataFrame:
        """Sites or features as a table, one row each.

        Args:
            table: ``sites``: half, name, module_class, unit_axis, shape, units, default, chosen, reason, way, way_reason;
                ``features``: name, kind, dims, group, link.

        Raises:
            UsageError: there is no such table.
        """
        import pandas as pd

        if table == "sites":
            columns = ["half", "name", "module_class", "unit_axis", "shape", "units", "default", "chosen", "reason"]
            columns += ["way", "way_reason"]
            return pd.DataFrame([[getattr(site, key) for key in columns] for site in self.sites], columns=columns)
        if table == "features":
            columns = ["name", "kind", "dims", "group", "link"]
            rows = [
                [f.name, f.kind.value, f.dims, f.group, None if f.link is None else f.link.value] for f in self.features
            ]
            return pd.DataFrame(rows, columns=columns)
        raise UsageError(f"to_frame({table!r})", expected="sites or features", fix='inspection.to_frame("sites")')

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        from circuitprobe.report.terminal_inspection import render_inspection

        yield from render_inspection(self, options.max_width, unicode=not options.ascii_only)
