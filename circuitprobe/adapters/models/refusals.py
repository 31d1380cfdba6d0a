"""What is said where a file is not loaded because that would run code, or because its code is missing."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from circuitprobe.adapters.models.contents import holds
from circuitprobe.adapters.models.files import FileFacts
from circuitprobe.adapters.models.pickles import Described, foreign
from circuitprobe.errors import ModelError

_SCRIPT = "__main__."
_FACTORY = "torch.save(model.state_dict(), ...) with --factory package.module:function"
# what is no model however much it is trusted
_NO_MODELS = (
    "sklearn.",
    "xgboost.",
    "lightgbm.",
    "pandas.",
    "keras.",
    "tensorflow.",
    "torch.optim.",
    "numpy.",
    "joblib.",
)


def acts_outside(path: Path, facts: FileFacts) -> ModelError:
    """The error for TorchScript that reaches beyond the computation."""
    return ModelError(
        f"the TorchScript code in {path.name} calls {', '.join(facts.acts[:4])}: running it can read or write files; "
        "nothing in it was run",
        expected="code that only computes",
        fix="add --trust if you know where the file comes from",
    )


def needs_trust(path: Path, facts: FileFacts, plain: Any) -> ModelError:  # noqa: ANN401
    """The error for a pickle that is more than tensors.

    Args:
        path: the file.
        facts: what a look at it showed.
        plain: its content as a description, None where that is not known.
    """
    names = foreign(facts.imports) or facts.imports
    told = plain.path if isinstance(plain, Described) else ""
    if told.startswith(_NO_MODELS) or of_other_libraries(facts):
        return _stranger(path, told or foreign(facts.imports)[0])
    if not foreign(facts.imports) and plain is not None:
        return holds(path, plain)
    return ModelError(
        f"{path.name} is a pickle that would import {_listed(names)} when loaded: loading it runs code; nothing in it was run",
        expected="weights only: our checkpoint, a state_dict with --factory, or TorchScript",
        fix=f"{_with_trust(path, names)} if you know where the file comes from; safer: {_FACTORY}",
    )


def of_other_libraries(facts: FileFacts) -> bool:
    """Whether all that a pickle would import belongs to libraries whose objects are no PyTorch models."""
    names = foreign(facts.imports)
    return bool(names) and all(name.startswith(_NO_MODELS) for name in names)


def _with_trust(path: Path, names: Sequence[str]) -> str:
    script = [name for name in names if name.startswith(_SCRIPT)]
    if not script:
        return "add --trust"
    return (
        f"{script[0].removeprefix(_SCRIPT)} was defined in a script, so name that, too: circuitprobe inspect "
        f"{shlex.quote(str(path))} --trust --import path/to/script.py (or --trust alone where it is not needed),"
    )


def _stranger(path: Path, kind: str) -> ModelError:
    library = kind.partition(".")[0]
    what = "an optimizer" if kind.startswith("torch.optim.") else f"made by {library}"
    return ModelError(
        f"{path.name} holds a pickled {kind}: {what}, not a VAE in PyTorch; nothing in it was run",
        expected="a module, a state_dict or our checkpoint",
        fix=_FACTORY,
    )


def folder_needs_trust(path: Path, library: str, imports: Sequence[str]) -> ModelError:
    """The error for a library's folder whose pickles are more than tensors."""
    return ModelError(
        f"{path} is a model folder of {library} whose pickles would import {_listed(tuple(imports))} when loaded: "
        "loading them runs code; nothing in them was run",
        expected="weights and settings alone",
        fix="add --trust if you know where the folder comes from",
    )


def not_importable(path: Path, facts: FileFacts, error: Exception, files: Sequence[Path]) -> ModelError:
    """The error for a trusted pickle whose classes are not to be found."""
    script = [name.removeprefix(_SCRIPT) for name in facts.imports if name.startswith(_SCRIPT)]
    if script and files:
        cause = (
            f"{', '.join(script[:4])} of its script (__main__) are not all in {', '.join(map(str, files))} ({error})"
        )
    elif script:
        cause = f"its class {script[0]} was defined in a script (__main__), which no other program can import"
    else:
        cause = str(error)
    command = f"circuitprobe inspect {shlex.quote(str(path))} --trust --import path/to/file.py"
    return ModelError(
        f"{path.name} needs code that cannot be imported here: {cause}",
        expected=f"modules that define {', '.join(foreign(facts.imports)[:4])}",
        fix=f"name the file that defines it: {command}; or in the program that has the model: "
        "torch.save(model.state_dict(), ...), then --factory package.module:function"
        + ("" if script else "; or run from the folder that holds that code"),
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
