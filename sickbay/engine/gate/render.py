"""The scorecard in every form: terminal, Markdown for a pull request, JSON, JUnit, HTML, Prometheus metrics."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from typing import Final
from xml.etree import ElementTree as ET

from sickbay.engine.gate.model import Outcome
from sickbay.engine.gate.scorecard import Finding, Scorecard
from sickbay.engine.report.plain_text import plain

__all__ = ["FORMATS", "form_of_path", "render"]

WORDS: Final = {
    Outcome.PASS: "PASS", Outcome.WARN: "PASS WITH WARNINGS", Outcome.BLOCK: "BLOCK",
    Outcome.INCONCLUSIVE: "INCONCLUSIVE",
}  # fmt: skip
MARKS: Final = {Outcome.PASS: "ok", Outcome.WARN: "warn", Outcome.BLOCK: "BLOCK", Outcome.INCONCLUSIVE: "?"}
_COLOURS: Final = {Outcome.PASS: "32", Outcome.WARN: "33", Outcome.BLOCK: "31;1", Outcome.INCONCLUSIVE: "35"}
_SUFFIXES: Final = {".json": "json", ".md": "markdown", ".xml": "junit", ".html": "html", ".prom": "prometheus"}


def render(card: Scorecard, form: str, *, colour: bool = False) -> str:
    """The scorecard in one form."""
    return to_terminal(card, colour=colour) if form == "terminal" else FORMATS[form](card)


def form_of_path(path: str) -> str:
    """The form a file's name asks for; "" when it says nothing."""
    return next((form for suffix, form in _SUFFIXES.items() if path.endswith(suffix)), "")


def to_terminal(card: Scorecard, *, colour: bool = False) -> str:
    """The answer first, then what is not a pass, then the rest, then provenance."""

    def paint(outcome: Outcome, text: str) -> str:
        return f"\x1b[{_COLOURS[outcome]}m{text}\x1b[0m" if colour else text

    lines = [f"{paint(card.outcome, WORDS[card.outcome])}  {card.gate}: {plain(card.summary)}", ""]
    for finding in _ordered(card):
        lines.append(f"  {paint(finding.outcome, f'{_mark(finding):<6}')} {finding.rule}: {plain(finding.summary)}")
        if finding.waived_by:
            lines.append(f"         waived by {plain(finding.waived_by)}")
        if finding.outcome is not Outcome.PASS:
            lines += [f"         {plain(example, 160)}" for example in finding.examples]
    lines += [f"  error  {plain(error)}" for error in card.errors]
    for waiver in card.waivers:
        who = plain(f"{waiver.owner}, approved by {waiver.approver}")
        lines.append(
            f"  waiver {waiver.rule}: {waiver.state}, until {waiver.expires}, by {who}: {plain(waiver.reason)}"
        )
    lines += ["", *(f"  {name:<10} {text}" for name, text in _about(card))]
    return "\n".join(lines) + "\n"


