"""Exported programs rewritten so that loading them runs nothing of the file's own.

``torch.export.load`` is no reader for strangers' files: it falls back to full unpickling, evaluates size expressions as Python,
pastes names and guards into generated code and takes any attribute of ``torch`` for an operator. So a new archive is
made of the entries that describe the program and its weights, each checked here, and that one is loaded.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from circuitprobe.adapters.archives import DAMAGED, ZipReader
from circuitprobe.adapters.models.exported_bounds import LONGEST_PROGRAM, Expressions, check_counts, check_weights
from circuitprobe.adapters.models.files import MODEL_FILE, truncated, with_trust
from circuitprobe.adapters.models.pickles import BeyondBoundsError
from circuitprobe.adapters.models.tensor_pickles import load_tensors
from circuitprobe.errors import ModelError

_PLAIN = re.compile(r"[\w.:+\-> ,/]*")
_NAME = re.compile(r"([A-Za-z_]\w*)?")
_DOTTED = re.compile(r"[\w.]*")
_STACK = re.compile(r"[\w.,;@()\[\]'<>]*")
_OPERATOR_NAMES = "getitem add sub mul truediv floordiv mod pow neg pos abs eq ne lt le gt ge and_ or_ not_"
_OPERATORS = frozenset(_OPERATOR_NAMES.split())
# containers whose shape tells nothing to import
_TREES = frozenset({"builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict", None})
# types of arguments, and names of those that are words; a word may also be the name of a file
_NUMERIC = frozenset(
    {"Tensor", "int", "SymInt", "float", "bool", "number", "complex", "Device", "Generator", "List", "Optional"}
)
_WORD_NAMES = (
    "UPLO activation approximate assert_msg driver equation indexing interpolation mode norm ord p pad_mode padding padding_side "
    "reduce rounding_mode side"
)
_WORDS = frozenset(_WORD_NAMES.split())
_HIGHER_ORDER = frozenset({"wrap_with_set_grad_enabled", "wrap_with_autocast"})
_KEPT_METADATA = "nn_module_stack"


class _Refused(Exception):  # noqa: N818 - never leaves this file
    """What in a program is more than a computation on tensors."""


def safe_copy(path: Path) -> io.BytesIO:
    """The archive written anew with only what describes the program and its weights, all of it checked.

    Raises:
        ModelError: something in it would run code when loaded, or be anything but tensors; or it is damaged.
    """
    copy = io.BytesIO()
    try:
        with ZipReader(path, MODEL_FILE, path.name) as archive, zipfile.ZipFile(copy, "w") as out:
            older = "serialized_exported_program.json" in archive.entries
            for name, content in _older(archive) if older else _current(archive):
                out.writestr(name, content)
    except _Refused as error:
        raise ModelError(
            f"{path.name} is a torch.export archive with {error}: loading it would run code; nothing in it was run",
            expected="a program of torch's own operators, and tensors",
            fix=with_trust(path),
        ) from error
    except BeyondBoundsError as error:
        raise MODEL_FILE.refused(
            f"{path.name} is a torch.export archive with {error}; nothing in it was run"
        ) from error
    except (*DAMAGED, KeyError, ValueError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise truncated(path) from error
    copy.seek(0)
    return copy


def _current(archive: ZipReader) -> list[tuple[str, bytes]]:
    names = archive.names
    root = names[0].split("/")[0] + "/"
    programs = [name for name in names if name.startswith(f"{root}models/") and name.endswith(".json")]
    if programs != [f"{root}models/model.json"]:
        listed = ", ".join(Path(name).stem for name in programs)
        raise _Refused(f"{len(programs)} programs ({listed}) where one called model is read")
    kept = [(programs[0], _program(_text_of(archive, programs[0])))]
    for part in ("weights", "constants"):
        config = f"{root}data/{part}/model_{part}_config.json"
        if config not in names:
            legacy = f"{root}data/{part}/model.pt"
            kept.append((legacy, _tensors(archive.read(legacy), legacy)))
            continue
        told = json.loads(_text_of(archive, config))
        kept.append((config, json.dumps(_on_cpu(told)).encode()))
        entries = {entry: f"{root}data/{part}/{entry}" for entry in _payloads(told)}
        lengths = {entry: archive.entries[name].file_size for entry, name in entries.items()}
        check_weights(told["config"], lengths)
        kept += [(name, archive.read(name)) for name in entries.values()]
    sample = f"{root}data/sample_inputs/model.pt"
    kept.append((sample, _tensors(archive.read(sample), "its sample inputs")))
    marks = [root + name for name in ("archive_format", "archive_version", "byteorder", ".data/version")]
    kept += [(name, archive.read(name)) for name in marks if name in names]
    return list(dict(kept).items())


def _older(archive: ZipReader) -> list[tuple[str, bytes]]:
    """The layout up to torch 2.7: three pickles beside the program."""
    program = "serialized_exported_program.json"
    kept = [("version", archive.read("version")), (program, _program(_text_of(archive, program)))]
    for part in ("state_dict", "constants", "example_inputs"):
        name = f"serialized_{part}.pt"
        if name not in archive.entries:
            raise _Refused(f"no {name}")
        kept.append((name, _tensors(archive.read(name), name)))
    return kept


def _text_of(archive: ZipReader, name: str) -> bytes:
    length = archive.entries[name].file_size
    if length > LONGEST_PROGRAM:
        raise BeyondBoundsError(f"{length:,} bytes of {name}")
    return archive.read(name)


def _payloads(config: dict[str, Any]) -> list[str]:
    """Names of the raw entries that a list of weights speaks of."""
    found: dict[str, None] = {}
    for name, entry in config["config"].items():
        if entry.get("use_pickle"):
            raise _Refused(f"{name} as a pickled object")
        _check(_DOTTED, name, "a weight's name")
        _check(_NAME, entry["path_name"], "an entry's name")
        found[entry["path_name"]] = None
    return list(found)


def _tensors(content: bytes, what: str) -> bytes:
    """The tensors of a pickle, read by torch's weights-only unpickler and saved anew: the loader would also run others."""
    if not content:
        return content
    try:
        tensors = load_tensors(content, archive=content.startswith(b"PK"), bounds=MODEL_FILE)
    except (BeyondBoundsError, ModelError):
        raise
    except Exception as error:
        raise _Refused(f"more than tensors in {what} ({str(error).splitlines()[0][:160]})") from error
    out = io.BytesIO()
    torch.save(tensors, out)
    return out.getvalue()


