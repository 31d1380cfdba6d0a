"""A study in one small file: its study file, the record and the audit of every run, without checkpoints.

Of the audits the bootstrap resamples are left out, two thirds of their size, which a study's report does without.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from circuitprobe.adapters.archives import DAMAGED, Bounds, TarReader, read_tar
from circuitprobe.adapters.user_files import read_file
from circuitprobe.errors import UsageError
from circuitprobe.report.files import write_atomically
from circuitprobe.study.perform import AUDIT, RECORD
from circuitprobe.study.plan import FILE
from circuitprobe.study.store import FAILED, FINISHED

LARGEST = 16 * 2**20
"""Bytes of one file of a study: more is no audit."""
STUDY_ARCHIVE = Bounds(
    "what study report --archive writes, which shrinks by ten",
    UsageError,
    "study report --archive again, or name the study's folder",
    per_byte=60,
    entries=50_000,
    entry=LARGEST,
)
"""What may come out of a study's archive."""


class Files(Protocol):
    """The files of a study, by their places in its folder."""

    def read(self, name: str) -> bytes | None:
        """A file; None where there is none."""


class Folder:
    """A study's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str) -> bytes | None:
        """See ``Files``."""
        try:
            return read_file(self.path / name, LARGEST)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise UsageError(
                f"cannot read {self.path / name}: {error.strerror}", expected="a study's files", fix="check permissions"
            ) from error


class Archive:
    """A study's archive; nothing is unpacked on disk."""

    def __init__(self, opened: TarReader) -> None:
        self._opened = opened

    def read(self, name: str) -> bytes | None:
        """See ``Files``."""
        return self._opened.read(name)


@contextmanager
def files_of(path: Path) -> Iterator[Files]:
    """The files of a study's folder or archive.

    Raises:
        UsageError: it is neither.
    """
    if path.is_dir():
        yield Folder(path)
        return
    if not path.exists():
        raise UsageError(f"there is no study {path}", expected="a study's folder or archive", fix="check the path")
    try:
        with read_tar(path, STUDY_ARCHIVE) as opened:
            yield Archive(opened)
    except (*DAMAGED, OSError) as error:
        raise UsageError(
            f"{path.name} is no archive of a study: {error}",
            expected="what study report --archive writes",
            fix="name its folder",
        ) from error


def write_archive(source: Path, out: Path) -> None:
    """Write the archive of a study; the same study gives the same bytes.

    Args:
        source: folder or archive of a study.
        out: a file, such as ``study.tar.xz``.
    """
    # the plan is what says which files there are
    from circuitprobe.study.gathered import job_names

    with files_of(source) as files:
        entries = [(FILE, files.read(FILE) or b"")]
        for name in job_names(files, source):
            for place in (FINISHED, FAILED):
                record = files.read(f"{place}/{name}/{RECORD}")
                audit = files.read(f"{place}/{name}/{AUDIT}") if place == FINISHED else None
                entries += [(f"{place}/{name}/{RECORD}", record)] if record is not None else []
                entries += [(f"{place}/{name}/{AUDIT}", _without_resamples(audit))] if audit is not None else []
    write_atomically(out, lambda handle: handle.write(_packed(entries)))


def _without_resamples(audit: bytes) -> bytes:
    content = json.loads(audit)
    content["resamples"] = None
    return (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode("utf-8")


def _packed(entries: list[tuple[str, bytes]]) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:xz", preset=9, format=tarfile.PAX_FORMAT) as archive:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return held.getvalue()