def to_markdown(card: Scorecard) -> str:
    """For a pull request: a table, the lost items folded away."""
    lines = [f"## {WORDS[card.outcome]}: {_cell(card.gate)}", "", _cell(card.summary), ""]
    lines += [f"**Error:** {_cell(error)}" for error in card.errors]
    lines += ["", "| | rule | finding |", "| --- | --- | --- |"]
    for finding in _ordered(card):
        waived = f" _(waived by {_cell(finding.waived_by)})_" if finding.waived_by else ""
        lines.append(f"| {_mark(finding)} | {_cell(finding.rule)} | {_cell(finding.summary)}{waived} |")
    for finding in card.findings:
        if finding.examples and finding.outcome is not Outcome.PASS:
            lines += ["", f"<details><summary>lost in {_cell(finding.rule)}</summary>", ""]
            lines += [f"- {_cell(example)}" for example in finding.examples]
            lines += ["", "</details>"]
    lines += (
        ["", "| waiver | state | until | owner | approver | reason |", "| --- | --- | --- | --- | --- | --- |"]
        if (card.waivers)
        else []
    )
    for waiver in card.waivers:
        cells = (waiver.rule, waiver.state, waiver.expires, waiver.owner, waiver.approver, waiver.reason)
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    lines += ["", "<details><summary>provenance</summary>", "", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {_cell(text)} |" for name, text in _about(card)]
    lines += ["", "</details>"]
    return "\n".join(lines) + "\n"


def to_json(card: Scorecard) -> str:
    """Everything, rows included."""
    return json.dumps(card.to_json(), indent=1, ensure_ascii=False) + "\n"


def to_junit(card: Scorecard) -> str:
    """One case a finding, and one for the gate. Inconclusive is an error: no reader shows it as green."""
    suite = ET.Element("testsuite", name=f"gate {card.gate}", time=f"{card.elapsed_s:.3f}")
    properties = ET.SubElement(suite, "properties")
    for name, text in _about(card):
        ET.SubElement(properties, "property", name=name, value=plain(text))
    for finding in card.findings:
        case = ET.SubElement(suite, "testcase", classname=f"gate.{card.gate}", name=plain(finding.rule))
        _judged(case, finding.outcome, finding.summary, "\n".join(finding.examples))
        if finding.outcome is Outcome.WARN or finding.shadow:
            ET.SubElement(case, "system-out").text = plain(f"{finding.found.value}: {finding.summary}")
    for error in card.errors:
        case = ET.SubElement(suite, "testcase", classname=f"gate.{card.gate}", name="waiver")
        _judged(case, Outcome.INCONCLUSIVE, error, "")
    _judged(
        ET.SubElement(suite, "testcase", classname=f"gate.{card.gate}", name="gate"), card.outcome, card.summary, ""
    )
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


def to_html(card: Scorecard) -> str:
    """One self-contained page with a plot of every interval against its margin."""
    rows = "".join(
        f'<tr class="{finding.outcome.value}"><td>{_mark(finding)}</td><td>{_safe(finding.rule)}</td>'
        f"<td>{_safe(finding.summary)}{_lost(finding)}</td><td>{_plot(finding)}</td></tr>"
        for finding in _ordered(card)
    )
    about = "".join(f"<tr><th>{_safe(name)}</th><td>{_safe(text)}</td></tr>" for name, text in _about(card))
    errors = "".join(f"<p class=block><b>error</b> {_safe(error)}</p>" for error in card.errors)
    waivers = "".join(
        f"<tr><td>{_safe(each.rule)}</td><td>{each.state}</td><td>{each.expires}</td><td>{_safe(each.owner)}</td>"
        f"<td>{_safe(each.approver)}</td><td>{_safe(each.reason)}</td></tr>"
        for each in card.waivers
    )
    heads = "<tr><th>waiver<th>state<th>until<th>owner<th>approver<th>reason</tr>"
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{_safe(card.gate)}: {WORDS[card.outcome]}</title><style>{_CSS}</style>"
        f'<h1 class="{card.outcome.value}">{WORDS[card.outcome]}: {_safe(card.gate)}</h1><p>{_safe(card.summary)}</p>'
        f"{errors}<table>{rows}</table>{f'<table>{heads}{waivers}</table>' if waivers else ''}"
        f"<h2>Provenance</h2><table>{about}</table></html>\n"
    )


_CSS: Final = (
    "body{font:15px/1.45 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;"
    "background:#fff}table{border-collapse:collapse;width:100%;margin:1rem 0}td,th{text-align:left;padding:.4rem .6rem;"
    "border-bottom:1px solid #d8dee4;vertical-align:top;overflow-wrap:anywhere}h1.pass{color:#1a7f37}"
    "h1.warn{color:#9a6700}h1.block{color:#cf222e}h1.inconclusive{color:#8250df}tr.block td:first-child{color:#cf222e;"
    "font-weight:700}tr.inconclusive td:first-child{color:#8250df;font-weight:700}tr.warn td:first-child{color:#9a6700}"
    "svg{min-width:220px}@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}td,th{border-color:"
    "#30363d}}"
)


def _plot(finding: Finding) -> str:
    """The interval of the difference, zero, and the margin, on one line of 220 points."""
    numbers = finding.numbers
    if not all(isinstance(numbers.get(key), float) for key in ("low", "high", "difference", "margin")):
        return ""
    low, high = float(numbers["low"]), float(numbers["high"])
    middle, margin = float(numbers["difference"]), float(numbers["margin"])
    reach = 1.1 * max(abs(low), abs(high), margin, 1e-6)

    def x(value: float) -> str:
        return f"{110 + 105 * max(-1.0, min(1.0, value / reach)):.1f}"

    return (
        '<svg viewBox="0 0 220 26" width="220" height="26" role="img" '
        f'aria-label="difference {middle * 100:+.2f} points, {low * 100:+.2f} to {high * 100:+.2f}, margin '
        f'{-margin * 100:+.2f}"><line x1="{x(0)}" x2="{x(0)}" y1="2" y2="24" stroke="#8c959f"/>'
        f'<line x1="{x(-margin)}" x2="{x(-margin)}" y1="2" y2="24" stroke="#cf222e" stroke-dasharray="3 2"/>'
        f'<line x1="{x(low)}" x2="{x(high)}" y1="13" y2="13" stroke="#0969da" stroke-width="3"/>'
        f'<circle cx="{x(middle)}" cy="13" r="4" fill="#0969da"/></svg>'
    )


