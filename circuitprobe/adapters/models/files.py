"""What kind of file a stranger has sent, found without running anything in it."""

from __future__ import annotations

import io
import pickletools
import shlex
import stat
import struct
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from circuitprobe.adapters.archives import Bounds
from circuitprobe.adapters.models.pickles import Contents, Scan, scan
from circuitprobe.adapters.user_files import open_file, read_file
from circuitprobe.errors import ModelError


class FileKind(Enum):
    """Formats told apart by content, never by suffix."""

    TORCH_ARCHIVE = "a torch.save archive"
    TORCH_SCRIPT = "a TorchScript archive"
    EXPORTED = "a torch.export archive"
    PICKLE = "a pickle"
    JOBLIB = "a pickle as joblib reads it, with arrays between its parts or compressed"
    SAFETENSORS = "a safetensors file"
    FOLDER = "a library's model folder"


@dataclass(frozen=True)
class FileFacts:
    """What a look at a file showed.

    Attributes:
        kind: its format.
        imports: ``module.name`` of every class and function that unpickling would import, in order.
        whole: whether its pickle ends as one should.
        torch_wrote: whether a plain pickle is torch's older format.
        compressed: how a pickle is compressed, such as ``zlib``; "" where it is not.
        library: for a folder, the library that wrote it.
    """

    kind: FileKind
    imports: tuple[str, ...] = ()
    whole: bool = True
    torch_wrote: bool = True
    compressed: str = ""
    library: str = ""


FIX = "a file written by torch.save, torch.jit.save, torch.export.save or circuitprobe train"
MODEL_FILE = Bounds(
    "a model file, whose entries torch stores uncompressed", ModelError, FIX, per_byte=2, entries=50_000
)
"""What may come out of a model file."""

# the number that torch's older format begins with, as a pickled integer
_TORCH_MAGIC = b"l\xfc\x9cF\xf9 j\xa8P\x19"
# what the format itself allows
_LONGEST_HEADER = 100_000_000
_HEAD = 4096
# in what torch and safetensors say of files that end too early
_CUT = ("EOF", "corrupt", "ncomplete", "header too small", "invalid header length", "unexpected pos")
_SHORTEST, _LONGEST_OLD = 4, 64 * 2**20
_LONGEST_TO_TELL = 256 * 2**20


def look(path: Path) -> FileFacts:
    """Tell what a model file is; nothing in it is run.

    Raises:
        ModelError: it is not there, no regular file, empty, or plainly no model (with what it is).
    """
    from circuitprobe.adapters.models.folders import look_into_folder
    from circuitprobe.adapters.models.joblib_files import compression, look_into_joblib, of_joblib
    from circuitprobe.adapters.models.strangers import no_model
    from circuitprobe.adapters.models.tars import is_tar, look_into_tar
    from circuitprobe.adapters.models.zips import look_into_zip

    if _is_folder(path):
        return look_into_folder(path)
    try:
        with open_file(path) as handle:
            head = handle.read(_HEAD)
    except OSError as error:
        raise _unreadable(path, error) from error
    if not head:
        raise ModelError(f"{path.name} is empty (0 bytes)", expected="a model file", fix="save or copy the model again")
    if head.startswith(b"PK\x03\x04"):
        return look_into_zip(path)
    # before pickles: a header of 128 bytes begins as they do
    if _is_safetensors(head):
        return FileFacts(FileKind.SAFETENSORS)
    if is_tar(head):
        return look_into_tar(path)
    if is_pickle(head) or _is_pickle_of_text(path):
        found = _scanned(path)
        # whose arrays lie between the parts of its pickle
        if of_joblib(found.imports):
            return look_into_joblib(path)
        return pickle_facts(path, FileKind.PICKLE, found, torch_wrote=_TORCH_MAGIC in head[:32])
    compressed = compression(path, head)
    if compressed:
        return look_into_joblib(path, compressed)
    raise no_model(path, head)


def pickle_facts(path: Path, kind: FileKind, found: Scan, *, torch_wrote: bool = True) -> FileFacts:
    """What a look at a pickle showed.

    Raises:
        ModelError: it is beyond what any model's is.
    """
    refuse_beyond(path, found)
    return FileFacts(kind, found.imports, found.whole, torch_wrote)


def refuse_beyond(path: Path, found: Scan) -> None:
    """Refuse a pickle that would take for ever, or all memory.

    Raises:
        ModelError: with what is in it.
    """
    if found.beyond:
        raise MODEL_FILE.refused(f"{path.name} holds a pickle with {found.beyond}; nothing in it was loaded")


def _scanned(path: Path) -> Scan:
    with open_file(path) as handle:
        return scan(Contents(handle))


