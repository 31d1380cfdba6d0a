"""The order in which names are shown: a report read back from its JSON has its mappings sorted by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from circuitprobe.report.audit_report import AuditReport

Entry = TypeVar("Entry")


def feature_names(report: AuditReport) -> list[str]:
    """The features in the order of the model's dimensions."""
    return [feature.name for feature in report.data.features]


def group_names(report: AuditReport) -> list[str]:
    """The feature groups in the order of their first features."""
    return list(dict.fromkeys(feature.group for feature in report.data.features))


def latent_names(report: AuditReport) -> list[str]:
    """z0, z1, ..., z10."""
    return [latent.name for latent in report.latents]


def ordered(entries: Mapping[str, Entry], names: Sequence[str]) -> dict[str, Entry]:
    """Entries in the order of the names; what they do not name comes last."""
    first = {name: entries[name] for name in names if name in entries}
    return first | {name: entry for name, entry in entries.items() if name not in first}
