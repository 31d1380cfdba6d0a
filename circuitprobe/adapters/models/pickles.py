"""Pickles read as descriptions: every global stays a name, nothing in the file is imported, called or built.

A description is small however large the file: its steps are counted, long contents are passed over, and what would take for ever to
compare or to walk (tuples of tuples as keys, containers that hold each other a thousandfold) is refused.
"""

from __future__ import annotations

import _compat_pickle
import io
import pickle
import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import IO, Any, BinaryIO, ClassVar, NoReturn, cast

# several pickles in a row: torch's older format has five before the tensors' bytes
_PICKLES = 6
_MOST_STEPS = 2_000_000
"""Of all pickles of a file together: a checkpoint of ten thousand tensors has half a million."""
_LONG = 1 << 20
_LONGEST_FRAME = 64 * 2**20
_KEY_DEPTH, _KEY_LEAVES = 4, 64
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


class BeyondBoundsError(Exception):
    """A pickle that takes more steps, or builds other things, than any of a model or of an array."""


class Contents:
    """The bytes that a pickle is read from, of which a long part is passed over: what it holds is of no interest.

    Args:
        stream: a file, or bytes in memory, at the pickle's beginning.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        place = stream.tell()
        self.size = stream.seek(0, io.SEEK_END)
        stream.seek(place)
        self.steps = 0

    @classmethod
    def of(cls, content: bytes) -> Contents:
        """Bytes in memory."""
        return cls(io.BytesIO(content))

    @property
    def at_end(self) -> bool:
        """Whether nothing is left."""
        return self._stream.tell() == self.size

    def read(self, count: int) -> bytes:
        """So many bytes; none of them where they are many."""
        if count <= _LONG:
            return self._stream.read(count)
        place = self._stream.tell() + count
        if place > self.size:
            raise EOFError("a part is longer than the file")
        self._stream.seek(place)
        return b""

    def readline(self) -> bytes:
        """Up to the next end of a line."""
        line = self._stream.readline(_LONG)
        if len(line) == _LONG:
            raise BeyondBoundsError(f"a line of more than {_LONG:,} bytes")
        return line

    def frame(self, count: int) -> bytes:
        """A part of the pickle itself."""
        if count > _LONGEST_FRAME:
            raise BeyondBoundsError(f"a frame of {count:,} bytes")
        return self._stream.read(count)

    def step(self) -> None:
        """Count one."""
        self.steps += 1
        if self.steps > _MOST_STEPS:
            raise BeyondBoundsError(f"more than {_MOST_STEPS:,} steps")


class Describer(pickle._Unpickler):  # noqa: SLF001 - the C class cannot be taught not to call
    """An unpickler whose every step that would run code makes a description instead."""

    stack: list[Any]
    proto: int
    append: Callable[[Any], None]
    read: Callable[[int], bytes]
    # of its own, so that changing it leaves Python's unpickler as it is
    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(pickle._Unpickler.dispatch)  # noqa: SLF001

    def __init__(self, contents: Contents) -> None:
        super().__init__(cast("IO[bytes]", contents), encoding="utf-8", errors="replace")
        self.contents = contents
        self.names: dict[str, None] = {}
        self.calls: list[Described] = []
        self.stored: list[Stored] = []

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
        self.stored.append(Stored(pid))
        return self.stored[-1]

    def get_extension(self, code: int) -> NoReturn:
        """Codes of ``copyreg`` stand for globals that cannot be told without importing them."""
        raise pickle.UnpicklingError(f"extension code {code}")

    def _called(self, call: object, arguments: tuple[Any, ...]) -> Described:
        self.calls.append(Described(call, arguments))
        return self.calls[-1]

    def _described(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self._called(self.stack[-1], arguments if isinstance(arguments, tuple) else (arguments,))

    def _described_with_keywords(self) -> None:
        if self.stack.pop():
            raise BeyondBoundsError("a call with keywords")
        self._described()

    def _instantiate(self, klass: object, arguments: list[Any]) -> None:
        self.append(self._called(klass, tuple(arguments)))

    def _state(self) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Described):
            # the first would be hidden by the second
            if self.stack[-1].state is not None:
                raise BeyondBoundsError("an object that is filled twice")
            self.stack[-1].state = state

    def _frame(self) -> None:
        (size,) = struct.unpack("<Q", self.read(8))
        self._unframer.load_frame(0)  # type: ignore[attr-defined]
        self._unframer.current_frame = io.BytesIO(self.contents.frame(size))  # type: ignore[attr-defined]

    def _long_bytearray(self) -> None:
        (size,) = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(size)))

    def _dict(self) -> None:
        items = self.pop_mark()  # type: ignore[attr-defined]
        check_keys(items[::2])
        self.append(dict(zip(items[::2], items[1::2], strict=False)))

    def _set_item(self) -> None:
        check_keys(self.stack[-2:-1])
        pickle._Unpickler.load_setitem(self)  # type: ignore[attr-defined]  # noqa: SLF001

    def _set_items(self) -> None:
        check_keys(self.stack[::2])
        pickle._Unpickler.load_setitems(self)  # type: ignore[attr-defined]  # noqa: SLF001

    def _add_items(self) -> None:
        check_keys(self.stack)
        pickle._Unpickler.load_additems(self)  # type: ignore[attr-defined]  # noqa: SLF001

    def _frozen_set(self) -> None:
        check_keys(self.stack)
        pickle._Unpickler.load_frozenset(self)  # type: ignore[attr-defined]  # noqa: SLF001

    dispatch[pickle.REDUCE[0]] = _described
    dispatch[pickle.NEWOBJ[0]] = _described
    dispatch[pickle.NEWOBJ_EX[0]] = _described_with_keywords
    dispatch[pickle.BUILD[0]] = _state
    dispatch[pickle.FRAME[0]] = _frame
    dispatch[pickle.BYTEARRAY8[0]] = _long_bytearray
    dispatch[pickle.DICT[0]] = _dict
    dispatch[pickle.SETITEM[0]] = _set_item
    dispatch[pickle.SETITEMS[0]] = _set_items
    dispatch[pickle.ADDITEMS[0]] = _add_items
    dispatch[pickle.FROZENSET[0]] = _frozen_set


def _counted(step: Callable[..., None]) -> Callable[..., None]:
    def run(reader: Describer) -> None:
        reader.contents.step()
        step(reader)

    return run


Describer.dispatch.update({code: _counted(step) for code, step in Describer.dispatch.items()})


def check_keys(keys: Iterable[object]) -> None:
    """Make sure that keys are quick to compare: a tuple's hash walks it anew each time, however often it holds the same tuple.

    Raises:
        BeyondBoundsError: one is a tuple of tuples of tuples, or a long one.
    """
    for key in keys:
        level: list[object] = [key]
        for _ in range(_KEY_DEPTH):
            level = [part for each in level if isinstance(each, (tuple, frozenset)) for part in each]
            if not level:
                break
            if len(level) > _KEY_LEAVES:
                raise BeyondBoundsError("a tuple of many parts as a key")
        else:
            raise BeyondBoundsError("a tuple of tuples of tuples as a key")


@dataclass(frozen=True)
class Scan:
    """What is in a pickle, or in several in a row.

    Attributes:
        imports: ``module.name`` of every class and function that unpickling would import, in order.
        whole: whether the stream ends as it should.
        calls: everything that would be called, in order.
        stored: every persistent id.
        beyond: what is in it that no model or array has, "" for nothing.
        roots: what each of them describes.
    """

    imports: tuple[str, ...] = ()
    whole: bool = True
    calls: tuple[Described, ...] = ()
    stored: tuple[Stored, ...] = ()
    beyond: str = ""
    roots: tuple[Any, ...] = ()


def scan(contents: Contents) -> Scan:
    """Read a pickle, and those that follow it: torch's older format is several, one after the other."""
    names: dict[str, None] = {}
    calls: list[Described] = []
    stored: list[Stored] = []
    roots: list[Any] = []
    whole, beyond = True, ""
    for number in range(_PICKLES):
        reader = Describer(contents)
        try:
            roots.append(reader.load())
        except BeyondBoundsError as error:
            beyond = str(error)
        except Exception:  # noqa: BLE001 - bytes that are no pickle make the machine raise anything
            # after a whole pickle the older format goes on with the tensors' bytes
            if number:
                break
            whole = False
        names.update(reader.names)
        calls += reader.calls
        stored += reader.stored
        if not whole or beyond or contents.at_end:
            break
    return Scan(tuple(names), whole, tuple(calls), tuple(stored), beyond, tuple(roots))


