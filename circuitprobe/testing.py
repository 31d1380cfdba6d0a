"""What an adapter has to fulfil, as one call for the tests of whoever wrote it: ``cp.testing.check_adapter(vae, rows)``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from circuitprobe.adapters.data import array_data, encoding_features, patch_features
from circuitprobe.adapters.models import ProbedVAE, wrap
from circuitprobe.errors import ModelError, UsageError
from circuitprobe.fitting.links import choose_links
from circuitprobe.levels.reconstruction import squared_errors
from circuitprobe.probe import Readout, untouched
from circuitprobe.probe.readout import feature_std
from circuitprobe.probe.state import State

if TYPE_CHECKING:
    import numpy.typing as npt

    from circuitprobe.types import Feature, FloatArray, Posterior

LEAST_ROWS = 8
TOLERANCE = 1e-4
DRAWS = 512
STANDARD_ERRORS = 6.0


@dataclass(frozen=True)
class Check:
    """One requirement.

    Attributes:
        name: what was checked.
        passed: whether it holds; None where it does not apply.
        value: the figure it was decided by; None where there is none.
        limit: what ``value`` had to stay at or below.
        told: both in words.
    """

    name: str
    passed: bool | None
    value: float | None
    limit: float | None
    told: str

    def __str__(self) -> str:
        word = {True: "ok", False: "FAILED", None: "not applicable"}[self.passed]
        return f"{word:>14}  {self.name}: {self.told}"


@dataclass(frozen=True)
class AdapterChecks:
    """Every requirement with its figures; printed, one line each."""

    checks: tuple[Check, ...]

    def __getitem__(self, name: str) -> Check:
        return next(check for check in self.checks if check.name == name)

    @property
    def failed(self) -> tuple[Check, ...]:
        """Those that do not hold."""
        return tuple(check for check in self.checks if check.passed is False)

    def __str__(self) -> str:
        return "\n".join(str(check) for check in self.checks)


class AdapterCheckError(AssertionError):
    """An adapter that does not do what it says; the message has every failure, ``result`` every check."""

    def __init__(self, result: AdapterChecks) -> None:
        failed = result.failed
        lines = "\n".join(f"  {check.name}: {check.told}" for check in failed)
        super().__init__(f"{len(failed)} of {len(result.checks)} checks of the adapter failed\n{lines}")
        self.result = result


def check_adapter(
    adapted: ProbedVAE | Any,  # noqa: ANN401 - or an object that the adapter takes
    rows: npt.ArrayLike | Tensor,
    *,
    sample: Callable[[Any, Tensor], Tensor] | None = None,
) -> AdapterChecks:
    """Try an adapter on real rows: what an audit relies on, each with its figure.

    In a test::

        def test_my_adapter() -> None:
            cp.testing.check_adapter(trained_model(), rows)

    Args:
        adapted: an object that the adapter takes, or what the adapter made of it.
        rows: at least 8 real rows in the model's space, (rows, dims) or the shape of images: the more, the sharper.
        sample: (model, x) -> one draw of the codes by the library's own code, (rows, code columns), with x in the shape
            that the encoder takes; with it the posterior is compared with what the library draws.

    Returns:
        The checks, none of which failed.

    Raises:
        AdapterCheckError: some failed; all of them in one message.
        UsageError: fewer than 8 rows.
    """
    given = adapted if isinstance(adapted, nn.Module) else None
    before = None if given is None else State.of(given)
    vae = adapted if isinstance(adapted, ProbedVAE) else wrap(adapted)
    x = _flat(rows)
    if len(x) < LEAST_ROWS:
        raise UsageError(f"{len(x)} rows", expected=f"at least {LEAST_ROWS}", fix="check_adapter(vae, more_rows)")
    with untouched(vae.model):
        checks = _checks(vae, x, sample)
    if given is not None and before is not None:
        checks = (*checks, _unchanged("adapting changes nothing", before, State.of(given)))
    result = AdapterChecks(checks)
    if result.failed:
        raise AdapterCheckError(result)
    return result


def _checks(vae: ProbedVAE, x: FloatArray, sample: Callable[[Any, Tensor], Tensor] | None) -> tuple[Check, ...]:
    inputs = vae.to_input(x)
    before = State.of(vae.model)
    try:
        settled = vae.resolved(inputs)
    except ModelError as error:
        return (Check("halves run", False, None, None, error.seen),)
    found = [Check("halves run", True, None, None, "; ".join(settled.recognition.evidence[-2:]))]
    posterior = None if settled.prior_only else settled.encode(inputs)
    codes = _prior(settled, inputs) if posterior is None else posterior.mean
    output = settled.decode(codes)
    found.append(_unchanged("running changes nothing", before, State.of(vae.model)))
    found += _same_again(settled, inputs, codes)
    found += _row_by_row(settled, inputs, codes)
    found.append(_posterior(settled, posterior))
    found.append(_own_draws(settled, inputs, posterior, sample))
    found.append(_reconstruction(settled, x, output))
    return tuple(found)


def _flat(rows: npt.ArrayLike | Tensor) -> FloatArray:
    array = rows.detach().cpu().numpy() if isinstance(rows, Tensor) else np.asarray(rows)
    return np.array(array.reshape(len(array), -1), dtype=np.float64)


def _prior(vae: ProbedVAE, inputs: Tensor) -> Tensor:
    """Codes for a model without an encoder, from a generator of their own."""
    width = (vae.code_width or 0) - vae.condition_width
    codes = vae.to_input(np.random.default_rng(0).standard_normal((len(inputs), width)))
    return torch.cat([codes, inputs[:, -vae.condition_width :]], 1) if vae.condition_width else codes


def _halves(
    vae: ProbedVAE, inputs: Tensor, codes: Tensor
) -> tuple[tuple[str, Callable[[Tensor], Tensor], Tensor], ...]:
    """What is run on what: the posterior as one tensor, and the reconstruction."""

    def encode(x: Tensor) -> Tensor:
        told = vae.encode(x)
        return told.mean if told.log_var is None else torch.cat([told.mean, told.log_var], 1)

    decoder = ("decoder", vae.decode, codes)
    return (decoder,) if vae.prior_only else (("encoder", encode, inputs), decoder)


def _same_again(vae: ProbedVAE, inputs: Tensor, codes: Tensor) -> Iterator[Check]:
    """The same rows give the same tensors, to the last bit, whatever the random generators stand at."""
    for name, run, given in _halves(vae, inputs, codes):
        first = run(given)
        torch.rand(17)
        np.random.random(17)  # noqa: NPY002 - the global generator is what a library may draw from
        away = _distance(first, run(given))
        yield Check(
            f"{name} is deterministic",
            away == 0.0,
            away,
            0.0,
            f"two runs on the same rows differ by {away:.3g} of the spread",
        )


def _row_by_row(vae: ProbedVAE, inputs: Tensor, codes: Tensor) -> Iterator[Check]:
    """A row's result does not depend on its batch: alone, in another order, in pieces of other sizes."""
    for name, run, given in _halves(vae, inputs, codes):
        whole = run(given)
        order = torch.tensor(np.random.default_rng(0).permutation(len(given)), device=given.device)
        pieces = {
            "alone": ([given[row : row + 1] for row in range(len(given))], whole),
            "in another order": ([given[order]], whole[order]),
            "in pieces of 3": ([given[start : start + 3] for start in range(0, len(given), 3)], whole),
        }
        title = f"{name} takes rows one by one"
        try:
            away = {
                way: _distance(wanted, torch.cat([run(each) for each in parts]))
                for way, (parts, wanted) in pieces.items()
            }
        except ModelError as error:
            yield Check(title, False, None, TOLERANCE, error.seen)
            continue
        worst = max(away, key=lambda way: away[way])
        told = f"rows {worst} differ by {away[worst]:.3g} of the spread"
        yield Check(title, away[worst] <= TOLERANCE, away[worst], TOLERANCE, told)


