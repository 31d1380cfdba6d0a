"""Which adapter takes an object or a folder: the built-in ones and those of installed packages."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from circuitprobe.adapters.families.adapter import Adapter, lineage, qualified
from circuitprobe.errors import CircuitProbeError, ModelError

if TYPE_CHECKING:
    from circuitprobe.adapters.models.contents import LoadOptions
    from circuitprobe.adapters.models.probed import ProbedVAE

GROUP = "circuitprobe.adapters"
BUILT_IN = ("reference", "pythae", "ctgan", "diffusers", "scvi", "synthcity")
_HALVES = "cp.wrap(model, encode=lambda m, x: (mean, log_var), decode=lambda m, z: ...)"


@dataclass(frozen=True)
class _Offered:
    """An adapter and where it comes from."""

    adapter: Adapter
    package: str


@dataclass(frozen=True)
class _Broken:
    """An entry point that gave no adapter."""

    entry: str
    package: str
    reason: str

    def error(self) -> ModelError:
        return ModelError(
            f"the adapter {self.entry!r} of the installed package {self.package} cannot be loaded: {self.reason}",
            expected=f"entry points of the group {GROUP} that name a circuitprobe.adapters.families.Adapter",
            fix=f"pip install --upgrade {self.package}, or pip uninstall {self.package}; or do without adapters: {_HALVES}",
        )


def built_in() -> tuple[Adapter, ...]:
    """The adapters that come with circuitprobe."""
    home = __name__.rsplit(".", 1)[0]
    return tuple(importlib.import_module(f"{home}.{name}").ADAPTER for name in BUILT_IN)


def adapted(obj: object, source: str | None = None) -> ProbedVAE | None:
    """An object of a known library with its halves named; None where no adapter takes it.

    Args:
        obj: the object.
        source: what reports call it; default its class name.

    Raises:
        ModelError: two adapters take it alike; the library's model cannot be audited; an installed package's adapter is
            broken, and no built-in one takes the object.
    """
    offered, broken = _offered()
    found = _best(obj, offered)
    if found is None:
        if broken and not _plain(obj):
            raise broken[0].error()
        return None
    each, name = found
    vae = _run(each, obj)
    told = f"adapter {each.adapter.name}: {name} of {_version(each.adapter)}"
    notes = (told, *(str(entry.error()).splitlines()[0] for entry in broken))
    recognition = replace(vae.recognition, evidence=(*notes, *vae.recognition.evidence))
    return replace(vae, recognition=recognition, source=source or type(obj).__name__)


def adapter_for(obj: object) -> Adapter | None:
    """The adapter that takes an object, None where none does.

    Raises:
        ModelError: two take it alike.
    """
    found = _best(obj, _offered()[0])
    return found[0].adapter if found else None


def folder_adapter(path: Path) -> Adapter | None:
    """The adapter whose library wrote a folder, None where none did.

    Raises:
        ModelError: two say so.
    """
    found = [each for each in _offered()[0] if each.adapter.holds is not None and each.adapter.holds(path)]
    if len(found) > 1:
        names = " and ".join(f"{each.adapter.name} ({each.package})" for each in found)
        raise ModelError(
            f"{path} looks like a model of {names}",
            expected="a folder that one library wrote",
            fix="load the model in Python and audit it: cp.audit(model, data)",
        )
    return found[0].adapter if found else None


def load_from_folder(adapter: Adapter, path: Path, options: LoadOptions) -> object:
    """The object that a library keeps in a folder.

    Raises:
        ModelError: the library is missing, the folder needs trust or is damaged.
    """
    if adapter.load_folder is None:
        raise ModelError(
            f"{path} is a model of {adapter.name}, whose adapter loads no folders",
            expected="a file",
            fix="load the model in Python and audit it: cp.audit(model, data)",
        )
    try:
        return adapter.load_folder(path, options)
    except CircuitProbeError:
        raise
    except ModuleNotFoundError as error:
        missing = adapter.distribution if (error.name or "").split(".")[0] == adapter.name else error.name
        raise ModelError(
            f"{path} is a model of {adapter.name}, and {error.name} is not installed here",
            expected=f"the library that wrote it ({adapter.distribution})",
            fix=f"pip install {missing}",
        ) from error
    except Exception as error:
        raise ModelError(
            f"{path} is a model of {adapter.name} that {_version(adapter)} cannot load: {_said(error)}",
            expected="a complete folder, written by a version of the library that the installed one can read",
            fix=f"load it in Python with {adapter.name} itself, then cp.audit(model, data)",
        ) from error


def _offered() -> tuple[list[_Offered], list[_Broken]]:
    """Every adapter, built-in ones first, and the entry points that gave none."""
    offered = [_Offered(adapter, "circuitprobe") for adapter in built_in()]
    broken: list[_Broken] = []
    for entry in metadata.entry_points(group=GROUP):
        package = entry.dist.name if entry.dist is not None else entry.value.split(":")[0].split(".")[0]
        try:
            adapter = entry.load()
        except Exception as error:  # noqa: BLE001 - another package's code may fail in any way; it is told by name
            broken.append(_Broken(entry.name, package, _said(error)))
            continue
        if isinstance(adapter, Adapter):
            offered.append(_Offered(adapter, package))
        else:
            broken.append(_Broken(entry.name, package, f"{entry.value} is a {type(adapter).__name__}, no Adapter"))
    return offered, broken


def _said(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _plain(obj: object) -> bool:
    """Whether no other package has a hand in an object's class, so that no package's adapter can be meant for it."""
    return all(name.startswith(("torch.", "builtins.", "__main__.")) for name in lineage(obj))


def _best(obj: object, offered: list[_Offered]) -> tuple[_Offered, str] | None:
    """The adapter of the most derived class, and that class.

    Raises:
        ModelError: two adapters name it.
    """
    for name in lineage(obj):
        named = [each for each in offered if name in each.adapter.classes]
        if len(named) > 1:
            both = " and ".join(f"{each.adapter.name} (package {each.package})" for each in named)
            raise ModelError(
                f"{type(obj).__name__} is taken by two adapters for {name}: {both}",
                expected="one adapter per class",
                fix=f"uninstall one of the packages, or say how the model is run: {_HALVES}",
            )
        if named:
            return named[0], name
    return None


def _run(each: _Offered, obj: object) -> ProbedVAE:
    from circuitprobe.adapters.models.probed import ProbedVAE

    try:
        vae: Any = each.adapter.adapt(obj)
    except CircuitProbeError:
        raise
    except Exception as error:
        raise _failed(each, obj, _said(error)) from error
    if not isinstance(vae, ProbedVAE) or not isinstance(vae.model, nn.Module):
        raise _failed(each, obj, f"it gave a {type(vae).__name__}, no ProbedVAE around a torch.nn.Module")
    return vae


def _failed(each: _Offered, obj: object, reason: str) -> ModelError:
    return ModelError(
        f"the adapter {each.adapter.name} of {each.package} failed on {qualified(type(obj))}: {reason}",
        expected=f"an object as {_version(each.adapter)} makes it",
        fix=f"another version of {each.adapter.distribution}, or say how the model is run: {_HALVES}",
    )


def _version(adapter: Adapter) -> str:
    """Such as ``pythae 0.1.2``."""
    try:
        return f"{adapter.distribution} {metadata.version(adapter.distribution)}"
    except metadata.PackageNotFoundError:
        return f"{adapter.distribution}, version unknown"
