"""How far rounding alone can move what a network gives, found by perturbing every operation that rounds.

Rounding follows the size of what was summed, the fan-in, the dtype, and what later layers make of it. It does not follow the
size of the result: a collapsed latent is small because its terms cancel, and a saturated sigmoid is flat because its argument is
large. So the network is run again with each operand of an operation that rounds moved by a random relative amount, at most
the rounding unit times the root of the fan-in, and its result by the same. The first stands for a sum whose terms cancel, the
second for one whose terms agree.

Sources: Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, sections 2.8, 3.1 and 4.2 (rounding errors of sums
behave as independent random numbers); perturbing every operation at random is the CESTAC method (Vignes 1993).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

DRAWS = 32
"""Of each column: rows times runs."""
RUNS = 8
"""At the least: in a saturated column one row may be larger than all others by many orders, and has one draw per run."""
SAFETY = 4.0
"""Times the largest draw. Two kernels were seen to differ by up to twice the largest draw (benchmarks/ROUNDING.md)."""
FLOOR_UNITS = 16.0
"""Rounding units of a column's largest value that are allowed in any case."""
UNKNOWN_UNITS = 256.0
"""The same for a network that cannot be run while its operations are watched."""

_ONCE = (
    "abs add clamp clamp_max clamp_min div fmod hardtanh leaky_relu maximum minimum mul neg prelu relu remainder rsub sgn sign "
    "sqrt sub threshold where _prelu_kernel"
)
"""Rounded once, as IEEE 754 says, in every kernel."""
_WHOLE = (
    "all any argmax argmin argsort bitwise_and bitwise_not bitwise_or ceil eq floor ge gt isfinite isinf isnan item le logical_and "
    "logical_not logical_or lt ne nonzero round trunc _local_scalar_dense"
)
"""Truth values and whole numbers."""
_MOVED = (
    "amax amin arange bernoulli cat channel_shuffle clone constant_pad_nd copy dropout embedding empty empty_like empty_strided "
    "exponential eye fill flip full full_like gather index index_copy index_fill index_put index_select masked_fill masked_scatter "
    "masked_select max max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices median min native_dropout "
    "new_empty new_empty_strided new_full new_ones new_zeros normal ones ones_like pixel_shuffle pixel_unshuffle rand rand_like "
    "randint randn randn_like randperm reflection_pad1d reflection_pad2d reflection_pad3d repeat repeat_interleave "
    "replication_pad1d replication_pad2d replication_pad3d resize roll scalar_tensor scatter select_scatter set slice_scatter "
    "sort stack topk tril triu uniform upsample_nearest1d upsample_nearest2d upsample_nearest3d zero zeros zeros_like "
    "_index_put_impl _to_copy _unsafe_index _unsafe_view"
)
"""Numbers that are moved, chosen or made."""
_EXACT = frozenset(f"{_ONCE} {_WHOLE} {_MOVED}".split())
"""Operations that give the same bits in every kernel, whatever the batch."""


