"""What all forms of a scorecard share: the order of findings, their marks, provenance as rows."""

from __future__ import annotations

from typing import Final

from sickbay.engine.gate.model import Outcome
from sickbay.engine.gate.scorecard import Finding, Scorecard
from sickbay.engine.report.plain_text import plain

__all__ = ["MARKS", "WORDS", "about_rows", "differing", "foremost", "mark_of", "ordered", "sides"]

WORDS: Final = {
    Outcome.PASS: "PASS", Outcome.WARN: "PASS WITH WARNINGS", Outcome.BLOCK: "BLOCK",
    Outcome.INCONCLUSIVE: "INCONCLUSIVE",
}  # fmt: skip
MARKS: Final = {Outcome.PASS: "ok", Outcome.WARN: "warn", Outcome.BLOCK: "BLOCK", Outcome.INCONCLUSIVE: "?"}
ROWS_MAX: Final = 60
_EXPECTED_TO_DIFFER: Final = frozenset({"url", "from", "made"})


def ordered(card: Scorecard) -> list[Finding]:
    """What stops the release first; what was only watched last."""
    order = [Outcome.BLOCK, Outcome.INCONCLUSIVE, Outcome.WARN, Outcome.PASS]
    return sorted(card.findings, key=lambda finding: (order.index(finding.outcome), finding.shadow))


def foremost(card: Scorecard) -> tuple[list[Finding], str]:
    """As many as a person reads, and a line about the rest ("" without): a field may have thousands of slices."""
    found = ordered(card)
    rest = found[ROWS_MAX:]
    if not rest:
        return found, ""
    stop = sum(each.outcome in {Outcome.BLOCK, Outcome.INCONCLUSIVE} for each in rest)
    what = f"{stop} of them stop the release too" if stop else "none of them stops the release"
    return found[:ROWS_MAX], f"and {len(rest)} more findings ({what}): all are in the JSON and the page"


def mark_of(finding: Finding) -> str:
    """One word; in brackets where it does not count."""
    if finding.shadow:
        return f"({MARKS[finding.found].lower()})"
    return MARKS[finding.outcome]


def sides(card: Scorecard) -> list[tuple[str, str, str]]:
    """(what, candidate, baseline) of everything that is known of either side."""
    names = [*card.candidate, *(name for name in card.baseline if name not in card.candidate)]
    return [(name, plain(card.candidate.get(name, "")), plain(card.baseline.get(name, ""))) for name in names]


def differing(card: Scorecard) -> list[tuple[str, str, str]]:
    """What both sides tell and tell differently, addresses left out: where to look first."""
    return [
        (name, new, old)
        for name, new, old in sides(card)
        if new and old and new != old and name not in _EXPECTED_TO_DIFFER
    ]


def about_rows(card: Scorecard) -> list[tuple[str, str]]:
    """Provenance of the whole run: sets, gate, cost."""
    rows = [
        (f"set {rule}", f"{each['set']} {each['version']} ({each['items']} items, sha256 {each['sha256'][:12]})")
        for rule, each in card.sets.items()
    ]
    rows.append(("gate", f"{card.gate} (sha256 {card.gate_sha256[:12]}), run {card.run_id}"))
    if card.rounds:
        rows.append(("canary", f"{card.rounds} rounds; {card.ended}"))
    rows.append(("cost", f"{card.requests} requests, {card.tokens} tokens, {card.elapsed_s:.1f} s"))
    rows.append(("sickbay", card.sickbay_version))
    return [(name, plain(text)) for name, text in rows]
