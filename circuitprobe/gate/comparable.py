"""Whether two audits can be compared at all, and whether pairwise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from circuitprobe.errors import CircuitProbeError

if TYPE_CHECKING:
    from circuitprobe.gate.snapshot import Compared, SeenFeature, SeenRows

RENEW = (
    "audit the baseline's model on the new rows, then circuitprobe baseline audit.json --out BASELINE; or, where the change is "
    "meant, circuitprobe baseline NEW --out BASELINE"
)
GROUP = "the feature group"
REGROUP = (
    "circuitprobe check MODEL DATA, which takes the baseline's groups; or audit with --groups FILE on both sides (clustered groups "
    "may differ between samples of rows)"
)
OTHER_SPREAD = 2.0
"""Effects count in standard deviations of a column: where these differ by this factor for certain, the rows are of another
population. One outlier more or less can change that of a column with heavy tails as much by chance."""
DRIFTED_SPREAD = 1.25
ROUNDING = 1e-9


class NotComparable(CircuitProbeError):  # noqa: N818 - an outcome with an exit code of its own
    """Two audits that measure different things."""

    exit_code = 3


def check_comparable(baseline: Compared, new: Compared) -> None:
    """Refuse audits of another method, other features, groups or settings, or rows of another population.

    Raises:
        NotComparable: which of them, both sides shown.
    """
    for what, before, now in _differences(baseline, new):
        raise NotComparable(
            f"the audits are not comparable: {what}: {now} against {before} in the baseline",
            expected="the same method version, features, groups, settings and kind of rows on both sides",
            fix=REGROUP if what.startswith(GROUP) else RENEW,
        )


def same_rows(baseline: SeenRows, new: SeenRows) -> bool:
    """Whether both audits drew the same resamples of the same rows."""
    return (baseline.sha256, baseline.seed, baseline.audited) == (new.sha256, new.seed, new.audited)


def drifted(baseline: Compared, new: Compared) -> Iterator[str]:
    """Columns that spread differently in the new rows, although not so much that nothing can be compared."""
    ratios = [(name, float(np.exp(ratio))) for name, ratio, _ in _spreads(baseline, new)]
    told = [f"{name} {r:.2g} times" for name, r in ratios if not 1 / DRIFTED_SPREAD <= r <= DRIFTED_SPREAD]
    if told:
        yield (
            f"standard deviations in the new rows against the baseline's: {_some(told)} as large; effects are divided by them, "
            "so that figures differ for that alone"
        )


def _differences(baseline: Compared, new: Compared) -> Iterator[tuple[str, str, str]]:
    if baseline.method_version != new.method_version:
        yield "method version", baseline.method_version, new.method_version
    yield from _other_features(baseline, new)
    for name in sorted({*baseline.groups, *new.groups}):
        a, b = sorted(baseline.groups.get(name, ())), sorted(new.groups.get(name, ()))
        if a != b:
            yield f"{GROUP} {name}", ", ".join(a) or "no such group", ", ".join(b) or "no such group"
    for name in ("intervention_values", "values_from", "grid"):
        before, now = getattr(baseline.rows, name), getattr(new.rows, name)
        if before != now:
            yield name.replace("_", " "), str(before), str(now)
    if baseline.condition != new.condition:
        yield "conditions", ", ".join(baseline.condition) or "none", ", ".join(new.condition) or "none"
    if baseline.target != new.target and None not in (baseline.target, new.target):
        yield "the target", str(baseline.target), str(new.target)
    for name, ratio, half in _spreads(baseline, new):
        if abs(ratio) - half > np.log(OTHER_SPREAD) + ROUNDING:
            yield f"rows, the standard deviation of {name}", "1", f"{np.exp(ratio):.3g} times as large"


def _other_features(baseline: Compared, new: Compared) -> Iterator[tuple[str, str, str]]:
    gone = [name for name in baseline.features if name not in new.features]
    more = [name for name in new.features if name not in baseline.features]
    if gone or more:
        yield "features", _some(gone), _some(more)
    for name in sorted(set(baseline.features) & set(new.features)):
        before, now = baseline.features[name].kind, new.features[name].kind
        if before != now:
            yield f"the kind of {name}", before.value, now.value


def _some(names: list[str]) -> str:
    if not names:
        return "none but the common ones"
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _spreads(baseline: Compared, new: Compared) -> Iterator[tuple[str, float, float]]:
    """Columns with the logarithm of the ratio of their standard deviations in raw units, and half its 95 % interval."""
    for name, before in baseline.features.items():
        now = new.features.get(name)
        if now is not None and before.spread and now.spread:
            yield name, float(np.log(now.spread / before.spread)), float(np.hypot(_half(before), _half(now)))


def _half(feature: SeenFeature) -> float:
    """Half the interval of the logarithm of a standard deviation; 0 where none is known."""
    if not feature.spread_low or not feature.spread_high:
        return 0.0
    return float(np.log(feature.spread_high / feature.spread_low) / 2.0)