def _lost(finding: Finding) -> str:
    if not finding.examples or finding.outcome is Outcome.PASS:
        return ""
    return "<ul>" + "".join(f"<li>{_safe(example)}</li>" for example in finding.examples) + "</ul>"


def to_prometheus(card: Scorecard) -> str:
    """Gauges with bounded labels: gate, rule, outcome. Late import: other forms need no metrics library."""
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    registry = CollectorRegistry()
    outcome = Gauge("sickbay_gate_outcome", "1 for the outcome of the last run, 0 for the others.", ["gate", "outcome"],
                    registry=registry)  # fmt: skip
    rules = Gauge("sickbay_gate_rule_outcome", "1 for the rule's outcome in the last run, 0 for the others.",
                  ["gate", "rule", "outcome"], registry=registry)  # fmt: skip
    for each in Outcome:
        outcome.labels(card.gate, each.value).set(card.outcome is each)
        for finding in card.findings:
            rules.labels(card.gate, finding.rule[:120], each.value).set(finding.outcome is each)
    plain_gauges = (
        ("sickbay_gate_last_run_timestamp_seconds", "Unix time at which the last run ended.",
         card.started_at + card.elapsed_s),
        ("sickbay_gate_duration_seconds", "Seconds the last run took.", card.elapsed_s),
        ("sickbay_gate_requests", "Requests the last run sent to both endpoints.", float(card.requests)),
        ("sickbay_gate_waivers_expired", "Waivers past their last day.",
         float(sum(each.state == "expired" for each in card.waivers))),
    )  # fmt: skip
    for name, text, value in plain_gauges:
        Gauge(name, text, ["gate"], registry=registry).labels(card.gate).set(value)
    for key in ("difference", "ratio"):
        known = [f for f in card.findings if isinstance(f.numbers.get(key), float)]
        if known:
            text = "Candidate minus baseline score." if key == "difference" else "Candidate over baseline latency."
            gauge = Gauge(f"sickbay_gate_{key}_ratio".replace("ratio_ratio", "latency_ratio"), text, ["gate", "rule"],
                          registry=registry)  # fmt: skip
            for finding in known:
                gauge.labels(card.gate, finding.rule[:120]).set(float(finding.numbers[key]))
    return generate_latest(registry).decode()


FORMATS: Final[dict[str, Callable[[Scorecard], str]]] = {
    "terminal": to_terminal, "markdown": to_markdown, "json": to_json, "junit": to_junit, "html": to_html,
    "prometheus": to_prometheus,
}  # fmt: skip


def _ordered(card: Scorecard) -> list[Finding]:
    order = [Outcome.BLOCK, Outcome.INCONCLUSIVE, Outcome.WARN, Outcome.PASS]
    return sorted(card.findings, key=lambda finding: order.index(finding.outcome))


def _mark(finding: Finding) -> str:
    if finding.shadow:
        return "shadow" if finding.found in {Outcome.PASS, Outcome.WARN} else f"({MARKS[finding.found].lower()})"
    return MARKS[finding.outcome]


def _about(card: Scorecard) -> list[tuple[str, str]]:
    rows = [("candidate", _words(card.candidate)), ("baseline", _words(card.baseline) or "none")]
    rows += [
        (f"set {rule}", f"{each['set']} {each['version']} ({each['items']} items, sha256 {each['sha256'][:12]})")
        for rule, each in card.sets.items()
    ]
    rows.append(("gate", f"{card.gate} (sha256 {card.gate_sha256[:12]}), run {card.run_id}"))
    rows.append(("cost", f"{card.requests} requests, {card.tokens} tokens, {card.elapsed_s:.1f} s"))
    rows.append(("sickbay", card.sickbay_version))
    return [(name, plain(text)) for name, text in rows]


def _words(about: object) -> str:
    return ", ".join(f"{key} {value}" for key, value in about.items()) if isinstance(about, dict) else ""


def _cell(text: str) -> str:
    return html.escape(plain(text), quote=False).replace("|", "\\|").replace("`", "'")


def _safe(text: str) -> str:
    return html.escape(plain(text))
