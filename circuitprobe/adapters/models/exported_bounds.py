"""What an exported program may ask for: bounds on its sizes, expressions and weights, before torch's loader evaluates them."""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from circuitprobe.adapters.models.pickles import BeyondBoundsError
from circuitprobe.adapters.models.tensor_pickles import FREE, PER_BYTE, extent, shape_words

MOST_NODES = 5_000
MOST_VALUES = 20_000
LONGEST_PROGRAM = 32 * 2**20
_LARGEST_INT = 2**63
_LONGEST_EXPRESSION, _LONGEST_TOGETHER = 1_000, 200_000
_MOST_CALLS, _MOST_TERMS, _MOST_CHOICES, _LARGEST_POWER = 60, 64, 8, 4
# numbers of types in an exported program, and their bytes
_ITEMS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 2, 7: 4, 8: 8, 9: 4, 10: 8, 11: 16, 12: 1, 13: 2, 28: 2, 29: 1, 30: 1, 31: 1, 32: 1,
          33: 1, 34: 4, 35: 8}  # fmt: skip
_CHOICES = frozenset({"Max", "Min", "Where"})
_NUMBER_NAMES = (
    "Symbol Integer Rational Float Add Mul Pow Abs Eq Ne Gt Ge Lt Le Equality Unequality GreaterThan LessThan "
    "StrictGreaterThan StrictLessThan And Or Not FloorDiv ModularIndexing PythonMod Mod CleanDiv CeilToInt FloorToInt "
    "CeilDiv FloatTrueDiv IntTrueDiv TruncToFloat TruncToInt RoundToInt ToFloat Identity"
)
_NUMBERS = _CHOICES | frozenset(_NUMBER_NAMES.split())
_PLAIN_NAMES = re.compile(r"[a-z]{1,3}\d+|int_oo|oo|True|False")
_PLAIN_TEXT = re.compile(r"\w{1,40}|-?[\d.e+\-]{1,40}")

ROWS = 16
"""Rows that a program is followed with where it takes any number."""
_LARGEST_OUTPUT, _LARGEST_TOGETHER = 256 * 2**20, 2**31


@dataclass(frozen=True)
class _Shape:
    """A part of an expression.

    Attributes:
        terms: how many it has, multiplied out.
        number: its value, where it is one.
        plain: whether it is a symbol or a number.
    """

    terms: int
    number: int | None = None
    plain: bool = False


