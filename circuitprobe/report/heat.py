"""The effect matrix as a strip of shaded cells: features down, latents across."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from circuitprobe.report.words import plain

if TYPE_CHECKING:
    from circuitprobe.report.audit_report import AuditReport

SHADES = " ░▒▓█"
ASCII_SHADES = " .:*#"
CELL = 5
MOST_FEATURES = 40


def shade(value: float, largest: float, *, unicode: bool = True) -> str:
    """One of five shades, in equal steps from 0 to the largest effect of the matrix."""
    shades = SHADES if unicode else ASCII_SHADES
    if largest <= 0 or value <= 0:
        return shades[0]
    return shades[min(len(shades) - 1, int(value / largest * len(shades)))]


def heat_strip(report: AuditReport, width: int, *, unicode: bool = True) -> Text | None:
    """Live latents across, as many as fit, the strongest first; features down, those moved most where there are many.

    Returns:
        None where no latent is active.
    """
    live = sorted((latent for latent in report.latents if latent.active), key=lambda x: -(x.ces.value or 0.0))
    if not live:
        return None
    names = [feature.name for feature in report.data.features]
    total = {name: sum(latent.effects[name].value or 0.0 for latent in live) for name in names}
    kept = set(sorted(names, key=lambda name: -total[name])[:MOST_FEATURES])
    label = min(max(len(plain(name)) for name in kept), max(8, width // 3))
    shown = live[: max(1, (width - label - 2) // CELL)]
    largest = max((latent.effects[name].value or 0.0) for latent in shown for name in kept)
    strip = Text(no_wrap=True, overflow="crop")
    strip.append(" " * (label + 1) + "".join(f"{latent.name:>{CELL - 1}} " for latent in shown) + "\n", style="dim")
    for name in names:
        if name not in kept:
            continue
        shown_name = plain(name)
        short = shown_name if len(shown_name) <= label else shown_name[: label - 1] + ("…" if unicode else ".")
        strip.append(f"{short:<{label}} ")
        for latent in shown:
            value = latent.effects[name].value or 0.0
            tone = shade(value, largest, unicode=unicode)
            strip.append(
                f" {_figure(value)}{tone}", style="bold" if tone == (SHADES if unicode else ASCII_SHADES)[-1] else ""
            )
        strip.append("\n")
    left = [
        f"{len(live) - len(shown)} weaker latents" if len(shown) < len(live) else "",
        _hidden(len(names) - len(kept)),
    ]
    if any(left):
        strip.append(f"not shown: {', '.join(part for part in left if part)}\n", style="dim")
    strip.rstrip()
    return strip


def _hidden(count: int) -> str:
    return f"{count} features that are moved less" if count else ""


def _figure(value: float) -> str:
    """Three characters: .07, 1.2, 12."""
    if value < 0.995:
        return f"{value:.2f}"[1:]
    return f"{value:.1f}" if value < 9.95 else f"{min(value, 999):3.0f}"
