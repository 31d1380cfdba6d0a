"""Without --trust nothing that lies in the current folder is imported, however the program is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostile import current_folder as here
from hostile.corpus import Harmless

HOW = ("console script", "python -m")


# python -m puts the current folder first for all of them alike
@pytest.mark.parametrize(
    ("model", "how"),
    [*((model, "console script") for model in here.MODELS), *((model, "python -m") for model in here.WHOLE)],
)
def test_nothing_is_imported_by_a_model(model: str, how: str, tmp_path: Path) -> None:
    if model.startswith(("pythae's", "diffusers'")):
        pytest.importorskip(model.partition("'")[0])
    here.MODELS[model](tmp_path)
    here.planted(tmp_path)
    done = here.run(tmp_path, how, "inspect", "saved")
    assert here.imported(tmp_path) == [], done.stderr
    assert "Traceback" not in done.stderr
    # what is whole loads in spite of its neighbours
    assert done.returncode == (0 if model in here.WHOLE else 2), done.stderr


@pytest.mark.parametrize("how", HOW)
def test_packages_are_not_imported_either(how: str, tmp_path: Path) -> None:
    pytest.importorskip("pythae")
    here.pythae_folder(tmp_path)
    here.planted(tmp_path, packages=True)
    done = here.run(tmp_path, how, "inspect", "saved")
    assert here.imported(tmp_path) == [], done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("how", HOW)
def test_nothing_is_imported_by_data_or_a_gate(how: str, tmp_path: Path, good: Harmless) -> None:
    here.planted(tmp_path)
    here.pictures(tmp_path)
    for arguments in (
        ("audit", str(good.model), "pictures"),
        ("check", str(good.audit), "--baseline", str(good.baseline)),
        ("study", "report", str(good.study)),
    ):
        done = here.run(tmp_path, how, *arguments)
        assert here.imported(tmp_path) == [], done.stderr
        assert "Traceback" not in done.stderr


def test_the_canaries_are_live(tmp_path: Path) -> None:
    import subprocess
    import sys

    here.planted(tmp_path)
    subprocess.run([sys.executable, "-c", "import evil, random"], cwd=tmp_path, check=True)
    assert here.imported(tmp_path) == ["evil.py.canary", "random.py.canary"]