class Expressions:
    """The sizes of one program, each looked at once; the loader evaluates them as Python."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._length = 0

    def check(self, text: str) -> str:
        """What is wrong with a size, "" for nothing."""
        if text in self._seen:
            return ""
        self._length += len(text)
        if len(text) > _LONGEST_EXPRESSION or self._length > _LONGEST_TOGETHER:
            return f"a size of {len(text):,} characters"
        try:
            tree = ast.parse(text, mode="eval")
            calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
            choices = sum(isinstance(call.func, ast.Name) and call.func.id in _CHOICES for call in calls)
            fits = (
                len(calls) <= _MOST_CALLS and choices <= _MOST_CHOICES and self._shape(tree.body).terms <= _MOST_TERMS
            )
        except (SyntaxError, ValueError, RecursionError, MemoryError, _UnknownError):
            fits = False
        if not fits:
            return f"the size {text[:60]!r}"
        self._seen.add(text)
        return ""

    def _shape(self, node: ast.expr) -> _Shape:
        if isinstance(node, ast.Constant):
            return self._constant(node.value)
        if isinstance(node, ast.Name) and _PLAIN_NAMES.fullmatch(node.id):
            return _Shape(1, plain=True)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            inner = self._shape(node.operand)
            return _Shape(inner.terms, None if inner.number is None else -inner.number, inner.plain)
        if isinstance(node, ast.BinOp):
            kind = {ast.Add: "Add", ast.Sub: "Add", ast.Mult: "Mul", ast.FloorDiv: "FloorDiv"}.get(type(node.op))
            if kind is not None:
                return self._call(kind, [self._shape(node.left), self._shape(node.right)])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _NUMBERS:
            for keyword in node.keywords:
                if not isinstance(keyword.value, (ast.Constant, ast.Name)):
                    raise _UnknownError
            return self._call(node.func.id, [self._shape(part) for part in node.args])
        raise _UnknownError

    def _constant(self, value: object) -> _Shape:
        if isinstance(value, str) and not _PLAIN_TEXT.fullmatch(value):
            raise _UnknownError
        if isinstance(value, int) and abs(value) >= _LARGEST_INT:
            raise _UnknownError
        if not isinstance(value, (str, int, float)):
            raise _UnknownError
        return _Shape(1, value if isinstance(value, int) else None, plain=True)

    def _call(self, name: str, parts: list[_Shape]) -> _Shape:
        if name in {"Symbol", "Integer", "Rational", "Float"}:
            return _Shape(1, parts[0].number if name == "Integer" and parts else None, plain=True)
        if name == "Pow":
            # of a symbol or a number, a few times: towers of powers have more digits than there is memory
            if len(parts) != 2 or not parts[0].plain or not 0 <= (parts[1].number or 0) <= _LARGEST_POWER:
                raise _UnknownError
            if parts[1].number is None:
                raise _UnknownError
            return _Shape(1)
        terms = 1
        if name == "Mul":
            for part in parts:
                terms *= part.terms
        else:
            terms = sum(part.terms for part in parts) or 1
        return _Shape(terms)


class _UnknownError(Exception):
    """A part of an expression that is no size."""


def check_counts(program: Mapping[str, Any]) -> None:
    """Bound how much there is in a program.

    Raises:
        BeyondBoundsError: more nodes or values than any network has, or an integer that is none.
    """
    nodes = values = 0
    waiting: list[Any] = [program]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            nodes += "target" in value and "inputs" in value
            values += "sizes" in value and "strides" in value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, int) and abs(value) > _LARGEST_INT:
            raise BeyondBoundsError(f"an integer of {value.bit_length():,} bits")
    if nodes > MOST_NODES or values > MOST_VALUES:
        raise BeyondBoundsError(f"{nodes:,} operators on {values:,} tensors")


def check_weights(entries: Mapping[str, Any], lengths: Mapping[str, int]) -> None:
    """Make sure that weights lie within the raw entries that hold them.

    Args:
        entries: by the weights' names: ``path_name`` and ``tensor_meta``.
        lengths: bytes of each raw entry.

    Raises:
        BeyondBoundsError: a weight reaches beyond its entry, or all are many times the entries.
    """
    made = 0
    for name, entry in entries.items():
        told = entry["tensor_meta"]
        size, stride = ([side["as_int"] for side in told[key]] for key in ("sizes", "strides"))
        offset, item = told["storage_offset"]["as_int"], _ITEMS.get(told["dtype"])
        numbers = [*size, *stride, offset]
        if (
            item is None
            or len(size) != len(stride)
            or not all(isinstance(n, int) and 0 <= n < _LARGEST_INT for n in numbers)
        ):
            raise BeyondBoundsError(f"the weight {name[:60]}, whose shape is none")
        count, reach = extent(size, stride, offset)
        made += count * item
        if reach * item > lengths[entry["path_name"]] or made > PER_BYTE * sum(lengths.values()) + FREE:
            raise BeyondBoundsError(
                f"the weight {name[:60]} of shape {shape_words(size)} in {lengths[entry['path_name']]:,} bytes"
            )


class _Measured(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the outputs of every operator; under it nothing is computed, so that nothing is made of any size.

    Args:
        largest: bytes that one output may have.
        together: bytes of all of them.
    """

    def __init__(self, largest: int, together: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._largest = largest
        self._left = together

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        del types
        out = func(*args, **(kwargs or {}))
        for made in out if isinstance(out, (list, tuple)) else (out,):
            if isinstance(made, torch.Tensor):
                length = made.numel() * made.element_size()
                self._left -= length
                if length > self._largest or self._left < 0:
                    raise BeyondBoundsError(f"{func} with an output of shape {shape_words(made.shape)}")
        return out


def check_outputs(module: nn.Module, given: Any, named: Any, size: int) -> None:  # noqa: ANN401
    """Follow a program through tensors without numbers, and bound what each operator would make.

    Args:
        module: the program.
        given: what it is given, with tensors on the meta device, which have no numbers.
        named: the same by keywords.
        size: bytes of its file.

    Raises:
        BeyondBoundsError: an operator makes more than any network of that size.
        Exception: whatever an operator raises that cannot be followed, as when it is run.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    free = 16 * size
    with unlogged(), torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
        args, keywords = pytree.tree_map_only(torch.Tensor, _without_numbers, (given, named))
        with _Measured(_LARGEST_OUTPUT + free, _LARGEST_TOGETHER + 4 * free):
            module(*args, **keywords)


@contextmanager
def unlogged() -> Iterator[None]:
    """Nothing is logged inside the block: torch logs what it then raises, with its stack."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _without_numbers(value: torch.Tensor) -> torch.Tensor:
    return torch.empty(value.shape, dtype=value.dtype)
