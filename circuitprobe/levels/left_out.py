"""Parts of an audit, beside whole levels, that a model does not allow, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from circuitprobe.report.model import NotRun

if TYPE_CHECKING:
    from circuitprobe.levels.chosen import Chosen
    from circuitprobe.levels.setting import LevelSetting


def not_run(setting: LevelSetting, chosen: Chosen, others: Mapping[str, str]) -> tuple[NotRun, ...]:
    """What was asked for and could not be run.

    Args:
        setting: model, rows and draws.
        chosen: what was asked for.
        others: further parts with their reasons; "" where a part was run or not asked for.
    """
    reason = setting.subject.vae.prior_only
    parts: dict[str, str] = {}
    if reason:
        parts["reconstruction"] = reason
        if 3 in chosen.levels:
            parts["encoder units and paths of level 3"] = reason
    if 2 in chosen.levels:
        parts["on-support rate"] = setting.support.why_not
    return tuple(NotRun(part=part, reason=why) for part, why in {**parts, **others}.items() if why)
