"""What kind of file a stranger has sent, found without running anything in it."""

from __future__ import annotations

import io
import pickletools
import re
import zipfile
import zlib
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from circuitprobe.errors import ModelError


class FileKind(Enum):
    """Formats told apart by content, never by suffix."""

    TORCH_ARCHIVE = "a torch.save archive"
    TORCH_SCRIPT = "a TorchScript archive"
    PICKLE = "a pickle"
    SAFETENSORS = "a safetensors file"
    OTHER = "unknown"


@dataclass(frozen=True)
class FileFacts:
    """What a look at a file showed.

    Attributes:
        kind: its format.
        imports: ``module.name`` of every class and function that unpickling would import, in order.
        whole: whether its pickle ends as one should.
        torch_wrote: whether a plain pickle is torch's older format.
        acts: what its compiled code does beyond computing, such as ``torch.save``.
    """

    kind: FileKind
    imports: tuple[str, ...] = ()
    whole: bool = True
    torch_wrote: bool = True
    acts: tuple[str, ...] = ()


# what torch's own weights-only loading accepts, apart from plain containers
_HARMLESS = ("torch.", "torch._utils.", "collections.OrderedDict", "_codecs.encode", "numpy.")
# the number that torch's older format begins with, as a pickled integer
_TORCH_MAGIC = b"l\xfc\x9cF\xf9 j\xa8P\x19"
_SLACK = 16 * 2**20
_PICKLES = 6
# what the format itself allows
_LONGEST_HEADER = 100_000_000
_CONTAINERS = frozenset(
    f"{module}.{name}"
    for module in ("__builtin__", "builtins")
    for name in ("set", "frozenset", "list", "dict", "tuple")
)


def look(path: Path) -> FileFacts:
    """Tell what a model file is; nothing in it is run.

    Raises:
        ModelError: it is not there, a folder, empty, or plainly no model (with what it is).
    """
    if ":/" in str(path)[:10]:
        raise ModelError(
            f"{path} is an address, not a file", expected="a model file", fix="download it first, then name the file"
        )
    if not path.exists():
        near = sorted(p.name for p in path.parent.glob("*.pt")) if path.parent.is_dir() else []
        raise ModelError(
            f"there is no file {path}",
            expected="a model file",
            fix=f"one of those beside it: {', '.join(near[:5])}"
            if near
            else "check the path; circuitprobe train makes a first model",
        )
    if path.is_dir():
        raise ModelError(f"{path} is a folder", expected="a model file", fix="name the checkpoint file inside it")
    try:
        with path.open("rb") as handle:
            head = handle.read(4096)
    except OSError as error:
        raise ModelError(
            f"cannot read {path}: {error.strerror}", expected="a readable file", fix="check its permissions"
        ) from error
    if not head:
        raise ModelError(f"{path.name} is empty (0 bytes)", expected="a model file", fix="save or copy the model again")
    if head.startswith(b"PK\x03\x04"):
        return _look_into_zip(path)
    # before pickles: a header of 128 bytes begins as they do
    if _is_safetensors(head):
        return FileFacts(FileKind.SAFETENSORS)
    if head[:1] == b"\x80" and len(head) > 1 and head[1] <= 5:
        return FileFacts(FileKind.PICKLE, *scan_pickle(path.read_bytes()), torch_wrote=_TORCH_MAGIC in head[:32])
    raise _no_model(path, head)


def _is_safetensors(head: bytes) -> bool:
    """Whether a file begins with the length of a JSON header, and a header."""
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _LONGEST_HEADER


def _no_model(path: Path, head: bytes) -> ModelError:
    fix = "a file written by torch.save, torch.jit.save or circuitprobe train"
    if head.startswith(b"version https://git-lfs"):
        what, fix = "a git-lfs pointer, not the model itself", "git lfs pull"
    elif head.lstrip()[:1] == b"<":
        what, fix = "an HTML or XML page, not a model", "download the file itself, not the page about it"
    elif _is_text(head):
        what = "a text file, not a model"
    else:
        what = "in no format that is known here"
    return ModelError(f"{path.name} is {what}", expected="a model file", fix=fix)