def _is_folder(path: Path) -> bool:
    """Whether the path is a folder; what is neither folder nor file is refused before anything waits for it.

    Raises:
        ModelError: an address, nothing there, a loop of links, a pipe or a device.
    """
    if ":/" in str(path)[:10]:
        raise ModelError(
            f"{path} is an address, not a file", expected="a model file", fix="download it first, then name the file"
        )
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise _not_there(path) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise ModelError(
            f"{path} is a pipe or a device, not a file",
            expected="a model file, which is read more than once",
            fix="write what comes out of it to a file first, then name that file",
        )
    return stat.S_ISDIR(mode)


def _not_there(path: Path) -> ModelError:
    if path.is_symlink():
        return ModelError(
            f"{path} is a link to {path.readlink()}, which is not there",
            expected="a model file",
            fix="name the file itself, or mend the link",
        )
    near = sorted(p.name for p in path.parent.glob("*.pt")) if path.parent.is_dir() else []
    return ModelError(
        f"there is no file {path}",
        expected="a model file",
        fix=f"one of those beside it: {', '.join(near[:5])}"
        if near
        else "check the path; circuitprobe train makes a first model",
    )


def _unreadable(path: Path, error: OSError) -> ModelError:
    return ModelError(
        f"cannot read {path}: {error.strerror}",
        expected="a readable file",
        fix="name the file itself" if "symbolic" in str(error.strerror) else "check the path and its permissions",
    )


def _is_safetensors(head: bytes) -> bool:
    """Whether a file begins with the length of a JSON header, and a header."""
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _LONGEST_HEADER


def is_pickle(head: bytes) -> bool:
    """Whether a file is a pickle of protocol 2 or later, or begins like most of protocol 0 or 1."""
    if head[:1] == b"\x80" and len(head) > 1 and head[1] <= 5:
        return True
    # containers or globals that open the older protocols: (dp0, (lp0, (tR, ccopy_reg, c__main__, }q, ]q
    if head[:1] == b"c":
        first, second = (*head[1:].split(b"\n", 2), b"", b"")[:2]
        return all(part.replace(b".", b"").replace(b"_", b"").isalnum() for part in (first, second))
    return head[:3] in {b"(dp", b"(lp", b"(ip"} or head[:2] in {b"}q", b"]q", b"(c", b"(d", b"(i"}


def _is_pickle_of_text(path: Path) -> bool:
    """Whether a file is a whole pickle of protocol 0 or 1, which may begin with any letter."""
    size = path.stat().st_size
    if not _SHORTEST < size < _LONGEST_OLD:
        return False
    with open_file(path) as handle:
        handle.seek(size - 1)
        if handle.read() != b".":
            return False
    return _scanned(path).whole


def breaks_off(path: Path, pickles: int = 1) -> bool:
    """Whether so many pickles in a row end in the middle: what they lack lies behind the end, nothing in them is unknown.

    False also for a file of more than 256 MB, which is not read as a whole for the sake of a message.
    """
    if path.stat().st_size > _LONGEST_TO_TELL:
        return False
    stream = io.BytesIO(read_file(path, _LONGEST_TO_TELL))
    try:
        for _ in range(pickles):
            for _ in pickletools.genops(stream):
                pass
    except ValueError as error:
        return any(words in str(error) for words in ("exhausted", "remain", "not enough data", "no newline found"))
    return False


def truncated(path: Path) -> ModelError:
    """The error for a file that breaks off."""
    return ModelError(
        f"{path.name} is damaged or cut off ({path.stat().st_size:,} bytes)",
        expected="a complete model file",
        fix="copy or save it again; compare the size with the original's",
    )


def unreadable(path: Path, error: Exception, *, whole: bool = False) -> ModelError:
    """The error for a file of a known format that its reader does not take: damaged only where the reader says so.

    Args:
        path: the file.
        error: what its reader raised.
        whole: whether it is known to be complete.
    """
    lines = str(error).strip().splitlines() or [""]
    if not whole and (isinstance(error, (EOFError, struct.error)) or any(word in lines[0] for word in _CUT)):
        return truncated(path)
    return ModelError(
        f"{path.name} cannot be read by the installed versions: {type(error).__name__}: {lines[0][:200]}",
        expected="a file written by a version near the installed one",
        fix="save it again there where it was written, as weights: torch.save(model.state_dict(), ...), with --factory "
        "package.module:function",
    )


def with_trust(path: Path, more: str = "") -> str:
    """What to type where code is to be run."""
    return (
        f"circuitprobe audit {shlex.quote(str(path))} DATA --trust{more} (or inspect), if you know where it comes from"
    )
