"""Figures of an audit with assertions whose failures show the interval."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from circuitprobe.adapters.data.near_names import did_you_mean
from circuitprobe.errors import UsageError
from circuitprobe.gate.decide import Kind, Side, limit_test
from circuitprobe.gate.metrics import COMPLETENESS, LATENT, MODEL
from circuitprobe.gate.questions import latent_side, side_of
from circuitprobe.gate.words import figure_words
from circuitprobe.text import visible

if TYPE_CHECKING:
    from circuitprobe.gate.snapshot import Snapshot

AUDIT = "circuitprobe_audit(model, data"


class GateWarning(UserWarning):
    """Something about a gate that does not fail a test."""


class InconclusiveWarning(GateWarning):
    """The rows do not decide whether a demand holds."""


@dataclass(frozen=True, eq=False, repr=False)
class Asserted:
    """One figure of an audit.

    Attributes:
        name: for messages.
        side: the figure, and what was kept of its resamples.
    """

    name: str
    side: Side

    @property
    def value(self) -> float | None:
        """The figure; None where it is undefined."""
        return self.side.figure.value

    @property
    def interval(self) -> tuple[float | None, float | None]:
        """Both ends of its 95 % interval."""
        return self.side.figure.low, self.side.figure.high

    def at_least(self, limit: float, *, strict: bool = False) -> Asserted:
        """Fail where the rows decide that the figure is below ``limit``, or where it is undefined.

        Where the interval holds the limit an ``InconclusiveWarning`` is given; with ``strict`` that fails too.

        Returns:
            The figure itself, for another demand.

        Raises:
            AssertionError: with the figure and its interval.
            UsageError: the limit is no number.
        """
        __tracebackhide__ = True
        return self._assert(limit, "min", strict=strict)

    def at_most(self, limit: float, *, strict: bool = False) -> Asserted:
        """Fail where the rows decide that the figure is above ``limit``; see ``at_least``."""
        __tracebackhide__ = True
        return self._assert(limit, "max", strict=strict)

    def _assert(self, limit: float, kind: Kind, *, strict: bool) -> Asserted:
        __tracebackhide__ = True
        bound = _number(limit, "at_least" if kind == "min" else "at_most")
        demanded = f"demanded: {'at least' if kind == 'min' else 'at most'} {bound:.4g}"
        name = visible(self.name)
        if self.value is None:
            raise AssertionError(f"{name} is undefined; {demanded}")
        test = limit_test(self.side, bound, kind)
        decided = test.outcome(test.p)
        said = f"{name} is {figure_words(self.side.figure)}; {demanded}"
        if decided == "regression":
            raise AssertionError(said)
        if decided == "inconclusive":
            rows = test.rows_to_decide(1)
            more = f"{rows:,} rows would decide, if the value stayed" if rows else "no number of rows would decide"
            said = f"{said}; {self.side.figure.n:,} rows do not decide, {more}"
            if strict:
                raise AssertionError(said)
            # the line of the test, above at_least or at_most
            warnings.warn(said, InconclusiveWarning, stacklevel=3)
        return self

    def __repr__(self) -> str:
        return f"<{visible(self.name)}: {figure_words(self.side.figure)}>"


def _number(limit: object, method: str) -> float:
    """A limit; nothing is below a nan, so that one would hold whatever the figure."""
    __tracebackhide__ = True
    try:
        number = float(limit)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(limit, str | bool) or not math.isfinite(number):
        raise UsageError(f"{method}({limit!r})", expected="a finite number", fix=f"{method}(0.2)")
    return number


class ByName(dict[str, Asserted]):
    """Figures by name; an unknown one is told with those that there are."""

    def __init__(self, what: str, figures: Mapping[str, Asserted]) -> None:
        super().__init__(figures)
        self._what = what

    def __missing__(self, name: str) -> NoReturn:
        __tracebackhide__ = True
        raise UsageError(
            f"the audit has no {self._what} {name!r}",
            expected=f"one of {', '.join(self)}",
            fix=did_you_mean(str(name), self) or "name one of them",
        )


class _LatentFigure:
    """A figure of one latent, by the name of the attribute."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, latent: LatentUnderTest, owner: type | None = None) -> Asserted:
        __tracebackhide__ = True
        return latent_figure(latent.seen, latent.name, self._name)


