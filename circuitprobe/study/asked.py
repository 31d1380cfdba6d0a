"""A study as it is typed on a command line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from pydantic import ValidationError

from circuitprobe.adapters.benchmarks import ALL_BENCHMARKS
from circuitprobe.errors import UsageError
from circuitprobe.options import level_numbers
from circuitprobe.reference_models import ARCHITECTURES
from circuitprobe.study.defaults import default_plan
from circuitprobe.study.plan import FILE, SEEDS, Grid, Plan, read_plan


@dataclass(frozen=True)
class Asked:
    """Options as given; None where an option was not. Lists hold entries, or several with commas between."""

    archs: Sequence[str] | None = None
    benchmarks: Sequence[str] | None = None
    seeds: Sequence[str] | None = None
    rows: int | None = None
    train_rows: int | None = None
    steps: int | None = None
    levels: str | None = None

    @property
    def nothing(self) -> bool:
        """No option was given."""
        return all(value is None for value in astuple(self))


def settled_plan(asked: Asked, file: Path | None, out: Path) -> Plan | None:
    """The study that is asked for; None to go on with that of the folder.

    Args:
        asked: options.
        file: a study file, with which there are no other options.
        out: the study's folder.

    Raises:
        UsageError: an option that makes no sense, or options beside a study file.
    """
    if file is not None:
        if not asked.nothing:
            raise UsageError(
                "--study together with what it says already",
                expected="--study alone, or options",
                fix=f"edit a copy of {file}, or leave out --study",
            )
        return read_plan(file)
    if asked.nothing and (out / FILE).exists():
        return None
    try:
        grid = Grid(
            architectures=_entries(asked.archs, ARCHITECTURES),
            benchmarks=_entries(asked.benchmarks, ALL_BENCHMARKS),
            seeds=_seeds(asked.seeds),
        )
    except ValidationError as error:
        first = error.errors()[0]
        option = {"architectures": "--archs"}.get(str(first["loc"][0]), f"--{first['loc'][0]}")
        raise UsageError(
            f"{option}: {first['msg'].removeprefix('Value error, ')}",
            expected="names with commas between, each once",
            fix=f"correct {option}, or leave it out for all",
        ) from error
    levels = None if asked.levels is None else level_numbers(asked.levels)
    if levels is not None and 2 not in levels:
        raise UsageError(
            f"--levels {asked.levels}", expected="level 2 among them: the findings are about it", fix="--levels 2"
        )
    return default_plan(grid, rows=asked.rows, train_rows=asked.train_rows, steps=asked.steps, levels=levels)


def _entries(given: Sequence[str] | None, default: tuple[str, ...]) -> tuple[str, ...]:
    if given is None:
        return default
    return tuple(part.strip() for entry in given for part in entry.split(",") if part.strip())


def _seeds(given: Sequence[str] | None) -> tuple[int, ...]:
    found = _entries(given, tuple(map(str, SEEDS)))
    wrong = next((seed for seed in found if not re.fullmatch("[0-9]{1,10}", seed)), None)
    if wrong is not None:
        raise UsageError(f"--seeds {wrong}", expected="numbers from 0 to 4294967295 with commas", fix="--seeds 0,1,2")
    return tuple(int(seed) for seed in found)
