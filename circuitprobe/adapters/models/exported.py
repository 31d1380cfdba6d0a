"""torch.export archives (.pt2): the program as modules, run in batches of the size it was exported for."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export.graph_signature import ConstantArgument, InputKind
from torch.utils import _pytree as pytree

from circuitprobe.adapters.models.exported_bounds import ROWS, check_outputs, unlogged
from circuitprobe.adapters.models.exported_check import safe_copy
from circuitprobe.adapters.models.exported_layers import as_layers
from circuitprobe.adapters.models.files import MODEL_FILE
from circuitprobe.adapters.models.fixed_rows import FixedRows
from circuitprobe.adapters.models.pickles import BeyondBoundsError
from circuitprobe.errors import ModelError

_AGAIN = (
    "torch.export.save(torch.export.export(model.eval(), (x,), dynamic_shapes={'x': {0: torch.export.Dim.DYNAMIC}}), "
    "'model.pt2')"
)
# rows of a batch where a program takes a number of them between two
_MOST_AT_ONCE = 1024


def load_exported(path: Path, *, trusted: bool, device: str = "cpu") -> nn.Module:
    """The program of a torch.export archive as a module with the submodules it was exported from.

    Args:
        path: the archive.
        trusted: load it as it is; else a copy is loaded that holds no code (``exported_check``).
        device: where the program is to run; it names devices of its own, which ``Module.to`` does not reach.

    Returns:
        The module. Where the program takes a fixed number of rows it and its direct submodules run in batches of that many,
        and what lies inside them is not to be seen.

    Raises:
        ModelError: it would run code, was exported in training mode, or cannot be loaded by this torch.
    """
    content = io.BytesIO(path.read_bytes()) if trusted else safe_copy(path)
    program, module = _program(path, content, device)
    _refuse_training(path, program)
    rows = _fixed_rows(program)
    if not trusted:
        _check_outputs(path, program, rows)
    # copying a program makes torch warn of its own classes, at every copy
    warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
    as_layers(module)
    for part in module.modules():
        _forget_shapes(part)
    return module if rows is None else _in_batches(module, rows)


def _program(path: Path, content: io.BytesIO, device: str) -> tuple[torch.export.ExportedProgram, nn.Module]:
    from torch.export.passes import move_to_device_pass

    try:
        with unlogged(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = move_to_device_pass(torch.export.load(content), device)
            return program, torch.export.unflatten(program)
    except Exception as error:
        raise ModelError(
            f"{path.name} is a torch.export archive that torch {torch.__version__} cannot load: "
            f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}",
            expected="an archive written by a torch version near this one",
            fix=f"export it again: {_AGAIN}",
        ) from error


def _check_outputs(path: Path, program: torch.export.ExportedProgram, rows: int | None) -> None:
    """Refuse a program whose operators make more than any network of its size, before one of them is run.

    Raises:
        ModelError: it does, or cannot be followed.
    """
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    specs = [spec.arg for spec in program.graph_signature.input_specs if spec.kind is InputKind.USER_INPUT]
    flat = [
        each.value if isinstance(each, ConstantArgument) else _stand_in(values.get(each.name), rows) for each in specs
    ]
    try:
        given, named = pytree.tree_unflatten(flat, program.call_spec.in_spec)
        check_outputs(program.module(), given, named, path.stat().st_size)
    except BeyondBoundsError as error:
        raise MODEL_FILE.refused(
            f"{path.name} is a torch.export archive with {error}; nothing in it was run"
        ) from error
    except Exception as error:
        raise ModelError(
            f"{path.name} is a torch.export archive whose program fails on {rows or ROWS} rows: "
            f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}",
            expected="a program that takes rows as it was exported with",
            fix=f"export it again: {_AGAIN}",
        ) from error


def _stand_in(value: Any, rows: int | None) -> Any:  # noqa: ANN401 - a tensor or a number
    """A tensor without numbers of the shape that an input was exported with, and of rows as many as it takes at a time."""
    if not isinstance(value, torch.Tensor):
        return value if isinstance(value, (int, float, bool)) else int(value.node.hint)
    sides = [
        side if isinstance(side, int) else (rows or ROWS) if place == 0 else int(side.node.hint)
        for place, side in enumerate(value.shape)
    ]
    return torch.empty(sides, dtype=value.dtype, device="meta")


def _refuse_training(path: Path, program: torch.export.ExportedProgram) -> None:
    """A program keeps the mode it was exported in: dropout that drops, batches that normalise themselves."""
    for node in program.graph.nodes:
        name = str(node.target)
        values = {argument.name: value for argument, value in _arguments(node)}
        drops = "dropout" in name and bool(values.get("train"))
        normalises = "batch_norm" in name and bool(values.get("training"))
        if drops or normalises:
            raise ModelError(
                f"{path.name} was exported in training mode ({name}): its rows depend on chance or on each other",
                expected="a program of the model in eval mode",
                fix=f"export it again: {_AGAIN}",
            )


def _arguments(node: torch.fx.Node) -> list[tuple[Any, Any]]:
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return []
    given = dict(zip((a.name for a in schema.arguments), node.args, strict=False)) | dict(node.kwargs)
    return [(argument, given[argument.name]) for argument in schema.arguments if argument.name in given]


def _fixed_rows(program: torch.export.ExportedProgram) -> int | None:
    """How many rows the program takes at a time; None where it takes any number."""
    names = set(program.graph_signature.user_inputs)
    shapes = [
        node.meta["val"].shape
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in names and isinstance(node.meta.get("val"), torch.Tensor)
    ]
    first = next((shape[0] for shape in shapes if len(shape)), None)
    if first is None or isinstance(first, int):
        return first
    expression = first.node.expr
    bounds = program.range_constraints.get(expression)
    if bounds is None:
        # a multiple or a sum of something: what it was exported with is one that fits
        return int(first.node.hint)
    # a program that must not see one row alone sees it among others
    if bounds.upper.is_Integer and int(bounds.upper) < 2**31:  # infinity is none of its integers
        return min(int(bounds.upper), max(int(bounds.lower), _MOST_AT_ONCE))
    return int(bounds.lower) if int(bounds.lower) > 2 else None


def _forget_shapes(part: nn.Module) -> None:
    """Drop the shapes noted while exporting: a module that carries symbolic ones cannot be copied."""
    graph = getattr(part, "graph", None)
    if isinstance(graph, torch.fx.Graph):
        for node in graph.nodes:
            node.meta.clear()


def _in_batches(module: nn.Module, rows: int) -> nn.Module:
    """The program and its direct submodules, each in batches; the program runs the very ones that are to be seen."""
    parts = {
        name: FixedRows(child, rows) for name, child in module.named_children() if any(True for _ in child.parameters())
    }
    for name, part in parts.items():
        setattr(module, name, part)
    whole = FixedRows(module, rows)
    for name, part in parts.items():
        whole.add_module(name, part)
    return whole
