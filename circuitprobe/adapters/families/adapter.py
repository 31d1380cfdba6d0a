"""What an adapter is: how the objects of one library become a ``ProbedVAE``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitprobe.errors import ModelError

if TYPE_CHECKING:
    from circuitprobe.adapters.models.contents import LoadOptions
    from circuitprobe.adapters.models.probed import ProbedVAE

FolderLoader = Callable[[Path, "LoadOptions"], Any]


@dataclass(frozen=True)
class Adapter:
    """How the models of one library are run; ``docs/adapters.md`` has a whole example.

    Attributes:
        name: what messages call it.
        classes: qualified names (``package.module.Class``) of the classes whose objects it takes, subclasses included.
            They are compared with the names of ``type(obj).__mro__``: the library is not imported.
        adapt: the object -> the model with its halves; the object is neither run nor changed. The object need not be a
            module, the ``model`` of what comes back must be one and hold the object's own weights, not copies.
        library: the distribution whose version reports state; default ``name``.
        holds: whether a folder is one that the library writes; looks at names and JSON, runs nothing.
        load_folder: (folder, options) -> the object; no network, no pickles without ``options.trust``.
    """

    name: str
    classes: tuple[str, ...]
    adapt: Callable[[Any], ProbedVAE]
    library: str = ""
    holds: Callable[[Path], bool] | None = None
    load_folder: FolderLoader | None = None

    @property
    def distribution(self) -> str:
        """The name under which pip knows the library."""
        return self.library or self.name


def qualified(cls: type) -> str:
    """``package.module.Class``."""
    return f"{cls.__module__}.{cls.__qualname__}"


def lineage(obj: object) -> tuple[str, ...]:
    """Qualified names of an object's class and its bases, the class itself first."""
    return tuple(qualified(cls) for cls in type(obj).__mro__)


def refused(obj: object, reason: str, *, expected: str, fix: str) -> ModelError:
    """The error for an object of a known library that cannot be audited.

    Args:
        obj: the object.
        reason: what it is, as the end of "CLASS ...".
        expected: what could be audited.
        fix: what to type.
    """
    return ModelError(f"{type(obj).__name__} ({qualified(type(obj))}) {reason}", expected=expected, fix=fix)


def overridden(obj: object, package: str, methods: tuple[str, ...]) -> tuple[str, str] | None:
    """Which of a library's methods a class from elsewhere replaces: (class, method), None where none is.

    An adapter knows what the library's own methods compute, not what a subclass of the user's makes of them.

    Args:
        obj: the object.
        package: the library's import name.
        methods: those the adapter relies on.
    """
    for cls in type(obj).__mro__:
        if cls.__module__.split(".")[0] == package:
            return None
        replaced = next((name for name in methods if name in vars(cls)), None)
        if replaced is not None:
            return cls.__name__, replaced
    return None


def refuse_overridden(obj: object, package: str, methods: tuple[str, ...]) -> None:
    """Refuse an object of a subclass that computes something else than the library's class.

    Raises:
        ModelError: naming the class, the method and what to type.
    """
    found = overridden(obj, package, methods)
    if found is not None:
        raise refused(
            obj,
            f"replaces {found[1]} of its {package} class (in {found[0]}), so what the adapter knows of that class need not hold",
            expected=f"{package}'s own {found[1]}",
            fix="cp.wrap(model, encode=lambda m, x: (mean, log_var), decode=lambda m, z: ...), or --spec vae.toml",
        )
