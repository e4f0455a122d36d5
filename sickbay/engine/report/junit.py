"""JUnit XML: one suite a run, one test case a step, and one for the verdict.

JUnit has no word for a warning. A step that warns is a passed case with its outcome as a property, and the
verdict's own case fails whenever the run is not healthy, so that no reader shows a degraded run as green.
"""

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from sickbay.engine.model.outcome import Outcome, VerdictState
from sickbay.engine.model.report import Report
from sickbay.engine.report.outline import Outline, StepView, outline_of
from sickbay.engine.report.units import Units

__all__ = ["to_junit"]


def to_junit(report: Report, units: Units) -> str:
    """The report as JUnit XML; fail is `<failure>`, unknown `<error>`, skip `<skipped>`."""
    view = outline_of(report, units)
    cases = [
        _step(step, seconds=record.elapsed_s, top=_top(view), suite=view.subject)
        for step, record in zip(view.steps, report.steps, strict=True)
    ]
    cases.append(_verdict(view))
    suites = ET.Element("testsuites")
    suite = ET.SubElement(
        suites,
        "testsuite",
        name=view.subject,
        tests=str(len(cases)),
        failures=str(_count(cases, "failure")),
        errors=str(_count(cases, "error")),
        skipped=str(_count(cases, "skipped")),
        time=f"{report.elapsed_s:.3f}",
        timestamp=datetime.fromtimestamp(report.started_at, UTC).strftime("%Y-%m-%dT%H:%M:%S"),
    )
    _properties(suite, (*view.about, ("verdict", view.state.value), ("cost", view.cost)))
    suite.extend(cases)
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=False) + "\n"


def _step(step: StepView, *, seconds: float, top: str, suite: str) -> ET.Element:
    case = ET.Element("testcase", classname=suite, name=step.id, time=f"{seconds:.3f}")
    _properties(case, (("outcome", step.outcome.value), ("check", step.check)))
    message = ": ".join(part for part in (step.why_not, step.summary) if part) or step.outcome.value
    body = "\n".join(line for line in (step.summary, *step.expectations, step.next_step) if line)
    if step.outcome is Outcome.FAIL:
        ET.SubElement(case, "failure", type="fail", message=message).text = f"{body}\n{top}".strip()
    elif step.outcome is Outcome.UNKNOWN:
        ET.SubElement(case, "error", type="unknown", message=message).text = body
    elif step.outcome is Outcome.SKIP:
        ET.SubElement(case, "skipped", message=message)
    elif body:
        ET.SubElement(case, "system-out").text = body
    return case


def _verdict(view: Outline) -> ET.Element:
    case = ET.Element("testcase", classname=view.subject, name="verdict", time="0.000")
    message = f"{view.word}: {view.sentence}"
    body = "\n".join(line for line in (*view.cuts, _top(view)) if line)
    if view.state is VerdictState.INCONCLUSIVE:
        ET.SubElement(case, "error", type=view.state.value, message=message).text = body
    elif view.state is not VerdictState.HEALTHY or view.cuts:
        ET.SubElement(case, "failure", type=view.state.value, message=message).text = body
    else:
        ET.SubElement(case, "system-out").text = message
    return case


def _top(view: Outline) -> str:
    if view.top is None:
        return view.diagnosis
    lines = [f"cause: {view.top.id} ({view.top.sure}): {view.top.means}"]
    lines += [f"+ {fact.sentence} [{fact.weight}]" for fact in view.top.supporting]
    lines += [f"do: {fix.do}" + (f": {fix.here}" if fix.here else "") for fix in view.top.fixes]
    return "\n".join(lines)


def _properties(parent: ET.Element, rows: tuple[tuple[str, str], ...]) -> None:
    properties = ET.SubElement(parent, "properties")
    for name, value in rows:
        ET.SubElement(properties, "property", name=name, value=value)


def _count(cases: list[ET.Element], tag: str) -> int:
    return sum(1 for case in cases if case.find(tag) is not None)
