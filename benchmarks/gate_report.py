"""GATE.md: both error rates of the default gate, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from statsmodels.stats.proportion import proportion_confint

from circuitprobe.gate.config import DEFAULT
from circuitprobe.gate.words import gate_words

Kind = Literal["other rows", "retrained", "shrunk", "collapsed", "ignored", "rotated", "untrained", "fresh seed"]

WORSE: dict[Kind, str] = {
    "shrunk": "the decoder's weights of one latent halved",
    "collapsed": "one latent's posterior is the prior",
    "ignored": "the same, and the decoder does not listen to it",
    "rotated": "two latents mixed by a rotation of 45 degrees",
    "untrained": "the architecture with fresh weights",
}
SAME: dict[Kind, str] = {
    "other rows": "the model, latents permuted and flipped, on rows that the baseline did not see",
    "retrained": "trained on from its weights on a bootstrap sample of the table, latents permuted and flipped",
}


@dataclass(frozen=True)
class Outcome:
    """One pair and what the default gate made of it.

    Attributes:
        kind: of pair.
        subject: the model.
        same_rows: paired bootstrap.
        failed: exit code 1.
        inconclusive: gates that were not decided.
        gates: all gates.
        named: a regression is about a latent that was changed.
        what: messages of the regressions.
        latents: what was changed.
    """

    kind: Kind
    subject: str
    same_rows: bool
    failed: bool
    inconclusive: int
    gates: int
    named: bool
    what: tuple[str, ...]
    latents: tuple[int, ...]

    @property
    def line(self) -> str:
        """For the terminal."""
        rows = "same rows" if self.same_rows else "other rows"
        told = f"; {self.what[0]}" if self.what else ""
        return f"{self.kind} {self.latents or ''} {self.subject}, {rows}: {'fails' if self.failed else 'passes'}{told}"


def report(outcomes: Sequence[Outcome], night: str) -> str:
    """The page.

    Args:
        outcomes: of all pairs.
        night: what a retraining was, in words.
    """
    null = [o for o in outcomes if o.kind in SAME]
    parts = [
        "# Error rates of the default gate",
        "Written by `python -m benchmarks.gate`: the five example models on Adult and a VAE trained for the default budget on each "
        "other table; 2,048 rows an audit, half of a smaller table. Intervals are 95 % Clopper-Pearson.",
        f"The default gate: {', '.join(_words())}. A regression fails, an inconclusive gate does not.",
        "## False alarms",
        f"Pairs that did not get worse: {_rate(null)} fail.",
        _table(outcomes, SAME, "fails", lambda o: o.failed),
        f"Retrained: {night}, a new seed each time; every other one audited on the baseline's rows (paired bootstrap).",
        *_told("What failed", [o for o in null if o.failed]),
        "## Misses",
        "Every active latent of every model, every third pair of them for rotations; every other case on the baseline's rows.",
        _table(outcomes, WORSE, "fails, naming a changed latent", lambda o: o.failed and o.named),
        *_told("What was missed or not named", [o for o in outcomes if o.kind in WORSE and not (o.failed and o.named)]),
        "## What the gate does not forgive",
        _fresh([o for o in outcomes if o.kind == "fresh seed"]),
    ]
    return "\n\n".join(parts) + "\n"


def _words() -> list[str]:
    said = []
    for gate in DEFAULT:
        limit = "" if gate.low is None else f" at least {gate.low:g}"
        if gate.max_drop is not None:
            limit = f" worse by {gate.max_drop.words} at most"
        said.append(gate_words(gate) + limit)
    return said


def _rate(outcomes: Sequence[Outcome]) -> str:
    failed = sum(outcome.failed for outcome in outcomes)
    return _share(failed, len(outcomes))


def _share(count: int, of: int) -> str:
    if not of:
        return "none tried"
    low, high = proportion_confint(count, of, method="beta")
    return f"{count} of {of} ({count / of:.1%} [{low:.1%}, {high:.1%}])"


def _table(
    outcomes: Sequence[Outcome], kinds: Mapping[Kind, str], column: str, counts: Callable[[Outcome], bool]
) -> str:
    lines = [f"| pair | {column} | gates left undecided |", "|---|---|---|"]
    for kind, words in kinds.items():
        mine = [outcome for outcome in outcomes if outcome.kind == kind]
        undecided = sum(o.inconclusive for o in mine), sum(o.gates for o in mine)
        lines.append(
            f"| {kind}: {words} | {_share(sum(counts(o) for o in mine), len(mine))} | {undecided[0]} of {undecided[1]:,} |"
        )
    return "\n".join(lines)


def _told(title: str, outcomes: Sequence[Outcome]) -> list[str]:
    if not outcomes:
        return []
    lines = [f"{title}:", ""]
    for outcome in outcomes:
        latents = f" z{', z'.join(map(str, outcome.latents))}" if outcome.latents else ""
        lines.append(f"- {outcome.subject}, {outcome.kind}{latents}: {'; '.join(outcome.what) or 'nothing'}")
    return ["\n".join(lines)]


def _fresh(outcomes: Sequence[Outcome]) -> str:
    if not outcomes:
        return "Not tried."
    about = sum("similarity" in message for outcome in outcomes for message in outcome.what)
    every = sum(len(outcome.what) for outcome in outcomes)
    return (
        f"Trainings of wine_quality from fresh seeds: {_rate(outcomes)} fail, {about} of their {every} regressions in similarity. "
        "Latents of two such trainings are mixtures of each other: the models reconstruct alike, but a latent that did one "
        "thing does it no more. Where a build trains from a fresh seed, start from the weights of the night before, or gate on "
        "figures of the model (mse, specificity, fgd_adjusted, modularity)."
    )
