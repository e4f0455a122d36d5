"""The scorecard for a pull request: a table, lost items and provenance folded away."""

from __future__ import annotations

import html

from sickbay.engine.gate.model import Outcome
from sickbay.engine.gate.scorecard import Scorecard
from sickbay.engine.gate.show.words import WORDS, about_rows, differing, mark_of, ordered, sides
from sickbay.engine.report.plain_text import plain

__all__ = ["to_markdown"]


def to_markdown(card: Scorecard) -> str:
    """GitHub's Markdown; GitLab shows it as well."""
    lines = [f"## {WORDS[card.outcome]}: {_cell(card.gate)}", "", _cell(card.summary), ""]
    lines += [f"**Error:** {_cell(error)}" for error in card.errors]
    lines += ["", "| | rule | finding |", "| --- | --- | --- |"]
    for finding in ordered(card):
        waived = f" _(waived by {_cell(finding.waived_by)})_" if finding.waived_by else ""
        lines.append(f"| {mark_of(finding)} | {_cell(finding.rule)} | {_cell(finding.summary)}{waived} |")
    for finding in card.findings:
        if finding.examples and finding.outcome is not Outcome.PASS:
            lines += ["", f"<details><summary>lost in {_cell(finding.rule)}</summary>", ""]
            lines += [f"- {_cell(example)}" for example in finding.examples]
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
    return html.escape(plain(text), quote=False).replace("|", "\\|").replace("`", "'")
