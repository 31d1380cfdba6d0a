"""Which places of a network can be read and written, and which are by default."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

import torch
from torch import Tensor, nn

from circuitprobe.errors import UsageError
from circuitprobe.probe.half import Half
from circuitprobe.probe.hooks import untouched
from circuitprobe.probe.layers import Layer, find_layers
from circuitprobe.probe.leaves import LeafTensor, leaf_tensors
from circuitprobe.types import Site

NOT_FLOATING = "not a floating tensor"
NO_UNIT_AXIS = "no unit axis"
ROWS_NOT_FIRST = "rows are not the first axis"
_UNAUDITABLE = (NOT_FLOATING, NO_UNIT_AXIS, ROWS_NOT_FIRST)


@dataclass(frozen=True)
class FoundSite:
    """One tensor that a leaf module returns while a half runs.

    Attributes:
        site: where it is.
        half: which half ran.
        module_class: class name of the module, such as ``ReLU``; of a parametrized module, that of the plain one.
        shape: of one row, without the axis that counts rows.
        is_default: whether it is audited where nobody chooses: one site per hidden layer, its activation.
        reason: why it is or is not.
    """

    site: Site
    half: Literal["encoder", "decoder"]
    module_class: str
    shape: tuple[int, ...]
    is_default: bool
    reason: str

    @property
    def name(self) -> str:
        """The site's name with its half: ``decoder:trunk.1``."""
        return f"{self.half}:{self.site.name}"

    @property
    def auditable(self) -> bool:
        """Whether units can be patched there: floating numbers, rows on axis 0, another axis that counts units."""
        return self.reason not in _UNAUDITABLE


def hidden_sites(model: nn.Module, decode: Callable[[Tensor], Tensor], z: Tensor) -> tuple[Site, ...]:
    """The decoder's hidden layers: one site per layer, in execution order.

    A layer is what lies between two mixing modules (a weight matrix or kernel: linear, convolution, recurrent). Its site
    is the output of its activation module, or of its last module that has weights where no module activates.
    Hidden means that a later mixing module reads it, so output heads do not count, however many there are.

    Args:
        model: the whole model.
        decode: latent codes -> decoder output.
        z: a few codes, shape (rows, latents); two rows are enough.

    Returns:
        Sites with their number of units (channels for convolutions); empty for a linear decoder and for TorchScript,
        whose modules run no hooks.
    """
    return tuple(found.site for found in all_sites(Half("decoder", model, decode), z) if found.is_default)


def all_sites(half: Half, inputs: Tensor) -> tuple[FoundSite, ...]:
    """Every tensor that a leaf module returns while a half runs, in execution order.

    A leaf is a module none of whose parts run while it does, as seen by running: attention, which reads the weights of
    its output projection itself, is one. Default sites are those of ``hidden_sites``, for the encoder too, where heads
    for mean and log-variance are output heads. The model is left as it was.

    Args:
        half: what to run.
        inputs: a few rows of what it takes, shape (rows, width).

    Returns:
        Sites with their units: channels (axis 1) for convolutions and what follows them, else the last axis. Empty for
        TorchScript, whose modules run no hooks.

    Raises:
        ModelError: the half does not run on these rows.
    """
    if isinstance(half.model, torch.jit.ScriptModule):
        return ()
    with untouched(half.model):
        tensors = tuple(tensor for tensor in leaf_tensors(half, inputs) if tensor.path not in half.outside)
        found = find_layers(half.model, half.run, inputs[:2])
        layers = tuple(layer for layer in found if layer.output.module not in half.outside)
    roles = {(step.module, step.call, step.selector): role for layer in layers for step, role in _roles(layer)}
    start = (layers[0].steps[0].module, layers[0].steps[0].call) if layers else None
    first = next((number for number, tensor in enumerate(tensors) if (tensor.path, tensor.call) == start), 0)
    return tuple(
        _found(half, tensor, roles.get((tensor.path, tensor.call, tensor.selector)), before_layers=number < first)
        for number, tensor in enumerate(tensors)
    )


def _roles(layer: Layer) -> Iterator[tuple[Site, tuple[Site | None, str]]]:
    """Each step of a layer with its default site, if it is one, and why it is or is not."""
    for number, step in enumerate(layer.steps):
        default = None
        if not layer.hidden:
            reason = "output head" if layer.reached else "the input's gradient does not reach it"
        elif number == layer.position:
            default = layer.output
            reason = "activation" if layer.activated else "no activation module follows"
        elif number > layer.position:
            reason = "after the activation" if layer.activated else "after its layer's output"
        elif layer.activated:
            reason = "followed by an activation"
        else:
            reason = "followed by a normalisation" if layer.normalised else "followed by another step with weights"
        yield step, (default, reason)


