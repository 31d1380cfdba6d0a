"""A half that has been tried out: how it is run, recorded, and which way a patch takes (DESIGN: the engine)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, partial

import torch
from torch import Tensor

from circuitprobe.probe.backends import Backend, HooksBackend, not_reached
from circuitprobe.probe.calls import Calls, find_calls
from circuitprobe.probe.half import Half
from circuitprobe.probe.kernels import kernel_stubs
from circuitprobe.probe.outputs import tensors_in
from circuitprobe.probe.planning import PROBE_ROWS, Trial, agree
from circuitprobe.probe.rounding import rounding_limit
from circuitprobe.probe.route import Route
from circuitprobe.probe.stubs import Stub, stubbed
from circuitprobe.probe.tape import Tape, joined, record
from circuitprobe.types import Site

MEMORY = 2**30
PIECE_BYTES = 2 * 2**20
MAPS_BYTES = 2 * PIECE_BYTES
MIN_ROWS = 3


@dataclass(frozen=True)
class Engine:
    """Runs one half of a model with units patched.

    Attributes:
        half: what is run; inside ``untouched``.
        calls: its leaf calls; none for TorchScript, whose modules run no hooks.
        backend: runs the plain ways.
        memory: bytes that activations and results may take.
        trial: the half recorded on a few rows; None for a backend that runs everything.
        independent: a row's output does not depend on the other rows of its batch.
        kernels: faster ways to compute some of the leaves.
        probe: the rows it was tried on.
        routes: found so far.
    """

    half: Half
    calls: Calls
    backend: Backend
    memory: int
    trial: Trial | None
    independent: bool
    kernels: Mapping[int, Stub]
    probe: Tensor
    routes: dict[Site, Route] = field(default_factory=dict)

    @classmethod
    def build(cls, half: Half, inputs: Tensor, memory: int = MEMORY, backend: Backend | None = None) -> Engine:
        """Try the half on a few rows.

        Args:
            half: what to run.
            inputs: rows to try it on; eight are taken.
            memory: bytes that activations and results may take.
            backend: default torch hooks.
        """
        backend = backend or HooksBackend()
        probe = inputs[:PROBE_ROWS]
        whole = backend.run(half, probe)
        independent = len(probe) < MIN_ROWS or _independent(half, backend, probe, whole)
        if isinstance(half.model, torch.jit.ScriptModule) or len(probe) < MIN_ROWS:
            return cls(half, Calls((), None), backend, memory, None, independent, {}, probe)
        calls = find_calls(half, probe)
        if backend.name != "hooks":
            return cls(half, calls, backend, memory, None, independent, {}, probe)
        trial = Trial(half, calls, record(half, calls, probe), {})
        kernels = kernel_stubs(calls)
        if not kernels or not trial.unchanged(kernels):
            kernels = {}
        return cls(half, calls, backend, memory, trial, independent, kernels, probe)

    @property
    def untried(self) -> str:
        """Why there is no trial, in words."""
        if self.backend.name != "hooks":
            return f"the {self.backend.name} backend runs every module"
        return "TorchScript runs no hooks" if len(self.probe) >= MIN_ROWS else "too few rows to try shortcuts on"

    @property
    def work(self) -> int:
        """Multiplications of one run per row."""
        return max(1, sum(leaf.work for leaf in self.calls.leaves))

    @property
    def row_bytes(self) -> int:
        """Bytes of one row's recorded outputs."""
        element = self.probe.element_size()
        return max(1, sum(leaf.row_bytes for leaf in self.calls.leaves), self.probe[0].numel() * element)

    @property
    def widest(self) -> int:
        """Bytes of the widest tensor per row."""
        return max([self.probe[0].numel() * self.probe.element_size(), *(leaf.row_bytes for leaf in self.calls.leaves)])

    def piece(self, row_bytes: int) -> int:
        """Rows per run."""
        return max(1, min(self._piece_bytes, self.memory // 16) // max(1, row_bytes))

    @cached_property
    def _piece_bytes(self) -> int:
        """Convolutions gain more from a larger batch than they lose outside the cache."""
        weights = (getattr(leaf.module, "weight", None) for leaf in self.calls.leaves)
        return MAPS_BYTES if any(isinstance(w, Tensor) and w.ndim > 3 for w in weights) else PIECE_BYTES

    def pieces(self, rows: int, size: int | None = None) -> Iterator[slice]:
        """Slices of rows for one forward run each; all rows at once where they depend on each other."""
        size = max(2, size or self.piece(self.widest)) if self.independent else max(1, rows)
        starts = list(range(0, rows, size))
        if len(starts) > 1 and rows - starts[-1] == 1:
            # a row alone may lose its axis in a squeeze
            starts.pop()
        return (slice(start, stop) for start, stop in zip(starts, [*starts[1:], rows], strict=True))

    def forward(self, inputs: Tensor) -> Tensor:
        """The half's output for any number of rows, in pieces."""
        return self.read(inputs, ())[0]

    def read(self, inputs: Tensor, sites: Sequence[Site], size: int | None = None) -> tuple[Tensor, dict[Site, Tensor]]:
        """The half's output for any number of rows, and the activations at some sites, shaped as the model made them.

        Args:
            inputs: shape (rows, width).
            sites: whose rows are on the first axis.
            size: rows per forward run.
        """
        outputs: list[Tensor] = []
        found: dict[Site, list[Tensor]] = {site: [] for site in sites}
        with stubbed(self.calls, self.kernels) as restart:
            for piece in self.pieces(len(inputs), size):
                restart()
                output, captured = self.backend.capture(self.half, inputs[piece], sites)
                outputs.append(output)
                for site in sites:
                    found[site].append(_present(captured, site))
        return torch.cat(outputs), {site: torch.cat(parts) for site, parts in found.items()}

    def once(self, inputs: Tensor, sites: Sequence[Site]) -> tuple[Tensor, dict[Site, Tensor]]:
        """The same in one forward run; equal inputs in batches of one size give equal output to the last bit."""
        if not self.kernels and not sites:
            return self.backend.run(self.half, inputs), {}
        with stubbed(self.calls, self.kernels):
            return self.backend.capture(self.half, inputs, sites)

    def tape(self, inputs: Tensor, sites: Sequence[Site] = ()) -> Recorded:
        """Record a run.

        Args:
            inputs: shape (rows, width).
            sites: what will be read or patched.
        """
        if self.trial is None:
            output, captured = self.read(inputs, sites)
            return Recorded(self, Tape(inputs, output, {}), captured)
        with stubbed(self.calls, self.kernels) as restart:
            parts = []
            for piece in self.pieces(len(inputs)):
                restart()
                parts.append(record(self.half, self.calls, inputs[piece]))
        rest = [site for site in sites if self.calls.at(site.module, site.call) is None]
        return Recorded(self, joined(parts, self.calls), self.read(inputs, rest)[1] if rest else {})


def _independent(half: Half, backend: Backend, probe: Tensor, whole: Tensor) -> bool:
    """Whether rows give the same output in other company: fewer rows, another order, many more of them."""
    count = len(probe)
    companies = [[count - 2, 0], [1, 0, *range(count - 1, 2, -1)], list(range(count)) * 8]
    limit = cache(lambda: rounding_limit(lambda: half.run(probe), half.model))
    return all(agree(backend.run(half, probe[rows]), whole[rows], limit) for rows in companies)


def _present(captured: Mapping[Site, Tensor], site: Site) -> Tensor:
    if site not in captured:
        raise not_reached(site)
    return captured[site]


@dataclass(frozen=True)
class Recorded:
    """A recorded run of an engine's half.

    Attributes:
        engine: that recorded it.
        tape: what it kept.
        captured: activations of sites that are no leaves.
        routes: ways that have been seen to hold on these rows.
        gradients: by site, for screening units; None where no gradient goes through.
    """

    engine: Engine
    tape: Tape
    captured: dict[Site, Tensor]
    routes: dict[Site, Route] = field(default_factory=dict)
    gradients: dict[Site, Tensor | None] = field(default_factory=dict)

    @property
    def output(self) -> Tensor:
        """The half's output, shape (rows, width)."""
        return self.tape.output

    @property
    def rows(self) -> int:
        """How many rows."""
        return self.tape.rows

    @cached_property
    def rounding(self) -> Tensor:
        """What rounding can do to each column of the output on these rows."""
        engine, inputs = self.engine, self.tape.inputs
        limits = [
            rounding_limit(partial(engine.half.run, inputs[piece]), engine.half.model)
            for piece in engine.pieces(self.rows)
        ]
        return torch.stack(limits).amax(0)

    def at(self, site: Site) -> Tensor:
        """The activations at a site, shaped as the model made them."""
        if site in self.captured:
            return self.captured[site]
        leaf = self.engine.calls.at(site.module, site.call)
        found = {} if leaf is None else dict(tensors_in(self.tape.outputs[leaf.index]))
        return _present({site: found[site.selector]} if site.selector in found else {}, site)
