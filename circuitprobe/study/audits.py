"""``circuitprobe study audit``: a user's models, side by side, on a user's rows."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from circuitprobe.adapters.benchmarks import ALL_BENCHMARKS, BENCHMARKS
from circuitprobe.adapters.data.near_names import did_you_mean
from circuitprobe.adapters.user_files import open_file
from circuitprobe.errors import UsageError
from circuitprobe.study.jobs import AuditJob, AuditOptions, ModelOptions
from circuitprobe.study.running import Outcome, Silent, run_jobs
from circuitprobe.study.store import Store

if TYPE_CHECKING:
    from circuitprobe.study.executor import Executor
    from circuitprobe.study.running import Watcher

_BLOCK = 2**20
_LARGEST_READ = 8 * 2**30
LONGEST = 200
"""Bytes of a label: a folder's name may have 255."""


def audit_jobs(models: Sequence[str], data: str, options: ModelOptions, audit: AuditOptions) -> tuple[AuditJob, ...]:
    """A job per model.

    Args:
        models: files or folders.
        data: a file, a folder of pictures or a benchmark's name.
        options: how models and rows are read, alike for all.
        audit: how they are audited.

    Raises:
        UsageError: no such model, or one that is named twice.
    """
    for model in models:
        if not Path(model).exists():
            raise UsageError(f"there is no model {model}", expected="model files or folders", fix="check the path")
    _check_files(data, options)
    files = [*_files_of(options)]
    # as circuitprobe audit reads it: a folder that is called as a table's benchmark does not stand in for it
    rows = data if data in BENCHMARKS and not Path(data).is_file() else _absolute(data)
    shared = tuple(
        (Path(name).name, fingerprint(Path(name)))
        for name in (rows, *files)
        if name not in BENCHMARKS and Path(name).exists()
    )
    settled = options.model_copy(update=_absolutes(options))
    return tuple(
        AuditJob(
            label=label, model=str(Path(model).resolve()), data=rows, options=settled, audit=audit,
            fingerprints=((Path(model).name, fingerprint(Path(model))), *shared),
        )
        for label, model in zip(labels(models), models, strict=True)
    )  # fmt: skip


def _check_files(data: str, options: ModelOptions) -> None:
    """What no audit could be made without, before a process is begun for each."""
    if not Path(data).exists() and data not in ALL_BENCHMARKS:
        raise UsageError(
            f"--data {data}: there is no such file or benchmark",
            expected=f"rows in a file, a folder of pictures, or one of {', '.join(ALL_BENCHMARKS)}",
            fix=did_you_mean(data, ALL_BENCHMARKS) or "check the path",
        )
    named = (("--groups", options.groups), ("--schema", options.schema_file), ("--spec", options.spec))
    for option, path in (*named, *(("--import", path) for path in options.imports)):
        if path is not None and not Path(path).is_file():
            raise UsageError(f"{option} {path}: there is no such file", expected="a file", fix="check the path")


def run_audits(
    out: str | Path,
    jobs: Sequence[AuditJob],
    executor: Callable[[], Executor],
    watcher: Watcher | None = None,
    *,
    retry_failed: bool = False,
) -> Outcome:
    """Audit what has not been audited yet, or has changed since.

    Args:
        out: folder of the audits.
        jobs: of ``audit_jobs``.
        executor: makes what carries them out.
        watcher: is told; None: nobody.
        retry_failed: audits that failed are tried again.

    Raises:
        UsageError: the folder holds something else, another one is at work in it, or the machine cannot go on.
    """
    store = Store(Path(out), replaces=True)
    store.begin()
    with store.locked():
        return run_jobs(jobs, store, executor, watcher or Silent(), retry_failed=retry_failed)


def labels(models: Sequence[str]) -> tuple[str, ...]:
    """A name for each model that is one folder's name and no other's: its file name, with folders in front where two agree.

    Raises:
        UsageError: a model is named twice.
    """
    paths = [Path(model).resolve() for model in models]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is not None:
        raise UsageError(f"{twice.name} is named twice", expected="each model once", fix="leave one of them out")
    parts = [1] * len(paths)
    while True:
        found = [_safe("-".join(path.parts[-count:])) for path, count in zip(paths, parts, strict=True)]
        times = Counter(map(str.lower, found))
        alike = [place for place, label in enumerate(found) if times[label.lower()] > 1]
        if max(len(label.encode("utf-8")) for label in found) > LONGEST:
            break
        if not alike:
            return tuple(found)
        if any(parts[place] == len(paths[place].parts) for place in alike):
            break
        for place in alike:
            parts[place] += 1
    return tuple(f"{number}-{_safe(path.name)[:50]}" for number, path in enumerate(paths, start=1))


def fingerprint(path: Path) -> str:
    """A hash over a file; over names, sizes and times of a folder's files, and of a very large file.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return (_of_folder(path) if path.is_dir() else _of_file(path)).hexdigest()
    except OSError as error:
        raise UsageError(
            f"{error.filename or path} cannot be read: {error.strerror}",
            expected="files that can be read",
            fix="check it and its permissions",
        ) from error


def _of_folder(path: Path) -> hashlib._Hash:
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file():
            told = file.stat()
            digest.update(
                f"{file.relative_to(path)} {told.st_size} {told.st_mtime_ns}\n".encode(errors="surrogateescape")
            )
    return digest


def _of_file(path: Path) -> hashlib._Hash:
    digest = hashlib.sha256()
    with open_file(path) as handle:
        told = os.fstat(handle.fileno())
        if told.st_size > _LARGEST_READ:
            digest.update(f"{path.name} {told.st_size} {told.st_mtime_ns}".encode(errors="surrogateescape"))
            return digest
        while block := handle.read(_BLOCK):
            digest.update(block)
    return digest


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name).strip(".") or "model"


def _absolute(name: str) -> str:
    """The path of a file; a benchmark's name stays."""
    return str(Path(name).resolve()) if Path(name).exists() else name


def _absolutes(options: ModelOptions) -> dict[str, object]:
    changed: dict[str, object] = {
        key: _absolute(value)
        for key, value in (("groups", options.groups), ("schema_file", options.schema_file), ("spec", options.spec))
        if value is not None
    }
    changed["imports"] = tuple(_absolute(path) for path in options.imports)
    file, colon, function = (options.factory or "").rpartition(":")
    if colon and Path(file).is_file():
        changed["factory"] = f"{_absolute(file)}:{function}"
    return changed


def _files_of(options: ModelOptions) -> tuple[str, ...]:
    """Files that the options name."""
    given = (options.groups, options.schema_file, options.spec, *options.imports)
    factory = (options.factory or "").rpartition(":")[0]
    return tuple(name for name in (*given, factory) if name and Path(name).is_file())
