"""The results as text: a line per task in the terminal, a table in RESULTS.md."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence

from benchmarks.timing import Row, Spread

CONTENDERS = ("with preparation", "nnsight", "pyvene", "captum", "plain hooks", "limit")
# what the project asks for: (case, task) -> least ratio to nnsight; to pyvene twice that
TARGETS = {
    ("MLP, 256 rows", "unit patching"): 4.0,
    ("MLP, 256 rows", "path patching"): 7.0,
    ("MLP, 256 rows", "mediation"): 6.0,
    ("MLP, 16 rows", "unit patching"): 15.0,
    ("conv, 64 rows", "unit patching"): 3.0,
    ("conv, 64 rows", "path patching"): 3.0,
    ("conv, 64 rows", "mediation"): 3.0,
}


def line(row: Row) -> str:
    """One line for the terminal."""
    told = "  ".join(f"{name} {_spread(row.ratios[name])}" for name in CONTENDERS if name in row.ratios)
    worst = max(row.difference.values(), default=0.0)
    return (
        f"{row.case}, {row.task}: {row.interventions:,} interventions in {row.seconds.median:.3f} s; {told}; "
        f"effects differ by {worst:.0e} at most ({row.rounds} rounds)"
    )


def render(
    rows: Sequence[Row],
    missing: Sequence[str],
    versions: Mapping[str, str],
    clock: str = "time",
    sections: Sequence[str] = (),
) -> str:
    """RESULTS.md; further sections go before the notes."""
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    parts = [
        "# Benchmarks",
        f"Written by `make bench`. Each figure is a contender's {clock} divided by circuitprobe's in the same round: "
        "the median over rounds [least, largest]. Above 1, circuitprobe is faster.",
        f"One process, one thread, contenders interleaved in rotating order. Python {platform.python_version()}, {named}. "
        "Exact effects everywhere; before timing, all contenders' figures are compared on the units that all of them ran.",
        *missing,
        _table(rows),
        "## Against the targets",
        _targets(rows),
        *sections,
        "## What is timed",
        NOTES,
    ]
    return "\n\n".join(parts) + "\n"


def _table(rows: Sequence[Row]) -> str:
    head = [
        "on",
        "task",
        "interventions",
        "circuitprobe",
        *CONTENDERS,
        "largest difference",
        "rounds",
        "share run one by one",
    ]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [
            row.case,
            row.task,
            f"{row.interventions:,}",
            f"{row.seconds.median:.3g} s",
            *(_spread(row.ratios[name]) if name in row.ratios else "" for name in CONTENDERS),
            f"{max(row.difference.values(), default=0.0):.0e}",
            str(row.rounds),
            "all" if row.share == 1 else f"1 in {1 / row.share:.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _targets(rows: Sequence[Row]) -> str:
    lines = ["| on | task | against | at least | measured | met |", "|---|---|---|---|---|---|"]
    for row in rows:
        least = TARGETS.get((row.case, row.task))
        wanted = {"nnsight": least, "pyvene": 2 * least} if least else {}
        for name, bound in {**wanted, "plain hooks": 1.0}.items():
            if name in row.ratios:
                met = "yes" if row.ratios[name].median >= bound else "no"
                lines.append(
                    f"| {row.case} | {row.task} | {name} | {bound:g} | {row.ratios[name].median:.3g} | {met} |"
                )
    return "\n".join(lines)


def _spread(spread: Spread) -> str:
    return f"{spread.median:.2f} [{spread.low:.2f}, {spread.high:.2f}]"


NOTES = """\
- Models: an MLP VAE, encoder 64-256-256-(10, 10), decoder 10-256-256-64, ReLU, linear output; the standard VAE for 64 x 64
  images, encoder convolutions 4 x 4 of stride 2 (1-32-32-64-64), fully connected 1024-256-(10, 10), decoder its mirror image
  with a sigmoid at the end. Float32. Weights are seeded draws, rescaled so that every layer's output varies with standard
  deviation 1; about half of the units are off on any row, and on a quarter to two fifths of the rows a unit is off in both runs.
- Units: on the MLP all 512 of the decoder's hidden layers; on the conv net the 256 of its first fully connected layer and all
  128 channels of the hidden transposed convolutions, 384 in all (the fully connected layer of 1024 is left out).
- Tasks: the latent sweep sets each of 10 latents to 8 values. Unit patching gives each unit its value on another row (one
  derangement, given). Path patching is latent -> unit -> output, three latents on the MLP, one on 2,048 rows and on the conv
  net. Mediation is latent -> unit -> output for the same latents with NIE, NDE, interaction and mediated share. Mediation of
  groups is group -> latent -> group with groups of 8 columns; its bootstrap tests are circuitprobe's for all contenders, and
  take most of the time.
- Features: columns of the MLP in units of s_f; on images the 64 patches of an 8 x 8 grid, mean change over a patch.
- nnsight: the decoder is wrapped once, one trace per intervention; a path holds the receiver's layer at its baseline but for
  the unit. pyvene: IntervenableModel with VanillaIntervention, base and source given as inputs, so that the source is run
  again for each intervention, as in its tutorials. captum: LayerFeatureAblation, other runs' activations as layer baselines,
  as many perturbations at once as keep the widest activation near 2 MB. Plain hooks: one forward hook, one intervention at a
  time, the whole decoder. pyvene and captum have nothing to do where latents are set, and are left out there.
- All of these share the code that measures; it is vectorised over stacks of outputs, and the runs that values come from are
  made once per task.
- The limit: the bare layers after the patched one, on stacked input of about 2 MB, nothing patched and nothing measured. A
  figure below 1 says how much of circuitprobe's time is more than that; above 1, circuitprobe does less arithmetic than
  running the layers.
- Where contenders ran only a share of the interventions (last column: every k-th unit of each layer), their time beyond the
  shared runs is multiplied by k. circuitprobe ran all of them."""