@dataclass(frozen=True, eq=False)
class LatentUnderTest:
    """One latent and its figures.

    Attributes:
        name: its name.
        seen: the audit.
    """

    name: str
    seen: Snapshot

    ces = _LatentFigure()
    specificity = _LatentFigure()
    disentanglement = _LatentFigure()
    kl = _LatentFigure()
    on_support_rate = _LatentFigure()

    def __repr__(self) -> str:
        return f"<latent {self.name}>"

    if not TYPE_CHECKING:  # a type checker is to find misspelt names

        def __getattr__(self, name: str) -> NoReturn:
            __tracebackhide__ = True
            no_figure("a latent", name, tuple(LATENT))


class _ModelFigure:
    """A figure of the whole model, by the name of the attribute."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, scores: ScoresUnderTest, owner: type | None = None) -> Asserted:
        __tracebackhide__ = True
        side = side_of(scores.seen, self._name)
        if side is None:
            raise _lacks(self._name, MODEL[self._name].needs, ', target="COLUMN")' if self._name == "auc" else ", ...)")
        return Asserted(self._name, side)


@dataclass(frozen=True, eq=False, repr=False)
class ScoresUnderTest:
    """Figures of the whole model.

    Attributes:
        seen: the audit.
    """

    seen: Snapshot

    ces = _ModelFigure()
    ces_active = _ModelFigure()
    ces_prior = _ModelFigure()
    on_support_rate = _ModelFigure()
    on_support_rate_prior = _ModelFigure()
    specificity = _ModelFigure()
    inverse_entropy = _ModelFigure()
    fgd = _ModelFigure()
    fgd_adjusted = _ModelFigure()
    fgc = _ModelFigure()
    modularity = _ModelFigure()
    calibration_ratio = _ModelFigure()
    mse = _ModelFigure()
    auc = _ModelFigure()
    mig = _ModelFigure()
    sap = _ModelFigure()
    factor_vae = _ModelFigure()

    @property
    def completeness(self) -> Mapping[str, Asserted]:
        """C_g by feature group."""
        __tracebackhide__ = True
        need_effects(self.seen, COMPLETENESS)
        figures = {}
        for group in self.seen.compared.groups:
            side = side_of(self.seen, f"{COMPLETENESS}:{group}")
            if side is not None:
                figures[group] = Asserted(f"{COMPLETENESS} of {group}", side)
        return ByName("feature group", figures)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            __tracebackhide__ = True
            no_figure("a model", name, (*MODEL, COMPLETENESS))


def latent_figure(seen: Snapshot, latent: str, metric: str) -> Asserted:
    """A figure of one latent."""
    __tracebackhide__ = True
    if metric != "kl":
        need_effects(seen, f"{metric} of latents")
    return Asserted(f"{metric} of {latent}", latent_side(seen, latent, metric))


def need_effects(seen: Snapshot, what: str) -> None:
    """Refuse an audit without level 2.

    Raises:
        UsageError: it has no effects of latents.
    """
    __tracebackhide__ = True
    if "ces" not in seen.compared.figures:
        raise _lacks(what, "level 2", ", levels=(2,))")


def no_figure(what: str, name: str, known: tuple[str, ...]) -> NoReturn:
    """Refuse a misspelt attribute.

    Raises:
        AttributeError: always.
    """
    __tracebackhide__ = True
    raise AttributeError(f"{what} has no {name!r}; there are {', '.join(known)}. {did_you_mean(name, known)}".rstrip())


def _lacks(what: str, needs: str, options: str) -> UsageError:
    return UsageError(f"the audit has no {what}", expected=f"an audit with {needs}", fix=f"{AUDIT}{options}")
