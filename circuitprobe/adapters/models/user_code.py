"""Code that the user names: files with the classes of a pickle (``--import``), functions that build a model (``--factory``)."""

from __future__ import annotations

import ast
import sys
import types
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from circuitprobe.adapters.models.importable import ImportableFrom
from circuitprobe.adapters.user_files import MOST_TEXT, read_file
from circuitprobe.errors import UsageError


def names_from_file(path: Path, names: Sequence[str], option: str) -> types.ModuleType:
    """Run of a Python file what the named classes and functions need, and nothing else of it.

    A training script often trains as soon as it is imported. So of its top level only those statements are run that bind one of
    the names, or a name that these use in turn: imports, classes, functions, constants, and calls on such a name
    (``parser.add_argument``). Loops, ``with`` blocks and what ``__name__ == "__main__"`` guards are never run. Meanwhile the
    file's folder is importable, behind all that is installed, and the command line is empty; ``sys.modules`` and ``sys.path`` are
    put back afterwards.

    Args:
        path: the file.
        names: what is wanted of it; those that it does not define are left out.
        option: what the user typed, for messages.

    Returns:
        The module with those names, not registered anywhere.

    Raises:
        UsageError: it cannot be read, is no Python, or fails.
    """
    tree = _parsed(path, option)
    tree.body = _needed(tree.body, names)
    # a script may be called like a library, which others must go on finding
    known_as = f"user_{path.stem}" if _is_taken(path) else path.stem
    module = types.ModuleType(known_as)
    module.__file__ = str(path.resolve())
    before, arguments = dict(sys.modules), sys.argv
    sys.modules[known_as] = module
    sys.argv = [str(path)]
    try:
        with ImportableFrom(path.resolve().parent):
            exec(compile(tree, str(path), "exec"), module.__dict__)  # noqa: S102 - the user's own file, which they named
    except (Exception, SystemExit) as error:
        line = _line_in(error, path)
        raise UsageError(
            f"{option} {path}: {type(error).__name__}: {error}{line}",
            expected=f"a file whose {', '.join(names[:3])} can be defined here (only what they need of it is run)",
            fix="install what it imports, or move the classes into a file of their own and name that",
        ) from error
    finally:
        sys.argv = arguments
        _restore(before, path)
    return module


def _is_taken(path: Path) -> bool:
    """Whether a module of the file's name is loaded, or would be found elsewhere; that it is no name at all is no matter."""
    if path.stem in sys.modules or not path.stem.isidentifier():
        return True
    found = find_spec(path.stem)
    return found is not None and found.origin != str(path.resolve())


def _parsed(path: Path, option: str) -> ast.Module:
    try:
        return ast.parse(read_file(path, MOST_TEXT), filename=str(path))
    except OSError as error:
        raise UsageError(
            f"{option} {path}: {error.strerror}", expected="a Python file", fix="check the path"
        ) from error
    except (SyntaxError, ValueError) as error:
        where = f" in line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise UsageError(
            f"{option} {path} is no Python that {sys.version_info.major}.{sys.version_info.minor} reads{where}: {error}",
            expected="the .py file with the model's classes",
            fix=f"check the file; python -m py_compile {path}",
        ) from error


def _line_in(error: BaseException, path: Path) -> str:
    """Where in the user's file an error came from."""
    found, trace = "", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            found = f" (line {trace.tb_lineno})"
        trace = trace.tb_next
    return found


def _restore(before: dict[str, types.ModuleType], path: Path) -> None:
    """Forget the file and its neighbours, keep libraries: those would break when imported a second time."""
    folder = path.resolve().parent
    for name, module in list(sys.modules.items()):
        source = getattr(module, "__file__", None)
        near = source is not None and folder in Path(source).resolve().parents and "site-packages" not in str(source)
        if name not in before and near:
            del sys.modules[name]


_NEVER = (ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith)


def _needed(body: Sequence[ast.stmt], names: Iterable[str]) -> list[ast.stmt]:
    """The statements that bind the names, and whatever those need, in their order."""
    wanted, kept = set(names), set[int]()
    statements = [(number, one) for number, one in enumerate(body) if not isinstance(one, _NEVER) and not _is_main(one)]
    grown = True
    while grown:
        grown = False
        for number, statement in statements:
            if number not in kept and (_binds(statement) & wanted or _acts_on(statement, wanted)):
                kept.add(number)
                wanted |= _uses(statement)
                grown = True
    return [statement for number, statement in enumerate(body) if number in kept]


def _is_main(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and "__name__" in _uses(statement.test)


def _binds(statement: ast.stmt) -> set[str]:
    """Names that a statement gives a value at the file's top level."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {statement.name}
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            return set()
        return {(alias.asname or alias.name).split(".")[0] for alias in statement.names}
    if isinstance(statement, (ast.If, ast.Try)):
        return {name for inner in ast.iter_child_nodes(statement) for name in _inner_binds(inner)}
    targets = [node for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return {node.id for node in targets}


def _inner_binds(node: ast.AST) -> set[str]:
    if isinstance(node, ast.stmt):
        return _binds(node)
    if isinstance(node, ast.ExceptHandler):
        return {name for statement in node.body for name in _binds(statement)}
    return set()


def _acts_on(statement: ast.stmt, wanted: set[str]) -> bool:
    """Whether a statement completes something wanted: ``parser.add_argument(...)``, ``TABLE["x"] = ...``, a star import."""
    if isinstance(statement, ast.ImportFrom):
        return statement.module == "__future__" or any(alias.name == "*" for alias in statement.names)
    if isinstance(statement, ast.Assign):
        targets = [target for target in statement.targets if isinstance(target, (ast.Attribute, ast.Subscript))]
        return any(_root(target) in wanted for target in targets)
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        function = statement.value.func
        # parsers and registries; a model that is being trained is acted on by other methods
        return (
            isinstance(function, ast.Attribute)
            and _root(function) in wanted
            and function.attr.startswith(("add_", "set_", "register", "insert", "append", "update"))
        )
    return False


def _root(node: ast.expr) -> str:
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _uses(node: ast.AST) -> set[str]:
    """Names read anywhere in it, inside functions as well; those in annotations written as text, too."""
    found = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    texts = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return found | {text for text in texts if text.isidentifier()}


class ImportedClasses:
    """Classes that a pickle asks for, out of the files given with ``--import``.

    Args:
        paths: the files.
        imports: ``module.name`` of all that the pickle asks for.
    """

    def __init__(self, paths: Sequence[Path], imports: Sequence[str]) -> None:
        asked = [tuple(path.rpartition(".")[::2]) for path in imports]
        self._modules: dict[str, list[types.ModuleType]] = {}
        for path in paths:
            names = [name for module, name in asked if _stands_for(path, module)]
            if names:
                module = names_from_file(path, [name.split(".")[0] for name in names], "--import")
                for asking in {m for m, _ in asked if _stands_for(path, m)}:
                    self._modules.setdefault(asking, []).append(module)

    def find(self, module: str, name: str) -> Any:  # noqa: ANN401 - a class or function of the user's
        """The class or function of that name, None where no file defines it."""
        for candidate in self._modules.get(module, ()):
            found: Any = candidate
            for part in name.split("."):
                found = getattr(found, part, None)
            if found is not None:
                return found
        return None


def _stands_for(path: Path, module: str) -> bool:
    """Whether a file may be what a pickle calls ``module``: a script was ``__main__`` where it ran."""
    return module == "__main__" or module.rpartition(".")[2] == path.stem
