"""How a half is run with activations read and written: the plain way, one forward run per call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

from torch import Tensor, nn

from circuitprobe.errors import ModelError, UsageError
from circuitprobe.probe.half import Half
from circuitprobe.probe.hooks import capture
from circuitprobe.probe.outputs import with_tensors
from circuitprobe.types import Site


class Backend(Protocol):
    """Runs a half. Every call is one forward run, and leaves no hook behind."""

    name: str

    def run(self, half: Half, inputs: Tensor) -> Tensor:
        """The half's output."""
        ...

    def capture(self, half: Half, inputs: Tensor, sites: Sequence[Site]) -> tuple[Tensor, dict[Site, Tensor]]:
        """The output, and clones of the activations at some sites, shaped as the model made them."""
        ...

    def patched(
        self, half: Half, inputs: Tensor, patches: Mapping[Site, Tensor], read: Sequence[Site] = ()
    ) -> tuple[Tensor, dict[Site, Tensor]]:
        """The run with the whole tensor at some sites replaced; the sites to read are captured as they are in that run."""
        ...


class HooksBackend:
    """Torch's own forward hooks."""

    name = "hooks"

    def run(self, half: Half, inputs: Tensor) -> Tensor:
        """The half's output."""
        return half.run(inputs)

    def capture(self, half: Half, inputs: Tensor, sites: Sequence[Site]) -> tuple[Tensor, dict[Site, Tensor]]:
        """The output, and clones of the activations at some sites."""
        with capture(half.model, sites) as recording:
            output = half.run(inputs)
        return output, dict(recording.tensors)

    def patched(
        self, half: Half, inputs: Tensor, patches: Mapping[Site, Tensor], read: Sequence[Site] = ()
    ) -> tuple[Tensor, dict[Site, Tensor]]:
        """The run with the tensors at some sites replaced."""
        by_module: dict[str, dict[int, list[tuple[Site, Tensor]]]] = {}
        for site, tensor in patches.items():
            by_module.setdefault(site.module, {}).setdefault(site.call, []).append((site, tensor))
        with ExitStack() as stack:
            for path, wanted in by_module.items():
                stack.callback(half.model.get_submodule(path).register_forward_hook(_writer(wanted)).remove)
            # reading hooks come second, so that a site that is written and read gives what was written
            recording = stack.enter_context(capture(half.model, read))
            output = half.run(inputs)
        for wanted in by_module.values():
            if wanted:
                raise not_reached(next(iter(wanted.values()))[0][0])
        return output, dict(recording.tensors)


def _writer(wanted: dict[int, list[tuple[Site, Tensor]]]) -> Callable[[nn.Module, Any, Any], Any]:
    """A hook that replaces tensors; what it has replaced is taken out of ``wanted``."""
    count = 0

    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:  # noqa: ANN401 - whatever a module returns
        nonlocal count
        count += 1
        chosen = wanted.pop(count - 1, None)
        # clones: what comes next may work in place, and the caller's tensor is the caller's
        return (
            None if chosen is None else with_tensors(output, {site.selector: tensor.clone() for site, tensor in chosen})
        )

    return hook


def not_reached(site: Site) -> ModelError:
    """A site was named that does not run."""
    return ModelError(
        f"site {site.name} did not run",
        expected="a module that runs during encode or decode",
        fix="circuitprobe inspect MODEL DATA lists the sites",
    )


@contextmanager
def backend_named(name: str) -> Iterator[Backend]:
    """A backend while the block runs; nnsight is imported only where it is asked for, and its side effects end with the block.

    Raises:
        UsageError: there is no such backend.
    """
    if name == "hooks":
        yield HooksBackend()
        return
    if name != "nnsight":
        raise UsageError(f"backend {name!r}", expected="hooks or nnsight", fix="--backend hooks")
    from circuitprobe.adapters.models.tracing import contained
    from circuitprobe.probe.nnsight_backend import NnsightBackend

    with contained():
        yield NnsightBackend()
