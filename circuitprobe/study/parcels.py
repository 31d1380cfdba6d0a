"""The files that a job names, packed for a machine that does not have them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from circuitprobe.errors import UsageError
from circuitprobe.study.jobs import AuditJob, StudyJob

LIMIT = 512 * 2**20
"""Bytes of the files that one job names, together."""

Parcel = tuple[tuple[str, bytes], ...]
"""Files with their contents; names are relative to the folder that they are unpacked in, with ``/``."""


@dataclass(frozen=True)
class Packed:
    """What a folder of the other machine is filled with.

    Attributes:
        place: the folder, which is named after what the file is to the job: ``model``, ``data``.
        source: the file or folder here.
        name: of the file or folder there.
        neighbours: Python files beside it go with it.
    """

    place: str
    source: Path
    name: str
    neighbours: bool = False

    @property
    def files(self) -> Iterator[tuple[str, Path]]:
        """Every file with its name there."""
        if self.source.is_dir():
            found = sorted(path for path in self.source.rglob("*") if path.is_file())
            return ((f"{self.name}/{path.relative_to(self.source).as_posix()}", path) for path in found)
        # what lies beside a script is importable for it, so it imports it
        beside = sorted(self.source.resolve().parent.glob("*.py")) if self.neighbours else []
        others = ((path.name, path) for path in beside if path.name != self.name)
        return itertools.chain([(self.name, self.source)], others)

    @property
    def shared(self) -> bool:
        """Whether other jobs are likely to name it too."""
        return self.place != "model"

    def read(self) -> Parcel:
        """The contents.

        Raises:
            UsageError: a file cannot be read.
        """
        try:
            return tuple((name, path.read_bytes()) for name, path in self.files)
        except OSError as error:
            raise UsageError(
                f"cannot read {error.filename}: {error.strerror}",
                expected="readable files, to be sent to the cluster",
                fix="check their permissions",
            ) from error


def sent(job: StudyJob | AuditJob) -> tuple[StudyJob | AuditJob, tuple[Packed, ...]]:
    """A job for another machine, and what is to be unpacked there.

    Args:
        job: as the user gave it. What it names that is no file here stays as it is: a benchmark, an installed function, a slip.

    Returns:
        The job with paths relative to the folder that the files are unpacked in, and the files.

    Raises:
        UsageError: they are too many bytes.
    """
    if isinstance(job, StudyJob):
        return job, ()
    found: list[Packed] = []
    how = job.options

    def there(given: str, place: str, *, code: bool = False) -> str:
        source = Path(given)
        if not source.exists():
            return given
        # reports name a folder of a model by its own name, all else as it was typed
        own = source.name if source.is_file() or (place != "model" and source.name) else source.resolve().name
        found.append(Packed(place, source, own, code))
        return f"{place}/{own}"

    def maybe(given: str | None, place: str) -> str | None:
        return None if given is None else there(given, place)

    def factory(given: str | None) -> str | None:
        file, _, function = (given or "").rpartition(":")
        # package.module:function is installed there
        return f"{there(file, 'factory', code=True)}:{function}" if file.endswith(".py") else given

    options = how.model_copy(
        update={
            "groups": maybe(how.groups, "groups"),
            "schema_file": maybe(how.schema_file, "schema"),
            "spec": maybe(how.spec, "spec"),
            "factory": factory(how.factory),
            "imports": tuple(there(file, f"imports/{at}", code=True) for at, file in enumerate(how.imports)),
        }
    )
    moved = job.model_copy(
        update={"model": there(job.model, "model"), "data": there(job.data, "data"), "options": options}
    )
    _check_size(job, found)
    return moved, tuple(found)


def unpack(parcel: Parcel, folder: Path) -> None:
    """Write a parcel's files.

    Raises:
        OSError: no room.
    """
    for name, content in parcel:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _check_size(job: AuditJob, found: list[Packed]) -> None:
    total = sum(path.stat().st_size for packed in found for _, path in packed.files)
    if total > LIMIT:
        raise UsageError(
            f"the files of {job.name} are {total / 2**20:,.0f} MiB together",
            expected=f"at most {LIMIT / 2**20:,.0f} MiB to send to a cluster",
            fix="a table of fewer rows, or --executor local",
        )
