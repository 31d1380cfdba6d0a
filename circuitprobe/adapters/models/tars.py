"""Tar archives: torch's first format, which is several pickles, and archives that somebody packed."""

from __future__ import annotations

import tarfile
from pathlib import Path

from circuitprobe.adapters.models.files import FileFacts, FileKind, truncated
from circuitprobe.adapters.models.pickles import scan_pickle
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
        with tarfile.open(path) as archive:
            names = []
            for member in archive:
                names.append(member.name)
                if len(names) == _MEMBERS:
                    break
            if not set(names) >= _TORCH:
                raise packed(path, "a tar archive", [name for name in names if "." in name.rsplit("/", 1)[-1]])
            found: dict[str, None] = {}
            for name in sorted(_TORCH):
                member_file = archive.extractfile(name)
                if member_file is not None:
                    found.update(dict.fromkeys(scan_pickle(member_file.read())[0]))
    except (tarfile.TarError, EOFError, OSError) as error:
        raise truncated(path) from error
    return FileFacts(FileKind.PICKLE, tuple(found))
