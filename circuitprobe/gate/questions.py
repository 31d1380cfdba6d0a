"""From gates to figures: each gate on each figure that it is about, put to the bootstrap."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from circuitprobe.adapters.data.near_names import did_you_mean
from circuitprobe.errors import UsageError
from circuitprobe.gate.comparable import same_rows
from circuitprobe.gate.config import EVERY
from circuitprobe.gate.decide import Kind, Side, Test, drop_test, limit_test
from circuitprobe.gate.matching import Match, match_latents, unit_ratios
from circuitprobe.gate.metrics import ACTIVE, ACTIVE_COUNT, COMPLETENESS, LEAST_KL, MODEL, SIMILARITY, better_of
from circuitprobe.gate.similarity import alike, entries_of, responds, similarity
from circuitprobe.types import Estimate

if TYPE_CHECKING:
    from circuitprobe.gate.config import Gate
    from circuitprobe.gate.snapshot import SeenLatent, Snapshot


@dataclass(frozen=True)
class Question:
    """One condition on one figure, before the correction for all of them.

    Attributes:
        gate: what was asked for.
        kind: which of its conditions.
        match: the latent and its counterpart; None for a figure of the model.
        base: the baseline's figure; None where it is undefined there and not needed.
        new: the new one.
        test: the bootstrap's answer; None where the new figure is undefined or gone, which is a regression.
    """

    gate: Gate
    kind: Kind
    match: Match | None
    base: Estimate | None
    new: Estimate
    test: Test | None


@dataclass(frozen=True)
class Pair:
    """Two audits that can be compared.

    Attributes:
        baseline: the one before.
        new: the one to check.
        matches: which latent is which.
        paired: both drew the same resamples of the same rows.
    """

    baseline: Snapshot
    new: Snapshot
    matches: tuple[Match, ...]
    paired: bool

    @classmethod
    def of(cls, baseline: Snapshot, new: Snapshot) -> Pair:
        """Match the latents of two audits."""
        before, now = baseline.compared, new.compared
        same = alike(baseline, new, unit_ratios(before, now))
        return cls(baseline, new, match_latents(before, now, same), same_rows(before.rows, now.rows))


def questions_of(gate: Gate, pair: Pair, *, optional: bool) -> list[Question]:
    """Every condition of a gate on every figure that it is about.

    Args:
        gate: one gate.
        pair: the audits.
        optional: leave out figures that the baseline lacks, as the default gate does.

    Raises:
        UsageError: the audits lack the figure, or the gate names a latent, feature or group that is not there.
    """
    if gate.metric == ACTIVE_COUNT:
        base, new = (_active_count(side) for side in (pair.baseline, pair.new))
        return list(_asked(gate, None, base, new, paired=pair.paired))
    if not gate.of_latent:
        return _of_model(gate, pair, optional=optional)
    found = _of_latents(gate, pair, optional=optional)
    if not found and not optional:
        raise UsageError(
            f"the gate on {gate.metric} of every latent is about none: the baseline has no active latent with that figure",
            expected="at least one, for else the gate can never fail",
            fix=f"audit another baseline, or leave the gate on {gate.metric} out",
        )
    return found


def _of_model(gate: Gate, pair: Pair, *, optional: bool) -> list[Question]:
    key = gate.metric if gate.metric != COMPLETENESS else f"{COMPLETENESS}:{gate.group}"
    if gate.metric == COMPLETENESS:
        _known(str(gate.group), pair.baseline.compared.groups, "feature group")
    base, new = side_of(pair.baseline, key), side_of(pair.new, key)
    if optional and (base is None or base.figure.value is None):
        return []
    for where, side, needed in (
        ("the baseline", base, gate.max_drop is not None),
        ("the new audit", new, True),
    ):
        if needed and side is None:
            raise _lacks(where, gate.metric, MODEL[gate.metric].needs if gate.metric in MODEL else "level 2")
    if gate.max_drop is not None and base is not None and base.figure.value is None:
        raise _undefined(gate.metric)
    return [] if new is None else list(_asked(gate, None, base, new, paired=pair.paired))


def _of_latents(gate: Gate, pair: Pair, *, optional: bool) -> list[Question]:
    lacking = _not_measured(gate, pair.baseline)
    if lacking and optional:
        return []
    for where, what in (("the baseline", lacking), ("the new audit", _not_measured(gate, pair.new))):
        if what:
            raise _lacks(where, what, "level 2")
    return [question for match in _chosen(gate, pair) for question in _of_match(gate, pair, match)]


def _not_measured(gate: Gate, side: Snapshot) -> str:
    """What an audit would need for figures of single latents and does not have."""
    # KL is known without level 2, but not which latent is which
    if "ces" not in side.compared.figures:
        return f"{gate.metric} of latents"
    # audits before report schema 2.3 have none
    if gate.metric == SIMILARITY and not any(side.details.responses.values()):
        return "responses of latents"
    return ""


def _of_match(gate: Gate, pair: Pair, match: Match) -> list[Question]:
    if gate.metric == ACTIVE:
        return [_still_active(gate, pair, match)]
    base, new = _sides(gate, pair, match)
    if base.figure.value is None and (gate.max_drop is not None or gate.metric == SIMILARITY):
        if gate.latent != EVERY:
            raise _undefined(f"{gate.metric} of {match.baseline}")
        # without a response before there is nothing to be alike
        if gate.metric == SIMILARITY:
            return []
    return list(_asked(gate, match, base, new, paired=pair.paired))


def _still_active(gate: Gate, pair: Pair, match: Match) -> Question:
    """KL against the threshold; for models whose latents have no KL what the audits say."""
    before, now = pair.baseline.compared.latents[match.baseline], _latent(pair.new, match.new)
    if not before.active:
        raise UsageError(
            f"{match.baseline} is not active in the baseline: it cannot stay so",
            expected="a latent that is active in the baseline",
            fix='latent = "*" for all that are',
        )
    with_kl = all(latent is not None and latent.figures["kl"].value is not None for latent in (before, now))
    if with_kl:
        base, new = latent_side(pair.baseline, match.baseline, "kl"), latent_side(pair.new, str(match.new), "kl")
        return Question(gate, "min", match, base.figure, new.figure, limit_test(new, LEAST_KL, "min"))
    base, new = _flag(pair.baseline, before), _flag(pair.new, now)
    return Question(gate, "min", match, base.figure, new.figure, limit_test(new, 1.0, "min"))


def _sides(gate: Gate, pair: Pair, match: Match) -> tuple[Side, Side]:
    """A latent's figure in the baseline and that of its counterpart."""
    if gate.metric == SIMILARITY:
        ratios = unit_ratios(pair.baseline.compared, pair.new.compared)
        before = entries_of(pair.baseline, match.baseline)
        now = None if match.new is None else entries_of(pair.new, match.new, ratios)
        found, drawn = similarity(before, now, pair.new.compared.rows.audited, paired=pair.paired)
        if not responds(before):
            return Side(Estimate(None, None, None, found.n), None), Side(found, drawn)
        return Side(Estimate(1.0, 1.0, 1.0, found.n), None), Side(found, drawn)
    gone = Side(Estimate(None, None, None, pair.new.compared.rows.audited), None)
    new = gone if match.new is None else latent_side(pair.new, match.new, gate.metric)
    return latent_side(pair.baseline, match.baseline, gate.metric), new


