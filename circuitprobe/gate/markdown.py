"""A check as Markdown, for pull requests and job summaries."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from circuitprobe.gate.rows import HEADER, cells, headline, how, remarks, verdict
from circuitprobe.text import visible

if TYPE_CHECKING:
    from circuitprobe.errors import CircuitProbeError
    from circuitprobe.gate.result import CheckResult

SIGNS = {"pass": "✅", "regression": "❌", "inconclusive": "❔"}


def markdown(result: CheckResult) -> str:
    """A heading, what did not pass in sentences, and the table of all gates, folded away."""
    lines = [f"### {SIGNS[result.outcome]} {escaped(headline(result))}", "", f"{escaped(verdict(result))}.", ""]
    lines += [
        f"- {SIGNS[entry.outcome]} {escaped(entry.message)}" for entry in result.results if entry.outcome != "pass"
    ]
    lines += [f"- ❔ {escaped(warning)}" for warning in remarks(result)]
    table = [f"| {' | '.join(HEADER)} |", "|" + "---|" * len(HEADER)]
    for entry in result.results:
        row = [escaped(cell) for cell in cells(entry)]
        row[-1] = f"{SIGNS[entry.outcome]} {row[-1]}"
        table.append(f"| {' | '.join(row)} |")
    lines += ["", "<details><summary>all gates</summary>", "", *table, "", "</details>", ""]
    return "\n".join([*lines, escaped(how(result))]) + "\n"


def markdown_error(error: CircuitProbeError) -> str:
    """A check that could not be made."""
    seen, expected, fix = (escaped(part) for part in (error.seen, error.expected, error.fix))
    return f"### ❌ circuitprobe check: not checked\n\n{seen}\n\n- expected: {expected}\n- try: {fix}\n"


def escaped(text: str) -> str:
    """Names of columns are data: nothing in them may become markup, a mention, or a link to an issue or an address."""
    return (
        visible(_BREAKS.sub(" ", text))
        .translate(_WRITTEN)
        .replace("://", f":{_APART}//")
        .replace("www.", f"www{_APART}.")
    )


# GitHub looks for mentions, issues and addresses after entities have been resolved: only a letter of no width keeps them apart
_APART = "&#8203;"
_BREAKS = re.compile("[\t\n\r\u2028\u2029]")
_WRITTEN = str.maketrans(
    {
        **{ord(sign): f"\\{sign}" for sign in "\\`*_[]~|$"},
        ord("&"): "&amp;",
        ord("<"): "&lt;",
        ord(">"): "&gt;",
        ord("@"): f"@{_APART}",
        ord("#"): f"\\#{_APART}",
    }
)
