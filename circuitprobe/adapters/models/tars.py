"""Tar archives: torch's first format, which is several pickles, and archives that somebody packed."""

from __future__ import annotations

from pathlib import Path

from circuitprobe.adapters.archives import DAMAGED, read_tar
from circuitprobe.adapters.models.files import MODEL_FILE, FileFacts, FileKind, refuse_beyond, truncated
from circuitprobe.adapters.models.pickles import Contents, scan
from circuitprobe.adapters.models.strangers import packed

_TORCH = frozenset({"sys_info", "pickle", "storages", "tensors"})
_MEMBERS = 200


def is_tar(head: bytes) -> bool:
    """Whether a file begins as a tar archive does."""
    return head[257:262] == b"ustar"


def look_into_tar(path: Path) -> FileFacts:
    """Tell torch's tar format from any other tar archive.

    Raises:
        ModelError: it is damaged, or an archive of files that has to be unpacked.
    """
    try:
        with read_tar(path, MODEL_FILE, first=_MEMBERS) as archive:
            names = archive.names
            if not set(names) >= _TORCH:
                raise packed(path, "a tar archive", [name for name in names if "." in name.rsplit("/", 1)[-1]])
            found: dict[str, None] = {}
            for name in sorted(_TORCH):
                within = scan(Contents.of(archive.read(name) or b""))
                refuse_beyond(path, within)
                found.update(dict.fromkeys(within.imports))
    except (*DAMAGED, OSError) as error:
        raise truncated(path) from error
    return FileFacts(FileKind.PICKLE, tuple(found))
