"""The scorecard as JUnit: one case a finding, one an expired waiver, and one for the gate.

GitLab shows the text of a failure and not its message, Jenkins and GitHub's reporters the message first: the sentence
stands in both. Cases are told apart by their names, so no two have one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from sickbay.engine.gate.model import Outcome
from sickbay.engine.gate.scorecard import Scorecard
from sickbay.engine.gate.show.words import about_rows, sides
from sickbay.engine.report.plain_text import plain

__all__ = ["to_junit"]


def to_junit(card: Scorecard) -> str:
    """Inconclusive is an error: no reader shows it as green."""
    suites = ET.Element("testsuites", name="sickbay gate")
    began = datetime.fromtimestamp(card.started_at, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    suite = ET.SubElement(
        suites, "testsuite", name=f"gate {card.gate}", time=f"{card.elapsed_s:.3f}", timestamp=began, skipped="0"
    )
    properties = ET.SubElement(suite, "properties")
    for name, text in about_rows(card):
        ET.SubElement(properties, "property", name=name, value=plain(text))
    for name, new, old in sides(card):
        for side, text in (("candidate", new), ("baseline", old)):
            if text:
                ET.SubElement(properties, "property", name=f"{side}.{name}", value=text)
    for finding in card.findings:
        case = _case(suite, card, finding.rule)
        _judged(case, finding.outcome, finding.summary, finding.examples)
        if finding.outcome is Outcome.WARN or finding.shadow:
            ET.SubElement(case, "system-out").text = plain(f"{finding.found.value}: {finding.summary}")
    for number, error in enumerate(card.errors, 1):
        _judged(_case(suite, card, f"(error {number})"), Outcome.INCONCLUSIVE, error, ())
    whole = _case(suite, card, "(the whole gate)", time=f"{card.elapsed_s:.3f}")
    _judged(whole, card.outcome, card.summary, ())
    if card.cut and whole.find("error") is None and whole.find("failure") is None:
        _judged(whole, Outcome.INCONCLUSIVE, f"the gate is not whole: {card.cut}", ())
    cases = suite.findall("testcase")
    counts = {
        "tests": len(cases),
        "failures": sum(case.find("failure") is not None for case in cases),
        "errors": sum(case.find("error") is not None for case in cases),
    }
    for name, count in counts.items():
        suite.set(name, str(count))
        suites.set(name, str(count))
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode") + "\n"


def _case(suite: ET.Element, card: Scorecard, name: str, time: str = "0.000") -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=f"gate.{card.gate}", name=plain(name), time=time)


def _judged(case: ET.Element, outcome: Outcome, summary: str, examples: tuple[str, ...]) -> None:
    tag = {Outcome.BLOCK: "failure", Outcome.INCONCLUSIVE: "error"}.get(outcome)
    if tag:
        body = "\n".join(plain(line) for line in (summary, *examples))
        ET.SubElement(case, tag, type=outcome.value, message=plain(summary)).text = body
