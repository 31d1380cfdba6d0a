"""What makes a sampled tensor no code of a row: other rows, other noise, several samples of one posterior."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from itertools import combinations

import torch
from torch import Tensor

from circuitprobe.adapters.models.recognise.ask import ask
from circuitprobe.adapters.models.recognise.code import Code, is_scaled_input
from circuitprobe.adapters.models.recognise.found import Found, fewer
from circuitprobe.adapters.models.recognise.noise import Step
from circuitprobe.adapters.models.recognise.outputs import Path
from circuitprobe.adapters.models.recognise.reading import close
from circuitprobe.adapters.models.recognise.trial import tapped


def refuse_mixed_rows(found: Found) -> None:
    """A row's mean and spread must not depend on which rows come with it, nor on draws that are not normal.

    Raises:
        ModelError: they do.
    """
    few = fewer(found.model, len(found.x))
    for constant in (0.0, 1.0):
        alone = _values(found, found.x, constant, 0)
        for x, seed, order in (
            (found.x[:few], 0, slice(0, few)),
            (found.x.flip(0), 0, torch.arange(len(found.x) - 1, -1, -1)),
            (found.x, 1, slice(None)),
        ):
            values = _values(found, x, constant, seed)
            same = (
                one is not None and other is not None and close(one, other[order])
                for one, other in zip(values, alone, strict=True)
            )
            if not all(same):
                raise ask(
                    found.model,
                    f"the code of a row in {found.way.words()} changes with the rows beside it or from run to run: "
                    "forward mixes or shuffles the rows of a batch, or draws from more than normal noise",
                    expected="a code for each row that is its own",
                )


def _values(
    found: Found, x: Tensor, constant: float, seed: int, only: Collection[int] | None = None
) -> list[Tensor | None]:
    """Each code as a run gives it, (rows, entries), float64; None where it has another size there."""
    steps = tapped(found.model, found.way, x, constant, seed=seed, only=only).trace.steps
    return [_value(steps, code, len(x)) for code in found.codes]


def _value(steps: list[Step], code: Code, rows: int) -> Tensor | None:
    if code.step >= len(steps) or steps[code.step].value.numel() != rows * code.mean.shape[1]:
        return None
    return steps[code.step].value.double().reshape(rows, -1)


def refuse_other_noise(found: Found) -> None:
    """No draw that makes no code of its own may reach a code: its spread would be missing from what is read.

    Raises:
        ModelError: one does.
    """
    zero = found.seen.zero
    assert zero is not None  # noqa: S101 - codes come from a run
    known = {code.draw for code in found.seen.codes}
    others = [draw for draw in range(len(zero.trace.draws)) if draw not in known]
    for own in {code.draw for code in found.codes} if others else ():
        alone = _values(found, found.x, 1.0, 0, {own})
        for draw in others:
            for value, other in zip(_values(found, found.x, 1.0, 0, {own, draw}), alone, strict=True):
                if value is not None and other is not None and close(value, other):
                    continue
                raise ask(
                    found.model,
                    f"what {found.way.words()} samples depends on other noise as well (draw {draw + 1} of "
                    f"{len(zero.trace.draws)}): noise in the encoder, or a posterior that is not diagonal",
                    expected="a code with one noise, entry by entry",
                )


def refuse_noise_beyond_code(found: Found, output: Path) -> None:
    """With the codes held, neither their own noise nor noise added to them may move the reconstruction.

    Raises:
        ModelError: it does, so that the spread that was read is not that of the code.
    """
    zero = found.seen.zero
    assert zero is not None  # noqa: S101 - codes come from a run
    own = {code.draw for code in found.codes}
    added = {
        draw
        for step in zero.trace.steps
        if step.draws & own and any(step.value.numel() == code.mean.numel() for code in found.codes)
        for draw in step.draws - own
    }
    codes = found.mean.to(found.x)
    held = found.replaced(codes)[output]
    for draw in sorted(own | added):
        if not close(found.replaced(codes, constant=1.0, only={draw})[output], held):
            raise ask(
                found.model,
                f"with the code of {found.way.words()} held, its reconstruction still moves with "
                f"{'the same noise, used again beside the code' if draw in own else 'other noise, added to the code later on'}",
                expected="a code with one noise, entry by entry",
            )


def refuse_repeated_samples(found: Found) -> None:
    """Several samples of one posterior are one code, not as many.

    Raises:
        ModelError: two codes are the same but for their noise, or one code holds the same posterior several times.
    """
    times = 0
    for one, other in combinations(found.codes, 2):
        if one.mean.shape == other.mean.shape and close(one.mean, other.mean) and close(one.std, other.std):
            times = sum(code.mean.shape == one.mean.shape and close(code.mean, one.mean) for code in found.codes)
    for code in found.codes:
        for axis, size in enumerate(code.shape[:-1], 1):
            shaped = [t.reshape(len(t), *code.shape) for t in (code.mean, code.std)]
            if size > 1 and all(close(t, t.narrow(axis, 0, 1).expand_as(t)) for t in shaped):
                times = size
    if times:
        raise ask(
            found.model,
            f"{found.way.words()} samples the same posterior {times} times for every row (importance weighting)",
            expected="one sample for every row",
        )


def without_noise(found: Found) -> tuple[Code, ...]:
    """The codes without noise put in on the way: where some spreads depend on the row, those that do not; noisy rows."""
    varying = tuple(code for code in found.codes if not code.constant) or found.codes
    return tuple(code for code in varying if not is_scaled_input(code, found.data)) or varying


def links_of_a_chain(found: Found, output: Path) -> tuple[tuple[Code, ...], ...]:
    """Codes between which there is a choice: one sampled tensor made of another, and only the last reaches the output.

    Args:
        found: with codes that each move the output as long as no other is held.
        output: where the reconstruction lies.

    Returns:
        The codes that reach the output with all held, and those that do not; or all of them at once where all do.
    """
    if len(found.codes) == 1:
        return (found.codes,)
    held = found.replaced(found.mean.to(found.x))[output]
    reaching: list[Code] = []
    covered: list[Code] = []
    for number, code in enumerate(found.codes):
        parts = [c.mean.flip(0) + c.std if n == number else c.mean for n, c in enumerate(found.codes)]
        moved = found.replaced(torch.cat(parts, 1).to(found.x))[output]
        (covered if close(moved, held) else reaching).append(code)
    return (tuple(reaching), tuple(covered)) if covered else (tuple(reaching),)


def chain_of_two(found: Found, links: tuple[tuple[Code, ...], ...]) -> str:
    """A chain in words."""
    sizes = [" and ".join(f"{code.mean.shape[1]}" for code in link) for link in links[::-1]]
    way = replace(found, codes=links[0]).way.words()
    return (
        f"{way} samples tensors of {sizes[0]} entries, and from those others of {sizes[1]} entries: either may be the code, "
        "the rest noise inside encoder or decoder"
    )
