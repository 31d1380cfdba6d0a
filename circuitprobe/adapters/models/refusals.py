"""What is said where a file is not loaded because that would run code, or because its code is missing."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from circuitprobe.adapters.models.contents import holds
from circuitprobe.adapters.models.files import FileFacts, with_trust
from circuitprobe.adapters.models.joblib_files import of_joblib
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
    "pyarrow.",
    "keras.",
    "tensorflow.",
    "torch.optim.",
    "numpy.",
    "joblib.",
)


def script_needs_trust(file: Path, path: Path | None = None) -> ModelError:
    """The error for TorchScript.

    Args:
        file: the archive.
        path: what the user named, where that is a folder with the archive in it.
    """
    return ModelError(
        f"{file.name} is TorchScript: a program, which can read and write files and call other libraries; nothing in it was run",
        expected="weights, or a program of torch.export (.pt2), which is checked",
        fix=f"{with_trust(path or file)}; safer: {_FACTORY}, or torch.export.save(torch.export.export(model, (x,)), 'model.pt2')",
    )


def needs_trust(path: Path, facts: FileFacts, plain: Any) -> ModelError:  # noqa: ANN401
    """The error for a pickle that is more than tensors.

    Args:
        path: the file.
        facts: what a look at it showed.
        plain: its content as a description, None where that is not known.
    """
    names = foreign(facts.imports) or facts.imports
    made = plain.path if isinstance(plain, Described) else ""
    if _of_other_libraries(facts):
        others = [name for name in (made, *foreign(facts.imports)) if name.startswith(_NO_MODELS)]
        return _stranger(path, others[0])
    if plain is not None and all(of_joblib((name,)) for name in foreign(facts.imports)):
        return holds(path, plain)
    imports = f" that would import {_listed(names)} when loaded" if names else ""
    return ModelError(
        f"{path.name} is {_kind(facts)}{imports}: loading it runs code; nothing in it was run",
        expected="weights only: our checkpoint, a state_dict with --factory, or a program of torch.export",
        fix=f"{_how_to_trust(path, names)}; safer: {_FACTORY}",
    )


def unread_needs_trust(path: Path, facts: FileFacts) -> ModelError:
    """The error for a pickle that is complete, and that only running it can read to its end."""
    names = foreign(facts.imports) or facts.imports
    imports = f"; it would import {_listed(names)}" if names else ""
    return ModelError(
        f"{path.name} is {_kind(facts)} that cannot be followed to its end without running it{imports}; nothing in it was run",
        expected="weights only: our checkpoint, a state_dict with --factory, or a program of torch.export",
        fix=f"{_how_to_trust(path, names)}; safer: {_FACTORY}",
    )


def _kind(facts: FileFacts) -> str:
    joblibs = "joblib " if of_joblib(facts.imports) else ""
    return f"a {joblibs}pickle" + (f", compressed by {facts.compressed} as joblib does," if facts.compressed else "")


def _of_other_libraries(facts: FileFacts) -> bool:
    """Whether all that a pickle would import belongs to libraries whose objects are no PyTorch models, or to Python."""
    names = foreign(facts.imports)
    others = [name for name in names if name.startswith(_NO_MODELS) and not of_joblib((name,))]
    rest = [name.partition(".")[0] for name in names if not name.startswith(_NO_MODELS)]
    return bool(others) and all(name in sys.stdlib_module_names for name in rest)


def _how_to_trust(path: Path, names: Sequence[str]) -> str:
    script = [name for name in names if name.startswith(_SCRIPT)]
    if not script:
        return with_trust(path)
    return f"{script[0].removeprefix(_SCRIPT)} was defined in a script, so name that, too: " + with_trust(
        path, " --import path/to/script.py"
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
        fix=with_trust(path),
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
    command = f"circuitprobe inspect {shlex.quote(str(path))} --trust --import path/to/file.py (once for each file)"
    return ModelError(
        f"{path.name} needs code that cannot be imported here: {cause}",
        expected=f"modules that define {', '.join([name for name in foreign(facts.imports) if not name.startswith('torch.')][:4])}",
        fix=f"name the file that defines it: {command}; or in the program that has the model: "
        "torch.save(model.state_dict(), ...), then --factory package.module:function"
        + ("" if script else "; or run it in the folder that holds that code"),
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
