"""Carry a gate out, once or as a canary; settle waivers; give the scorecard."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime

from sickbay._version import __version__
from sickbay.engine.errors import SickbayError
from sickbay.engine.gate.canary import run_rounds
from sickbay.engine.gate.cut import CutShortError, Why
from sickbay.engine.gate.kept import age_words, set_words
from sickbay.engine.gate.kit import Kit, Sides
from sickbay.engine.gate.model import CheckRule, EvalRule, Gate, LatencyRule, Outcome, Rule, RunbookRule
from sickbay.engine.gate.provenance import told_by_checks
from sickbay.engine.gate.rules import Runs, carry_out
from sickbay.engine.gate.scorecard import Finding, Scorecard, decide, settle
from sickbay.engine.gate.steady import changed_findings, told_by_answers

__all__ = ["NotCarriedOutError", "run_gate", "unanswered"]

KINDS: Mapping[type[Rule], str] = {EvalRule: "eval", LatencyRule: "latency", RunbookRule: "runbook", CheckRule: "check"}
NOT_LOOKED_AT = {
    Why.INTERRUPTED: "interrupted before it had its answer",
    Why.DEADLINE: "the deadline came before it had its answer",
}


class NotCarriedOutError(SickbayError):
    """No answer of the gate would mean anything; the message says why."""


async def run_gate(kit: Kit, *, canary: bool = False) -> Scorecard:
    """The scorecard. Whatever fails on the way is a finding of its rule; nothing is left out of the answer."""
    gate, sides, clock, cut = kit.gate, kit.sides, kit.clock, kit.cut
    started_at, start = clock.wall(), clock.monotonic()
    runs: Runs = {"candidate": [], "baseline": []}
    abouts = {name: dict(arm.endpoint.about) for name, arm in sides.live.items()}
    findings: list[Finding] = []
    rounds, ended = 0, ""
    changed: list[Finding] = []
    try:
        for name, arm in sides.live.items():
            abouts[name] |= await cut.during(told_by_checks(kit, arm.target))
        if not canary:
            for rule in gate.rules:
                findings += await cut.during(carry_out(rule, kit, runs))
    except CutShortError:
        pass
    if canary:
        findings, rounds, ended = await run_rounds(kit, runs)
    if cut.why is None:
        with contextlib.suppress(CutShortError):
            for name, arm in sides.live.items():
                now: Mapping[str, str] = await cut.during(arm.again()) if arm.again is not None else {}
                changed += changed_findings(name, arm.facts, now, runs[name])
    for name, names in told_by_answers({name: arm.endpoint.model for name, arm in sides.live.items()}, runs).items():
        abouts[name]["answers_name"] = names
    findings += _not_looked_at(gate, findings, cut.why)
    settled, waivers, errors = settle(
        findings, gate.rules, gate.waivers, today=_day(started_at), inconclusive=gate.inconclusive
    )
    settled += tuple(changed)
    outcome, summary = decide(settled, errors)
    rows = [row for each in runs.values() for run in each for row in run.rows]
    ours, theirs = _kept_about(gate, sides, started_at)
    return Scorecard(
        gate=gate.name, outcome=outcome, summary=summary, findings=settled, waivers=waivers, errors=errors,
        candidate=abouts["candidate"] | ours, baseline=abouts.get("baseline", theirs), sets=_sets(gate.rules),
        runs={arm: tuple(each) for arm, each in runs.items()}, title=gate.title, owner=gate.owner,
        gate_sha256=gate.sha256, run_id=kit.run_id, started_at=started_at, elapsed_s=clock.monotonic() - start,
        requests=sum(arm.requests for arm in sides.live.values()), rounds=rounds, ended=ended, cut=cut.why or "",
        tokens=sum((row.prompt_tokens or 0) + (row.output_tokens or 0) for row in rows), sickbay_version=__version__,
    )  # fmt: skip


def _not_looked_at(gate: Gate, findings: Sequence[Finding], why: Why | None) -> list[Finding]:
    """A finding for each rule that the cut left without one. Nobody waived that it would not be looked at."""
    if why is None:
        return []
    known = {finding.rule.partition("/")[0] for finding in findings}
    return [
        Finding(rule=rule.id, kind=KINDS[type(rule)], found=Outcome.INCONCLUSIVE, summary=NOT_LOOKED_AT[why])
        for rule in gate.rules
        if rule.id not in known
    ]


def unanswered(
    gate: Gate, why: str, abouts: Mapping[str, Mapping[str, str]], *, run_id: str, began_at_s: float, elapsed_s: float,
    requests: int, cut: Why | None,
) -> Scorecard:  # fmt: skip
    """The scorecard of a gate that could not begin: every rule is inconclusive, and no waiver covers that."""
    why = NOT_LOOKED_AT[cut] if cut else why
    _, waivers, errors = settle((), gate.rules, gate.waivers, today=_day(began_at_s), inconclusive="block")
    findings = tuple(
        Finding(
            rule=rule.id, kind=KINDS[type(rule)], found=Outcome.INCONCLUSIVE, critical=rule.critical,
            outcome=Outcome.PASS if rule.shadow else Outcome.INCONCLUSIVE, shadow=rule.shadow, summary=why,
        )
        for rule in gate.rules
    )  # fmt: skip
    return Scorecard(
        gate=gate.name, outcome=Outcome.BLOCK if errors else Outcome.INCONCLUSIVE, summary=why, findings=findings,
        waivers=waivers, errors=errors, candidate=abouts.get("candidate", {}),
        baseline=abouts.get("baseline", {}), sets=_sets(gate.rules), elapsed_s=elapsed_s,
        requests=requests,
        title=gate.title, owner=gate.owner, gate_sha256=gate.sha256, run_id=run_id, started_at=began_at_s,
        cut=cut or "", sickbay_version=__version__,
    )  # fmt: skip


def _day(at_s: float) -> date:
    return datetime.fromtimestamp(at_s, UTC).date()


def _kept_about(gate: Gate, sides: Sides, now_s: float) -> tuple[dict[str, str], dict[str, str]]:
    """(what to add to the candidate, the baseline) where the baseline is read: where from, how old, of which set."""
    if not sides.baseline_from or sides.baseline is not None:
        return {}, {}
    ours, theirs = {}, {"from": sides.baseline_from}
    used = [
        (rule, sides.kept[rule.evalset.name])
        for rule in gate.rules
        if isinstance(rule, EvalRule) and rule.evalset.name in sides.kept
    ]
    for rule, run in used:
        theirs |= {name: fact for name, fact in run.about.items() if name not in theirs}
        made = age_words(run, now_s)
        theirs |= {"made": made} if made and "made" not in theirs else {}
        new, old = set_words(rule, run)
        if old:
            ours[f"set {rule.id}"], theirs[f"set {rule.id}"] = new, old
    return ours, theirs


def _sets(rules: Sequence[Rule]) -> dict[str, Mapping[str, str]]:
    return {
        rule.id: {
            "set": rule.evalset.name, "version": rule.evalset.version, "sha256": rule.evalset.sha256,
            "items": str(len(rule.evalset.items)), "format": rule.evalset.format,
        }
        for rule in rules
        if isinstance(rule, EvalRule)
    }  # fmt: skip