def _found(half: Half, tensor: LeafTensor, role: tuple[Site | None, str] | None, *, before_layers: bool) -> FoundSite:
    default, reason = role or (None, _no_layer(tensor, before_layers=before_layers))
    if not tensor.floating:
        reason = NOT_FLOATING
    elif tensor.unit_axis == 0:
        reason = NO_UNIT_AXIS
    elif not tensor.rows_first:
        reason = ROWS_NOT_FIRST
    elif tensor.units == 0:
        reason = NO_UNIT_AXIS
    parametrized = nn.utils.parametrize.is_parametrized(tensor.module)
    return FoundSite(
        site=Site(tensor.path, tensor.selector, tensor.unit_axis, tensor.units, tensor.call),
        half=half.name,
        module_class=(type(tensor.module).__bases__[0] if parametrized else type(tensor.module)).__name__,
        shape=tensor.shape,
        is_default=default is not None and reason not in _UNAUDITABLE,
        reason=reason,
    )


def _no_layer(tensor: LeafTensor, *, before_layers: bool) -> str:
    """Why a tensor belongs to no layer."""
    if not tensor.first:
        return "not its module's first output"
    if isinstance(tensor.module, nn.MultiheadAttention):
        return "attention"
    if next(tensor.module.children(), None) is not None:
        return "a module whose parts do not run"
    if tensor.selector:
        return "inside an object"
    return "before the first layer" if before_layers else "in no layer"


def choose_sites(found: Sequence[FoundSite], globs: Sequence[str] | None) -> tuple[FoundSite, ...]:
    """Pick sites by name.

    Args:
        found: what ``all_sites`` found, of one half or both.
        globs: patterns (``*`` and ``?``, brackets standing for themselves where a name has them) over names with or
            without their half: ``decoder.*``, ``encoder:trunk.?``, ``lstm[0]``; None for the default sites.

    Returns:
        The sites in the order of ``found``, each once. What a pattern matches and cannot be audited is left out.

    Raises:
        UsageError: a pattern matches nothing, or nothing that can be audited; or a name without wildcards does not.
    """
    if globs is None:
        return tuple(site for site in found if site.is_default)
    chosen = set[str]()
    for glob in (globs,) if isinstance(globs, str) else globs:
        matched = _matches(found, glob)
        if not matched:
            raise _no_such_site(found, glob)
        usable = [site for site in matched if site.auditable]
        named = any(glob in {site.name, site.site.name} for site in matched)
        # a name without its half may stand for two sites, of a module that both halves run
        if not usable or (named and len(usable) < len(matched)):
            raise _cannot_be_audited(found, glob, next(site for site in matched if not site.auditable))
        chosen.update(site.name for site in usable)
    return tuple(site for site in found if site.name in chosen)


def _matches(found: Sequence[FoundSite], glob: str) -> list[FoundSite]:
    # names hold brackets (lstm[0]); a set of characters ([ab]) is meant only where taking them as they are finds nothing
    for pattern in (glob.replace("[", "[[]"), glob):
        matched = [site for site in found if fnmatchcase(site.site.name, pattern) or fnmatchcase(site.name, pattern)]
        if matched:
            return matched
    return []


def _no_such_site(found: Sequence[FoundSite], glob: str) -> UsageError:
    from circuitprobe.adapters.data.near_names import did_you_mean

    names = [site.name if ":" in glob else site.site.name for site in found]
    inside = any(name.startswith(f"{glob}.") for name in names)
    near = f"did you mean {f'{glob}.*'!r}?" if inside else did_you_mean(glob, names)
    expected = (
        "the name of a site that runs, or a pattern such as 'decoder.*'" if found else "a model whose modules run hooks"
    )
    return UsageError(f"no site matches {glob!r}", expected=f"{expected}; {near}" if near else expected, fix=_LIST)


def _cannot_be_audited(found: Sequence[FoundSite], glob: str, site: FoundSite) -> UsageError:
    same = [other.site.name for other in found if other.site.module == site.site.module and other.auditable]
    return UsageError(
        f"{glob!r} cannot be audited: {site.name} ({site.module_class}): {site.reason}",
        expected="a floating tensor with rows on its first axis and units on another"
        + (f", such as {same[0]!r}" if same else ""),
        fix=_LIST,
    )


_LIST = "circuitprobe inspect MODEL DATA lists the sites"
