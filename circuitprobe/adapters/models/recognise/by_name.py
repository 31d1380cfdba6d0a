"""Settling a model whose forward shows no noise, by the names of its parts: only where something says what they return."""

from __future__ import annotations

import ast
import inspect
import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from circuitprobe.adapters.models.names import Half
from circuitprobe.adapters.models.posterior import PosteriorPart, named_tensors, part_named
from circuitprobe.adapters.models.probed import check_finite
from circuitprobe.adapters.models.recognise.ask import ask
from circuitprobe.adapters.models.recognise.code import sampled_code
from circuitprobe.adapters.models.recognise.noise import NoiseTap
from circuitprobe.adapters.models.recognise.reading import SPREADS, close
from circuitprobe.types import Posterior, Recognition

if TYPE_CHECKING:
    from circuitprobe.adapters.models.probed import ProbedVAE

SAMPLERS = (
    "reparameterize", "reparametrize", "reparameterise", "reparametrise", "reparameterization", "reparam",
    "_reparameterize", "_reparametrize", "_reparameterized_sample", "reparametrization", "sample_z", "sample_latent",
    "sampling", "sample_gaussian", "_sample_gauss", "_sample", "sample", "latent_sample", "reparameterization_trick",
)  # fmt: skip
# methods that hand on what they are called on; ``forward`` is how TorchScript calls a module
_SAME_NUMBERS = frozenset(
    {"forward", "clamp", "view", "reshape", "flatten", "squeeze", "unsqueeze", "contiguous", "float"}
)


def by_name(vae: ProbedVAE, rows: Tensor, encoder: Half, decoder: Half) -> ProbedVAE:
    """Take the named halves, where names of tensors, a sampling method or the source say what the encoder returns.

    Args:
        vae: the model, its halves not settled.
        rows: real rows, shape (rows, dims).
        encoder: what is called an encoder.
        decoder: what is called a decoder.

    Raises:
        ModelError: nothing says what the encoder returns.
    """
    named = replace(
        vae,
        run_encoder=encoder.run,
        run_decoder=decoder.run,
        recognition=Recognition(encoder.name, decoder.name, "", ()),
    )
    output = named.raw_encoding(rows)
    if isinstance(output, torch.distributions.Distribution):
        _refuse_other_distribution(vae, output, encoder, decoder)
        return named
    names, tensors = named_tensors(output)
    if isinstance(output, Posterior) or _told(names):
        return named
    for tensor in tensors:
        check_finite(tensor, encoder.name)
    pair = [t for t in tensors if t.ndim > 1 and t.shape == tensors[0].shape]
    if len(pair) < 2 or len(pair) != len(tensors):
        return named
    said = _from_sampler(vae.model, tensors) or _from_source(vae.model, encoder, len(tensors))
    if said is None:
        raise ask(
            vae.model,
            f"{encoder.name} returns {len(tensors)} tensors {tuple(tensors[0].shape)}, and nothing says which is what: its "
            "forward shows no noise, and no method samples from them",
            encode=encoder.name,
            decode=decoder.name,
        )
    order, evidence = said
    told = replace(named, order=order, recognition=replace(named.recognition, evidence=(evidence,)))
    settled = told.resolved(rows)
    posterior = settled.encode(rows)
    settled.check_order(rows, posterior, settled.decode(posterior.mean))
    return told


def _told(names: tuple[str, ...]) -> bool:
    """Whether names of tensors say which is the mean and which the spread."""
    parts = {part_named(name) for name in names}
    return "mean" in parts and bool(parts & set(SPREADS))


def _refuse_other_distribution(
    vae: ProbedVAE, given: torch.distributions.Distribution, encoder: Half, decoder: Half
) -> None:
    """A distribution must be normal, each entry by itself."""
    base = given
    while isinstance(base, torch.distributions.Independent):
        base = base.base_dist
    if isinstance(base, torch.distributions.Normal):
        return
    if isinstance(base, torch.distributions.MultivariateNormal):
        covariance = base.covariance_matrix
        if close(torch.diag_embed(covariance.diagonal(dim1=-2, dim2=-1)), covariance):
            return
    raise ask(
        vae.model,
        f"{encoder.name} returns a {type(base).__name__} distribution: a code that is not Gaussian, entry by entry",
        encode=encoder.name,
        decode=decoder.name,
    )


