"""A study's folder: runs appear whole or not at all, and are neither lost nor made twice."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from small_jobs import audit_job, end, failed, finished, seeds, study_job

from circuitprobe.errors import UsageError
from circuitprobe.study.perform import RECORD
from circuitprobe.study.plan import FILE
from circuitprobe.study.store import Store

JOB = study_job()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "study")
    made.begin()
    (made.folder / FILE).touch()
    return made


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_run_is_not_there_before_it_has_ended(store: Store) -> None:
    folder = store.work(JOB)
    (folder / "model.pt").write_bytes(b"half")
    assert store.commit(JOB) is None
    assert store.standing([JOB]).left == (JOB,)
    assert not (store.finished / JOB.name).exists()
    assert list(store.records([JOB])) == []


def test_a_finished_run_is_there_whole(store: Store) -> None:
    folder = store.work(JOB)
    (folder / "model.pt").write_bytes(b"weights")
    end(finished(JOB), folder)
    assert store.commit(JOB) == finished(JOB)
    assert tree(store.folder / "runs") == {
        f"{JOB.name}/{name}" for name in ("model.pt", "audit.json", RECORD, "job.json")
    }
    assert not folder.exists()
    standing = store.standing([JOB])
    assert (standing.finished, standing.failed, standing.left) == ({JOB.name: finished(JOB)}, {}, ())
    assert list(store.records([JOB])) == [(JOB, finished(JOB), store.finished / JOB.name)]


def test_what_had_ended_and_was_not_taken_over_is_taken_over(store: Store) -> None:
    jobs = seeds(2)
    end(finished(jobs[0]), store.work(jobs[0]))
    end(failed(jobs[1]), store.work(jobs[1]))
    standing = store.standing(jobs)
    assert list(standing.finished) == [jobs[0].name]
    assert list(standing.failed) == [jobs[1].name]
    assert standing.left == ()
    assert (store.finished / jobs[0].name / RECORD).is_file()
    assert (store.failed / jobs[1].name / RECORD).is_file()


def test_a_taking_over_that_was_cut_off_is_done_again(store: Store) -> None:
    """The older failure is removed in part, and the new run not yet renamed."""
    end(failed(JOB), store.work(JOB))
    store.commit(JOB)
    end(failed(JOB, "again"), store.work(JOB))
    (store.failed / JOB.name / "audit.json").unlink()
    assert store.standing([JOB]).failed == {JOB.name: failed(JOB, "again")}
    assert tree(store.folder / "failed") == {f"{JOB.name}/{name}" for name in ("audit.json", RECORD, "job.json")}


def test_what_is_half_done_stays_for_the_next_attempt(store: Store) -> None:
    folder = store.work(JOB)
    (folder / "model.pt.partial").write_bytes(b"half")
    assert store.work(JOB) == folder
    assert (folder / "model.pt.partial").read_bytes() == b"half"


def test_what_is_half_done_for_another_job_of_that_name_is_removed(store: Store) -> None:
    folder = store.work(JOB)
    (folder / "model.pt.partial").write_bytes(b"half")
    end(finished(JOB), folder)
    other = study_job(steps=11)
    assert store.commit(other) is None
    store.work(other)
    assert tree(folder) == {"job.json"}


def test_going_on_writes_nothing_so_that_a_full_disk_cannot_cost_what_is_half_done(store: Store) -> None:
    """The note was once written again at every start: cut short by a full disk, it made the next start begin anew."""
    folder = store.work(JOB)
    (folder / "model.pt.partial").write_bytes(b"half")
    before = (folder / "job.json").stat()
    store.work(JOB)
    after = (folder / "job.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_study_refuses_runs_of_other_settings(store: Store) -> None:
    end(finished(JOB), store.work(JOB))
    store.commit(JOB)
    with pytest.raises(UsageError, match=f"{JOB.name} was finished with other settings") as caught:
        store.standing([study_job(steps=11)])
    assert f"runs/{JOB.name}" in caught.value.fix
    assert store.standing([JOB]).left == (), "and nothing is lost by it"


def test_audits_of_what_has_changed_are_made_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "audits", replaces=True)
    store.begin()
    old, new = audit_job("m.pt"), audit_job("m.pt", data="other.csv")
    end(finished(old), store.work(old), "old")
    store.commit(old)
    assert store.standing([new]).left == (new,)
    assert (store.finished / "m.pt" / "audit.json").read_text(encoding="utf-8") == "old", "until the new one is whole"
    end(finished(new), store.work(new), "new")
    store.commit(new)
    assert (store.finished / "m.pt" / "audit.json").read_text(encoding="utf-8") == "new"
    assert store.standing([new]).left == ()
    assert store.standing([old]).left == (old,)


def test_failed_runs_stay_failed_unless_asked_for(store: Store) -> None:
    end(failed(JOB), store.work(JOB))
    store.commit(JOB)
    assert list(store.standing([JOB]).failed) == [JOB.name]
    again = store.standing([JOB], retry_failed=True)
    assert (again.failed, again.left) == ({}, (JOB,))
    assert list(store.standing([JOB]).failed) == [JOB.name], "until the new attempt has ended"
    end(finished(JOB), store.work(JOB))
    store.commit(JOB)
    assert not (store.failed / JOB.name).exists()
    assert list(store.standing([JOB]).finished) == [JOB.name]


def test_runs_that_failed_with_other_settings_are_made(store: Store) -> None:
    end(failed(JOB), store.work(JOB))
    store.commit(JOB)
    other = study_job(steps=11)
    assert store.standing([other]).left == (other,)


def test_lost_runs_are_tried_again_and_go_on_where_they_were(store: Store) -> None:
    (store.work(JOB) / "model.pt.partial").write_bytes(b"half")
    record = store.lose(JOB, "killed, 3 times")
    assert record.failure is not None
    assert (record.failure.kind, record.failure.seen) == ("lost", "killed, 3 times")
    assert [place for _, _, place in store.records([JOB])] == [store.failed / JOB.name]
    assert store.standing([JOB]).left == (JOB,)
    folder = store.work(JOB)
    assert (folder / "model.pt.partial").read_bytes() == b"half"
    assert store.commit(JOB) is None, "the loss is no end of this attempt"


def test_a_damaged_record_is_told_with_its_place(store: Store) -> None:
    end(finished(JOB), store.work(JOB))
    store.commit(JOB)
    path = store.finished / JOB.name / RECORD
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UsageError, match=r"run\.json is damaged") as caught:
        store.standing([JOB])
    assert str(path) in caught.value.seen
    assert str(path.parent) in caught.value.fix
    shutil.rmtree(path.parent)
    assert store.standing([JOB]).left == (JOB,)


@pytest.mark.parametrize("there", ["thesis.tex", "runs/Nov23_tensorboard/events", "work/notes.txt/x", ".lockfile"])
def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path, there: str) -> None:
    (tmp_path / there).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / there).touch()
    if there.startswith("work"):
        (tmp_path / "thesis.tex").touch()
    for replaces in (False, True):
        with pytest.raises(UsageError, match="and no study"):
            Store(tmp_path, replaces=replaces).begin()
    assert tree(tmp_path) - {"thesis.tex"} <= {there}, "and left as it was"


def test_what_users_put_beside_a_study_does_no_harm(store: Store) -> None:
    (store.folder / "notes.txt").touch()
    store.begin()


def test_studies_and_audits_keep_out_of_each_others_folders(store: Store, tmp_path: Path) -> None:
    end(finished(JOB), store.work(JOB))
    store.commit(JOB)
    with pytest.raises(UsageError, match="holds a study"):
        Store(store.folder, replaces=True).begin()
    (store.folder / FILE).unlink()
    with pytest.raises(UsageError, match=r"no study\.toml"):
        store.begin()
    Store(store.folder, replaces=True).begin()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot write .*file: it is a file"):
        Store(tmp_path / "file").begin()
    with pytest.raises(UsageError, match=r"cannot write .*inside: Not a directory"):
        Store(tmp_path / "file" / "inside").begin()


def test_a_lock_that_cannot_be_had(store: Store) -> None:
    (store.folder / ".lock").mkdir()
    with pytest.raises(UsageError, match="cannot write"), store.locked():
        pass


HOLDS = """
import sys, time
from pathlib import Path
from filelock import FileLock
lock = FileLock(Path(sys.argv[1]) / ".lock")
lock.acquire(timeout=0)
print("held", flush=True)
time.sleep(60)
"""


def test_one_study_at_a_time_and_the_lock_goes_with_a_killed_one(store: Store) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(store.folder)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match="another study is at work"), store.locked():
            pass
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
        with store.locked():
            pass
    with store.locked():
        pass
