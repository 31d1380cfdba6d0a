"""The nnsight backend: the same runs as ``HooksBackend``, read and written through nnsight traces.

It changes the interpreter that imports it and the modules that it wraps; ``contained`` and ``_unwrapped_afterwards`` undo
that. It runs the source text of traced ``with`` blocks. Those are in this file, so callers may be anywhere (a file, a test,
``python -c``, standard input, a notebook), but circuitprobe must be installed as source files: from a zip archive or from
bytecode alone this backend ends in an error, and the hooks backend works.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from circuitprobe.adapters.models.tracing import USE_HOOKS, contained, refuse_torchscript
from circuitprobe.errors import ModelError
from circuitprobe.probe.half import Half
from circuitprobe.probe.outputs import tensors_in, with_tensors
from circuitprobe.types import Site

_ABSENT = object()


class NnsightBackend:
    """Activations read and written in nnsight traces, one trace per call.

    Results are those of ``HooksBackend``. Where nnsight cannot give them (TorchScript, a forward hook of the user's that
    returns another output, a module run as ``module.forward(...)``) there is an error, never another number. The model is
    wrapped for each call, some 40 microseconds per module: a wrapper that is kept misses what the user changes in between.
    """

    name = "nnsight"

    def run(self, half: Half, inputs: Tensor) -> Tensor:
        """The half's output, shape (rows, width)."""
        return _traced(half, inputs, [])

    def capture(self, half: Half, inputs: Tensor, sites: Sequence[Site]) -> tuple[Tensor, dict[Site, Tensor]]:
        """The output, and clones of the activations at some sites, shaped as the model made them."""
        return self.patched(half, inputs, {}, sites)

    def patched(
        self, half: Half, inputs: Tensor, patches: Mapping[Site, Tensor], read: Sequence[Site] = ()
    ) -> tuple[Tensor, dict[Site, Tensor]]:
        """The run with the whole tensor at some sites replaced, and the sites to read as they are in that run.

        A site that is both is read as written. The tensors given are copied, so a later step in place does not reach them.

        Raises:
            ModelError: a site is not reached, has no such tensor, or cannot be had through nnsight; the model is or
                contains TorchScript. An error that the half itself raises comes out as it is.
        """
        visits = _visits(half, patches, read)
        output = _traced(half, inputs, visits)
        caught = {site: tensor for visit in visits for site, tensor in visit.caught.items()}
        return output, {site: caught[site] for site in read}


@dataclass
class _Visit:
    """One call of one module, and what is done to its output.

    Attributes:
        site: one of the sites concerned, for messages.
        patches: selector -> the tensor to put there.
        read: the sites to read, after that; ``caught`` is what was read.
        served: the output as the trace left it, and ``confirmed`` whether the model went on with that very object.
        error: what went wrong in reading or writing.
        calls: how often the module was called.
    """

    module: nn.Module
    call: int
    site: Site
    patches: dict[tuple[int | str, ...], Tensor] = field(default_factory=dict)
    read: list[Site] = field(default_factory=list)
    caught: dict[Site, Tensor] = field(default_factory=dict)
    served: object = _ABSENT
    error: Exception | None = None
    confirmed: bool = False
    calls: int = 0

    def follow(self, tracer: Any, envoy: Any) -> None:  # noqa: ANN401 - nnsight's objects
        """The intervention: nnsight runs it in step with the model, up to and past the call it is for."""
        try:
            for _ in tracer.iter[[self.call]]:
                self.served = envoy.output
                self.served = self._handle(self.served)
                if self.patches:
                    envoy.output = self.served
        except Exception as error:  # noqa: BLE001 - raised from here it would pass for an error of the model's
            self.error = error

    def _handle(self, output: object) -> object:
        """Write, then read; the output to go on with."""
        tensors = dict(tensors_in(output))
        for selector in (*self.patches, *(site.selector for site in self.read)):
            if selector not in tensors:
                raise ModelError(
                    f"site {self.site.name}: the module returned no tensor at {list(selector)}",
                    expected=f"a selector out of {[list(known) for known in tensors]}",
                    fix="take the sites from circuitprobe.probe.hidden_sites",
                )
        if self.patches:
            output = with_tensors(output, {selector: tensor.clone() for selector, tensor in self.patches.items()})
            tensors = dict(tensors_in(output))
        self.caught = {site: tensors[site.selector].detach().clone() for site in self.read}
        return output

    def watch(self, _module: nn.Module, _inputs: object, output: object) -> None:
        """A forward hook, to see that nnsight's count of calls and its output are the ones that hooks see."""
        if self.calls == self.call:
            self.confirmed = output is self.served
        self.calls += 1

    def check(self, half: Half) -> None:
        """Raise what kept the visit from being what was asked for."""
        name, module = self.site.name, self.site.module or "the model"
        if self.calls <= self.call:
            raise ModelError(
                f"site {name} is not reached: one run of the {half.name} calls {module} {self.calls} times",
                expected="a site that this half runs, calls of a module counted from 0",
                fix=f"leave {name} out of the sites",
            )
        if self.error is not None and self.served is not _ABSENT:
            raise self.error
        if not self.confirmed:
            raise ModelError(
                f"site {name}: what nnsight sees of {module} is not what the model goes on with",
                expected="a module that is called (not its forward), with no hook that changes its output, no part named 'path'",
                fix=USE_HOOKS,
            )


