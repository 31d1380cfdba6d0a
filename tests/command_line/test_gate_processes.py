"""Exit codes of the gate as a build sees them: those of real processes, with readers that leave, full disks and ctrl-C."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from forked import Forks, forks
from gate_files import audit_file, weak_z0


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    with forks(tmp_path_factory.mktemp("printed")) as process:
        yield process


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a baseline, an audit that is worse, and one of other columns."""
    audit_file(tmp_path / "old.json")
    audit_file(tmp_path / "worse.json", weak_z0)
    audit_file(tmp_path / "other.json", groups=(("body", ("height", "width")),))
    (tmp_path / "text.json").write_text("hello", encoding="utf-8")
    return tmp_path


def left(folder: Path) -> list[str]:
    """What is there beside the inputs."""
    return sorted({path.name for path in folder.iterdir()} - {"old.json", "worse.json", "other.json", "text.json"})


@pytest.mark.parametrize(
    ("new", "code", "word"),
    [
        ("old.json", 0, "the check passes"),
        ("worse.json", 1, "the check fails"),
        ("text.json", 2, "is no JSON"),
        ("other.json", 3, "not comparable"),
    ],
)
def test_exit_codes(started: Forks, folder: Path, new: str, code: int, word: str) -> None:
    found, out, err = started.run("check", new, "--baseline", "old.json", folder=folder)
    assert found == code
    assert word in out + err
    assert "Traceback" not in err
    assert (err == "") == (code < 2)
    assert (out == "") == (code >= 2)
    assert left(folder) == []


def test_installed_program_and_a_pipeline(folder: Path) -> None:
    program = shlex.join([sys.executable, "-m", "circuitprobe", "check", "worse.json", "--baseline", "old.json"])
    piped = f"set -o pipefail; {program} | true; echo ${{PIPESTATUS[*]}}"
    done = subprocess.run(["bash", "-c", piped], cwd=folder, capture_output=True, text=True, check=False)  # noqa: S607
    assert done.stdout == "1 0\n"
    assert done.stderr == ""


@pytest.mark.parametrize(("new", "code"), [("old.json", 0), ("worse.json", 1), ("other.json", 3)])
@pytest.mark.parametrize("actions", [False, True])
def test_reader_that_leaves_changes_no_exit_code(
    started: Forks, folder: Path, new: str, code: int, actions: bool
) -> None:
    os.mkfifo(folder / "pipe")
    before = "os.environ['GITHUB_ACTIONS'] = 'true'" if actions else ""
    started_at = folder / "pipe"
    # opened and closed before the command has anything to print
    reader = subprocess.Popen([sys.executable, "-c", f"open({str(started_at)!r}).close()"])
    started.start("check", new, "--baseline", "old.json", folder=folder, out=str(started_at), before=before)
    found, _, err = started.finish()
    assert reader.wait() == 0
    assert found == code
    assert (err == "") == (code < 2)


def test_compare_and_baseline_with_a_reader_that_leaves(started: Forks, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    for arguments in (("compare", "old.json", "worse.json"), ("baseline", "old.json", "--out", "base.json")):
        reader = subprocess.Popen([sys.executable, "-c", f"open({str(folder / 'pipe')!r}).close()"])
        code, _, err = started.run(*arguments, folder=folder, out=str(folder / "pipe"))
        assert reader.wait() == 0
        assert (code, err) == (0, "")
    assert json.loads((folder / "base.json").read_text(encoding="utf-8"))["baseline_version"]


@pytest.mark.parametrize("new", ["old.json", "worse.json"])
def test_standard_output_on_a_full_disk_is_an_error(started: Forks, folder: Path, new: str) -> None:
    code, _, err = started.run("check", new, "--baseline", "old.json", folder=folder, out="/dev/full")
    assert code == 2
    assert "No space left" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("option", ["--json", "--junit", "--markdown"])
def test_output_on_a_full_disk_leaves_nothing_half_written(started: Forks, folder: Path, option: str) -> None:
    (folder / "given").write_text("yesterday's", encoding="utf-8")
    code, out, err = started.run(
        "check", "old.json", "--baseline", "old.json", option, "given", folder=folder, room=100
    )
    assert code == 2
    assert out == ""
    # the limit holds for what is printed too
    assert err.startswith("circuitprobe: cannot write given")
    assert (folder / "given").read_text(encoding="utf-8") == "yesterday's"
    assert left(folder) == ["given"]


def test_baseline_on_a_full_disk_leaves_the_old_one(started: Forks, folder: Path) -> None:
    (folder / "base.json").write_text("old", encoding="utf-8")
    code, _, err = started.run("baseline", "old.json", "--out", "base.json", folder=folder, room=100)
    assert code == 2
    assert "cannot write base.details" in err
    assert (folder / "base.json").read_text(encoding="utf-8") == "old"
    assert left(folder) == ["base.json"]


def test_ctrl_c_ends_with_130_and_leaves_no_result_of_yesterday(started: Forks, folder: Path) -> None:
    before = (
        "import time\n"
        "def slow(path):\n"
        "    open('at work', 'w').close()\n"
        "    time.sleep(30)\n"
        "circuitprobe.checking.read_snapshot = slow\n"
    )
    arguments = ("check", "old.json", "--baseline", "old.json", "--junit", "j.xml", "--json", "j.json")
    child = started.start(*arguments, folder=folder, before=before)
    while not (folder / "at work").exists():
        os.sched_yield()
    os.kill(child, signal.SIGINT)
    code, out, err = started.finish()
    assert code == 130
    assert (out, err) == ("", "circuitprobe: interrupted\n")
    assert left(folder) == ["at work", "j.json", "j.xml"]
    assert json.loads((folder / "j.json").read_text(encoding="utf-8"))["outcome"] == "error"
    assert 'message="interrupted"' in (folder / "j.xml").read_text(encoding="utf-8")
