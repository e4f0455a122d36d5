"""One self-contained HTML file: the answer, the plots a person would look at, everything else to open.

No script, nothing from elsewhere: the page's Content-Security-Policy allows its one style sheet, by hash, and no
more. So even markup that slipped through an escape could neither run nor load anything.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from xml.etree import ElementTree as ET

from sickbay.engine.model.outcome import VerdictState
from sickbay.engine.model.report import Report, StepReport
from sickbay.engine.model.signal import Reading
from sickbay.engine.report.latency import latency_bars
from sickbay.engine.report.markup import add, lines, page
from sickbay.engine.report.outline import CauseView, Fact, FixView, Outline, StepView, Unseen, outline_of
from sickbay.engine.report.plain_text import plain
from sickbay.engine.report.plots import dot_plot, latency_split, timeline
from sickbay.engine.report.samples import ttft_samples
from sickbay.engine.report.units import Units, seconds

__all__ = ["to_html"]

_REQUESTS_SHOWN = 60
LIMIT_INPUT = "slo_ttft_s"


def to_html(report: Report, units: Units) -> str:
    """The report as one HTML document that works offline, in light and dark."""
    view = outline_of(report, units)
    root = ET.Element("html", lang="en")
    _head(root, view)
    main = add(add(root, "body"), "main")
    _answer(main, view, report)
    _top(main, view)
    _others(main, view)
    _plots(main, report)
    _steps(main, view, report, units)
    _unseen(main, view)
    _signals(main, report, units)
    _footer(main, view, report)
    return page(root)


def _head(root: ET.Element, view: Outline) -> None:
    style = (files("sickbay.engine.report") / "html.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = add(root, "head")
    add(head, "meta", charset="utf-8")
    ET.SubElement(head, "meta", {"http-equiv": "Content-Security-Policy", "content": policy})
    add(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    add(head, "meta", name="referrer", content="no-referrer")
    add(head, "title", f"{view.word}: {view.subject}")
    add(head, "style", style)


def _section(main: ET.Element, title: str, class_: str = "") -> ET.Element:
    section = add(main, "section", class_=class_) if class_ else add(main, "section")
    add(section, "h2", title)
    return section


def _answer(main: ET.Element, view: Outline, report: Report) -> None:
    header = add(main, "header", class_=f"answer {view.state.value}")
    line = add(header, "p")
    add(line, "span", view.word, class_="word")
    add(line, "span", f"  {view.subject}", class_="soft")
    add(header, "h1", view.sentence or view.diagnosis)
    for cut in view.cuts:
        add(header, "p", cut, class_="cut")
    about = add(header, "div", class_="about")
    started = datetime.fromtimestamp(report.started_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    for name, value in (*view.about, ("started", started), ("took", seconds(report.elapsed_s))):
        item = add(about, "span", f"{name} ")
        add(item, "b", value)


def _top(main: ET.Element, view: Outline) -> None:
    if view.top is None:
        if view.diagnosis and view.state is not VerdictState.HEALTHY:
            add(_section(main, "Cause"), "p", view.diagnosis)
        _advice(main, view)
        return
    section = _section(main, "Cause")
    head = add(section, "div", class_="cause-head")
    add(head, "span", view.top.id, class_="name")
    add(head, "span", view.top.sure, class_="chip")
    add(head, "span", f"layer {view.top.layer}", class_="chip")
    _weighed(section, view.top)
    if view.top.fixes:
        _fixes(_section(main, "What to do"), view.top.fixes)
    _advice(main, view)


def _advice(main: ET.Element, view: Outline) -> None:
    if view.advice:
        section = _section(main, "What to do")
        for text in view.advice:
            add(section, "p", text)


def _weighed(parent: ET.Element, cause: CauseView) -> None:
    """What a cause means and everything that speaks for it, against it, or is missing."""
    add(parent, "p", cause.means)
    if cause.requires:
        needs = ", ".join(cause.requires_missing)
        text = f"It requires {cause.requires}" + (f"; not measured: {needs}" if needs else "; that does not hold")
        add(parent, "p", text, class_="soft")
    _facts(parent, "Shown by", "for", "+", cause.supporting)
    _facts(parent, "Against it", "against", "\u2212", cause.against)
    if cause.missing:
        details = add(parent, "details")
        count = len(cause.missing)
        add(add(details, "summary"), "span", f"{count} look{'s' * (count != 1)} not taken", class_="grow soft")
        _facts(add(details, "div", class_="inside"), "Not measured", "missing", "?", cause.missing)
    if cause.seen_in:
        add(parent, "p", f"Seen in: {', '.join(cause.seen_in)}", class_="soft seen")


def _facts(parent: ET.Element, title: str, class_: str, mark: str, facts: Sequence[Fact]) -> None:
    if not facts:
        return
    add(parent, "h3", title)
    items = add(parent, "ul", class_=f"facts {class_}")
    for fact in facts:
        item = add(items, "li")
        add(item, "span", mark, class_="mark")
        add(item, "span", fact.wanted or fact.sentence)
        add(item, "span", fact.weight, class_="chip")
        if fact.numbers:
            shown = "  \u00b7  ".join(f"{name} = {value}" for name, value in fact.numbers)
            add(item, "span", shown, class_="numbers mono")


def _fixes(parent: ET.Element, fixes: Sequence[FixView]) -> None:
    for fix in fixes:
        block = add(parent, "div", class_="fix")
        add(block, "p", fix.do)
        pairs = add(block, "dl", class_="pairs")
        if fix.here:
            add(pairs, "dt", fix.here_label)
            add(add(pairs, "dd"), "code", fix.here)
        if fix.elsewhere:
            add(pairs, "dt", "elsewhere" if fix.here else "how")
            add(pairs, "dd", "; ".join(f"{name}: {how}" for name, how in fix.elsewhere), class_="soft")
        for label, text in (("risk", fix.risk), ("undo", fix.undo)):
            if text:
                add(pairs, "dt", label)
                add(pairs, "dd", text)
        if fix.verify:
            add(pairs, "dt", "verify")
            add(add(pairs, "dd"), "code", fix.verify)


def _others(main: ET.Element, view: Outline) -> None:
    folded = view.top.folded if view.top else ()
    if not (folded or view.others or view.ruled_out or view.not_assessed):
        return
    section = _section(main, "Other causes")
    for cause in folded:
        _cause(section, cause, follows=view.top.id if view.top else "")
    for cause in (*view.others, *view.not_assessed, *view.ruled_out):
        _cause(section, cause)


def _cause(parent: ET.Element, cause: CauseView, *, follows: str = "") -> None:
    details = add(parent, "details")
    summary = add(details, "summary")
    add(summary, "b", cause.id)
    why = cause.supporting or cause.against
    said = f"follows from {follows}" if follows else why[0].sentence if why else cause.means
    add(summary, "span", said, class_="grow soft")
    add(summary, "span", cause.sure, class_="chip")
    inside = add(details, "div", class_="inside")
    _weighed(inside, cause)
    if cause.fixes:
        add(inside, "h3", "What to do, if this is it")
        _fixes(inside, cause.fixes)
    for child in cause.folded:
        _cause(inside, child, follows=cause.id)


def _plots(main: ET.Element, report: Report) -> None:
    bars = latency_bars(report.signals)
    if bars:
        section = _section(main, "Where the time to the first token goes")
        figure = add(section, "figure")
        latency_split(figure, bars)
        unknown = "; ".join(
            f"not measured in {bar.total_signal}: {', '.join(bar.unknown)}" for bar in bars if bar.unknown
        )
        if unknown:
            add(figure, "figcaption", unknown)
    samples = ttft_samples(report)
    if samples:
        limit = report.inputs.get(LIMIT_INPUT)
        figure = add(_section(main, "Each probe request's time to first token"), "figure")
        dot_plot(figure, samples, float(limit) if isinstance(limit, (int, float)) else None)
    if any(step.elapsed_s or step.requests for step in report.steps):
        figure = add(_section(main, "Timeline"), "figure")
        timeline(figure, report)
        text = (
            "Bars are steps. Marks below them are requests: blue made the engine generate, grey only read, red failed."
        )
        add(figure, "figcaption", text)


def _steps(main: ET.Element, view: Outline, report: Report, units: Units) -> None:
    if not view.steps:
        return
    section = _section(main, "Evidence", "steps")
    for step, record in zip(view.steps, report.steps, strict=True):
        details = add(section, "details")
        summary = add(details, "summary")
        add(summary, "span", step.outcome.value, class_=f"chip {step.outcome.value}")
        add(summary, "b", step.id)
        add(summary, "span", step.summary or step.why_not, class_="grow")
        add(summary, "span", step.took, class_="took")
        _step(add(details, "div", class_="inside"), step, record, units)


def _step(inside: ET.Element, step: StepView, record: StepReport, units: Units) -> None:
    notes = [f"check {step.check}" if step.check else "a question", f"effect {record.effect.value}"]
    notes += ["critical"] if step.critical else []
    notes += [step.why_not] if step.why_not else []
    notes += [f"{step.attempts} attempts"] if step.attempts > 1 else []
    add(inside, "p", ", ".join(notes), class_="soft")
    for line in step.expectations:
        add(inside, "p", line)
    if step.next_step:
        add(inside, "p", f"Next: {step.next_step}")
    if record.signals:
        _signal_table(inside, record.signals, units)
    if record.requests:
        _request_table(inside, record)
    if record.trace:
        add(inside, "h3", "Traceback: a bug of this check")
        add(inside, "pre", lines(record.trace))


def _table(parent: ET.Element, columns: Sequence[str], numbers: frozenset[int] = frozenset()) -> ET.Element:
    table = add(add(parent, "div", class_="wide"), "table")
    row = add(add(table, "thead"), "tr")
    for index, column in enumerate(columns):
        add(row, "th", column, class_="number" if index in numbers else "text")
    return add(table, "tbody")


def _row(body: ET.Element, cells: Sequence[str], numbers: frozenset[int]) -> None:
    row = add(body, "tr")
    for index, cell in enumerate(cells):
        add(row, "td", cell, class_="number" if index in numbers else "text")


def _signal_table(parent: ET.Element, signals: Mapping[str, Reading], units: Units) -> None:
    numbers = frozenset({1})
    body = _table(parent, ("signal", "value", "from"), numbers)
    for name, reading in signals.items():
        if reading.value is not None:
            window = f" over {seconds(reading.window_s)}" if reading.window_s else ""
            _row(body, (plain(name, 80), units.show(name, reading.value), plain(reading.source, 200) + window), numbers)
        elif reading.reason is not None:
            _row(body, (plain(name, 80), f"unknown: {reading.reason.value}", plain(reading.detail)), numbers)


def _request_table(parent: ET.Element, record: StepReport) -> None:
    add(parent, "h3", "Requests")
    numbers = frozenset({2, 3, 4})
    body = _table(parent, ("request", "", "status", "time", "bytes"), numbers)
    for one in record.requests[:_REQUESTS_SHOWN]:
        status = "no answer" if one.status is None else str(one.status)
        note = plain(one.error, 160) or ("generates" if one.generates else "")
        request = f"{plain(one.method, 10)} {plain(one.url, 200)}"
        _row(body, (request, note, status, seconds(one.elapsed_s), f"{one.bytes:,}"), numbers)
    more = len(record.requests) - _REQUESTS_SHOWN
    if more > 0:
        add(parent, "p", f"and {more} more; the JSON report has them all", class_="soft")


def _unseen(main: ET.Element, view: Outline) -> None:
    if not (view.unseen or view.unseen_others or view.next_look):
        return
    section = _section(main, "Could not be looked at")
    if view.next_look:
        line = add(section, "p", "Next best look: ")
        add(line, "b", view.next_look)
    _unseen_list(section, view.unseen)
    if view.unseen_others:
        count = sum(len(one.signals) for one in view.unseen_others)
        details = add(section, "details")
        add(add(details, "summary"), "span", f"{count} further signals that decide nothing here", class_="grow soft")
        _unseen_list(add(details, "div", class_="inside"), view.unseen_others)


def _unseen_list(parent: ET.Element, unseen: Sequence[Unseen]) -> None:
    if not unseen:
        return
    items = add(parent, "ul", class_="facts missing")
    for one in unseen:
        item = add(items, "li")
        add(item, "span", "?", class_="mark")
        add(item, "span", one.detail or "no value")
        add(item, "span", one.reason, class_="chip")
        add(item, "span", ", ".join(one.signals), class_="numbers mono")


def _signals(main: ET.Element, report: Report, units: Units) -> None:
    known = {name: reading for name, reading in report.signals.items() if reading.known}
    if not known:
        return
    section = _section(main, "Everything measured")
    details = add(section, "details")
    add(add(details, "summary"), "span", f"{len(known)} signals with their sources", class_="grow soft")
    _signal_table(add(details, "div", class_="inside"), known, units)


def _footer(main: ET.Element, view: Outline, report: Report) -> None:
    inputs = ", ".join(f"{plain(name, 60)}={plain(value, 60)}" for name, value in report.inputs.items())
    parts = [
        f"cost: {view.cost}",
        f"inputs: {inputs}" if inputs else "",
        f"runbook {plain(report.runbook, 80)} {plain(report.runbook_sha256)[:12]}".rstrip(),
        f"sickbay {plain(report.sickbay_version, 40)}" if report.sickbay_version else "",
    ]
    add(main, "footer", " \u00b7 ".join(part for part in parts if part))
