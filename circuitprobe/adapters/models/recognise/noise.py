"""The noise tap: a run in which every normal draw is a constant, and everything computed from a draw is followed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_NORMAL = frozenset({"randn", "randn_like", "normal", "normal_", "normal_functional"})
_OTHER_DRAWS = frozenset(
    {"rand", "rand_like", "uniform", "uniform_", "exponential_", "exponential", "multinomial", "cauchy_", "log_normal_",
     "geometric_", "randint", "randint_like", "randperm", "poisson", "_standard_gamma", "_sample_dirichlet", "binomial",
     "bernoulli"}
)  # fmt: skip
_PICKS = frozenset({"argmin", "argmax", "min", "max", "topk"})
# the same numbers in another order, shape or dtype
_VIEWS = frozenset(
    {"view", "_unsafe_view", "reshape", "expand", "permute", "transpose", "t", "squeeze", "unsqueeze", "slice", "select",
     "split", "split_with_sizes", "unbind", "chunk", "clone", "detach", "alias", "_to_copy", "contiguous", "lift_fresh",
     "flatten", "unflatten", "view_as", "expand_as", "to", "as_strided", "narrow", "_reshape_alias", "movedim",
     "detach_", "squeeze_", "unsqueeze_", "copy_", "lift_fresh_copy", "_conj", "swapaxes", "repeat"}
)  # fmt: skip
# what keeps each entry an affine function of the noise of its own place
_ARITHMETIC = frozenset(
    {"add", "sub", "rsub", "mul", "div", "neg", "addcmul", "true_divide", "lerp", "multiply", "subtract"}
)


class Halt(BaseException):
    """Ends a run once all that was asked of it is known; no ``except Exception`` of a model catches it."""


@contextmanager
def halting(tap: NoiseTap) -> Iterator[None]:
    """Taps the block, which ends where the tap halts it, also inside compiled code, which makes another exception of that.

    With gradients on, what is replaced and taken stays connected to what it comes from.
    """
    try:
        with tap, _Links(tap) if torch.is_grad_enabled() else nullcontext():
            yield
    except BaseException:
        if not tap.halted:
            raise


@dataclass
class Step:
    """A tensor computed from draws by arithmetic, with everything that is a mere view of it.

    Attributes:
        value: a copy of it, as it was when it was computed.
        draws: numbers of the draws in it.
        parents: numbers of the steps that it was computed from.
        given: the tensors beside them that it was computed from, by position; copies.
        name: of the operation.
    """

    value: Tensor
    draws: frozenset[int]
    parents: tuple[int, ...]
    given: dict[int, Tensor]
    name: str


@dataclass
class Pick:
    """An index computed from real numbers, such as the nearest entry of a codebook.

    Attributes:
        value: the indices; a copy.
        choices: how many there were to choose from.
    """

    value: Tensor
    choices: int


@dataclass
class Trace:
    """What a tapped run showed.

    Attributes:
        steps: every tensor affine in noise so far as its operations tell, draws included, in order.
        draws: shape of every normal draw.
        other: names of the random operations that draw from no normal distribution.
        picks: every choice among several, in order.
        output: what the run returned.
    """

    steps: list[Step] = field(default_factory=list)
    draws: list[tuple[int, ...]] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    picks: list[Pick] = field(default_factory=list)
    output: Any = None


@dataclass(frozen=True)
class Capture:
    """A tensor to be taken from a run: one beside the noise in an operation, times a factor.

    Attributes:
        step: number of the step.
        position: among the operation's tensors.
        factor: what it is multiplied by.
    """

    step: int
    position: int
    factor: float


class NoiseTap(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside this block normal draws give a constant; tensors computed from them are followed, and may be replaced.

    Args:
        constant: of normal draws, in units of their standard deviation.
        only: numbers of the draws that get the constant, all others 0; None: all get it.
        steps: what replaces a step, by its number; any shape of the same number of entries.
        picks: what replaces a pick, by its number.
        captures: tensors to take on the way, into ``captured`` by the step's number.
        values: numbers of steps to take a copy of, into ``taken``.
        keep: whether copies of all steps are kept in the trace.
        halt_after: number of the step, or of the pick where ``halt_at_pick``, after which the run ends with ``Halt``.
        halt_at_pick: see ``halt_after``.
    """

    def __init__(
        self,
        constant: float = 0.0,
        *,
        only: Collection[int] | None = None,
        steps: Mapping[int, Tensor] | None = None,
        picks: Mapping[int, Tensor] | None = None,
        captures: Sequence[Capture] = (),
        values: Sequence[int] = (),
        keep: bool = False,
        halt_after: int | None = None,
        halt_at_pick: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trace = Trace()
        self.captured: dict[int, Tensor] = {}
        self.taken: dict[int, Tensor] = {}
        self.picked: list[Tensor] = []
        self._constant, self._only = constant, only
        self._replace, self._replace_picks = dict(steps or {}), dict(picks or {})
        self._captures = {capture.step: capture for capture in captures}
        self._keep = keep
        self._halt, self._halt_at_pick = halt_after, halt_at_pick
        self._values = frozenset(values)
        self._last = max(
            [*self._replace, *self._captures, *self._values, -1 if halt_after is None or halt_at_pick else halt_after]
        )
        self._last_pick = max([-1, *self._replace_picks, -1 if halt_after is None or not halt_at_pick else halt_after])
        self.halted = False
        # what a function above autograd has to connect once the operation below it has returned
        self.linked = False
        self.to_link: list[Link] = []
        self._step_of: dict[int, int] = {}
        self._alive: list[Tensor] = []
        self._count = 0
        self._picked = 0
        self._draws: list[frozenset[int]] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: torch would import its compiler, which takes seconds, to keep it from compiling this."""
        return False

    @property
    def _idle(self) -> bool:
        """Whether nothing is left to be watched for."""
        return not self._keep and self._count > self._last and self._picked > self._last_pick

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """One operation of the run."""
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if name in _NORMAL:
            return self._draw(func, name, args, kwargs)
        if self._keep and name in _OTHER_DRAWS:
            self.trace.other.append(name)
        if self._idle:
            return func(*args, **kwargs)
        if name in _PICKS:
            return self._pick(name, func(*args, **kwargs), args, kwargs)
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        sources = tuple(dict.fromkeys(self._step_of[key] for key in map(_key, tensors) if key in self._step_of))
        result = func(*args, **kwargs)
        if not sources:
            return result
        plain = name.removesuffix("_") if name not in _VIEWS else name
        if name in _VIEWS:
            for part in tree_leaves(result):
                self.follow(part, sources[-1] if name != "copy_" else self._step_of.get(_key(tensors[-1]), sources[-1]))
            return result
        if plain in _ARITHMETIC and isinstance(result, Tensor):
            draws = frozenset().union(*(self._draws[source] for source in sources))
            beside = {n: t for n, t in enumerate(tensors) if _key(t) not in self._step_of}
            return self._stepped(name, result, draws, sources, beside, in_place=_writes(name, kwargs))
        return result

    def _draw(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
        constant = self._constant if self._only is None or len(self.trace.draws) in self._only else 0.0
        if name == "normal_":
            mean, std = _moments(args[1:], kwargs)
            result = args[0].fill_(mean + std * constant)
        elif name in {"randn", "randn_like"}:
            result = func(*args, **kwargs).fill_(constant)
        else:
            result = func(*args, **kwargs)
            mean, std = _moments(args, kwargs)
            result.copy_(torch.as_tensor(mean) + torch.as_tensor(std) * constant)
        number = len(self.trace.draws)
        self.trace.draws.append(tuple(result.shape))
        beside = {n: t for n, t in enumerate(args) if isinstance(t, Tensor) and name == "normal"}
        return self._stepped(name, result, frozenset({number}), (), beside, in_place=_writes(name, kwargs))

    def _stepped(
        self,
        name: str,
        result: Tensor,
        draws: frozenset[int],
        parents: tuple[int, ...],
        beside: dict[int, Tensor],
        *,
        in_place: bool,
    ) -> Tensor:
        number = self._count
        self._count += 1
        self._draws.append(draws)
        capture = self._captures.get(number)
        if capture is not None:
            self.captured[number] = beside[capture.position].detach().clone() * capture.factor
        if number in self._replace:
            value = self._replace[number].reshape(result.shape).to(result)
            result = result.copy_(value) if in_place else value.clone()
        if self.linked and (capture is not None or number in self._replace or number in self._values):
            spread = None if capture is None else (_key(beside[capture.position]), capture.factor)
            mean = _key(beside[0]) if name == "normal" and 0 in beside else None
            self.to_link.append(
                Link(number, _key(result), spread, mean, self._replace.get(number), number in self._values, in_place)
            )
        self.follow(result, number)
        if number in self._values:
            self.taken[number] = result.detach().clone()
        if self._keep:
            given = {n: t.detach().clone() for n, t in beside.items()}
            self.trace.steps.append(Step(result.detach().clone(), draws, parents, given, name))
        if self._halt == number and not self._halt_at_pick:
            self.halted = True
            if not self.linked:
                raise Halt
        return result

    @property
    def count(self) -> int:
        """How many steps there have been so far."""
        return self._count

    @property
    def pick_count(self) -> int:
        """How many picks there have been so far."""
        return self._picked

    def _pick(self, name: str, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
        parts = [part for part in tree_leaves(result) if isinstance(part, Tensor) and part.dtype == torch.int64]
        dim = kwargs.get("dim", args[-1] if name != "topk" and len(args) > 1 and isinstance(args[-1], int) else None)
        if name in {"argmin", "argmax", "min", "max"} and len(args) > 1 and not isinstance(args[1], Tensor):
            dim = args[1]
        if name == "topk":
            dim = args[2] if len(args) > 2 else -1
        if len(parts) != 1 or dim is None or not isinstance(args[0], Tensor):
            return result
        index, number = parts[0], self._picked
        self._picked += 1
        if number in self._replace_picks:
            index.copy_(self._replace_picks[number].reshape(index.shape))
        if self._keep:
            self.trace.picks.append(Pick(index.detach().clone(), args[0].shape[dim]))
        if self._halt_at_pick:
            self.picked.append(index.detach().clone())
            if self._halt == number:
                self.halted = True
                raise Halt
        return result

    def follow(self, tensor: Any, step: int) -> None:  # noqa: ANN401
        """Remember what a tensor was computed from."""
        if isinstance(tensor, Tensor):
            self._step_of[_key(tensor)] = step
            # so that no other tensor can take its place in memory
            self._alive.append(tensor)


@dataclass(frozen=True)
class Link:
    """A step that is to be connected to what it comes from.

    Attributes:
        step: its number.
        key: of the tensor that the operation gave.
        spread: key of the tensor that the spread is taken from, and the factor.
        mean: key of the tensor that the mean is taken from; None: the result itself.
        value: what replaces the step.
        taken: whether the step is to be taken.
        in_place: whether the operation wrote into its first argument.
    """

    step: int
    key: int
    spread: tuple[int, float] | None
    mean: int | None
    value: Tensor | None
    taken: bool
    in_place: bool


class _Links(TorchFunctionMode):
    """Above autograd, where a tensor still knows what it was computed from."""

    def __init__(self, tap: NoiseTap) -> None:
        super().__init__()
        self._tap = tap
        tap.linked = True

    def __torch_function__(
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """One function of torch that the run calls."""
        tap = self._tap
        given = {_key(leaf): leaf for leaf in tree_leaves((args, kwargs or {})) if isinstance(leaf, Tensor)}
        result = func(*args, **(kwargs or {}))
        for link in tap.to_link:
            result = self._connected(link, result, given)
        tap.to_link.clear()
        if tap.halted:
            raise Halt
        return result

    def _connected(self, link: Link, result: Any, given: Mapping[int, Tensor]) -> Any:  # noqa: ANN401
        tap = self._tap
        if link.spread is not None and link.spread[0] in given:
            tap.captured[link.step] = given[link.spread[0]].clone() * link.spread[1]
        if not isinstance(result, Tensor) or _key(result) != link.key:
            return result
        if link.taken:
            tap.taken[link.step] = (
                given[link.mean] if link.mean is not None and link.mean in given else result
            ).clone()
        if link.value is not None:
            value = link.value.reshape(result.shape).to(result)
            result = result.copy_(value) if link.in_place else value.clone()
            tap.follow(result, link.step)
        return result


def _writes(name: str, kwargs: Mapping[str, Any]) -> bool:
    """Whether an operation writes into a tensor that it is given."""
    return name.endswith("_") or kwargs.get("out") is not None


def _key(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)  # noqa: SLF001 - the identity of a storage


def _moments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """Mean and standard deviation of a call of ``normal``."""
    mean = args[0] if args else kwargs.get("mean", 0.0)
    std = args[1] if len(args) > 1 else kwargs.get("std", 1.0)
    return mean, std