_MOST_PARTS = 4 * _MOST_STEPS
_DEEPEST = 100


def tangled(roots: Iterable[Any]) -> str:
    """What is wrong with containers that hold each other over and over, "" for nothing: printed they would take for ever.

    Every container is counted as often as it is reached; one that holds itself is counted once there.
    """
    parts: dict[int, int] = {}
    depths: dict[int, int] = {}
    for root in roots:
        # twice on the stack: before its members and after them
        waiting: list[tuple[Any, bool]] = [(root, False)]
        open_now: set[int] = set()
        while waiting:
            value, after = waiting.pop()
            members = _members(value)
            if members is None:
                continue
            if after:
                parts[id(value)] = 1 + sum(parts.get(id(each), 1) for each in members)
                depths[id(value)] = 1 + max((depths.get(id(each), 0) for each in members), default=0)
                if parts[id(value)] > _MOST_PARTS:
                    return "containers that hold each other over and over"
                if depths[id(value)] > _DEEPEST:
                    return f"containers more than {_DEEPEST} deep in each other"
            elif id(value) not in parts and id(value) not in open_now:
                open_now.add(id(value))
                waiting.append((value, True))
                waiting += [(each, False) for each in members]
    return ""


def _members(value: object) -> list[Any] | None:
    """What a container holds; None for what is none. A key is short, see ``check_keys``."""
    if isinstance(value, Described):
        return [*value.arguments, value.state, *value.items.values()]
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, (list, tuple, set, frozenset)) else None


def describe(content: bytes, before: int = 0) -> Any:  # noqa: ANN401
    """A pickle of ``content`` as a description, the first or the one after some others; see ``described``."""
    return described(Contents.of(content), before)


def described(contents: Contents, before: int = 0) -> Any:  # noqa: ANN401
    """A pickle as a description, the first or the one after some others; None where it is broken, or takes for ever to walk."""
    roots = scan(contents).roots
    return roots[before] if len(roots) > before and not tangled(roots) else None


def scan_pickle(content: bytes) -> tuple[tuple[str, ...], bool]:
    """Names that unpickling would import, and whether the stream ends as it should; see ``scan``."""
    found = scan(Contents.of(content))
    return found.imports, found.whole


def foreign(imports: tuple[str, ...]) -> tuple[str, ...]:
    """Those imports that are more than tensors and containers."""
    return tuple(name for name in imports if not _HARMLESS.fullmatch(name))
