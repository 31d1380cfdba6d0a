"""A table that is refused while its reader reads ahead in a thread: the exit code is the message's, in every run."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import circuitprobe
from circuitprobe.reference_models import train

RUNS = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("ragged")
    torch.manual_seed(0)
    whole = "\n".join(f"{number % 7},{number % 5},{number % 3}" for number in range(80))
    (place / "whole.csv").write_text(f"x,y,z\n{whole}\n")
    train(str(place / "whole.csv"), steps=3, rows=60, latents=2, out=place / "net.pt")
    short = "x,y,z\n1,2,3\n4,5\n"
    long = f"x,y,z\n{whole}\n" + "1,2,3\n" * 400_000 + "7,8,9,10\n"
    (place / "short.csv").write_text(short)
    (place / "long.csv").write_text(long)
    (place / "packed.csv.gz").write_bytes(gzip.compress(short.encode()))
    (place / "tabs.tsv").write_text("x\ty\tz\n1\t2\t3\n4\n")
    return place


@pytest.mark.parametrize("table", ["short.csv", "long.csv", "packed.csv.gz", "tabs.tsv"])
def test_a_ragged_table_ends_with_2(folder: Path, table: str) -> None:
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(circuitprobe.__file__).parents[1]),
    }  # fmt: skip
    ends = []
    for number in range(RUNS if table == "short.csv" else 2):
        done = subprocess.run(
            [sys.executable, "-m", "circuitprobe", ("audit", "inspect")[number % 2], "net.pt", table],
            cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert "terminate called" not in done.stderr
        assert "expected:" in done.stderr
        ends.append(done.returncode)
    assert set(ends) == {2}


PROGRAM = """
import atexit, logging, sys, tempfile, threading, time
from circuitprobe import shell
kept = tempfile.TemporaryDirectory(prefix="kept")
open("place", "w").write(kept.name)
atexit.register(lambda: print("handler"))
logging.basicConfig(filename="log")
threading.Thread(target=time.sleep, args=(60,)).start()
sys.argv = ["circuitprobe", "--version"]
sys.stdout.write("before, ")
shell.main()
"""


def test_leaving_runs_handlers_and_waits_for_no_thread(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(circuitprobe.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"before, circuitprobe {circuitprobe.__version__}\nhandler\n"
    assert done.stderr == ""
    assert not Path((tmp_path / "place").read_text()).exists()
