"""What a study is: which runs, how each is trained and audited. Everything that decides its figures, in one file, study.toml."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from circuitprobe.adapters.benchmarks import ALL_BENCHMARKS, IMAGE_BENCHMARKS
from circuitprobe.adapters.data.near_names import did_you_mean
from circuitprobe.adapters.toml_file import load_toml, parse_toml
from circuitprobe.errors import UsageError
from circuitprobe.reference_models import ARCHITECTURES
from circuitprobe.reference_models.objectives import Modality
from circuitprobe.report.files import write_atomically
from circuitprobe.study.jobs import AuditOptions, Levels, StudyJob, TrainingOptions

FILE = "study.toml"
SEEDS = (0, 1, 2)
STRENGTHS = tuple(arch for arch in ARCHITECTURES if arch != "vae")
"""Architectures with a hyperparameter of their own."""

MOST_RUNS = 50_000

HEADING = """\
# A study of circuitprobe: everything that decides its figures.
# `circuitprobe study run --out FOLDER` goes on with the study of a folder; `--study FILE` makes the same study elsewhere.
# Entries may be added to the grid at any time; what finished runs were made with may not change.

"""

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Grid(_Part):
    """Every architecture on every benchmark with every seed."""

    architectures: tuple[str, ...] = ARCHITECTURES
    benchmarks: tuple[str, ...] = ALL_BENCHMARKS
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**32)], ...] = SEEDS

    @field_validator("architectures", "benchmarks", "seeds")
    @classmethod
    def _each_once(cls, given: tuple[object, ...]) -> tuple[object, ...]:
        if not given:
            raise ValueError("names nothing")
        if len(set(given)) != len(given):
            raise ValueError(f"names something twice: {', '.join(map(str, given))}")
        return given

    @field_validator("architectures")
    @classmethod
    def _known_architectures(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return _known(given, ARCHITECTURES, "architecture")

    @field_validator("benchmarks")
    @classmethod
    def _known_benchmarks(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return _known(given, ALL_BENCHMARKS, "benchmark")

    @model_validator(mode="after")
    def _of_a_size_that_ends(self) -> Grid:
        runs = len(self.architectures) * len(self.benchmarks) * len(self.seeds)
        if runs > MOST_RUNS:
            raise ValueError(f"{runs:,} runs; a study has {MOST_RUNS:,} at most")
        return self


Name = Annotated[str, AfterValidator(lambda name: _known((name,), ALL_BENCHMARKS, "benchmark")[0])]
Arch = Annotated[str, AfterValidator(lambda name: _known((name,), STRENGTHS, "strength of")[0])]


class Training(_Part):
    """How models of one modality are trained; see ``circuitprobe train``."""

    latents: Count = 10
    batch: Count
    lr: Positive
    patience: Annotated[int, Field(ge=0)] = 10
    hidden: tuple[Count, ...] = Field(default=(), description="of a table's network; empty for images")
    rows: Annotated[int, Field(ge=50)] | None = Field(default=None, description="a sample of so many; absent: all")
    steps: dict[Name, Count] = Field(description="gradient steps per benchmark")
    strength: dict[Arch, Positive] = Field(description="the one hyperparameter of each architecture but the VAE")


class Audit(_Part):
    """How each model is audited; see ``circuitprobe audit``."""

    rows: dict[Name, Annotated[int, Field(ge=2)]] = Field(description="rows audited at most, per benchmark")
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    levels: Levels
    intervention_values: Count = 8
    resamples: Annotated[int, Field(ge=10)] = 1000
    permutations: Annotated[int, Field(ge=10)] = 500
    truth_rows: Annotated[int, Field(ge=0)] = 0

    @field_validator("levels")
    @classmethod
    def _second_among_them(cls, given: Levels) -> Levels:
        if 2 not in given:
            raise ValueError("level 2 is not among them: the findings are about it")
        if list(given) != sorted(set(given)):
            raise ValueError("each once and in order")
        return given


class Plan(_Part):
    """A whole study."""

    format: Literal[1] = 1
    grid: Grid
    table: Training | None = None
    image: Training | None = None
    audit: Audit
    versions: dict[str, str] = Field(default_factory=dict, description="packages that the study was begun with")

    def jobs(self) -> tuple[StudyJob, ...]:
        """The runs, seed by seed: after a third of the time every architecture and benchmark has been seen once."""
        grid = self.grid
        order = itertools.product(grid.seeds, grid.benchmarks, grid.architectures)
        return tuple(self._job(arch, benchmark, seed) for seed, benchmark, arch in order)

    def _job(self, arch: str, benchmark: str, seed: int) -> StudyJob:
        modality = modality_of(benchmark)
        how = self.image if modality == "image" else self.table
        if how is None or benchmark not in how.steps or benchmark not in self.audit.rows:
            raise UsageError(
                f"the study has {benchmark} in its grid and does not say how it is trained and audited",
                expected=f"[{modality}], {benchmark} in [{modality}.steps] and in [audit.rows]",
                fix=f"add them to {FILE}",
            )
        if bool(how.hidden) != (modality == "table"):
            raise UsageError(
                f"the study's [{modality}] has hidden = {list(how.hidden)}",
                expected="the layers of a table's network, such as [128, 128]; none for images, whose network is fixed",
                fix=f"correct it in {FILE}",
            )
        if arch != "vae" and arch not in how.strength:
            raise UsageError(
                f"the study has {arch} in its grid and no hyperparameter of it",
                expected=f"{arch} in [{modality}.strength]",
                fix=f"add it to {FILE}",
            )
        training = TrainingOptions(
            steps=how.steps[benchmark], batch=how.batch, lr=how.lr, patience=how.patience, latents=how.latents,
            hidden=how.hidden, rows=how.rows, strength=how.strength.get(arch),
        )  # fmt: skip
        asked = self.audit
        audit = AuditOptions(
            rows=asked.rows[benchmark], seed=asked.seed, levels=asked.levels, intervention_values=asked.intervention_values,
            resamples=asked.resamples, permutations=asked.permutations, truth_rows=asked.truth_rows,
        )  # fmt: skip
        return StudyJob(arch=arch, benchmark=benchmark, seed=seed, training=training, audit=audit)

    def decides(self) -> dict[str, Any]:
        """What the figures depend on, as plain values: all but the versions, and the grid in any order."""
        found = self.model_dump(mode="json", exclude={"versions"}, exclude_none=True)
        return {**found, "grid": {name: sorted(entries) for name, entries in found["grid"].items()}}


def modality_of(benchmark: str) -> Modality:
    """Tables or images."""
    return "image" if benchmark in IMAGE_BENCHMARKS else "table"


def read_plan(path: Path) -> Plan:
    """A study file.

    Raises:
        UsageError: it is no study, or says something impossible; the message names the place.
        DataError: no such file, or no TOML.
    """
    return _plan(load_toml(path, what="study file"), path.name)


def plan_of(text: bytes, name: str) -> Plan:
    """A study file's text; see ``read_plan``.

    Args:
        text: of the file.
        name: for messages.
    """
    return _plan(parse_toml(text, f"study file {name!r}"), name)


def _plan(content: dict[str, Any], name: str) -> Plan:
    try:
        # strict, and as JSON, in which lists may stand for tuples: true is no number, "10" neither; a date is no entry at all
        plan = Plan.model_validate_json(json.dumps(content, default=str), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UsageError(
            f"{name}: {place}: {first['msg'].removeprefix('Value error, ')}",
            expected="a file as `circuitprobe study run` writes it",
            fix=f"correct it in {name}",
        ) from error
    plan.jobs()
    return plan


def write_plan(plan: Plan, path: Path) -> None:
    """Write a study file, whole or not at all."""
    import tomli_w

    text = HEADING + tomli_w.dumps(plan.model_dump(mode="json", exclude_none=True))
    write_atomically(path, lambda handle: handle.write(text.encode("utf-8")))


def first_difference(asked: Plan, held: Plan) -> str | None:
    """The first setting in which two studies differ, with both values, in words; None where they are the same."""
    return _difference(asked.decides(), held.decides(), "")


def _difference(asked: object, held: object, place: str) -> str | None:
    if isinstance(asked, dict) and isinstance(held, dict):
        for key in (*asked, *(key for key in held if key not in asked)):
            found = _difference(asked.get(key), held.get(key), f"{place}.{key}" if place else str(key))
            if found is not None:
                return found
        return None
    return None if asked == held else f"{place} is {_words(held)} there and {_words(asked)} here"


def _words(value: object) -> str:
    if value is None:
        return "absent"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _known(given: Sequence[str], known: Sequence[str], what: str) -> tuple[str, ...]:
    for name in given:
        if name not in known:
            hint = did_you_mean(name, tuple(known))
            raise ValueError(f"there is no {what} {name!r}; there are {', '.join(known)}{f' ({hint})' if hint else ''}")
    return tuple(given)
