"""What the figures say, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from circuitprobe.report.code_words import code_warnings
from circuitprobe.report.model import AuditWarning

if TYPE_CHECKING:
    from circuitprobe.report.model import (
        DataReport,
        LatentReport,
        ModelReport,
        Reconstruction,
        Scores,
        Twin,
    )
    from circuitprobe.types import Estimate

ROUNDING = 1e-9
LONGEST_NAME = 48
MOST_OF_THE_EFFECT = 0.6
MOST_NAMED = 3
MOST_SENTENCES = 5
OVERSTATED = 1.05
FEW_ROWS = 100
NEAR_TIE = 1.05

# scores of which more is better, so that a twin that has as much shows them to say nothing
TELLING = {
    "ces": "CES",
    "specificity": "specificity",
    "fgd_adjusted": "FGD above chance",
    "modularity": "modularity",
}


def number(value: float | None, digits: int = 3) -> str:
    """A figure of a few significant digits; a dash for an undefined one."""
    if value is None:
        return "-"
    if abs(value) < ROUNDING:
        return "0"
    if abs(value) >= 10**5 or abs(value) < 10**-4:
        return f"{value:.1e}"
    small = f"{value:.{digits}g}"
    # what rounds to 1 is written as 1 is
    if abs(float(small)) < 1:
        return small
    return f"{value:.{max(0, digits - len(str(int(abs(float(small))))))}f}"


def interval(e: Estimate) -> str:
    """``0.133 [0.130, 0.136]``."""
    if e.value is None or e.low is None or e.high is None:
        return number(e.value)
    return f"{number(e.value)} [{number(e.low)}, {number(e.high)}]"


def percent(e: Estimate) -> str:
    """``92%``; a dash for an undefined one."""
    return "-" if e.value is None else f"{e.value:.0%}"


def measured(latent: LatentReport) -> bool:
    """Whether effects of the latent are known: not where level 2 was not run."""
    return any(e.value is not None for e in latent.effects.values())


def drives(latent: LatentReport) -> list[tuple[str, float]]:
    """The features that take most of a latent's effect, the largest first, with their share of it."""
    values = {name: e.value or 0.0 for name, e in latent.effects.items()}
    total = sum(values.values())
    if total <= 0:
        return []
    named: list[tuple[str, float]] = []
    for name, value in sorted(values.items(), key=lambda item: -item[1]):
        if len(named) == MOST_NAMED or sum(share for _, share in named) >= MOST_OF_THE_EFFECT:
            break
        named.append((name, value / total))
    return named


def members_of(names: Sequence[str], most: int = 24) -> str:
    """The members of a group; of the patches of an image the first few, as the maps show where they lie."""
    shown = names if len(names) <= most else names[: most // 3]
    rest = len(names) - len(shown)
    return ", ".join(map(short, shown)) + (f" and {rest} more" if rest else "")


def short(name: str) -> str:
    """A name of bounded length."""
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 3] + "..."


