"""Pickles read as descriptions: every global stays a name, nothing in the file is imported, called or built."""

from __future__ import annotations

import _compat_pickle
import io
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any, ClassVar, NoReturn

# several pickles in a row: torch's older format has five before the tensors' bytes
_PICKLES = 6
# what torch's weights-only loading accepts, plain containers, and numpy's arrays and numbers
_HARMLESS = re.compile(
    r"torch\.(\w*Storage|\w*Tensor|Size|device|(u?int|float|bfloat|complex|q?u?int|bool|half|double|long)\w*)"
    r"|torch\.storage\.\w*Storage|torch\._utils\._rebuild_\w+|torch\._tensor\._rebuild_from_type_v2"
    r"|torch\.nn\.parameter\.Parameter|torch\.serialization\._get_layout"
    r"|collections\.(OrderedDict|Counter)|_codecs\.encode"
    r"|numpy\.(dtype|ndarray)|numpy\.dtypes\.\w+|numpy\._?core\.(multiarray|numeric)\.(_reconstruct|scalar|_frombuffer)"
    r"|(__builtin__|builtins)\.(set|frozenset|list|dict|tuple|complex|bytearray|int|float|bool|str)"
)


@dataclass(frozen=True)
class Name:
    """A class or function that a pickle asks for, by ``module.name`` only."""

    path: str


@dataclass(eq=False)
class Described:
    """What would be made by calling something: what is called, with which arguments, and what was put in afterwards.

    Attributes:
        call: what would be called.
        arguments: with what.
        state: what ``__setstate__`` or ``__dict__`` would be given.
        items: what would be set as in a dictionary.
    """

    call: object
    arguments: tuple[Any, ...] = ()
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Dotted name of what is called; "" where that is itself made at run time."""
        if self.call == Name("copyreg._reconstructor"):
            first = self.arguments[0] if self.arguments else None
            return first.path if isinstance(first, Name) else ""
        return self.call.path if isinstance(self.call, Name) else ""

    def __setitem__(self, key: Any, value: Any) -> None:  # noqa: ANN401 - whatever the file holds
        self.items[key] = value

    def append(self, _: object) -> None:
        """Members of a list subclass are of no interest."""

    extend = update = add = append


@dataclass(frozen=True)
class Stored:
    """A persistent id: in torch's files, where a tensor's numbers lie."""

    key: Any


class Describer(pickle._Unpickler):  # noqa: SLF001 - the C class cannot be taught not to call
    """An unpickler whose every step that would run code makes a description instead."""

    stack: list[Any]
    proto: int
    append: Callable[[Any], None]
    # of its own, so that changing it leaves Python's unpickler as it is
    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(pickle._Unpickler.dispatch)  # noqa: SLF001

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(stream, encoding="utf-8", errors="replace")
        self.names: dict[str, None] = {}

    def find_class(self, module: str, name: str) -> Name:
        """The name alone."""
        if self.proto < 3:
            module, name = _compat_pickle.NAME_MAPPING.get((module, name), (module, name))
            module = _compat_pickle.IMPORT_MAPPING.get(module, module)
        path = f"{module}.{name}"
        self.names[path] = None
        return Name(path)

    def persistent_load(self, pid: object) -> Stored:
        """The id alone."""
        return Stored(pid)

    def get_extension(self, code: int) -> NoReturn:
        """Codes of ``copyreg`` stand for globals that cannot be told without importing them."""
        raise pickle.UnpicklingError(f"extension code {code}")

    def _described(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = Described(self.stack[-1], arguments if isinstance(arguments, tuple) else (arguments,))

    def _described_with_keywords(self) -> None:
        _ = self.stack.pop()
        self._described()

    def _instantiate(self, klass: object, arguments: list[Any]) -> None:
        self.append(Described(klass, tuple(arguments)))

    def _state(self) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Described):
            self.stack[-1].state = state

    dispatch[pickle.REDUCE[0]] = _described
    dispatch[pickle.NEWOBJ[0]] = _described
    dispatch[pickle.NEWOBJ_EX[0]] = _described_with_keywords
    dispatch[pickle.BUILD[0]] = _state


def describe(content: bytes, before: int = 0) -> Any:  # noqa: ANN401
    """A pickle of ``content`` as a description, the first or the one after some others; None where it is broken."""
    stream = io.BytesIO(content)
    try:
        for _ in range(before):
            Describer(stream).load()
        return Describer(stream).load()
    except Exception:  # noqa: BLE001 - bytes that are no pickle make the machine raise anything
        return None


def scan_pickle(content: bytes) -> tuple[tuple[str, ...], bool]:
    """Names that unpickling would import, and whether the stream ends as it should.

    Torch's older format is several pickles one after the other; all are read.
    """
    found: dict[str, None] = {}
    stream = io.BytesIO(content)
    for number in range(_PICKLES):
        reader = Describer(stream)
        try:
            reader.load()
        except Exception:  # noqa: BLE001 - as above
            # after a whole pickle the older format goes on with the tensors' bytes
            if number == 0:
                return (*found, *reader.names), False
            return tuple(found), True
        found.update(reader.names)
        if stream.tell() == len(content):
            break
    return tuple(found), True


def foreign(imports: tuple[str, ...]) -> tuple[str, ...]:
    """Those imports that are more than tensors and containers."""
    return tuple(name for name in imports if not _HARMLESS.fullmatch(name))
