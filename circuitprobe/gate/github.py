"""What GitHub Actions shows: annotations of the run, and the job's summary."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from circuitprobe.streams import say
from circuitprobe.text import visible_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from circuitprobe.errors import CircuitProbeError
    from circuitprobe.gate.result import CheckResult

SUMMARY = "GITHUB_STEP_SUMMARY"


def under_actions(environment: Mapping[str, str]) -> bool:
    """Whether this runs in a GitHub Actions job."""
    return environment.get("GITHUB_ACTIONS") == "true"


def workflow_commands(result: CheckResult) -> Iterator[str]:
    """One workflow command per gate that did not pass: ``::error`` where the build fails by it, else ``::warning``."""
    for entry in result.results:
        if entry.outcome == "pass":
            continue
        kind = "error" if entry.fails(strict=result.strict) else "warning"
        yield f"::{kind} title={_property(f'circuitprobe: {entry.outcome}')}::{_data(entry.message)}"


def error_command(error: CircuitProbeError) -> str:
    """The workflow command of a check that could not be made."""
    return f"::error title={_property('circuitprobe: not checked')}::{_data(str(error))}"


def commands_off() -> tuple[str, str]:
    """Lines around a text in which nothing is a workflow command, whatever the columns in it are called.

    The runner reads commands from every line that a step prints; the word that ends the pause must therefore be nobody's guess.
    """
    word = secrets.token_hex(16)
    return f"::stop-commands::{word}", f"::{word}::"


def summarise(text: str, environment: Mapping[str, str]) -> None:
    """Add Markdown to the job's summary, where there is one; that it cannot be written is told, and changes no outcome."""
    path = environment.get(SUMMARY)
    if not path or not under_actions(environment):
        return
    try:
        with Path(path).open("a", encoding="utf-8", errors="replace") as summary:
            summary.write(text)
    except OSError as error:
        say(f"circuitprobe: the job's summary cannot be written: {error.strerror}", error=True)


def _data(text: str) -> str:
    # the log that shows the command is a terminal too
    return visible_lines(text).replace("%", "%25").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
