"""What levels 3 and 4 say, in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from circuitprobe.report.model import AuditWarning
from circuitprobe.report.words import counted, joined, percent, short
from circuitprobe.text import visible

if TYPE_CHECKING:
    from circuitprobe.report.levels import CircuitReport, MediationEntry, MediationLevel, PathLevel, SenderReport
    from circuitprobe.report.model import LatentReport, LevelStatus, ModelReport, NotRun

SIGNIFICANT = 0.05
MOST = 0.5
MORE_THAN_ALL = 1.005


def level_sentences(
    latents: Sequence[LatentReport], paths: PathLevel | None, mediation: MediationLevel | None
) -> tuple[str, ...]:
    """What a reader should know first of levels 3 and 4, for the end of the verdict: a sentence each at most.

    Args:
        latents: all of the audit's, in any order.
        paths: level 3, None where it was not run.
        mediation: level 4, None where it was not run.
    """
    lines = [
        None if paths is None else circuit_sentence(latents, paths),
        None if mediation is None else mediation_sentence(mediation),
    ]
    return tuple(line for line in lines if line is not None)


def by_strength(latents: Sequence[LatentReport]) -> list[LatentReport]:
    """The active latents, largest CES first; in their own order where it is not known."""
    return sorted((latent for latent in latents if latent.active), key=lambda latent: -(latent.ces.value or 0.0))


def live_senders(latents: Sequence[LatentReport], paths: PathLevel) -> list[SenderReport]:
    """The decoder's senders that are active, in the order of ``by_strength``; by total effect where CES is not known."""
    order = {latent.name: latent.ces.value for latent in latents if latent.active}
    live = [sender for sender in paths.decoder if sender.sender in order]

    def strength(sender: SenderReport) -> float:
        ces = order[sender.sender]
        return -((ces if ces is not None else sender.total.value) or 0.0)

    return sorted(live, key=strength)


def circuit_sentence(latents: Sequence[LatentReport], paths: PathLevel) -> str | None:
    """The strongest latent that has a circuit which carries the wanted share, in the layer where it is narrowest."""
    for sender in live_senders(latents, paths):
        whole = [circuit for circuit in sender.circuits if circuit.complete and circuit.size > 0]
        if whole:
            narrowest = min(whole, key=_width)
            return (
                f"{sender.sender}'s effect runs through {narrowest.size:,} of {counted(narrowest.units_in_layer, 'unit')} "
                f"of {narrowest.site} ({percent(narrowest.faithfulness)} of it)."
            )
    return None


def _width(circuit: CircuitReport) -> float:
    return circuit.size / max(1, circuit.units_in_layer)


def significant(mediation: MediationLevel) -> list[MediationEntry]:
    """Entries whose corrected p-value is below 0.05, the largest proportion mediated first, whatever its sign."""
    found = [entry for entry in mediation.entries if entry.p_corrected < SIGNIFICANT]
    return sorted(found, key=lambda entry: -abs(entry.proportion_mediated.value or 0.0))


def mediation_sentence(mediation: MediationLevel) -> str | None:
    """How many mediations are significant, and the strongest between two different groups."""
    total = len(mediation.entries)
    if total == 0:
        return None
    found = significant(mediation)
    if not found:
        return f"Of {counted(total, 'mediation')} none is significant after correction."
    lead = f"Of {counted(total, 'mediation')} {len(found):,} {'is' if len(found) == 1 else 'are'} significant"
    # a large share of next to no effect says little: the pair with the largest effect, and what carries most of it
    positive = [entry for entry in found if (entry.proportion_mediated.value or 0.0) > 0.0]
    between = [entry for entry in positive if entry.treatment != entry.outcome] or positive
    if not between:
        return f"{lead}."
    strongest = max(between, key=lambda entry: (entry.te.value or 0.0, entry.proportion_mediated.value or 0.0))
    amount, share = _amount(strongest.proportion_mediated.value or 0.0)
    return (
        f"{lead}: {amount} of what {short(strongest.treatment)} does to {short(strongest.outcome)} "
        f"passes through {strongest.mediator} ({share})."
    )


def _amount(proportion: float) -> tuple[str, str]:
    if proportion > MORE_THAN_ALL:
        return "all", f"{proportion:.0%}; the rest works against it"
    return "most" if proportion > MOST else "part", f"{proportion:.0%}"


def batch_warnings(independent: bool) -> tuple[AuditWarning, ...]:
    """A warning where the model's output for a row depends on the rows beside it."""
    if independent:
        return ()
    message = (
        "the output for a row depends on the other rows of its batch (batch statistics in eval mode?): all rows were run at once, "
        "and other rows would give other figures"
    )
    return (AuditWarning(code="rows_depend", message=message),)


def not_run_warnings(
    parts: Sequence[NotRun], levels: Sequence[LevelStatus], model: ModelReport
) -> tuple[AuditWarning, ...]:
    """What could not be measured, all parts that share a reason in one sentence."""
    by_reason: dict[str, list[str]] = {}
    for level in levels:
        if not level.run and level.reason is not None and level.reason == model.prior_only:
            by_reason.setdefault(level.reason, []).append(f"level {level.level} ({level.name})")
    for entry in parts:
        by_reason.setdefault(entry.reason, []).append(entry.part)
    return tuple(
        AuditWarning(code="not_run", message=f"not run: {joined(names)}, because {visible(reason)}")
        for reason, names in by_reason.items()
    )
