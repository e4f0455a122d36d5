"""The scorecard: every rule's finding, the waivers, the provenance, and the one answer. Data, and its arithmetic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Any

from sickbay.engine.evals.row import EvalRun
from sickbay.engine.gate.model import Outcome, Rule, Waiver
from sickbay.engine.model.outcome import ExitCode

__all__ = ["Finding", "Scorecard", "WaiverState", "decide", "settle"]

SCHEMA = "sickbay.scorecard.v1"
_RANK = (Outcome.PASS, Outcome.WARN, Outcome.INCONCLUSIVE, Outcome.BLOCK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one rule (or one slice of it: `rule/field=value`) found.

    Attributes:
        found: as measured.
        outcome: after critical, shadow and waivers.
        numbers: what the sentence was made of.
        series: measured values for a picture: "baseline" and "candidate" in `unit`, or evidence over items.
        waived_by: the waiver's owner and approver.
    """

    rule: str
    kind: str
    found: Outcome
    summary: str
    outcome: Outcome = Outcome.PASS
    detail: str = ""
    numbers: Mapping[str, float | str] = field(default_factory=dict)
    series: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    unit: str = ""
    examples: tuple[str, ...] = ()
    critical: bool = True
    shadow: bool = False
    waived_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaiverState:
    """A waiver and what became of it: "used", "unused" or "expired"; an expired one is an error."""

    rule: str
    owner: str
    approver: str
    reason: str
    expires: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorecard:
    """The gate's whole answer."""

    gate: str
    outcome: Outcome
    summary: str
    findings: tuple[Finding, ...]
    waivers: tuple[WaiverState, ...] = ()
    errors: tuple[str, ...] = ()
    candidate: Mapping[str, str] = field(default_factory=dict)
    baseline: Mapping[str, str] = field(default_factory=dict)
    sets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    runs: Mapping[str, tuple[EvalRun, ...]] = field(default_factory=dict)
    title: str = ""
    owner: str = ""
    gate_sha256: str = ""
    run_id: str = ""
    started_at: float = 0.0
    elapsed_s: float = 0.0
    requests: int = 0
    tokens: int = 0
    sickbay_version: str = ""
    rounds: int = 0  # of a canary
    ended: str = ""  # why a canary stopped
    cut: str = ""  # "interrupted" or "deadline": what stands here is what was known by then

    @property
    def exit_code(self) -> int:
        """0 pass, 1 pass with warnings, 2 block, 3 inconclusive; 75 and 130 where it is not whole."""
        return _CUT_CODES.get(self.cut, _CODES[self.outcome])

    def to_json(self) -> dict[str, Any]:
        """Plain data, rows included, so that it can be the next gate's baseline."""
        data = {key: value for key, value in _shallow(self).items() if key not in {"runs", "findings", "waivers"}}
        return {
            "schema": SCHEMA, **data, "exit_code": self.exit_code,
            "findings": [{**asdict(each), "numbers": _finite(each.numbers)} for each in self.findings],
            "waivers": [asdict(each) for each in self.waivers],
            "runs": {arm: [run.to_json() for run in runs] for arm, runs in self.runs.items()},
        }  # fmt: skip


def _finite(numbers: Mapping[str, float | str]) -> dict[str, float | str]:
    """JSON has no word for infinity; a bound that nothing bounds is left out."""
    return {name: value for name, value in numbers.items() if isinstance(value, str) or math.isfinite(value)}


_CUT_CODES = {"deadline": int(ExitCode.DEADLINE), "interrupted": int(ExitCode.INTERRUPTED)}
_CODES = {Outcome.PASS: 0, Outcome.WARN: 1, Outcome.BLOCK: 2, Outcome.INCONCLUSIVE: 3}


def _shallow(card: Scorecard) -> dict[str, Any]:
    return {name: getattr(card, name) for name in card.__dataclass_fields__}


def settle(
    findings: Sequence[Finding], rules: Sequence[Rule], waivers: Sequence[Waiver], *, today: date, inconclusive: str
) -> tuple[tuple[Finding, ...], tuple[WaiverState, ...], tuple[str, ...]]:
    """Apply critical, shadow, waivers and the gate's policy. Expired waivers apply to nothing and are errors."""
    by_id = {rule.id: rule for rule in rules}
    used: set[int] = set()
    settled = []
    for finding in findings:
        rule = by_id[finding.rule.partition("/")[0]]
        finding = replace(finding, critical=finding.critical and rule.critical, shadow=finding.shadow or rule.shadow)  # noqa: PLW2901
        outcome, waived_by = finding.found, ""
        if finding.shadow:
            outcome = Outcome.PASS
        elif outcome in {Outcome.BLOCK, Outcome.INCONCLUSIVE}:
            place = next((n for n, each in enumerate(waivers) if _covers(each, finding, today)), None)
            if place is not None:
                used.add(place)
                waived_by = f"{waivers[place].owner}, approved by {waivers[place].approver}"
                outcome = Outcome.WARN
            elif not finding.critical or (outcome is Outcome.INCONCLUSIVE and inconclusive == "warn"):
                outcome = Outcome.WARN
        settled.append(replace(finding, outcome=outcome, waived_by=waived_by))
    states = tuple(_state(each, today, used=place in used) for place, each in enumerate(waivers))
    errors = tuple(
        f"{each.position}: the waiver of {each.rule!r} by {each.owner} expired on {each.expires}; renew it with a new "
        "approval, or take it out"
        for each in waivers
        if each.expires < today
    )
    return tuple(settled), states, errors


def _covers(waiver: Waiver, finding: Finding, today: date) -> bool:
    same = waiver.rule in {finding.rule, finding.rule.partition("/")[0]}
    return same and finding.found.value in waiver.covers and waiver.expires >= today


def _state(waiver: Waiver, today: date, *, used: bool) -> WaiverState:
    state = "expired" if waiver.expires < today else "used" if used else "unused"
    return WaiverState(
        rule=waiver.rule, owner=waiver.owner, approver=waiver.approver, reason=waiver.reason,
        expires=waiver.expires.isoformat(), state=state,
    )  # fmt: skip


def decide(findings: Sequence[Finding], errors: Sequence[str]) -> tuple[Outcome, str]:
    """The gate's outcome and its sentence. An error of the gate itself blocks: nobody vouches for what it lets pass."""
    worst = max((finding.outcome for finding in findings), key=_RANK.index, default=Outcome.INCONCLUSIVE)
    if errors:
        worst = Outcome.BLOCK
    named = [finding for finding in findings if finding.outcome is worst]
    if not findings:
        return Outcome.INCONCLUSIVE, "nothing was looked at"
    if worst is Outcome.PASS:
        counted = [finding for finding in findings if not finding.shadow]
        words = f"all {len(counted)} findings pass" if len(counted) > 1 else f"{named[0].rule} passes"
        # A slice that is too small to say anything is silent; a watched rule that would stop the release is not.
        would = [finding.rule for finding in findings if finding.shadow and finding.found is Outcome.BLOCK]
        return worst, words + (f"; only watched, and would block: {', '.join(would[:3])}" if would else "")
    if errors and not any(finding.outcome is Outcome.BLOCK for finding in findings):
        return worst, errors[0]
    first = f"{named[0].rule}: {named[0].summary}"
    more = f" (and {len(named) - 1} more)" if len(named) > 1 else ""
    return worst, first + more
