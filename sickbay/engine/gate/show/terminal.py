"""The scorecard for a terminal: the answer, what stops the release, the rest, what differs, provenance."""

from __future__ import annotations

import textwrap
from typing import Final

from sickbay.engine.gate.model import Outcome
from sickbay.engine.gate.scorecard import Scorecard
from sickbay.engine.gate.show.words import WORDS, about_rows, differing, foremost, mark_of, sides
from sickbay.engine.report.plain_text import plain

__all__ = ["to_terminal"]

_COLOURS: Final = {Outcome.PASS: "32", Outcome.WARN: "33", Outcome.BLOCK: "31;1", Outcome.INCONCLUSIVE: "35"}
_INDENT: Final = " " * 10
_SETTING: Final = "serving."
EXAMPLE_CHARS_MAX: Final = 140


def to_terminal(card: Scorecard, *, colour: bool = False, width: int = 80) -> str:
    """Plain text of at most `width` columns (longer words stand alone)."""

    def paint(outcome: Outcome, text: str) -> str:
        return f"\x1b[{_COLOURS[outcome]}m{text}\x1b[0m" if colour else text

    head = WORDS[card.outcome]
    first = _wrapped(f"{head}  {card.gate}: {plain(card.summary)}", "", width)
    lines = [paint(card.outcome, head) + first[0].removeprefix(head), *first[1:], ""]
    findings, rest = foremost(card)
    for finding in findings:
        mark = f"{mark_of(finding):<7}"
        said = "as above" if finding.summary == card.summary else plain(finding.summary)
        found = _wrapped(f"  {mark} {plain(finding.rule)}: {said}", _INDENT, width)
        lines += [found[0].replace(mark, paint(finding.outcome, mark), 1), *found[1:]]
        if finding.waived_by:
            lines += _wrapped(f"{_INDENT}waived by {plain(finding.waived_by)}", _INDENT, width)
        elif finding.outcome is not finding.found and not finding.shadow:
            why = "not critical" if not finding.critical else "the gate's policy"
            lines.append(f"{_INDENT}{finding.found.value}, but it only warns: {why}")
        if finding.outcome is not Outcome.PASS:
            for example in finding.examples:
                lines += _wrapped(f"{_INDENT}- {plain(example, EXAMPLE_CHARS_MAX)}", _INDENT + "  ", width)
    lines += _wrapped(f"  ...     {rest}", _INDENT, width) if rest else []
    for error in card.errors:
        lines += _wrapped(f"  error   {plain(error)}", _INDENT, width)
    for waiver in card.waivers:
        who = plain(f"{waiver.owner}, approved by {waiver.approver}")
        text = f"waiver {plain(waiver.rule)}: {waiver.state}, until {waiver.expires}, by {who}: {plain(waiver.reason)}"
        lines += _wrapped(f"  {text}", _INDENT, width)
    lines += ["", *_compared(card, width)]
    for name, text in about_rows(card):
        lines += _wrapped(f"  {name:<10} {text}", " " * 13, width)
    return "\n".join(lines) + "\n"


def _compared(card: Scorecard, width: int) -> list[str]:
    lines: list[str] = []
    changed = differing(card)
    for name, new, old in changed:
        lines += _wrapped(f"  differs    {name}: {old} -> {new}", " " * 13, width)
    # Settings that checks told stand in the page and the JSON; here only where they differ.
    told = {name for name, _, _ in changed} | {name for name, _, _ in sides(card) if name.startswith(_SETTING)}
    for side, place in (("candidate", 1), ("baseline", 2)):
        parts = [f"{row[0]} {row[place]}" for row in sides(card) if row[place] and row[0] not in told]
        lines += _wrapped(f"  {side:<10} {', '.join(parts) or 'none'}", " " * 13, width)
    return lines


def _wrapped(text: str, indent: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) or [""]
