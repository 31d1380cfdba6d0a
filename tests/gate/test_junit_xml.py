"""A check as JUnit XML: valid by the stricter rules of both formats in use, and read back by a reader of another hand."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import junitparser
import pytest
import xmlschema

from circuitprobe.errors import UsageError
from circuitprobe.gate.config import DEFAULT
from circuitprobe.gate.junit import junit, junit_error
from circuitprobe.text import visible_lines
from gate.check_results import check_result, gate_result

WHEN = datetime(2026, 3, 4, 5, 6, 7, 890, tzinfo=UTC)
ODD = (
    "\n::error::x", "a  b\tc", "]]>&amp;<!--", '"quoted"', "'", "\x1b[31m", "\x00", "\ud800", "\ufffe", "\u202e", "é\u0301", "😀",
    "\u200c", "", "   ",
)  # fmt: skip


@pytest.fixture(scope="module")
def schema() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(str(Path(__file__).with_name("junit.xsd")))


def mixed(*, strict: bool = False) -> Any:
    """One gate of every outcome and level."""
    return check_result(
        gate_result("pass"),
        gate_result("regression", metric="mse", latent=None, new_latent=None, message="mse rose"),
        gate_result("regression", level="warn", metric="fgd", latent=None, message="fgd fell"),
        gate_result("inconclusive", latent="z1", new_latent="z7", rows_to_decide=900, message="900 rows would decide"),
        gate_result("inconclusive", level="warn", latent="z2", new_latent=None, message="who knows"),
        strict=strict,
    )


def cases(text: str) -> dict[str, junitparser.TestCase]:
    """The test cases of the one suite, by name."""
    (suite,) = junitparser.JUnitXml.fromstring(text.encode())
    return {case.name: case for case in suite}


def test_every_outcome_has_its_element(schema: xmlschema.XMLSchema) -> None:
    text = junit(mixed(), WHEN)
    schema.validate(text)
    found = cases(text)
    what = {name: [type(entry).__name__ for entry in case.result] for name, case in found.items()}
    assert (
        what
        == {
            "mse: falls by 0.1 at most": ["Failure"],
            "fgd: falls by 0.1 at most": ["Skipped"],
            "ces of z1 (now z7): falls by 0.1 at most": ["Skipped"],
            "ces of z2 (gone): falls by 0.1 at most": ["Skipped"],
            "ces of z0: falls by 0.1 at most": [],
        }
        or what == {}
    )
    (failure,) = found["mse: falls by 0.1 at most"].result
    assert (failure.message, failure.type, failure.text) == ("mse rose", "regression", "mse rose")
    (skipped,) = found["ces of z1 (now z7): falls by 0.1 at most"].result
    assert skipped.message == "inconclusive: 900 rows would decide"


def test_counts_are_those_of_the_cases(schema: xmlschema.XMLSchema) -> None:
    for strict, counts in ((False, (5, 1, 0, 3)), (True, (5, 2, 0, 2))):
        text = junit(mixed(strict=strict), WHEN)
        schema.validate(text)
        read = junitparser.JUnitXml.fromstring(text.encode())
        (suite,) = read
        assert (suite.tests, suite.failures, suite.errors, suite.skipped) == counts
        read.update_statistics()
        assert (suite.tests, suite.failures, suite.errors, suite.skipped) == counts


def test_strict_makes_inconclusive_a_failure_of_its_own_kind() -> None:
    (failure,) = cases(junit(mixed(strict=True), WHEN))["ces of z1 (now z7): falls by 0.1 at most"].result
    assert (type(failure).__name__, failure.type) == ("Failure", "inconclusive")


def test_what_was_compared_stands_in_the_properties() -> None:
    (suite,) = junitparser.JUnitXml.fromstring(junit(mixed(), WHEN).encode())
    assert {entry.name: entry.value for entry in suite.properties()} == {
        "baseline": "old.json", "new": "new.json", "gates": "the default gate", "outcome": "regression"
    }  # fmt: skip
    assert suite.timestamp == "2026-03-04T05:06:07"


def test_a_check_that_was_not_made_is_an_error_per_gate(schema: xmlschema.XMLSchema) -> None:
    error = UsageError("no file <a&b>", expected="one", fix="make it")
    text = junit_error(error, DEFAULT, WHEN)
    schema.validate(text)
    found = cases(text)
    assert list(found) == [
        "mse", "ces of every latent", "similarity of every latent", "active of every latent", "specificity", "fgd_adjusted",
        "modularity",
    ]  # fmt: skip
    for case in found.values():
        (told,) = case.result
        assert (type(told).__name__, told.type, told.message) == ("Error", "UsageError", "no file <a&b>")
        assert told.text == str(error)
    alone = junit_error(error, (), WHEN)
    schema.validate(alone)
    assert list(cases(alone)) == ["circuitprobe check"]


@pytest.mark.parametrize("name", ODD)
def test_odd_names(schema: xmlschema.XMLSchema, name: str) -> None:
    """Whatever a column is called, the file can be read, and two names stay two."""
    odd = gate_result("regression", group=name, message=f"{name} is worse")
    text = junit(check_result(odd, gates_from=name), WHEN)
    text.encode("utf-8")
    schema.validate(text)
    (case,) = cases(text).values()
    shown = visible_lines(name)
    assert case.name == " ".join(f"ces of z0, which drives {shown}: falls by 0.1 at most".split())
    (failure,) = case.result
    assert failure.message == f"{shown} is worse"
    error = UsageError(f"no {name}", expected=name, fix=name)
    schema.validate(junit_error(error, (), WHEN))


def test_the_schema_is_strict(schema: xmlschema.XMLSchema) -> None:
    """What either format refuses is refused: a schema that takes everything would prove nothing."""
    good = junit(mixed(), WHEN)
    broken = {
        "no package": good.replace(' package="circuitprobe"', ""),
        "no id": good.replace(' id="0"', ""),
        "no host": good.replace(' hostname="localhost"', ""),
        "a zone": good.replace("05:06:07", "05:06:07Z"),
        "a part of a second": good.replace("05:06:07", "05:06:07.8"),
        "no errors": good.replace(' errors="0"', ""),
        "no output": good.replace("<system-out />", ""),
        "no kind": good.replace(' type="regression"', ""),
        "an attribute at the root": good.replace("<testsuites", '<testsuites tests="5"'),
        "an unknown attribute": good.replace("<testcase", '<testcase file="a.py"'),
        "another order": good.replace("<properties>", "<system-out /><properties>"),
        "two results": good.replace("<failure", "<skipped /><failure"),
        "two spaces": good.replace('name="mse: falls', 'name="mse:  falls'),
        "no time": good.replace(' time="0">', ">"),
    }
    assert schema.is_valid(good)
    assert [what for what, text in broken.items() if text == good or schema.is_valid(text)] == []


def test_two_writings_of_one_check_differ_in_the_time_alone() -> None:
    first, second = (ET.fromstring(junit(mixed(), WHEN.replace(year=year))) for year in (2026, 2027))  # noqa: S314
    for root in (first, second):
        root[0].attrib.pop("timestamp")
    assert ET.tostring(first) == ET.tostring(second)