def latent_side(snapshot: Snapshot, latent: str, metric: str) -> Side:
    """A figure of one latent."""
    key = f"{metric}:{latent}"
    return Side(snapshot.exact(key, snapshot.compared.latents[latent].figures[metric]), snapshot.kept(key))


def _flag(snapshot: Snapshot, latent: SeenLatent | None) -> Side:
    """1 for an active latent, for models whose latents have no KL; an absent latent is not active."""
    value = float(latent is not None and latent.active)
    return Side(Estimate(value, value, value, snapshot.compared.rows.audited), None)


def side_of(snapshot: Snapshot, key: str) -> Side | None:
    """A figure of the whole model; None where the audit has none."""
    figure = snapshot.compared.figures.get(key)
    return None if figure is None else Side(snapshot.exact(key, figure), snapshot.kept(key))


def _active_count(snapshot: Snapshot) -> Side:
    """How many latents are active: all whose KL is above the threshold, on each resample too where every KL is known."""
    latents = snapshot.compared.latents
    value = float(sum(latent.active for latent in latents.values()))
    drawn = [snapshot.kept(f"kl:{name}") for name in latents]
    kept = None
    if drawn and all(entry is not None and np.isfinite(entry).all() for entry in drawn):
        kept = (np.array(drawn) > LEAST_KL).sum(axis=0).astype(np.float64)
    low, high = (value, value) if kept is None else (float(np.quantile(kept, q)) for q in (0.025, 0.975))
    return Side(Estimate(value, low, high, snapshot.compared.rows.audited), kept)


