"""``circuitprobe audit`` on good input: report, JSON, sameness."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from circuitprobe.report.resamples import Resamples

FAST = ("--rows", "120")


def flatten(content: Any, path: str = "") -> dict[str, Any]:
    if isinstance(content, dict):
        return {k: v for key, item in content.items() for k, v in flatten(item, f"{path}/{key}").items()}
    if isinstance(content, list):
        return {k: v for number, item in enumerate(content) for k, v in flatten(item, f"{path}/{number}").items()}
    return {path: content}


def test_report_leads_with_the_verdict_and_json_fits_the_schema(
    command: Callable[..., Any], checkpoint: Path, csv: Path, tmp_path: Path
) -> None:
    done = command("audit", checkpoint, csv, "--target", "label", "--json", tmp_path / "a.json")
    assert done.code == 0
    assert done.err == ""
    lines = done.out.splitlines()
    assert lines[0].startswith("circuitprobe audit")
    assert any("reconstructs: MSE" in line for line in lines[:5])
    assert any("latents are active" in line or "latent is active" in line for line in lines[:8])
    report = json.loads((tmp_path / "a.json").read_text())
    printed = command("schema")
    jsonschema.Draft202012Validator(json.loads(printed.out)).validate(report)
    assert report["data"]["rows_total"] == 240
    assert report["downstream"]["target"] == "label"
    assert [column["role"] for column in report["data"]["columns"]] == ["feature"] * 5 + ["target"]
    assert sorted(os.listdir(tmp_path)) == ["a.json"]


def test_same_command_same_bytes_and_another_seed_changes_only_draws(
    command: Callable[..., Any], checkpoint: Path, csv: Path, tmp_path: Path
) -> None:
    # all rows are audited, so that the seed does not choose them
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert command("audit", checkpoint, csv, "--json", tmp_path / name, "--seed", seed, "--quiet").out == ""
    texts = {name: (tmp_path / name).read_bytes() for name in "abc"}
    assert texts["a"] == texts["b"]
    first, other = (flatten(json.loads(texts[name])) for name in "ac")
    changed = {path for path in first if first[path] != other.get(path)}
    drawn = ("/low", "/high", "/null")
    # levels 1, 3 and 4 take values from rows that the seed chooses
    by_source = (
        "/twin", "/settings/seed", "/warnings", "/verdict", "/inputs", "/activations", "/paths", "/mediation", "/circuit_map"
    )  # fmt: skip
    apart = {path for path in changed if not path.endswith(drawn) and not path.startswith(by_source)}
    # the bootstrap, packed, and its intervals of standard deviations and responses
    packed = re.compile(
        r"/data/features/\d+/std_(low|high)|/resamples/figures/.*|/latents/\d+/response/.*/(low|high)/\d+"
    )
    apart = {path for path in apart if not packed.fullmatch(path)}
    assert apart <= {"/scores/fgd_p", "/scores/fgd_adjusted/value"}
    assert any(path.endswith("/low") for path in changed)
    assert any(path.startswith("/twin") for path in changed)


def test_chunk_changes_no_figure_beyond_rounding(
    command: Callable[..., Any], checkpoint: Path, csv: Path, tmp_path: Path
) -> None:
    for name, chunk in (("a", 1), ("b", 7), ("c", 2048)):
        command("audit", checkpoint, csv, *FAST, "--json", tmp_path / name, "--chunk", chunk, "--quiet")
    contents = [json.loads((tmp_path / name).read_text()) for name in "abc"]
    kept = [Resamples.model_validate(content.pop("resamples")) for content in contents]
    for other in kept[1:]:
        assert other.figures.keys() == kept[0].figures.keys()
        for figure in other.figures:
            np.testing.assert_allclose(other.values(figure), kept[0].values(figure), rtol=2e-4, atol=2e-5)
    reports = [flatten(content) for content in contents]
    for other in reports[1:]:
        assert reports[0].keys() == other.keys()
        for path, value in reports[0].items():
            if isinstance(value, float):
                assert other[path] == pytest.approx(value, rel=2e-4, abs=2e-6), path
            elif not path.startswith(("/verdict", "/warnings")):
                assert other[path] == value, path


def test_json_has_no_paths_and_sorted_keys(
    command: Callable[..., Any], checkpoint: Path, csv: Path, tmp_path: Path
) -> None:
    command("audit", checkpoint, csv, *FAST, "--json", tmp_path / "a.json", "--quiet")
    text = (tmp_path / "a.json").read_text()
    assert str(tmp_path.parent) not in text
    assert str(csv.parent) not in text
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_line_is_wider_than_the_terminal(
    command: Callable[..., Any], checkpoint: Path, csv: Path, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    done = command("audit", checkpoint, csv, *FAST, "--target", "label")
    assert done.code == 0
    assert max(len(line.rstrip()) for line in done.out.splitlines()) <= width
    assert "\x1b" not in done.out
    assert "z0" in done.out


def run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    program = "import sys; sys.argv[0] = 'circuitprobe'; from circuitprobe.shell import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, check=False, **options
    )


def test_colour_only_for_terminals_and_ascii_where_that_is_all_there_is(checkpoint: Path, csv: Path) -> None:
    done = run("audit", checkpoint, csv, *FAST, env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert "z0" in done.stdout


def test_reader_that_leaves_early_is_no_error(checkpoint: Path, csv: Path) -> None:
    program = "import sys; sys.argv[0] = 'circuitprobe'; from circuitprobe.shell import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", program, "audit", str(checkpoint), str(csv), *FAST],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(timeout=120) == 0
        assert process.stderr.read() == ""


def test_ctrl_c_ends_with_130_and_leaves_nothing(checkpoint: Path, csv: Path, tmp_path: Path) -> None:
    program = (
        "import sys, signal; sys.argv[0] = 'circuitprobe'\n"
        # a shell that runs the tests in the background has them ignore it
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from circuitprobe.levels import latent\n"
        "real = latent.perturb\n"
        "def slow(*a, **k):\n"
        "    print('at work', file=sys.stderr, flush=True)\n"
        "    import time; time.sleep(3000)\n"
        "    return real(*a, **k)\n"
        "latent.perturb = slow\n"
        "from circuitprobe.shell import main; main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, "audit", str(checkpoint), str(csv), "--json", str(tmp_path / "a.json")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "at work\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) == 130
        assert "interrupted" in process.stderr.read()
    assert list(tmp_path.iterdir()) == []
