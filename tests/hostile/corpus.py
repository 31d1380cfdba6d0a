"""The attacks by name: how each file is made, and in which places of the command line it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CANARY = "canary"
"""What every payload would write into the current folder."""


@dataclass(frozen=True)
class Harmless:
    """Good files that attacks are made of, and that are given beside them.

    Attributes:
        folder: of all of them.
        model: a checkpoint of ``circuitprobe train``.
        table: the CSV file that it was trained on.
        audit: JSON of its audit.
        baseline: of that audit; its details lie next to it.
        study: a folder with one finished run.
    """

    folder: Path
    model: Path
    table: Path
    audit: Path
    baseline: Path
    study: Path


Make = Callable[[Path, Harmless], object]


@dataclass(frozen=True)
class Attack:
    """One hostile file.

    Attributes:
        name: of the attack.
        make: writes the file, or the folder, at a path.
        file: what it is called.
        roles: the places it is given in, keys of ``ROLES``.
        word: what the refusal must say.
        sparse: whether its size is not what it takes on disk.
    """

    name: str
    make: Make
    file: str
    roles: tuple[str, ...]
    word: str = ""
    sparse: bool = False


ATTACKS: dict[str, Attack] = {}


def register(name: str, make: Make, file: str, *roles: str, word: str = "", sparse: bool = False) -> None:
    """Add an attack to the corpus."""
    assert name not in ATTACKS, name
    assert set(roles) <= set(ROLES), roles
    ATTACKS[name] = Attack(name, make, file, roles, word, sparse)


def attack(name: str, file: str, *roles: str, word: str = "") -> Callable[[Make], Make]:
    """The same as a decorator of what makes the file."""

    def added(make: Make) -> Make:
        register(name, make, file, *roles, word=word)
        return make

    return added


def content(made: Callable[[], bytes]) -> Make:
    """A file of these bytes."""
    return lambda path, _: path.write_bytes(made())


def cases(*roles: str) -> list[tuple[str, str]]:
    """Role and attack of every test of some roles."""
    found = [(role, one.name) for one in ATTACKS.values() for role in one.roles if role in roles]
    # the two commands load a model alike; a run of each of all of them would take minutes
    return found + [("inspected", name) for role, name in found if role == "model"][::12]


Commands = list[list[str]]


def _as_baseline_details(given: Path, good: Harmless) -> Commands:
    # details are found next to their baseline, by its name
    given.with_suffix(".json").write_bytes(good.baseline.read_bytes())
    return [["check", str(good.audit), "--baseline", given.with_suffix(".json").name]]


def _in_study(place: str) -> Callable[[Path, Harmless], Commands]:
    def commands(given: Path, good: Harmless) -> Commands:
        study = given.with_name("study")
        for file in good.study.rglob("*"):
            inner = study / file.relative_to(good.study)
            if file.is_file() and inner.match(place):
                inner.parent.mkdir(parents=True, exist_ok=True)
                given.rename(inner)
            elif file.is_file():
                inner.parent.mkdir(parents=True, exist_ok=True)
                inner.write_bytes(file.read_bytes())
        return [["study", "report", study.name]]

    return commands


LEVEL = ("--levels", "2", "--rows", "64")
ROLES: dict[str, Callable[[Path, Harmless], Commands]] = {
    "model": lambda given, good: [["audit", given.name, str(good.table), *LEVEL]],
    "inspected": lambda given, good: [["inspect", given.name]],
    "data": lambda given, good: [["audit", str(good.model), given.name, *LEVEL]],
    "baseline": lambda given, good: [["check", str(good.audit), "--baseline", given.name]],
    "details": _as_baseline_details,
    "audit": lambda given, good: [
        ["check", given.name, "--baseline", str(good.audit)],
        ["compare", str(good.audit), given.name],
        ["baseline", given.name, "--out", "made.json"],
    ],
    "study": lambda given, good: [["study", "report", given.name]],
    "study plan": _in_study("study.toml"),
    "study record": _in_study("run.json"),
    "study audit": _in_study("audit.json"),
    "schema": lambda given, good: [["audit", str(good.model), str(good.table), "--schema", given.name, *LEVEL]],
    "groups": lambda given, good: [["audit", str(good.model), str(good.table), "--groups", given.name, *LEVEL]],
    "spec": lambda given, good: [["inspect", str(good.model), "--spec", given.name]],
    "config": lambda given, good: [
        ["check", str(good.audit), "--baseline", str(good.baseline), "--config", given.name]
    ],
    "config here": lambda given, good: [["check", str(good.audit), "--baseline", str(good.baseline)]],
}
"""What is typed for a file in each place; given names are in the current folder."""