def rounding_limit(run: Callable[[], Tensor], model: nn.Module) -> Tensor:
    """By how much two exact ways of computing one output may differ.

    Args:
        run: runs (part of) the model and gives its output, shape (rows, ...).
        model: whose parameters and buffers stay as they are.

    Returns:
        One limit per column of the flattened output, >= 0, in the output's dtype.
    """
    fixed = [*model.parameters(), *model.buffers()]
    generator = torch.Generator().manual_seed(0)
    plain = _seeded(run)
    size = plain.abs().flatten(1).amax(0) if plain.numel() else plain.flatten(1).sum(0)
    floor = torch.finfo(plain.dtype).eps * size
    farthest = torch.zeros_like(floor)
    try:
        for _ in range(max(RUNS, -(-DRAWS // max(1, len(plain))))):
            with PerturbedOperations(fixed, generator):
                moved = _seeded(run)
            farthest = torch.maximum(farthest, (moved - plain).abs().flatten(1).amax(0))
    except (RuntimeError, TypeError, NotImplementedError):
        # tensors of a class of their own that torch does not let be watched: what is known is the size of the result
        return UNKNOWN_UNITS * floor
    return SAFETY * farthest + FLOOR_UNITS * floor


def _seeded(run: Callable[[], Tensor]) -> Tensor:
    """A run whose own random draws are the same each time, so that they do not pass for rounding."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with torch.random.fork_rng(devices):
        torch.manual_seed(0)
        return run()


class PerturbedOperations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside the block each operation that rounds gives a result that is off by about its rounding.

    Args:
        fixed: tensors that are never moved: the network's parameters and buffers.
        generator: draws the perturbations.
    """

    supports_higher_order_operators = True

    def __init__(self, fixed: Iterable[Tensor], generator: torch.Generator) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._fixed = {tensor.untyped_storage().data_ptr() for tensor in fixed if tensor.layout is torch.strided}
        self._generator = generator

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # skipping it imports torch.compile's machinery, which takes longer than an audit's level
        return False

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - an operator or a higher-order one, which share no public type
        types: Any,  # noqa: ANN401 - as torch calls it
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Run one operation, perturbed where it rounds."""
        kwargs = kwargs or {}
        moving = [tensor for tensor in _tensors(args) if self._moves(tensor)]
        if not moving or _is_exact(func):
            return func(*args, **kwargs)
        reach = math.sqrt(_fan_in(func, args, moving))
        written = {a.name for a in func._schema.arguments if a.alias_info is not None and a.alias_info.is_write}  # noqa: SLF001
        given = [
            value if argument.name in written else self._moved(value, reach)
            for argument, value in zip(func._schema.arguments, args, strict=False)  # noqa: SLF001
        ]
        result = func(*given, **kwargs)
        for tensor in _tensors(result if isinstance(result, (tuple, list)) else [result]):
            if self._moves(tensor):
                tensor.mul_(1 + self._noise(tensor, reach))
        return result

    def _moves(self, tensor: Tensor) -> bool:
        return (
            tensor.is_floating_point()
            and tensor.layout is torch.strided
            and tensor.device.type != "meta"
            and tensor.untyped_storage().data_ptr() not in self._fixed
        )

    def _moved(self, value: Any, reach: float) -> Any:  # noqa: ANN401 - whatever an operation takes
        if isinstance(value, (list, tuple)):
            return type(value)([self._moved(each, reach) for each in value])
        if isinstance(value, Tensor) and self._moves(value):
            return value * (1 + self._noise(value, reach))
        return value

    def _noise(self, tensor: Tensor, reach: float) -> Tensor:
        """Uniform in +- unit * reach; sums of numbers in 16 bits are kept in 32, so that only their result is rounded."""
        wide = torch.finfo(tensor.dtype).bits > 16
        amount = torch.finfo(tensor.dtype).eps * (reach if wide else 1.0)
        uniform = torch.rand(tensor.shape, generator=self._generator, dtype=torch.float32)
        return ((2 * uniform - 1) * amount).to(tensor)


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def _is_exact(func: Any) -> bool:  # noqa: ANN401
    """Whether an operation only moves or compares numbers, or rounds once; what runs others inside it is seen through them."""
    if not isinstance(func, torch._ops.OpOverload):  # noqa: SLF001 - the class has no public name
        return True
    is_view = any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns)  # noqa: SLF001
    return is_view or func.overloadpacket.__name__.removesuffix("_") in _EXACT


def _fan_in(func: Any, args: Sequence[Any], moving: Sequence[Tensor]) -> int:  # noqa: ANN401
    """How many terms one number of the result sums, at most."""
    if torch.Tag.pointwise in func.tags:
        return 1
    if func.overloadpacket.__name__ == "convolution":
        weight: Tensor = args[1]
        return max(1, weight.numel() // max(1, weight.shape[0]), weight.numel() // max(1, weight.shape[1]))
    if func.overloadpacket.__name__ in {"sum", "mean"}:
        return max(1, *(tensor.numel() // max(1, len(tensor)) for tensor in moving if tensor.ndim))
    return max(1, *(tensor.shape[-1] for tensor in moving if tensor.ndim))
