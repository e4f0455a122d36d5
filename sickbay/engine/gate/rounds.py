"""What a runbook or check said over the rounds of a canary. Pure.

One bad round stops nothing, two in a row do. What went wrong now and then is not forgotten because the last round
was good: it warns, and where it was often it is inconclusive.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from sickbay.engine.gate.model import Outcome
from sickbay.engine.gate.scorecard import Finding

__all__ = ["Rounds"]

OFTEN = 0.25
"""Share of rounds from which on bad ones that never came twice in a row are more than chance."""
BLIND = 0.5
"""Share of rounds that could not look from which on the good ones vouch for nothing."""


class Rounds:
    """Remembers each finding of one rule, round by round."""

    def __init__(self) -> None:
        self._seen: dict[str, Counter[Outcome]] = defaultdict(Counter)
        self._blocked_before: set[str] = set()

    def add(self, found: Sequence[Finding]) -> list[Finding]:
        """One more round; the findings as they stand after it."""
        for finding in found:
            self._seen[finding.rule][finding.found] += 1
        judged = [self._judged(finding) for finding in found]
        self._blocked_before = {finding.rule for finding in found if finding.found is Outcome.BLOCK}
        return judged

    def _judged(self, finding: Finding) -> Finding:
        seen = self._seen[finding.rule]
        rounds = seen.total()
        if finding.found is Outcome.BLOCK:
            if finding.rule in self._blocked_before:
                return replace(finding, summary=f"two rounds in a row: {finding.summary}")
            words = f"in {_of(seen[Outcome.BLOCK], rounds)}: {finding.summary}"
            return replace(finding, found=Outcome.INCONCLUSIVE, summary=words)
        if finding.found is Outcome.INCONCLUSIVE:
            return finding
        bad, blind, warned = seen[Outcome.BLOCK], seen[Outcome.INCONCLUSIVE], seen[Outcome.WARN]
        if bad >= 2 and bad >= OFTEN * rounds:
            words = f"would have blocked in {_of(bad, rounds)}, though not twice in a row; at last: {finding.summary}"
            return replace(finding, found=Outcome.INCONCLUSIVE, summary=words)
        if blind >= BLIND * rounds:
            words = f"could not be looked at in {_of(blind, rounds)}; at last: {finding.summary}"
            return replace(finding, found=Outcome.INCONCLUSIVE, summary=words)
        if bad or (warned and finding.found is Outcome.PASS):
            did = f"would have blocked in {_of(bad, rounds)}" if bad else f"warned in {_of(warned, rounds)}"
            return replace(finding, found=Outcome.WARN, summary=f"{did}; at last: {finding.summary}")
        return finding


def _of(count: int, rounds: int) -> str:
    return f"{count} of {rounds} rounds" if rounds > 1 else "one round"
