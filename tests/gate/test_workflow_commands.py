"""What GitHub Actions is told: annotations that say what the check says, and a summary that changes no outcome."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from circuitprobe.errors import UsageError
from circuitprobe.gate.github import commands_off, error_command, summarise, under_actions, workflow_commands
from gate.check_results import check_result, gate_result

COMMAND = re.compile(r"::(error|warning) title=([^,:]*)::(.*)")


def read(line: str) -> tuple[str, str, str]:
    """Kind, title and message as the runner takes them from a line."""
    found = COMMAND.fullmatch(line)
    assert found is not None, line

    def unescaped(text: str) -> str:
        for code, letter in (("%2C", ","), ("%3A", ":"), ("%0A", "\n"), ("%0D", "\r"), ("%25", "%")):
            text = text.replace(code, letter)
        return text

    return found[1], unescaped(found[2]), unescaped(found[3])


@pytest.mark.parametrize(
    ("outcome", "level", "strict", "kind"),
    [
        ("regression", "error", False, "error"),
        ("regression", "warn", False, "warning"),
        ("regression", "warn", True, "warning"),
        ("inconclusive", "error", False, "warning"),
        ("inconclusive", "error", True, "error"),
        ("inconclusive", "warn", True, "warning"),
    ],
)
def test_what_fails_is_an_error_and_the_rest_a_warning(outcome: str, level: str, strict: bool, kind: str) -> None:
    result = check_result(gate_result(outcome, level=level, message="ces of z0 fell"), gate_result(), strict=strict)
    (line,) = workflow_commands(result)
    assert read(line) == (kind, f"circuitprobe: {outcome}", "ces of z0 fell")
    assert (kind == "error") == bool(result.exit_code)


@pytest.mark.parametrize("message", ["50% [1, 2]: x", "a\nb\r\nc", "%0A is no line", "x\n::error::y", "::", "%25%"])
def test_messages_arrive_as_they_were(message: str) -> None:
    shown = message.replace("\r", r"\r")
    (line,) = workflow_commands(check_result(gate_result("regression", message=message)))
    assert len(line.splitlines()) == 1
    assert read(line)[2] == shown
    told = error_command(UsageError(message, expected="a, b: c", fix="d"))
    assert len(told.splitlines()) == 1
    assert read(told) == ("error", "circuitprobe: not checked", f"{shown}\n  expected: a, b: c\n  try:      d")


@pytest.mark.parametrize(
    ("value", "there"), [("true", True), ("false", False), ("1", False), ("", False), (None, False)]
)
def test_only_the_word_true_means_actions(value: str | None, there: bool) -> None:
    assert under_actions({} if value is None else {"GITHUB_ACTIONS": value}) is there


def test_the_word_that_ends_the_pause_is_another_every_time() -> None:
    (off, on), (other, _) = commands_off(), commands_off()
    assert off == f"::stop-commands::{on.strip(':')}"
    assert off != other
    assert len(on) >= 20


def test_summary_is_added_to(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    path.write_text("before\n", encoding="utf-8")
    for _ in range(2):
        summarise("it\n", {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(path)})
    assert path.read_text(encoding="utf-8") == "before\nit\nit\n"


@pytest.mark.parametrize("environment", [{}, {"GITHUB_ACTIONS": "false"}, {"GITHUB_ACTIONS": "TRUE"}])
def test_no_summary_outside_of_actions(tmp_path: Path, environment: dict[str, str]) -> None:
    summarise("it", {**environment, "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")})
    assert list(tmp_path.iterdir()) == []


def test_a_summary_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place in (tmp_path, tmp_path / "no" / "such", Path("/dev/full")):
        summarise("it" * 10_000, {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(place)})
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("circuitprobe: the job's summary cannot be written: ")
    summarise("it", {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": ""})
    assert capsys.readouterr() == ("", "")
