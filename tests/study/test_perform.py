"""One run from its job to its files: real trainings of a few steps, real audits of a few rows."""

from __future__ import annotations

import resource
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from small_jobs import AUDIT, study_job

import circuitprobe as cp
from circuitprobe import reference_models
from circuitprobe.reference_models import keeping
from circuitprobe.report import AuditReport
from circuitprobe.study.jobs import AuditJob, ModelOptions, job_from_json
from circuitprobe.study.perform import MachineError, Record, perform

JOB = study_job("beta-vae", strength=4.0)
FILES = {"audit.json", "log.txt", "model.pt", "run.json"}


def untold(phase: str, done: int, total: int | None) -> None:
    """Nobody is told."""


class Killed(BaseException):
    """Ends a run where it is, as SIGKILL does: nothing tidies up after it."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("run")
    perform(JOB, folder, untold)
    return folder


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def record(folder: Path) -> Record:
    return Record.model_validate_json((folder / "run.json").read_bytes())


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A limit on the size of files stands in for a full disk: the write breaks off in the middle."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_checkpoint_audit_log_and_record(made: Path) -> None:
    assert files(made) == FILES
    found = record(made)
    assert (found.name, found.digest, found.status, found.failure) == (JOB.name, JOB.digest, "finished", None)
    assert found.seconds.keys() == {"training", "audit"}
    assert found.versions["torch"] == torch.__version__
    log = (made / "log.txt").read_text(encoding="utf-8")
    assert "german_credit-beta-vae-0: circuitprobe" in log
    assert "training ended" in log
    assert AuditReport.from_json(made / "audit.json").verdict[0] in log


def test_its_files_are_those_of_train_and_audit_with_the_same_arguments(made: Path, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        how = JOB.training
        cp.train(
            "german_credit", arch="beta-vae", beta=4.0, steps=how.steps, batch=how.batch, lr=how.lr, patience=how.patience,
            latents=how.latents, hidden=how.hidden, rows=how.rows, seed=0, out=tmp_path / "model.pt",
        )  # fmt: skip
        cp.audit(
            tmp_path / "model.pt", "german_credit", target="credit_risk", rows=60, seed=0, levels=(2,), n_values=8, resamples=10,
            permutations=10,
        ).to_json(tmp_path / "audit.json")  # fmt: skip
    finally:
        torch.set_num_threads(before)
    assert (made / "model.pt").read_bytes() == (tmp_path / "model.pt").read_bytes()
    assert (made / "audit.json").read_bytes() == (tmp_path / "audit.json").read_bytes()


def test_progress_is_told_from_training_to_audit(tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    perform(study_job(steps=4), tmp_path, lambda phase, done, total: told.append((phase, done, total)))
    assert told[0] == ("training", 0, 4)
    assert ("training", 4, 4) in told
    later = told[told.index(("training", 4, 4)) + 1 :]
    assert later
    assert all(phase != "training" and (total is None or done <= total) for phase, done, total in later)


def test_threads_and_warnings_are_as_before(made: Path, tmp_path: Path) -> None:
    show, before = warnings.showwarning, torch.get_num_threads()
    seen: list[int] = []
    torch.set_num_threads(2)
    try:
        perform(study_job(steps=2), tmp_path, lambda *_: seen.append(torch.get_num_threads()))
        assert set(seen) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert warnings.showwarning is show


def test_a_users_model_is_audited_as_it_is_by_audit(made: Path, tmp_path: Path) -> None:
    job = AuditJob(
        label="mine", model=str(made / "model.pt"), data="german_credit", options=ModelOptions(target="credit_risk"), audit=AUDIT
    )  # fmt: skip
    assert job_from_json(job.model_dump_json()) == job
    perform(job, tmp_path, untold)
    assert files(tmp_path) == FILES - {"model.pt"}
    assert (tmp_path / "audit.json").read_bytes() == (made / "audit.json").read_bytes()


def test_a_run_that_fails_is_recorded_with_its_error(tmp_path: Path) -> None:
    found = perform(study_job(benchmark="wine_qualty"), tmp_path, untold)
    assert found == record(tmp_path)
    assert found.status == "failed"
    assert found.failure is not None
    assert (found.failure.kind, found.failure.seen) == ("error", "There is no file 'wine_qualty'.")
    assert "wine_quality" in found.failure.fix
    log = (tmp_path / "log.txt").read_text(encoding="utf-8")
    assert "Traceback (most recent call last)" in log
    assert "DataError: There is no file" in log
    assert files(tmp_path) == {"log.txt", "run.json"}


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ZeroDivisionError("by zero"), "defect", "internal error, ZeroDivisionError: by zero"),
        (MemoryError(), "error", "out of memory"),
        (PermissionError(13, "Permission denied", "weights.bin"), "defect", "Permission denied: 'weights.bin'"),
    ],
)
def test_what_nobody_expected_is_recorded_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: str, words: str
) -> None:
    def raises(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(reference_models, "train", raises)
    failure = perform(JOB, tmp_path, untold).failure
    assert failure is not None
    assert failure.kind == kind
    assert words in failure.seen


def cut_off(folder: Path, monkeypatch: pytest.MonkeyPatch, step: int = 6) -> bytes:
    """A run that is killed at a step; what it has kept of its training."""

    def until(phase: str, done: int, total: int | None) -> None:
        if done >= step:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(keeping, "WRITE_EVERY", 0.0)
        with pytest.raises(Killed):
            perform(JOB, folder, until)
    assert files(folder) == {"log.txt", "model.pt.partial"}
    return (folder / "model.pt.partial").read_bytes()


def same(folder: Path, made: Path) -> None:
    assert files(folder) == FILES
    assert (folder / "model.pt").read_bytes() == (made / "model.pt").read_bytes()
    assert (folder / "audit.json").read_bytes() == (made / "audit.json").read_bytes()


def test_a_training_that_was_cut_off_is_gone_on_with(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(tmp_path, monkeypatch)
    told: list[int] = []
    perform(JOB, tmp_path, lambda phase, done, total: told.append(done))
    assert told[0] >= 5, "not from the beginning"
    same(tmp_path, made)


def test_an_audit_that_was_cut_off_is_made_again_and_the_training_is_not(made: Path, tmp_path: Path) -> None:
    def until(phase: str, done: int, total: int | None) -> None:
        if phase != "training":
            raise Killed

    with pytest.raises(Killed):
        perform(JOB, tmp_path, until)
    before = (tmp_path / "model.pt").stat().st_mtime_ns
    phases: set[str] = set()
    perform(JOB, tmp_path, lambda phase, done, total: phases.add(phase))
    assert "training" not in phases
    assert (tmp_path / "model.pt").stat().st_mtime_ns == before
    same(tmp_path, made)


@pytest.mark.parametrize("name", ["model.pt", "model.pt.partial"])
@pytest.mark.parametrize("content", [b"", b"no checkpoint", "half"])
def test_a_damaged_checkpoint_is_begun_anew(made: Path, tmp_path: Path, name: str, content: bytes | str) -> None:
    whole = (made / "model.pt").read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2] if isinstance(content, str) else content)
    perform(JOB, tmp_path, untold)
    same(tmp_path, made)


def test_half_a_file_of_a_killed_attempt_is_removed(made: Path, tmp_path: Path) -> None:
    (tmp_path / ".model.pt.0123abcd.tmp").write_bytes(b"half")
    perform(JOB, tmp_path, untold)
    same(tmp_path, made)


def test_a_full_disk_is_no_failure_and_costs_nothing(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = cut_off(tmp_path, monkeypatch)
    with files_of_at_most(1500), pytest.raises(MachineError, match="File too large"):
        perform(JOB, tmp_path, untold)
    assert files(tmp_path) == {"log.txt", "model.pt.partial"}
    assert (tmp_path / "model.pt.partial").read_bytes() == kept
    perform(JOB, tmp_path, untold)
    same(tmp_path, made)


def test_a_disk_without_room_even_for_the_log(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with files_of_at_most(10), pytest.raises(MachineError, match="File too large"):
        perform(JOB, tmp_path, untold)
    assert files(tmp_path) == {"log.txt"}
    (tmp_path / "run.json").mkdir()
    with pytest.raises(MachineError, match=r"run\.json: it is a folder"):
        perform(JOB, tmp_path, untold)


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="No such file or directory"):
        perform(JOB, tmp_path / "gone", untold)


def test_the_machines_errors_are_its_own_also_where_a_run_meets_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of ours whose cause is the operating system's."""

    def raises(*_: object, **__: object) -> None:
        try:
            raise OSError(5, "Input/output error", "german.csv")
        except OSError as error:
            raise cp.CircuitProbeError("cannot read", expected="a disk", fix="another") from error

    monkeypatch.setattr(reference_models, "train", raises)
    with pytest.raises(MachineError, match=r"Input/output error: german\.csv"):
        perform(JOB, tmp_path, untold)
    assert files(tmp_path) == {"log.txt"}
