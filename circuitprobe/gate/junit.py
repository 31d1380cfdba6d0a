"""A check as JUnit XML: regressions are failures, inconclusive gates skipped tests with a reason, gates not run errors.

The form is valid under both schemas in use, that of Ant (JUnit.xsd) and that of Jenkins' xUnit plugin (junit-10.xsd): the first
demands more attributes and elements, the second allows them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from circuitprobe.gate.words import gate_words, subject_words
from circuitprobe.text import visible_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from circuitprobe.errors import CircuitProbeError
    from circuitprobe.gate.config import Gate
    from circuitprobe.gate.result import CheckResult, GateResult

SUITE = "circuitprobe check"
CLASS = "circuitprobe.check"


def junit(result: CheckResult, when: datetime) -> str:
    """One test case per gate and figure.

    Args:
        result: of a check.
        when: it was made, in UTC.
    """
    about = {"baseline": result.baseline, "new": result.new, "gates": result.gates_from, "outcome": result.outcome}
    return _written([_case(result, entry) for entry in result.results], about, when)


def junit_error(error: CircuitProbeError, gates: Sequence[Gate], when: datetime) -> str:
    """A check that could not be made: every gate is a test case with an error; one for all where no gate is known."""
    cases = []
    for name in [gate_words(gate) for gate in gates] or [SUITE]:
        case = _named(name)
        told = {"message": visible_lines(error.seen), "type": type(error).__name__}
        ET.SubElement(case, "error", told).text = visible_lines(str(error))
        cases.append(case)
    return _written(cases, {}, when)


def _case(result: CheckResult, entry: GateResult) -> ET.Element:
    case, message = _named(f"{subject_words(entry)}: {entry.condition}"), visible_lines(entry.message)
    if entry.fails(strict=result.strict):
        ET.SubElement(case, "failure", {"message": message, "type": entry.outcome}).text = message
    elif entry.outcome != "pass":
        reason = "inconclusive" if entry.outcome == "inconclusive" else "regression of level warn"
        ET.SubElement(case, "skipped", {"message": f"{reason}: {message}"})
    return case


def _named(name: str) -> ET.Element:
    # a token of XML Schema: no spaces but single ones
    return ET.Element("testcase", {"classname": CLASS, "name": " ".join(visible_lines(name).split()), "time": "0"})


def _written(cases: Sequence[ET.Element], about: Mapping[str, str], when: datetime) -> str:
    def of(kind: str) -> str:
        return str(sum(case.find(kind) is not None for case in cases))

    root = ET.Element("testsuites")
    attributes = {
        "name": SUITE, "package": "circuitprobe", "id": "0", "hostname": "localhost", "timestamp": f"{when:%Y-%m-%dT%H:%M:%S}",
        "tests": str(len(cases)), "failures": of("failure"), "errors": of("error"), "skipped": of("skipped"), "time": "0",
    }  # fmt: skip
    suite = ET.SubElement(root, "testsuite", attributes)
    properties = ET.SubElement(suite, "properties")
    for name, value in about.items():
        ET.SubElement(properties, "property", {"name": name, "value": visible_lines(value)})
    suite.extend(cases)
    ET.SubElement(suite, "system-out")
    ET.SubElement(suite, "system-err")
    ET.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(root, encoding="unicode")}\n'