def _program(content: bytes) -> bytes:
    program = json.loads(content)
    # what the exporting program noted for people, and conditions that would be run as Python
    program["guards_code"] = []
    program["graph_module"]["metadata"] = {}
    check_counts(program)
    _walk(program, "", Expressions())
    return json.dumps(_on_cpu(program)).encode()


def _on_cpu(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """The same with every device the CPU: a program exported on a GPU is read where there is none, and moved afterwards."""
    if isinstance(value, dict):
        if set(value) == {"type", "index"}:
            return {"type": "cpu", "index": None}
        return {key: _on_cpu(item) for key, item in value.items()}
    return [_on_cpu(item) for item in value] if isinstance(value, list) else value


def _walk(value: Any, key: str, expressions: Expressions) -> None:  # noqa: ANN401 - any JSON
    if isinstance(value, dict):
        if "as_custom_obj" in value:
            raise _Refused("an object of a class of its own")
        if "target" in value and "inputs" in value:
            _operator(value["target"])
            value["metadata"] = {k: v for k, v in (value.get("metadata") or {}).items() if k == _KEPT_METADATA}
        for name, item in value.items():
            _check(_DOTTED, name, "a name")
            _walk(item, name, expressions)
    elif isinstance(value, list):
        for item in value:
            _walk(item, key, expressions)
    elif isinstance(value, str):
        _text(value, key, expressions)


def _text(value: str, key: str, expressions: Expressions) -> None:
    if key == "expr_str":
        wrong = expressions.check(value)
        if wrong:
            raise _Refused(wrong)
    elif key in {"in_spec", "out_spec"}:
        if value:
            _tree(json.loads(value)[1], _NAME if key == "in_spec" else _PLAIN)
    elif key in {"name", "as_name", "forward_arg_names"}:
        _check(_NAME, value, "a name")
    elif key == _KEPT_METADATA:
        _check(_STACK, value, "a module's name")
    elif key != "target":
        _check(_PLAIN, value, f"the text of {key or 'an entry'}")


def _check(pattern: re.Pattern[str], value: str, what: str) -> None:
    if not pattern.fullmatch(value):
        raise _Refused(f"{what} that is none: {value[:60]!r}")


def _operator(target: str) -> None:
    """Only torch's tensor operators, arithmetic on sizes, and Python's arithmetic."""
    parts = target.split(".")
    if target.startswith("torch.ops.higher_order."):
        fits = len(parts) == 4 and parts[3] in _HIGHER_ORDER
    elif target.startswith("torch.ops."):
        fits = len(parts) == 5 and parts[2] in {"aten", "prims"} and _overload(*parts[2:])
    elif parts[0] == "torch":
        fits = len(parts) == 2 and parts[1].startswith("sym_") and callable(getattr(torch, parts[1], None))
    else:
        fits = len(parts) == 2 and (
            (parts[0] == "_operator" and parts[1] in _OPERATORS)
            or (parts[0] == "math" and not parts[1].startswith("_") and hasattr(math, parts[1]))
        )
    if not fits:
        raise _Refused(f"a call of {target[:80]}")


def _overload(space: str, name: str, overload: str) -> bool:
    """Whether there is such an operator, and it takes only tensors, numbers and words that choose how to compute."""
    found = getattr(getattr(getattr(torch.ops, space), name, None), overload, None)
    if not isinstance(found, torch._ops.OpOverload):  # noqa: SLF001 - the class has no public name
        return False
    types = [(argument.name, set(re.findall(r"\w+", str(argument.type)))) for argument in found._schema.arguments]  # noqa: SLF001
    return all(kinds <= _NUMERIC or (name in _WORDS and kinds <= {"str", "Optional"}) for name, kinds in types)


def _tree(spec: dict[str, Any], keys: re.Pattern[str]) -> None:
    """The shape of inputs and outputs: plain containers with plain keys; those of inputs are pasted into code."""
    context = json.loads(spec["context"]) if isinstance(spec["context"], str) else spec["context"]
    if spec["type"] not in _TREES or not (context is None or isinstance(context, list)):
        raise _Refused(f"inputs or outputs in a {spec['type']}")
    for key in context or ():
        if not isinstance(key, (str, int)):
            raise _Refused(f"inputs or outputs in a {spec['type']}")
        _check(keys, str(key) if isinstance(key, str) else "", "the name of an input or output")
    for child in spec["children_spec"]:
        _tree(child, keys)
