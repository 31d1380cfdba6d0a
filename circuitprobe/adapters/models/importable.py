"""Folders with the user's own code, importable for a while and behind everything that is installed."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import sysconfig
from collections.abc import Callable, Iterable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

_INSTALLED = tuple(
    f"{Path(folder).resolve()}{os.sep}"
    for folder in (
        *(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        str(Path(__file__).parents[2]),
    )
)


class ImportableFrom:
    """Modules of a folder can be imported inside the block, where nothing that is installed has their name.

    The folder is searched last, so a ``yaml.py`` in it is never taken for the library. Nor do libraries find anything there by
    import statements of their own: many try packages that need not be installed, and a file of that name would run.

    Args:
        folder: default the current one.
        names: top-level modules that a pickle asks for; libraries find these, too.
        first: the one module that the user has named: taken from the folder although something installed is called the same.
    """

    def __init__(self, folder: Path | None = None, names: Iterable[str] = (), first: str = "") -> None:
        place, known = str((folder or Path.cwd()).resolve()), frozenset(names)
        self._last = _Folder(place, lambda name: name in known or not _stated_by_a_library())
        self._first = _Folder(place, lambda name: name == first, files_only=True)

    def __enter__(self) -> None:
        # a file may be younger than what Python has noted of the folder
        importlib.invalidate_caches()
        sys.meta_path.insert(0, self._first)
        sys.meta_path.append(self._last)

    def __exit__(self, *_: object) -> None:
        # the user's code may have changed the list itself
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder not in (self._first, self._last)]


class OnlyInstalled:
    """No current folder among the places to import from inside the block: a notebook has it as an empty entry."""

    def __enter__(self) -> None:
        self._places = [place for place, entry in enumerate(sys.path) if not entry]
        sys.path[:] = [entry for entry in sys.path if entry]

    def __exit__(self, *_: object) -> None:
        for place in self._places:
            sys.path.insert(place, "")


class _Folder(MetaPathFinder):
    """Finds top-level modules in one folder, those that ``answers`` says; a folder without code is one only where asked for."""

    def __init__(self, place: str, answers: Callable[[str], bool], *, files_only: bool = False) -> None:
        self._place, self._answers, self._files_only = place, answers, files_only

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See ``importlib.abc.MetaPathFinder``."""
        if path is not None or not self._answers(fullname):
            return None
        spec = PathFinder.find_spec(fullname, [self._place], target)
        return None if spec is None or (self._files_only and spec.origin is None) else spec


def _stated_by_a_library() -> bool:
    """Whether installed code is asking, by a statement: not by ``importlib.import_module``, whose names come from its callers."""
    frame = inspect.currentframe()
    while frame is not None:
        file = frame.f_code.co_filename
        if file == importlib.__file__:
            return False
        if file != __file__ and not file.startswith("<frozen importlib"):
            return str(Path(file).resolve()).startswith(_INSTALLED)
        frame = frame.f_back
    return False