def joined(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    shown = [short(name) for name in names]
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " and " + shown[-1]


def drive_sentence(latent: LatentReport) -> str:
    """What one latent drives, in words."""
    if not measured(latent):
        return f"What {latent.name} drives was not measured."
    named = drives(latent)
    if not named:
        return f"{latent.name} drives nothing: no output changes when it is set to other values."
    strength = f"CES {number(latent.ces.value)}"
    share = sum(part for _, part in named)
    if share >= MOST_OF_THE_EFFECT:
        return f"{latent.name} drives {joined([name for name, _ in named])} ({share:.0%} of its effect; {strength})."
    most = joined([f"{short(name)} {part:.0%}" for name, part in named])
    return f"{latent.name} moves many {what_moves(latent.effects)} at once, most {most} ({strength})."


def what_moves(features: Iterable[str]) -> str:
    """What the features are: ``columns`` of a table, or ``patches`` of an image."""
    return "patches" if all(name.startswith("patch ") for name in features) else "columns"


def verdict(
    reconstruction: Reconstruction | None,
    latents: Sequence[LatentReport],
    scores: Scores | None,
    model: ModelReport | None = None,
) -> tuple[str, ...]:
    """The report's first lines: does it reconstruct, how many latents are alive, what does each drive.

    Sentences on levels 3 and 4 are ``level_words.level_sentences``.

    Args:
        reconstruction: None for a model without an encoder.
        latents: all of them.
        scores: of level 2, None where it was not run.
        model: what was audited; None: an encoder with a continuous code.
    """
    lines = [_reconstruction_sentence(reconstruction, model)]
    live = sorted((x for x in latents if x.active), key=lambda x: -(x.ces.value or 0.0))
    dead = [x.name for x in latents if not x.active]
    if not live:
        lines.append(f"None of its {len(latents)} latents is active: {_why_inactive(model)}.")
    else:
        rest = f"; {joined(dead)} carr{'ies' if len(dead) == 1 else 'y'} nothing" if dead else ""
        lines.append(f"{len(live)} of {len(latents)} latents {'is' if len(live) == 1 else 'are'} active{rest}.")
    known = [latent for latent in live if measured(latent)]
    lines += [drive_sentence(latent) for latent in known[:MOST_SENTENCES]]
    if len(known) > MOST_SENTENCES:
        weaker = [latent.name for latent in known[MOST_SENTENCES:]]
        lines.append(f"{joined(weaker)} {'is' if len(weaker) == 1 else 'are'} weaker; the table below has them.")
    if live and scores is not None:
        lines += _overstatement(scores, model)
    return tuple(lines)


def _reconstruction_sentence(reconstruction: Reconstruction | None, model: ModelReport | None) -> str:
    if reconstruction is None:
        why = f" ({model.prior_only})" if model is not None and model.prior_only else ""
        return (
            f"The model has no encoder{why}: codes were drawn from N(0, I), and neither reconstruction nor what rows do to "
            "latents was measured."
        )
    mse = reconstruction.mse
    pictures = what_moves(reconstruction.features) == "patches"
    constant = "the mean image" if pictures else "each column's mean or frequencies"
    against = f"MSE {interval(mse)} against {number(mse.null)} for predicting {constant}"
    if reconstruction.reconstructs and mse.value is not None and mse.null:
        return f"The model reconstructs: {against}, {1 - mse.value / mse.null:.0%} less."
    return f"The model does NOT reconstruct: {against}. Its other scores say little about the data."


def _why_inactive(model: ModelReport | None) -> str:
    """What it means that no latent is active."""
    if model is not None and model.prior_only is not None:
        return "no output changes when they are set to other values"
    if model is not None and model.codes is not None:
        return "each of them uses one index of the codebook only"
    return "the posterior has collapsed to the prior"


def _overstatement(scores: Scores, model: ModelReport | None) -> list[str]:
    """What interventions on the prior's scale would have shown instead."""
    ratio, known = scores.calibration_ratio.value, scores.on_support_rate_prior.value
    if ratio is None or known is None or ratio <= OVERSTATED:
        return []
    what, where = "Interventions from -3 to 3", "where the model's own codes lie"
    if model is not None and model.codes is not None:
        what, where = "Indices from the whole codebook", "in use at their place"
    elif model is not None and model.prior_only is not None:
        where = "where 99 % of the prior's lie"
    return [
        f"{what} would have shown {number(ratio, 2)} times these effects, with {known:.0%} of their codes "
        f"{where} ({percent(scores.on_support_rate)} here)."
    ]


def audit_warnings(
    model: ModelReport,
    data: DataReport,
    reconstruction: Reconstruction | None,
    latents: Sequence[LatentReport],
    scores: Scores | None,
    twin: Twin,
) -> tuple[AuditWarning, ...]:
    """Everything that a reader must know before trusting a figure, the gravest first."""
    found: list[tuple[str, str]] = []
    if reconstruction is not None and not reconstruction.reconstructs:
        found.append(
            (
                "not_reconstructing",
                "reconstruction is no better than column means: a low CES is then a failure to reconstruct",
            )
        )
    if not any(latent.active for latent in latents):
        seen = "no latent has KL above 0.01 nats"
        if model.prior_only is not None or model.codes is not None:
            seen = "no latent is active"
        found.append(("collapsed_posterior", f"{seen}: scores over active latents are undefined"))
    found += code_warnings(model, latents)
    if data.rows_audited < FEW_ROWS:
        found.append(("few_rows", f"only {data.rows_audited} rows were audited: intervals from so few are too narrow"))
    found += _below_chance_warnings(data, reconstruction)
    found += _encoding_warnings(model, data)
    found += _twin_warnings(scores, twin)
    if scores is not None and not scores.modularity_by_layer:
        found.append(("no_hidden_layer", _no_hidden_layer(model)))
    missing = [f"{entry.name}: {entry.count} ({entry.treatment})" for entry in data.missing]
    if missing:
        found.append(
            (
                "missing_values",
                f"values missing or unseen in {counted(len(missing), 'column')}: {'; '.join(missing[:4])}{_more(missing, 4)}",
            )
        )
    renamed = [f"{old} as {new}" for new, old in data.renamed.items()]
    if renamed:
        found.append(
            (
                "renamed_columns",
                f"{counted(len(renamed), 'column')} matched the model's although case, spaces or signs differ: "
                f"{', '.join(renamed[:6])}{_more(renamed, 6)}",
            )
        )
    constant = [entry.name for entry in data.left_out if entry.reason.startswith("constant")]
    if constant:
        found.append(
            ("constant_columns", f"left out because they do not vary: {', '.join(constant[:6])}{_more(constant, 6)}")
        )
    return tuple(AuditWarning(code=code, message=message) for code, message in found)


def _below_chance_warnings(data: DataReport, reconstruction: Reconstruction | None) -> list[tuple[str, str]]:
    """Columns that come back worse than by chance: a model does not do that unless it knew them in another coding."""
    if reconstruction is None:
        return []
    suspects = []
    for name, entry in reconstruction.features.items():
        shown = entry.r2 or entry.accuracy
        chance = 0.0 if entry.r2 is not None else shown.null if shown is not None else None
        if shown is not None and shown.high is not None and chance is not None and shown.high < chance:
            suspects.append(name)
    if not suspects:
        return []
    cause = (
        "their scaling"
        if data.scaling is None
        else "their scaling, the order of their categories, or the order of the columns"
    )
    return [
        (
            "worse_than_chance",
            f"{joined(suspects[:6])}{_more(suspects, 6)} {'comes' if len(suspects) == 1 else 'come'} back worse than by chance: "
            f"the model was probably trained on another coding ({cause}); a schema file (--schema) says which",
        )
    ]


def counted(count: int, noun: str) -> str:
    """``1 column``, ``3 columns``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _more(names: Sequence[str], shown: int) -> str:
    return f" and {len(names) - shown} more" if len(names) > shown else ""


def _no_hidden_layer(model: ModelReport) -> str:
    return (
        f"no hidden layer of {model.decode} could be read (a linear decoder or TorchScript), so modularity is undefined"
    )


def _encoding_warnings(model: ModelReport, data: DataReport) -> list[tuple[str, str]]:
    tried = [entry for entry in data.encodings_tried if entry.mse is not None]
    chosen = next((entry for entry in tried if entry.chosen), None)
    if chosen is None or chosen.mse is None:
        return []
    rivals = [
        entry for entry in tried if not entry.chosen and entry.mse is not None and entry.mse < chosen.mse * NEAR_TIE
    ]
    if not rivals:
        return []
    rival = min(rivals, key=lambda entry: entry.mse or 0.0)
    by, unit = "reconstructs almost as well", " of the column means' MSE"
    if model.prior_only is not None:
        by, unit = "fits the mean of decoded draws almost as well", " squared from the mean row"
    return [
        (
            "ambiguous_encoding",
            f"{'scaling ' if data.image is None else ''}{chosen.scaling.value} ({chosen.layout}) was taken, "
            f"{rival.scaling.value} ({rival.layout}) {by}: {number(chosen.mse)} and {number(rival.mse)}{unit}; "
            + (
                "a schema file decides it" if data.image is None else "--pixels unit, signed or bytes decides the range"
            ),
        )
    ]


def _twin_warnings(scores: Scores | None, twin: Twin) -> list[tuple[str, str]]:
    if scores is None or twin.scores is None:
        return []
    reached = []
    for name, word in TELLING.items():
        own: Estimate = getattr(scores, name)
        other: Estimate = getattr(twin.scores, name)
        if own.low is not None and other.value is not None and other.value >= own.low:
            reached.append(word)
    if not reached:
        return []
    return [
        (
            "twin_reaches",
            f"an untrained twin reaches the same {joined(reached)}: no evidence that training brought it about",
        )
    ]