def _asked(gate: Gate, match: Match | None, base: Side | None, new: Side, *, paired: bool) -> Iterator[Question]:
    """One question per condition of the gate."""
    undefined = new.figure.value is None
    figure = None if base is None else base.figure
    limits: list[tuple[Kind, float]] = []
    if gate.low is not None:
        limits.append(("min", gate.low))
    if gate.high is not None:
        limits.append(("max", gate.high))
    for kind, limit in limits:
        test = None if undefined else limit_test(new, limit, kind)
        yield Question(gate, kind, match, figure, new.figure, test)
    if gate.max_drop is not None and base is not None and base.figure.value is not None:
        tolerance = gate.max_drop.amount * (abs(base.figure.value) if gate.max_drop.relative else 1.0)
        test = None if undefined else drop_test(base, new, tolerance, better_of(gate.metric), paired=paired)
        yield Question(gate, "max_drop", match, figure, new.figure, test)


def _chosen(gate: Gate, pair: Pair) -> list[Match]:
    """The latents that a gate is about, by the baseline's names."""
    latents = pair.baseline.compared.latents
    if gate.latent == EVERY:
        return [match for match in pair.matches if latents[match.baseline].active]
    if gate.latent is not None:
        _known(gate.latent, latents, "latent")
    wanted = gate.latent if gate.latent is not None else latent_for(pair.baseline, str(gate.group))
    return [match for match in pair.matches if match.baseline == wanted]


def latent_for(snapshot: Snapshot, name: str) -> str:
    """The latent that drives a feature, or a feature group: the one that moves it most.

    Raises:
        UsageError: there is no such feature or group, no latent has an effect on it, or effects were not measured.
    """
    compared = snapshot.compared
    if "ces" not in compared.figures:
        raise _lacks("the audit", "effects of latents", "level 2")
    if name == compared.target and name not in compared.features:
        raise UsageError(
            f"{name!r} is the target that the audit predicts, no feature of the model: no latent drives it",
            expected=f"one of {', '.join((*compared.features, *compared.groups))}",
            fix="name a feature or a feature group",
        )
    _known(name, (*compared.features, *compared.groups), "feature or feature group")
    part = "effects" if name in compared.features else "group_effects"
    effects = {latent: getattr(seen, part)[name].value or 0.0 for latent, seen in compared.latents.items()}
    first = max(effects, key=lambda latent: effects[latent])
    if effects[first] == 0.0:
        raise UsageError(
            f"no latent drives {name!r}: none has an effect on it",
            expected="a feature or feature group that the model's latents move",
            fix="name another feature or feature group",
        )
    return first


def _known(name: str, known: Collection[str], what: str) -> None:
    if name not in known:
        fix = did_you_mean(name, known) or "name one of them"
        raise UsageError(f"the audit has no {what} {name!r}", expected=f"one of {', '.join(known)}", fix=fix)


def _latent(snapshot: Snapshot, name: str | None) -> SeenLatent | None:
    return None if name is None else snapshot.compared.latents[name]


def _lacks(where: str, what: str, needs: str) -> UsageError:
    return UsageError(f"{where} has no {what}", expected=f"an audit with {needs}", fix="audit again with that")


def _undefined(what: str) -> UsageError:
    return UsageError(
        f"{what} is undefined in the baseline, so that no drop can be told",
        expected="a figure that the baseline has",
        fix="gate it with min or max, or leave it out",
    )
