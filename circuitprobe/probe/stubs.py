"""Standing in for leaf modules while a half runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn

from circuitprobe.probe.calls import Calls

Stub = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
"""(the module's own forward, arguments, keywords) -> what the call returns instead."""


def is_bare(module: nn.Module) -> bool:
    """Whether nothing but the class's own forward decides what the module gives."""
    hooked = any(getattr(module, name, None) for name in ("_forward_hooks", "_forward_pre_hooks"))
    return not hooked and "forward" not in module.__dict__


@contextmanager
def stubbed(calls: Calls, stubs: Mapping[int, Stub]) -> Iterator[Callable[[], None]]:
    """Replace what some leaf calls do; calls without a stub run as they are.

    Every module's ``forward`` is as before when the block ends, however it ends.

    Args:
        calls: the half's leaf calls.
        stubs: by index of the call.

    Yields:
        A function to call before every run: calls are counted from 0 again.
    """
    by_module: dict[str, tuple[nn.Module, dict[int, Stub]]] = {}
    for leaf in calls.leaves:
        if leaf.index in stubs:
            by_module.setdefault(leaf.path, (leaf.module, {}))[1][leaf.call] = stubs[leaf.index]
    counts = dict.fromkeys(by_module, 0)
    missing = object()
    before = [(module, module.__dict__.get("forward", missing)) for module, _ in by_module.values()]

    def restart() -> None:
        for path in counts:
            counts[path] = 0

    try:
        for path, (module, mine) in by_module.items():
            module.__dict__["forward"] = _forward(path, module.forward, mine, counts)
        yield restart
    finally:
        for module, forward in before:
            if forward is missing:
                module.__dict__.pop("forward", None)
            else:
                module.__dict__["forward"] = forward


def _forward(
    path: str, original: Callable[..., Any], mine: Mapping[int, Stub], counts: dict[str, int]
) -> Callable[..., Any]:
    def forward(*arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401 - as the module's own
        number = counts[path]
        counts[path] = number + 1
        stub = mine.get(number)
        return original(*arguments, **keywords) if stub is None else stub(original, arguments, keywords)

    return forward