def _from_sampler(model: nn.Module, tensors: list[Tensor]) -> tuple[tuple[PosteriorPart, ...], str] | None:
    """What the tensors are to the model's own sampling method."""
    for name in SAMPLERS:
        method = getattr(model, name, None)
        if not callable(method) or len(tensors) != 2:
            continue
        traces = []
        for constant in (0.0, 1.0, 2.0):
            tap = NoiseTap(constant, keep=True)
            with torch.random.fork_rng(devices=[]), tap:
                if not _runs(method, tensors):
                    break
            traces.append(tap.trace)
        code = sampled_code(0, traces, len(tensors[0])) if len(traces) == 3 else None
        if code is not None:
            flat = [tensor.double().flatten(1) for tensor in tensors]
            for mean, spread in ((0, 1), (1, 0)):
                for kind, std in SPREADS.items():
                    if close(flat[mean], code.mean) and close(std(flat[spread]), code.std):
                        order: tuple[PosteriorPart, ...] = ("mean", kind) if mean == 0 else (kind, "mean")
                        return order, f"{name} samples around tensor {mean} with tensor {spread} as {kind}"
    return None


def _runs(method: Any, tensors: list[Tensor]) -> bool:  # noqa: ANN401 - a stranger's method
    try:
        method(*[tensor.clone() for tensor in tensors])
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except (Exception, SystemExit):  # noqa: BLE001 - a method of that name may be for something else
        return False
    return True


def _from_source(model: nn.Module, encoder: Half, count: int) -> tuple[tuple[PosteriorPart, ...], str] | None:
    """What the encoder's source calls the tensors that it returns."""
    if "->" in encoder.name:
        heads = encoder.name.split("->")[1].split(",")
        return (("mean", "log_var"), f"the head {heads[1].strip()} is called so") if "log" in heads[1] else None
    target = getattr(model, encoder.name, None)
    owner, method = (target, "forward") if isinstance(target, nn.Module) else (model, encoder.name)
    compiled = isinstance(owner, torch.jit.ScriptModule)
    for holder in (owner,) if compiled else type(owner).__mro__:
        called = _returned_names(getattr(holder, method, None) if compiled else vars(holder).get(method))
        parts = tuple(_part(names) for names in called)
        if len(parts) == count and parts.count("mean") == 1 and set(parts) & {"log_var", "std", "var", "log_std"}:
            said = [name for names in called for name in names if part_named(name) != "ignore"]
            return (
                parts,
                f"the source of {encoder.name} calls what it returns {', '.join(said)}; its forward shows no noise",
            )
        if called:
            return None
    return None


def _returned_names(function: Any) -> tuple[tuple[str, ...], ...]:  # noqa: ANN401 - whatever a class holds
    """The names in each part of the tuple that a function returns; () where it returns no tuple, or several."""
    try:
        # compiled methods carry their code with them
        text = getattr(function, "code", None)
        tree = ast.parse(text if isinstance(text, str) else textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return ()
    returned = [node.value for node in ast.walk(tree) if isinstance(node, ast.Return)]
    found = {tuple(_names(item) for item in value.elts) for value in returned if isinstance(value, ast.Tuple)}
    return found.pop() if len(found) == 1 else ()


def _names(node: ast.expr) -> tuple[str, ...]:
    """The name of what an expression hands on, as it is or moved by a number; () where more is done to it (``exp(log_var)``)."""
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute):
        return (node.attr,)
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)) and isinstance(node.right, ast.Constant):
        # a logarithm moved by a number is the logarithm of a variance still
        return _names(node.left)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return ()
    owner, method = node.func.value, node.func.attr
    if method in _SAME_NUMBERS:
        return _names(owner)
    # a head, in Python and as TorchScript writes it
    return (method,) if isinstance(owner, ast.Name) and owner.id == "self" else ()


def _part(names: tuple[str, ...]) -> PosteriorPart:
    """What an expression is by the names in it: of one kind, or nothing."""
    parts = {part_named(name) for name in names} - {"ignore"}
    return parts.pop() if len(parts) == 1 else "ignore"
