"""Time left, worked out by hand."""

from __future__ import annotations

import pytest
from small_jobs import audit_job, failed, finished, seeds, study_job

from circuitprobe.study.time_left import seconds_left


def test_nobody_knows_before_a_run_has_ended() -> None:
    assert seconds_left(seeds(3), {}, {}, 2) is None


def test_what_failed_says_nothing() -> None:
    jobs = seeds(3)
    assert seconds_left(jobs, {jobs[0].name: failed(jobs[0])}, {}, 2) is None


def test_runs_alike_take_as_long_as_their_mean() -> None:
    jobs = seeds(5)
    ended = {jobs[0].name: finished(jobs[0], 10), jobs[1].name: finished(jobs[1], 20)}
    # three runs of 15 s by one worker, by two: 45 / 2, by many: 15
    assert seconds_left(jobs, ended, {}, 1) == 45
    assert seconds_left(jobs, ended, {}, 2) == 22.5
    assert seconds_left(jobs, ended, {}, 10) == 15


def test_what_is_at_work_counts_for_what_it_has_left() -> None:
    jobs = seeds(4)
    ended = {jobs[0].name: finished(jobs[0], 10)}
    # 10 - 4, one that should have been over, 10
    assert seconds_left(jobs, ended, {jobs[1].name: 4, jobs[2].name: 99}, 1) == 16


def test_of_another_kind_a_first_guess_is_scaled_by_what_was_measured() -> None:
    done, other = study_job(steps=1000), study_job("beta-tcvae", "adult", steps=1000)
    # guesses: 1000 * 0.006 + 10 = 16 s, and with twice the steps' cost 22 s; the machine is twice as fast
    found = seconds_left([done, other], {done.name: finished(done, 8)}, {}, 1)
    assert found == pytest.approx(11)


def test_nothing_left() -> None:
    jobs = seeds(1)
    assert seconds_left(jobs, {jobs[0].name: finished(jobs[0], 10)}, {}, 0) == 0


def test_audits_of_one_table_take_alike() -> None:
    jobs = [audit_job("a"), audit_job("b"), audit_job("c")]
    assert seconds_left(jobs, {"a": finished(jobs[0], 7)}, {}, 1) == 14
