"""The scorecard for a pull request: a table, lost items and provenance folded away."""

from __future__ import annotations

import html
import re
from typing import Final

from sickbay.engine.gate.model import Outcome
from sickbay.engine.gate.scorecard import Scorecard
from sickbay.engine.gate.show.words import WORDS, about_rows, differing, foremost, mark_of, sides
from sickbay.engine.report.markdown import escaped, inline, verbatim
from sickbay.engine.report.plain_text import plain

__all__ = ["to_markdown"]

_REFERENCE: Final = re.compile(r"[#!$](?=\d)")
LOST_MAX: Final = 10
"""Rules whose lost items are shown: a comment of a pull request holds 65,536 characters."""


def to_markdown(card: Scorecard) -> str:
    """GitHub's Markdown; GitLab shows it as well."""
    lines = [f"## {WORDS[card.outcome]}: {_cell(card.gate)}", "", _apart(escaped(plain(card.summary))), ""]
    lines += [f"- **Error:** {_cell(error)}" for error in card.errors]
    lines += ["", "| | rule | finding |", "| --- | --- | --- |"]
    findings, rest = foremost(card)
    for finding in findings:
        waived = f" _(waived by {_cell(finding.waived_by)})_" if finding.waived_by else ""
        if not waived and finding.outcome is not finding.found and not finding.shadow:
            waived = f" _({finding.found.value}, but it only warns)_"
        lines.append(f"| {mark_of(finding)} | {_cell(finding.rule)} | {_cell(finding.summary)}{waived} |")
    lines += ["", _cell(rest)] if rest else []
    lost = [finding for finding in findings if finding.examples and finding.outcome is not Outcome.PASS]
    for finding in lost[:LOST_MAX]:
        lines += ["", f"<details><summary>lost in {_title(finding.rule)}</summary>", ""]
        lines += [f"- {verbatim(plain(example))}" for example in finding.examples]
        lines += ["", "</details>"]
    if card.waivers:
        lines += ["", "| waiver | state | until | owner | approver | reason |", "| --- | --- | --- | --- | --- | --- |"]
    for waiver in card.waivers:
        cells = (waiver.rule, waiver.state, waiver.expires, waiver.owner, waiver.approver, waiver.reason)
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    changed = differing(card)
    if changed:
        lines += ["", "| differs | baseline | candidate |", "| --- | --- | --- |"]
        lines += [f"| {_cell(name)} | {_cell(old)} | {_cell(new)} |" for name, new, old in changed]
    lines += ["", "<details><summary>provenance</summary>", "", "| | candidate | baseline |", "| --- | --- | --- |"]
    lines += [f"| {_cell(name)} | {_cell(new)} | {_cell(old)} |" for name, new, old in sides(card)]
    lines += ["", *(f"- {name}: {_cell(text)}" for name, text in about_rows(card)), "", "</details>"]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Nothing in it is markup, a mention, or the number of an issue, which would be told of it."""
    return _apart(inline(plain(text)))


def _apart(markdown: str) -> str:
    return _REFERENCE.sub(r"\g<0>&#8203;", markdown.replace("\\<", "&lt;"))


def _title(text: str) -> str:
    """Inside a tag, where Markdown is not read."""
    return html.escape(plain(text)).replace("@", "(at)")
