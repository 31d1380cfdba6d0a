"""Scores against known factors in a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from circuitprobe.report.layout import NARROW, add_row, dim, estimate_text, plain_table
from circuitprobe.report.order import ordered
from circuitprobe.report.words import number, short

if TYPE_CHECKING:
    from circuitprobe.report.ground_truth import FactorScores, GroundTruth
    from circuitprobe.types import Estimate

_NAMES = {
    "mig": ("MIG", "mutual information: lead of the first latent over the second"),
    "sap": ("SAP", "accuracy of a line: lead of the first latent over the second"),
    "factor_vae": ("FactorVAE score", "the latent that holds still tells which factor does"),
    "disentanglement": ("DCI disentanglement", "1 = each latent serves one factor"),
    "completeness": ("DCI completeness", "1 = each factor is served by one latent"),
    "informativeness": ("DCI informativeness", "accuracy of trees on all latents"),
}


def truth_body(truth: GroundTruth, width: int, *, unicode: bool) -> RenderableType:
    """The scores beside chance and what is reachable, then one row per factor, then what was left out.

    Args:
        truth: the section.
        width: columns of the terminal.
        unicode: whether dashes and signs can be printed.
    """
    return Group(
        _scores(truth, width, unicode=unicode),
        Text(),
        _factors(truth, width, unicode=unicode),
        *map(dim, _notes(truth)),
    )


def _scores(truth: GroundTruth, width: int, *, unicode: bool) -> Table:
    wide = width >= NARROW
    columns = [("", False), ("value", True), ("chance", True), ("reachable", True)]
    table = plain_table(columns + [("", False)] * wide)
    for key, (label, meaning) in _NAMES.items():
        found: Estimate | None = getattr(truth, key, None) or getattr(truth.dci, key, None)
        if found is None:
            continue
        cells = (estimate_text(found, width, unicode=unicode), number(found.null))
        most = number(getattr(truth.ceilings, key, 1.0))
        add_row(table, label, *cells, most, *([Text(meaning, style="dim")] if wide else []))
    return table


def _factors(truth: GroundTruth, width: int, *, unicode: bool) -> Table:
    wide, trees = width >= NARROW, truth.dci is not None
    columns = [("factor", False), ("values", True), ("MIG", True), ("by", False), ("SAP", True), ("by", False)]
    columns += [("trees right", True)] * (wide and trees) + [("votes of" if wide else "votes", False)]
    table = plain_table(columns)
    table.columns[0].no_wrap = True
    for name, factor in ordered(truth.factors, truth.names).items():
        mig, sap = (
            estimate_text(e, width, unicode=unicode) if wide else number(e.value, 2) for e in (factor.mig, factor.sap)
        )
        figures = (f"{factor.classes:,}", mig, _who(factor.mig_first, truth), sap, _who(factor.sap_first, truth))
        told = [_told(factor, width, unicode=unicode)] * (wide and trees)
        add_row(table, short(name), *figures, *told, ", ".join(factor.voted) or "none")
    return table


def _told(factor: FactorScores, width: int, *, unicode: bool) -> str:
    return estimate_text(factor.informativeness, width, unicode=unicode)


def _who(latent: str, truth: GroundTruth) -> str:
    """The latent that is ahead; in brackets where it is dead, so that a lead of it says little."""
    return f"({latent})" if latent in truth.dead else latent


def _notes(truth: GroundTruth) -> Iterator[str]:
    yield (
        "chance: the same images with their codes exchanged; reachable: what the factors themselves score as the code. "
        "Beside MIG and SAP the latent that is ahead; votes: latents that stand for the factor in the FactorVAE score"
    )
    if truth.dead:
        yield f"dead latents (standard deviation below 0.05): {', '.join(truth.dead)}"
    for entry in truth.left_out:
        yield f"no score on {short(entry.name)}: {entry.reason}"
    if truth.dci is None:
        yield "DCI takes minutes: --dci (dci=True in Python)"