def _visits(half: Half, patches: Mapping[Site, Tensor], read: Sequence[Site]) -> list[_Visit]:
    """The calls of modules that are concerned; a module known by two paths counts its calls once, as hooks do."""
    visits: dict[tuple[int, int], _Visit] = {}
    for site in dict.fromkeys((*patches, *read)):
        module = half.model.get_submodule(site.module)
        visit = visits.setdefault((id(module), site.call), _Visit(module, site.call, site))
        if site in patches:
            visit.patches[site.selector] = patches[site]
        if site in read:
            visit.read.append(site)
    return list(visits.values())


class _Adapter(nn.Module):
    """A half on some inputs as a module with a forward, which is what nnsight traces.

    The inputs are no arguments of it: nnsight would move them to the device of the model's first weight.
    """

    def __init__(self, half: Half, inputs: Tensor) -> None:
        super().__init__()
        self.model = half.model
        self.run_half, self.inputs = half.run, inputs
        self.outputs: list[Tensor] = []
        self.failure: BaseException | None = None

    def forward(self, _marker: object) -> None:
        try:
            self.outputs.append(self.run_half(self.inputs))
        except BaseException as error:  # noqa: BLE001 - raised again outside the trace, ctrl-C too
            self.failure = error

    def check(self) -> None:
        """Raise what the half raised, once the trace is over."""
        failure = link = self.failure
        while link is not None:  # nnsight leaves a with block by an exception: no error of the model's came from that
            if type(link.__context__).__name__ == "ExitTracingException":
                link.__context__ = None
            link = link.__context__
        try:
            if failure is not None:
                raise failure
        finally:
            del failure, self.failure  # a frame that holds its own error keeps the model's tensors alive


def _traced(half: Half, inputs: Tensor, visits: Sequence[_Visit]) -> Tensor:
    refuse_torchscript(half.model)
    adapter = _Adapter(half, inputs)
    with contained() as nnsight, _unwrapped_afterwards(half.model), ExitStack() as stack:
        try:
            envoys = _wrap(nnsight, adapter)
            for visit in visits:
                stack.callback(visit.module.register_forward_hook(visit.watch).remove)
            _trace(envoys, adapter, visits)
        except Exception as error:
            adapter.check()
            raise ModelError(
                f"nnsight cannot trace the {half.name}: {type(error).__name__}: {error}",
                expected="a model that nnsight can wrap, and circuitprobe installed as source files",
                fix=USE_HOOKS,
            ) from error
    adapter.check()
    for visit in visits:
        visit.check(half)
    return adapter.outputs[0]


def _wrap(nnsight: ModuleType, adapter: _Adapter) -> dict[int, Any]:
    """Nnsight's view of each module, by the module's id."""
    with warnings.catch_warnings():
        # a submodule named "output" goes by another name, which is nothing to one that looks for modules by identity
        warnings.simplefilter("ignore")
        wrapped = nnsight.NNsight(adapter)
    return {id(envoy._module): envoy for envoy in nnsight.Envoy.modules(wrapped)}  # noqa: SLF001 - the way back to a module


def _trace(envoys: Mapping[int, Any], adapter: _Adapter, visits: Sequence[_Visit]) -> None:
    """One run of the adapter. Each visit is a block of its own, so their order does not matter.

    One block must read in the order in which the model runs; several wait for their calls independently.
    """
    with envoys[id(adapter)].trace() as tracer:
        with tracer.invoke(None):
            pass
        for visit in visits:
            with tracer.invoke():
                visit.follow(tracer, envoys[id(visit.module)])


@contextmanager
def _unwrapped_afterwards(model: nn.Module) -> Iterator[None]:
    """Take away what wrapping puts into a module's ``__dict__``: a ``forward``, and the list of who has wrapped it.

    Where the user has wrapped the model himself, both are his and are there already; the list is put back.
    """
    names = ("forward", "__nnsight__")
    before = [(module.__dict__, [module.__dict__.get(name, _ABSENT) for name in names]) for module in model.modules()]
    routes = [(state, state.routes) for _, (_, state) in before if hasattr(state, "routes")]
    try:
        yield
    finally:
        for attributes, values in before:
            for name, value in zip(names, values, strict=True):
                if value is not _ABSENT:
                    attributes[name] = value
                else:
                    attributes.pop(name, None)
        for state, value in routes:
            state.routes = value