def _is_text(head: bytes) -> bool:
    try:
        head[: len(head) - 4].decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\x00" not in head


def _look_into_zip(path: Path) -> FileFacts:
    try:
        with zipfile.ZipFile(path) as archive:
            _refuse_bomb(path, archive)
            names = archive.namelist()
            if archive.testzip() is not None:
                raise zipfile.BadZipFile
            inner = [name for name in names if name.endswith("data.pkl") and name.count("/") <= 1]
            if any(name.endswith("constants.pkl") for name in names):
                code = [archive.read(name).decode("utf-8", "replace") for name in names if name.endswith(".py")]
                return FileFacts(FileKind.TORCH_SCRIPT, acts=_acts("\n".join(code)))
            if inner:
                return FileFacts(FileKind.TORCH_ARCHIVE, *scan_pickle(archive.read(inner[0])))
    except (zipfile.BadZipFile, OSError, EOFError, zlib.error) as error:
        raise truncated(path) from error
    raise ModelError(
        f"{path.name} is a zip archive that torch did not write ({len(names)} entries, first {names[0] if names else 'none'})",
        expected="a model file",
        fix="a file written by torch.save, torch.jit.save or circuitprobe train",
    )


def _refuse_bomb(path: Path, archive: zipfile.ZipFile) -> None:
    """Torch stores its entries uncompressed; what inflates to many times the file is none of its archives."""
    inflated = sum(entry.file_size for entry in archive.infolist())
    if inflated > 2 * path.stat().st_size + _SLACK:
        raise ModelError(
            f"{path.name} is a zip archive of {path.stat().st_size:,} bytes that would inflate to {inflated:,}",
            expected="a model file, whose entries torch stores uncompressed",
            fix="a file written by torch.save, torch.jit.save or circuitprobe train",
        )


def _acts(code: str) -> tuple[str, ...]:
    """Calls in TorchScript code that reach beyond the computation: files, and operators of other libraries."""
    found = re.findall(
        r"\b(torch\.(?:save|load|from_file|_save\w*)|(?:torch\.)?ops\.(?!prim\b|aten\b|quantized\b)\w+[.\w]*)", code
    )
    return tuple(dict.fromkeys(found))


def truncated(path: Path) -> ModelError:
    """The error for a file that breaks off."""
    return ModelError(
        f"{path.name} is damaged or cut off ({path.stat().st_size:,} bytes)",
        expected="a complete model file",
        fix="copy or save it again; compare the size with the original's",
    )


def scan_pickle(content: bytes) -> tuple[tuple[str, ...], bool]:
    """Names that unpickling would import, from the opcodes alone, and whether the stream ends as it should.

    Strings that opcodes push are followed, so that protocol 4's STACK_GLOBAL is resolved. Torch's older format is several
    pickles one after the other; all are read.
    """
    found: dict[str, None] = {}
    strings: list[str] = []
    stream = io.BytesIO(content)
    for number in range(_PICKLES):
        try:
            for opcode, argument, _ in pickletools.genops(stream):
                if opcode.name == "GLOBAL":
                    found[str(argument).replace(" ", ".")] = None
                elif opcode.name == "STACK_GLOBAL" and len(strings) >= 2:
                    found[f"{strings[-2]}.{strings[-1]}"] = None
                elif isinstance(argument, str):
                    strings.append(argument)
        except (ValueError, IndexError, UnicodeDecodeError, EOFError):
            # after a whole pickle the older format goes on with the tensors' bytes
            return tuple(found), number > 0
        if stream.tell() == len(content):
            break
    return tuple(found), True


def foreign(imports: tuple[str, ...]) -> tuple[str, ...]:
    """Those imports that are more than tensors and containers."""

    def harmless(name: str) -> bool:
        return name in _CONTAINERS or (name.startswith(_HARMLESS) and not name.startswith(("torch.nn.", "torch.hub")))

    return tuple(name for name in imports if not harmless(name))