def _distance(first: Tensor, second: Tensor) -> float:
    """Largest difference, over the spread of the first; nan counts as infinitely far."""
    spread = float(first.to(torch.float64).std(correction=0)) or 1.0
    away = float((first - second).abs().max()) / spread
    return away if away == away else float("inf")


def _posterior(vae: ProbedVAE, posterior: Posterior | None) -> Check:
    name = "posterior is one"
    if posterior is None or posterior.log_var is None:
        told = f"no encoder: {vae.prior_only}" if posterior is None else "the encoder states no variance"
        return Check(name, None, None, None, told)
    mean, log_var = posterior.mean, posterior.log_var
    if mean.shape != log_var.shape:
        return Check(name, False, None, None, f"mean {tuple(mean.shape)}, log_var {tuple(log_var.shape)}")
    bad = int((~torch.isfinite(mean)).sum()) + int((~torch.isfinite(log_var)).sum())
    spread = (0.5 * log_var.double()).exp()
    told = (
        f"{bad} numbers are not finite; standard deviations from {float(spread.min()):.3g} to {float(spread.max()):.3g}"
    )
    return Check(name, bad == 0, float(bad), 0.0, told)


def _own_draws(
    vae: ProbedVAE, inputs: Tensor, posterior: Posterior | None, sample: Callable[[Any, Tensor], Tensor] | None
) -> Check:
    """Mean and variance of the library's own draws, in standard errors from those that the adapter gives."""
    name = "posterior is what the library draws from"
    if sample is None or posterior is None or posterior.log_var is None:
        return Check(name, None, None, None, "sample= was not given" if sample is None else "no variance is stated")
    few = inputs[:16]
    shaped = few.reshape(len(few), *vae.row_shape) if vae.row_shape else few
    torch.manual_seed(0)
    drawn = torch.stack([sample(vae.model, shaped.clone()).detach().flatten(1) for _ in range(DRAWS)]).double()
    width = drawn.shape[2]
    mean, variance = posterior.mean[:16, :width].double(), posterior.log_var[:16, :width].double().exp()
    shift = ((drawn.mean(0) - mean).abs() / (variance / DRAWS).sqrt()).max()
    stretch = ((drawn.var(0) / variance - 1).abs() / (2 / DRAWS) ** 0.5).max()
    worst = float(torch.maximum(shift, stretch))
    told = f"over {DRAWS} draws the mean is up to {float(shift):.3g}, the variance up to {float(stretch):.3g} standard errors away"
    return Check(name, worst <= STANDARD_ERRORS, worst, STANDARD_ERRORS, told)


