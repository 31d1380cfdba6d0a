"""``circuitprobe train`` as a user types it: every architecture, images, ctrl-C and --resume, wrong options."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from circuitprobe.reference_models import ARCHITECTURES
from circuitprobe.reference_models.keeping import partial_path
from circuitprobe.report.progress import TrainingBar


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_each_architecture_is_trained_and_audited_by_the_command_it_prints(
    arch: str, command: Callable[..., Any], csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = command(
        "train",
        csv,
        "--arch",
        arch,
        "--target",
        "label",
        "--steps",
        40,
        "--patience",
        0,
        "--latents",
        2,
        "--out",
        "m.pt",
    )
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].startswith(
        f"m.pt: {arch} of 2 latents, trained on 216 rows of people.csv, 5 columns, without label"
    )
    assert re.search(r"after step \d+, whose weights were kept", lines[1])
    # 216 training rows are one batch
    assert re.fullmatch(r"8,640 rows in \d+ s \([\d,]+ a second\)", lines[2])
    words = shlex.split(lines[3].removeprefix("next: circuitprobe "))
    audited = command(*words, "--levels", "2", "--rows", "60")
    assert audited.code == 0, audited.err


def test_images_are_trained_on(command: Callable[..., Any], tmp_path: Path) -> None:
    out = tmp_path / "m.pt"
    done = command("train", "dsprites", "--rows", "60", "--steps", "2", "--batch", "8", "--latents", "2", "--out", out)
    assert done.code == 0, done.err
    assert "trained on 54 rows of dsprites, 64 x 64 pixels" in done.out
    assert "16 rows in" in done.out


def test_ctrl_c_keeps_the_best_and_resume_goes_on(
    command: Callable[..., Any], csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("train", csv, "--steps", "80", "--latents", "2", "--seed", "3", "--out")
    whole, out = tmp_path / "whole.pt", tmp_path / "m.pt"
    assert command(*arguments, whole).code == 0
    advance = TrainingBar.advance

    def interrupted(bar: TrainingBar, steps: int, losses: object) -> None:
        advance(bar, steps, losses)  # type: ignore[arg-type]
        if bar._rows >= 40 * 216:
            raise KeyboardInterrupt

    with monkeypatch.context() as pressed:
        pressed.setattr(TrainingBar, "advance", interrupted)
        stopped = command(*arguments, out)
    assert stopped.code == 130
    assert re.search(r"m\.pt holds the best weights so far \(step \d+\); the same command with --resume", stopped.err)
    assert command("inspect", out, csv).code == 0
    again = command(*arguments, out, "--resume")
    assert again.code == 0, again.err
    assert out.read_bytes() == whole.read_bytes()
    finished = command(*arguments, out, "--resume")
    assert finished.code == 0
    assert "nothing was left to do" in finished.out


def _hears_ctrl_c() -> None:
    """Shells start what runs in the background deaf to ctrl-C, and the tests may be run so."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_real_signal_keeps_the_best_and_resume_ends_as_if_undisturbed(csv: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from circuitprobe.reference_models import keeping; keeping.WRITE_EVERY = 0.0; "
        "sys.argv[0] = 'circuitprobe'; from circuitprobe.shell import main; main()"
    )
    arguments = [sys.executable, "-c", program, "train", str(csv), "--steps", "1500", "--latents", "2"]
    arguments += ["--patience", "0", "--quiet", "--out"]
    out, whole = tmp_path / "m.pt", tmp_path / "whole.pt"
    running = subprocess.Popen([*arguments, str(out)], stderr=subprocess.PIPE, text=True, preexec_fn=_hears_ctrl_c)  # noqa: PLW1509 - the child calls signal alone
    while not partial_path(out).exists():
        assert running.poll() is None
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    error, code = running.communicate(timeout=60)[1], running.returncode
    assert "holds the best weights so far" in error
    assert code == 130
    assert torch.load(out, weights_only=True)["training"]["ended"] == "interrupted"
    for done in ([*arguments, str(out), "--resume"], [*arguments, str(whole)]):
        assert subprocess.run(done, check=False).returncode == 0
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m.pt", "whole.pt"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--arch", "betavae"), "--arch beta-vae"),
        (("--gamma", "3"), "--arch factor-vae --gamma 3"),
        (("--arch", "factor-vae", "--lambda", "3"), "--arch dip-vae-ii --lambda 3"),
        (("--arch", "beta-tcvae", "--batch", "1"), "at least 2 rows"),
        (("--epochs", "2", "--steps", "3"), "both epochs"),
        (("--lr", "nan"), "lr is nan"),
    ],
)
def test_wrong_options_say_what_to_type(
    options: tuple[str, ...], said: str, command: Callable[..., Any], csv: Path, tmp_path: Path
) -> None:
    refused = command("train", csv, *options, "--out", tmp_path / "m.pt")
    assert refused.code == 2
    assert said in refused.err
    assert "Traceback" not in refused.err
    assert list(tmp_path.iterdir()) == []
