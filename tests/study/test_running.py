"""Many runs to their ends, carried out as written down."""

from __future__ import annotations

from pathlib import Path

import pytest
import scripted
from scripted import Remembering, Scripted
from small_jobs import seeds

from circuitprobe.errors import UsageError
from circuitprobe.study.executor import Executor
from circuitprobe.study.jobs import StudyJob
from circuitprobe.study.running import Outcome, run_jobs
from circuitprobe.study.store import Store

JOBS = seeds(4)
NAMES = [job.name for job in JOBS]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path)
    made.begin()
    return made


def ran(
    store: Store, executor: Executor, jobs: tuple[StudyJob, ...] = JOBS, watcher: Remembering | None = None
) -> Outcome:
    return run_jobs(jobs, store, lambda: executor, watcher or Remembering())


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("workers", [1, 3])
def test_in_order_and_so_many_at_a_time(store: Store, workers: int) -> None:
    executor, watcher = Scripted(workers), Remembering()
    outcome = ran(store, executor, watcher=watcher)
    assert executor.begun == NAMES
    assert executor.most == workers
    assert executor.stopped
    assert list(outcome.finished) == NAMES
    assert outcome.failed == {}
    assert left_in(store.finished) == NAMES
    assert watcher.told[0] == f"begin 4, 4 left, {workers} workers"
    assert [line for line in watcher.told if line.endswith(NAMES[0])] == [
        f"started {NAMES[0]}", f"progress {NAMES[0]}", f"finished {NAMES[0]}"
    ]  # fmt: skip


def test_what_is_finished_is_not_begun_and_nobody_asked_to_carry_it_out(store: Store) -> None:
    ran(store, Scripted(), JOBS[:2])
    executor = Scripted()
    outcome = ran(store, executor)
    assert executor.begun == NAMES[2:]
    assert sorted(outcome.finished) == NAMES

    def nobody() -> Executor:
        raise AssertionError

    watcher = Remembering()
    assert run_jobs(JOBS, store, nobody, watcher) == outcome
    assert watcher.told == ["begin 4, 0 left, 0 workers"]


def test_a_failure_stops_nothing(store: Store) -> None:
    executor = Scripted(2, {NAMES[0]: [scripted.fails]})
    outcome = ran(store, executor)
    assert executor.begun == NAMES
    assert list(outcome.failed) == NAMES[:1]
    assert sorted(outcome.finished) == NAMES[1:]
    assert left_in(store.failed) == NAMES[:1]
    again = Scripted()
    assert ran(store, again) == outcome
    assert again.begun == []
    tried = run_jobs(JOBS, store, lambda: again, Remembering(), retry_failed=True)
    assert again.begun == NAMES[:1]
    assert sorted(tried.finished) == NAMES
    assert left_in(store.failed) == []


def test_a_lost_run_is_tried_again_at_once(store: Store) -> None:
    executor, watcher = Scripted(1, {NAMES[1]: [scripted.is_killed, scripted.leaves_nothing]}), Remembering()
    outcome = ran(store, executor, watcher=watcher)
    assert executor.begun == [NAMES[0], *[NAMES[1]] * 3, *NAMES[2:]]
    assert len(set(executor.folders)) == 4, "in the folder that it had"
    assert sorted(outcome.finished) == NAMES
    assert [line for line in watcher.told if line.startswith("lost")] == [
        f"lost {NAMES[1]} 1: killed",
        f"lost {NAMES[1]} 2: it left no result",
    ]


def test_lost_three_times_counts_as_failed_and_the_others_go_on(store: Store) -> None:
    executor = Scripted(2, {NAMES[0]: [scripted.is_killed] * 3})
    outcome = ran(store, executor)
    assert executor.begun.count(NAMES[0]) == 3
    assert sorted(outcome.finished) == NAMES[1:]
    failure = outcome.failed[NAMES[0]].failure
    assert failure is not None
    assert (failure.kind, failure.seen) == ("lost", "killed, 3 times")
    again = Scripted()
    assert sorted(ran(store, again).finished) == NAMES
    assert again.begun == NAMES[:1], "the next session tries it again without being asked"


def test_lost_after_its_record_was_written_is_finished(store: Store) -> None:
    executor = Scripted(1, {NAMES[0]: [scripted.is_killed_after_its_record]})
    assert sorted(ran(store, executor).finished) == NAMES
    assert executor.begun == NAMES


def test_a_full_disk_ends_the_study_and_keeps_what_is_finished(store: Store) -> None:
    executor = Scripted(1, {NAMES[1]: [scripted.finds_the_disk_full]})
    with pytest.raises(UsageError, match="cannot go on: No space left on device") as caught:
        ran(store, executor)
    assert caught.value.exit_code == 2
    assert executor.stopped
    assert executor.begun == NAMES[:2]
    assert left_in(store.finished) == NAMES[:1]
    assert left_in(store.failed) == [], "the machine's fault is not the run's"
    assert left_in(store.folder / "work") == NAMES[1:2]
    assert sorted(ran(store, Scripted()).finished) == NAMES


def test_an_interrupt_stops_the_executor(store: Store) -> None:
    executor = Scripted(2, {NAMES[1]: [scripted.is_interrupted]})
    with pytest.raises(KeyboardInterrupt):
        ran(store, executor)
    assert executor.stopped
    assert left_in(store.finished) == NAMES[:1]


class CannotBegin(Scripted):
    """A machine that has no process to spare."""

    def submit(self, job: scripted.Job, folder: Path) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")


def test_a_process_that_cannot_be_begun_ends_the_study(store: Store) -> None:
    executor = CannotBegin()
    with pytest.raises(UsageError, match="cannot go on: Resource temporarily unavailable"):
        ran(store, executor)
    assert executor.stopped


def in_the_way(job: scripted.Job, folder: Path) -> scripted.Event:
    """The run ends, and its place cannot be written to."""
    event = scripted.comes_to_its_end(job, folder)
    runs = folder.parents[1] / "runs"
    runs.rmdir()
    runs.write_bytes(b"")
    return event


def test_results_that_cannot_be_taken_over_end_the_study(store: Store) -> None:
    with pytest.raises(UsageError, match="cannot go on: Not a directory"):
        ran(store, Scripted(1, {NAMES[0]: [in_the_way]}))
    assert (store.folder / "work" / NAMES[0] / "run.json").is_file(), "and are kept"


def without_room_for_its_record(job: scripted.Job, folder: Path) -> scripted.Event:
    (folder / "run.json").mkdir()
    return scripted.is_killed(job, folder)


def test_a_loss_that_cannot_be_recorded_ends_the_study(store: Store) -> None:
    acts = [scripted.is_killed, scripted.is_killed, without_room_for_its_record]
    with pytest.raises(UsageError, match="cannot go on"):
        ran(store, Scripted(1, {NAMES[0]: acts}))
