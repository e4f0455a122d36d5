"""Markdown to paste into a ticket: the same reading order, folded where a tracker can fold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from sickbay.engine.model.report import Report
from sickbay.engine.report.outline import CauseView, Fact, FixView, Outline, Unseen, outline_of
from sickbay.engine.report.units import Units

__all__ = ["escaped", "inline", "to_markdown", "verbatim"]

# An underscore inside a word is text to every renderer (`queue_s_mean`), and a ticket reads better without backslashes.
_SPECIAL = re.compile(r"[\\`*\[\]<|~]|(?<!\w)_|_(?!\w)")
_BLOCK_START = re.compile(r"^([>#+=-]|\d+(?=[.)]))")


def to_markdown(report: Report, units: Units) -> str:
    """The report as GitHub-flavoured Markdown. Text from outside becomes neither markup, table cells nor mentions."""
    view = outline_of(report, units)
    return "\n".join(_lines(view)).rstrip("\n") + "\n"


def inline(text: str) -> str:
    """Text inside a line that a renderer shows as it is. A mention would notify a person: "@" is written "(at)"."""
    return _SPECIAL.sub(r"\\\g<0>", text.replace("&", "&amp;")).replace("@", "(at)")


def escaped(text: str) -> str:
    """Text that a Markdown renderer shows as it is, also where a line begins: no list, quotation or heading."""
    inlined = inline(text)
    start = _BLOCK_START.match(inlined)
    if start is None:
        return inlined
    end = start.end()
    return f"\\{inlined}" if not start.group().isdigit() else f"{start.group()}\\{inlined[end:]}"


def verbatim(text: str) -> str:
    """A code span whose fence is longer than any run of backticks in it; not for table cells."""
    fence = "`" * (max((len(run) for run in re.findall(r"`+", text)), default=0) + 1)
    return f"{fence} {text} {fence}" if text.startswith("`") or text.endswith("`") else f"{fence}{text}{fence}"


def code(text: str) -> str:
    """A code span; a backtick cannot be escaped inside one and becomes an apostrophe, a table's bar a broken bar."""
    return "`" + text.replace("`", "'").replace("|", "\u00a6") + "`" if text else ""


def _lines(view: Outline) -> Iterator[str]:
    yield f"## {view.word}: {escaped(view.subject)}"
    yield ""
    yield escaped(view.sentence)
    yield ""
    for cut in view.cuts:
        yield f"**{escaped(cut)}**"
        yield ""
    yield ", ".join(f"{name} {code(value)}" for name, value in view.about)
    yield ""
    yield from _cause(view)
    yield from _others(view)
    yield from _evidence(view)
    yield from _unseen(view)
    if view.next_look:
        yield from ("### Next look", "", escaped(view.next_look), "")
    yield f"Cost: {escaped(view.cost)}."


def _cause(view: Outline) -> Iterator[str]:
    top = view.top
    if top is None:
        if view.diagnosis:
            yield from ("### Cause", "", escaped(view.diagnosis), "")
        yield from _advice(view)
        return
    yield from (f"### Cause: {code(top.id)}, {top.sure} ({top.layer})", "", escaped(top.means), "")
    yield from _facts("Shown by", top.supporting)
    yield from _facts("Against", top.against)
    if top.missing:
        yield "Not measured:"
        yield ""
        for fact in top.missing:
            yield f"- {escaped(fact.wanted or fact.id)}, {fact.weight}"
        yield ""
    if top.fixes:
        yield from ("### What to do", "")
    for fix in top.fixes:
        yield from _fix(fix)
    yield from _advice(view)
    if top.seen_in:
        yield from ("Seen in: " + ", ".join(escaped(thread) for thread in top.seen_in), "")


def _advice(view: Outline) -> Iterator[str]:
    if view.advice:
        yield from ("### What to do", "")
        yield from (f"- {escaped(text)}" for text in view.advice)
        yield ""


def _facts(label: str, facts: Sequence[Fact]) -> Iterator[str]:
    if not facts:
        return
    yield f"{label}:"
    yield ""
    for fact in facts:
        yield f"- {escaped(fact.sentence)} ({fact.weight})"
    yield ""


def _fix(fix: FixView) -> Iterator[str]:
    yield f"- **{escaped(fix.do)}**"
    if fix.here:
        yield f"  - {escaped(fix.here_label)}: {code(fix.here)}"
    if fix.elsewhere:
        yield "  - elsewhere: " + "; ".join(f"{escaped(name)} {code(how)}" for name, how in fix.elsewhere)
    for label, text in (("risk", fix.risk), ("undo", fix.undo)):
        if text:
            yield f"  - {label}: {escaped(text)}"
    if fix.verify:
        yield f"  - verify: {code(fix.verify)}"
    yield ""


def _others(view: Outline) -> Iterator[str]:
    folded = view.top.folded if view.top else ()
    if not (folded or view.others or view.ruled_out or view.not_assessed):
        return
    yield from ("### Other causes", "")
    for cause in folded:
        yield f"- {_cause_line(cause)}; it follows from {code(view.top.id if view.top else '')}"
    for cause in view.others:
        if not cause.weighty:
            continue
        yield f"- {_cause_line(cause)}"
        for child in cause.folded:
            yield f"  - {_cause_line(child)}; it follows from {code(cause.id)}"
    light = [code(cause.id) for cause in view.others if not cause.weighty]
    if light:
        yield "- less than 1 % each: " + ", ".join(light)
    if view.ruled_out:
        yield "- ruled out: " + ", ".join(code(cause.id) for cause in view.ruled_out)
    for cause in view.not_assessed:
        needs = ", ".join(code(name) for name in cause.requires_missing) or (
            code(cause.requires) if cause.requires else ""
        )
        wants = f", needs {needs}" if needs else ": nothing that speaks of it was measured"
        yield f"- cannot be assessed: {code(cause.id)}{wants}"
    yield ""


def _cause_line(cause: CauseView) -> str:
    why = cause.supporting or cause.against
    return f"{code(cause.id)}, {cause.sure}" + (f": {escaped(why[0].sentence)}" if why else "")


def _evidence(view: Outline) -> Iterator[str]:
    if not view.steps:
        return
    yield from ("### Evidence", "", "| outcome | step | time | what it says |", "| --- | --- | ---: | --- |")
    for step in view.steps:
        said = " ".join(part for part in (step.summary, f"({step.why_not})" if step.why_not else "") if part)
        judged = "".join(f"<br>{escaped(line)}" for line in step.expectations)
        yield f"| {step.outcome.value} | {code(step.id)} | {step.took} | {escaped(said)}{judged} |"
    yield ""


def _unseen(view: Outline) -> Iterator[str]:
    if not (view.unseen or view.unseen_others):
        return
    yield from ("### Could not be looked at", "")
    for one in view.unseen:
        yield f"- {_unseen_line(one)}"
    if view.unseen_others:
        yield "- further signals that decide nothing here:"
        for one in view.unseen_others:
            yield f"  - {_unseen_line(one)}"
    yield ""


def _unseen_line(one: Unseen) -> str:
    detail = f": {escaped(one.detail)}" if one.detail else ""
    return f"{', '.join(code(name) for name in one.signals)}: {one.reason}{detail}"
