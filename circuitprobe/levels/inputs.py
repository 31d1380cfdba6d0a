"""Level 1 from runs to estimates (METHOD.md section 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from circuitprobe.interventions.inputs import manipulate
from circuitprobe.report.levels import InputLevel, InputRow
from circuitprobe.stats.bootstrap import mean_estimates

if TYPE_CHECKING:
    from circuitprobe.levels.setting import LevelSetting, Tick


def input_level(setting: LevelSetting, tick: Tick) -> InputLevel:
    """Move every feature and every feature group to its source values.

    Args:
        setting: model, rows and draws.
        tick: called once per feature and group.
    """
    subject = setting.subject
    features = {feature.name: list(feature.dims) for feature in subject.features}
    known = _rows(setting, list(features.values()), tick)
    groups = [subject.group_dims(group) for group in subject.groups]
    # a group of one feature is that feature
    again = {tuple(dims): row for dims, row in zip(features.values(), known, strict=True)}
    wider = [dims for dims in groups if tuple(dims) not in again]
    again |= {tuple(dims): row for dims, row in zip(wider, _rows(setting, wider, tick), strict=True)}
    return InputLevel(
        features=dict(zip(features, known, strict=True)),
        groups={group.name: again[tuple(dims)] for group, dims in zip(subject.groups, groups, strict=True)},
    )


def _rows(setting: LevelSetting, blocks: Sequence[Sequence[int]], tick: Tick) -> list[InputRow]:
    names = setting.latent_names
    rows = []
    for shift, info in manipulate(setting.subject, blocks):
        found = [mean_estimates(setting.resampler, values, setting.memory) for values in (shift, info)]
        rows.append(
            InputRow(shift=dict(zip(names, found[0], strict=True)), info=dict(zip(names, found[1], strict=True)))
        )
        tick()
    return rows
