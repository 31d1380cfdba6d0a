"""The tables of a report as data frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

from circuitprobe.errors import UsageError
from circuitprobe.report.order import feature_names, group_names, latent_names, ordered
from circuitprobe.types import Estimate

if TYPE_CHECKING:
    import pandas as pd
    from pydantic import BaseModel

    from circuitprobe.report.audit_report import AuditReport

Frame = Literal["effects", "latents", "scores", "reconstruction", "inputs", "units", "circuits", "mediation"]


def report_frame(report: AuditReport, table: Frame) -> pd.DataFrame:
    """One of a report's tables; ``AuditReport.to_frame`` says what they hold.

    Raises:
        UsageError: there is no such table, or the level that fills it was not run.
    """
    if table not in _MAKERS:
        raise UsageError(
            f"to_frame({table!r})", expected=f"one of {', '.join(get_args(Frame))}", fix='report.to_frame("effects")'
        )
    return _MAKERS[table](report)


def _not_run(report: AuditReport, table: str, level: int) -> UsageError:
    status = next((entry for entry in report.levels if entry.level == level), None)
    reason = "it was not run" if status is None or status.run or not status.reason else status.reason
    return UsageError(
        f"to_frame({table!r}): this report has no level {level} ({reason})",
        expected=f"an audit with level {level}",
        fix=f"--levels {level} on the command line, levels=({level},) in Python, or leave the levels out for all of them",
    )


def _effects(report: AuditReport) -> pd.DataFrame:
    import pandas as pd

    if report.scores is None:
        raise _not_run(report, "effects", 2)
    names = feature_names(report)
    rows = {
        latent.name: {name: e.value for name, e in ordered(latent.effects, names).items()} for latent in report.latents
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("latent")


def _latents(report: AuditReport) -> pd.DataFrame:
    import pandas as pd

    rows = [{"latent": latent.name, "active": latent.active, **flat(latent)} for latent in report.latents]
    return pd.DataFrame(rows).set_index("latent")


def _scores(report: AuditReport) -> pd.DataFrame:
    import pandas as pd

    if report.scores is None:
        raise _not_run(report, "scores", 2)
    entries = _estimates(report.scores)
    if report.reconstruction is not None:
        entries |= {"mse": report.reconstruction.mse}
    return pd.DataFrame([_row(name, e) for name, e in entries.items()]).set_index("metric")


def _reconstruction(report: AuditReport) -> pd.DataFrame:
    import pandas as pd

    if report.reconstruction is None:
        raise UsageError(
            f"to_frame('reconstruction'): {report.model.prior_only or 'it was not measured'}",
            expected="the audit of a model with an encoder",
            fix='another table, such as report.to_frame("effects")',
        )
    entries = ordered(report.reconstruction.features, feature_names(report))
    rows = [{"feature": name, **flat(entry)} for name, entry in entries.items()]
    return pd.DataFrame(rows).set_index("feature")


def _inputs(report: AuditReport) -> pd.DataFrame:
    import pandas as pd

    if report.inputs is None:
        raise _not_run(report, "inputs", 1)
    latents, features = latent_names(report), ordered(report.inputs.features, feature_names(report))
    rows = [{"feature": name, **_spread("", ordered(row.shift, latents))} for name, row in features.items()]
    return pd.DataFrame(rows, columns=_columns("feature", rows=rows)).set_index("feature")


def _units(report: AuditReport) -> pd.DataFrame:
    import pandas as pd

    if report.activations is None:
        raise _not_run(report, "units", 3)
    groups, latents = group_names(report), latent_names(report)
    rows: list[dict[str, Any]] = [
        {
            "half": site.half,
            "site": site.name,
            "unit": entry.unit,
            **_ends("effect", entry.effect),
            **_spread("effect_", ordered(entry.group_effects, groups)),
            **_spread("shift_", ordered(entry.shift or {}, latents)),
        }
        for site in report.activations.sites
        for entry in site.effects
    ]
    head = ("half", "site", "unit", *_ends("effect", None))
    return pd.DataFrame(rows, columns=_columns(*head, rows=rows))


def _circuits(report: AuditReport) -> pd.DataFrame:
    import pandas as pd

    if report.paths is None:
        raise _not_run(report, "circuits", 3)
    rows: list[dict[str, Any]] = [
        {
            "side": side,
            "sender": sender.sender,
            "site": circuit.site,
            "size": circuit.size,
            "units_in_layer": circuit.units_in_layer,
            "units_measured": circuit.units_measured,
            "complete": circuit.complete,
            "units": tuple(unit.unit for unit in circuit.units),
            **_ends("total", sender.total),
            **flat(circuit),
        }
        for side, senders in (("decoder", report.paths.decoder), ("encoder", report.paths.encoder))
        for sender in senders
        for circuit in sender.circuits
    ]
    head = ("side", "sender", "site", "size", "units_in_layer", "units_measured", "complete", "units")
    figures = [key for name in ("total", "faithfulness", "completeness", "additivity") for key in _ends(name, None)]
    return pd.DataFrame(rows, columns=[*head, *figures])


def _mediation(report: AuditReport) -> pd.DataFrame:
    import pandas as pd

    if report.mediation is None:
        raise _not_run(report, "mediation", 4)
    rows: list[dict[str, Any]] = [
        {
            "treatment": entry.treatment,
            "mediator": entry.mediator,
            "outcome": entry.outcome,
            **flat(entry),
            "p": entry.p,
            "p_corrected": entry.p_corrected,
        }
        for entry in report.mediation.entries
    ]
    figures = [key for name in ("te", "nie", "nde", "interaction", "proportion_mediated") for key in _ends(name, None)]
    return pd.DataFrame(rows, columns=["treatment", "mediator", "outcome", *figures, "p", "p_corrected"])


_MAKERS: Mapping[str, Callable[[AuditReport], pd.DataFrame]] = {
    "effects": _effects,
    "latents": _latents,
    "scores": _scores,
    "reconstruction": _reconstruction,
    "inputs": _inputs,
    "units": _units,
    "circuits": _circuits,
    "mediation": _mediation,
}


def _estimates(entry: BaseModel) -> dict[str, Estimate]:
    return {name: value for name, value in entry if isinstance(value, Estimate)}


def flat(entry: BaseModel) -> dict[str, float | None]:
    """The estimates of an entry side by side: value, lower and upper end of each."""
    return {key: value for name, e in _estimates(entry).items() for key, value in _ends(name, e).items()}


def _ends(name: str, e: Estimate | None) -> dict[str, float | None]:
    """``ces``, ``ces_low``, ``ces_high``."""
    if e is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: e.value, f"{name}_low": e.low, f"{name}_high": e.high}


def _spread(prefix: str, effects: Mapping[str, Estimate]) -> dict[str, float | None]:
    """Estimates by name as columns."""
    return {key: value for name, e in effects.items() for key, value in _ends(f"{prefix}{name}", e).items()}


def _columns(*head: str, rows: list[dict[str, Any]]) -> list[str]:
    """The head's columns, then all others in the order in which they first occur, also where there is no row."""
    return list(dict.fromkeys([*head, *(key for row in rows for key in row)]))


def _row(name: str, e: Estimate) -> dict[str, float | int | str | None]:
    return {"metric": name, "value": e.value, "low": e.low, "high": e.high, "null": e.null, "n": e.n}
