"""The scorecard as JUnit: one case a finding, and one for the gate."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from sickbay.engine.gate.model import Outcome
from sickbay.engine.gate.scorecard import Scorecard
from sickbay.engine.gate.show.words import about_rows, sides
from sickbay.engine.report.plain_text import plain

__all__ = ["to_junit"]


def to_junit(card: Scorecard) -> str:
    """Inconclusive is an error: no reader shows it as green."""
    suite = ET.Element("testsuite", name=f"gate {card.gate}", time=f"{card.elapsed_s:.3f}")
    properties = ET.SubElement(suite, "properties")
    for name, text in about_rows(card):
        ET.SubElement(properties, "property", name=name, value=plain(text))
    for name, new, old in sides(card):
        for side, text in (("candidate", new), ("baseline", old)):
            if text:
                ET.SubElement(properties, "property", name=f"{side}.{name}", value=text)
    for finding in card.findings:
        case = ET.SubElement(suite, "testcase", classname=f"gate.{card.gate}", name=plain(finding.rule))
        _judged(case, finding.outcome, finding.summary, "\n".join(finding.examples))
        if finding.outcome is Outcome.WARN or finding.shadow:
            ET.SubElement(case, "system-out").text = plain(f"{finding.found.value}: {finding.summary}")
    for error in card.errors:
        case = ET.SubElement(suite, "testcase", classname=f"gate.{card.gate}", name="waiver")
        _judged(case, Outcome.INCONCLUSIVE, error, "")
    whole = ET.SubElement(suite, "testcase", classname=f"gate.{card.gate}", name="gate")
    _judged(whole, card.outcome, card.summary, "")
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(sum(case.find("failure") is not None for case in cases)))
    suite.set("errors", str(sum(case.find("error") is not None for case in cases)))
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode") + "\n"


def _judged(case: ET.Element, outcome: Outcome, summary: str, body: str) -> None:
    tag = {Outcome.BLOCK: "failure", Outcome.INCONCLUSIVE: "error"}.get(outcome)
    if tag:
        ET.SubElement(case, tag, type=outcome.value, message=plain(summary)).text = plain(body, 2000)
