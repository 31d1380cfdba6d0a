"""A check as Markdown, read by a parser: names are text in it, whatever they look like."""

from __future__ import annotations

import re

import pytest
from markdown_it import MarkdownIt

from circuitprobe.errors import UsageError
from circuitprobe.gate.markdown import markdown, markdown_error
from circuitprobe.gate.rows import HEADER, cells
from gate.check_results import check_result, gate_result

APART = "\u200b"
NAMES = (
    "a|b", "a\\|b", "a\\", "*bold* **it**", "_x_ __y__", "`code`", "``", "<script>alert(1)</script>", "<!-- x", "&lt; &#64;",
    "[text](http://x.y)", "![image](x)", "[^1]", "~~no~~", "# heading", "- item", "1. item", "> quote", "$a$ $b$", "@someone",
    "#12", "https://example.org/a_b", "www.example.org", "[red]", "100%", "::error::x", "a  b",
)  # fmt: skip
BROKEN_LINES = ("two\nlines", "\n\n# heading", "a\r\nb", "\n| a | b |\n", "\x1b[31m", "a\tb", "\u2028")


def rendered(text: str) -> str:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text)


def plain(html: str) -> str:
    """The text of a piece of HTML."""
    for entity, letter in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        html = html.replace(entity, letter)
    return html.replace(APART, "")


def cells_of(html: str) -> list[list[str]]:
    """The text of every cell of the table, row by row; a cell with markup in it fails."""
    rows = re.findall(r"<tr>\n(.*?)</tr>", html, flags=re.DOTALL)
    found = [re.findall(r"<t[hd]>(.*?)</t[hd]>\n", row) for row in rows]
    assert not any("<" in cell for row in found for cell in row), found
    return [[plain(cell) for cell in row] for row in found]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_text(name: str) -> None:
    entry = gate_result("regression", group=name, message=f"{name} is worse than {name}")
    text = markdown(check_result(entry, new=name, gates_from=name))
    html = rendered(text)
    header, row = cells_of(html)
    assert tuple(header) == HEADER
    assert row == [cell.strip() for cell in (*cells(entry)[:-1], "❌ regression")]
    (item,) = re.findall(r"<li>(.*?)</li>", html, flags=re.DOTALL)
    assert "<" not in item
    assert plain(item) == f"❌ {name} is worse than {name}"
    assert set(re.findall(r"</?([a-z0-9]+)", html)) <= {
        "h3", "p", "ul", "li", "details", "summary", "table", "thead", "tbody", "tr", "th", "td"
    }  # fmt: skip


@pytest.mark.parametrize("name", BROKEN_LINES)
def test_names_keep_to_their_line(name: str) -> None:
    entry = gate_result("regression", group=name, message=f"{name} is worse")
    text = markdown(check_result(entry))
    assert len(text.splitlines()) == len(markdown(check_result(gate_result("regression"))).splitlines())
    assert "\x1b" not in text
    html = rendered(text)
    assert [len(row) for row in cells_of(html)] == [6, 6]
    assert html.count("<h") == 1


def test_no_mention_issue_or_address_is_left_for_github() -> None:
    """GitHub looks for them in the text, after entities have been resolved."""
    text = markdown(check_result(gate_result("regression", message="@someone #12 https://example.org www.example.org")))
    shown = rendered(text)
    for linked in (r"@someone", r"#12", r"https://", r"www\."):
        assert not re.search(linked, shown)
    (item,) = re.findall(r"<li>(.*?)</li>", shown, flags=re.DOTALL)
    assert plain(item) == "❌ @someone #12 https://example.org www.example.org"


def test_what_did_not_pass_comes_before_the_table() -> None:
    result = check_result(
        gate_result("pass", message="fine"),
        gate_result("inconclusive", message="who knows"),
        gate_result("regression", message="worse"),
        warnings=("rows have drifted",),
    )
    text = markdown(result)
    lines = text.splitlines()
    assert lines[0] == "### ❌ circuitprobe check  new.json against old.json: 1 regression, 1 inconclusive, 1 passed"
    assert lines[2] == "the check fails."
    assert lines[4:7] == ["- ❌ worse", "- ❔ who knows", "- ❔ rows have drifted"]
    assert "fine" not in text
    assert [row[-1] for row in cells_of(rendered(text))[1:]] == ["❌ regression", "❔ inconclusive", "✅ pass"]
    assert text.endswith("Holm-Sidak over 3 conditions of the default gate\n")


def test_a_check_that_was_not_made() -> None:
    html = rendered(markdown_error(UsageError("no <b>\n# x", expected="a|b", fix="circuitprobe check *.json")))
    assert html.count("<h") == 1
    assert "<b>" not in html
    assert plain(html).count("circuitprobe check *.json") == 1