def _reconstruction(vae: ProbedVAE, x: FloatArray, output: Tensor) -> Check:
    """METHOD.md section 5: D(mu(x)) against x, over predicting each column's mean or frequencies."""
    name = "rows come back better than as column means"
    if vae.prior_only:
        return Check(name, None, None, None, f"no encoder: {vae.prior_only}")
    features = _features(vae, x)
    if not features:
        return Check(name, False, None, None, "no column varies over the rows")
    links = choose_links(vae, x, features)
    readout = Readout.build(links, feature_std(x, links), output.device)
    errors, constant = squared_errors(
        readout, readout.read(output), readout.rows(torch.as_tensor(x, device=output.device))
    )
    ratio = float(errors.mean() / constant.mean())
    return Check(name, ratio < 1.0, ratio, 1.0, f"squared error is {ratio:.3g} of that of the column means")


def _features(vae: ProbedVAE, x: FloatArray) -> tuple[Feature, ...]:
    width = x.shape[1] - vae.condition_width
    if vae.encoding is not None:
        known: Sequence[Feature] = encoding_features(vae.encoding)
    elif len(vae.row_shape) > 1 and min(vae.row_shape[-2:]) >= LEAST_ROWS:
        known = patch_features(vae.row_shape)
    else:
        known = array_data(x, rows=None)[1]
    return tuple(f for f in known if max(f.dims) < width and np.ptp(x[:, list(f.dims)], axis=0).max() > 0)


def _unchanged(name: str, before: State, after: State) -> Check:
    told = before.changes(after)
    more = f" and {len(told) - 4} more" if len(told) > 4 else ""
    return Check(
        name,
        not told,
        float(len(told)),
        0.0,
        "; ".join(told[:4]) + more or "weights, flags, hooks, generators as before",
    )
