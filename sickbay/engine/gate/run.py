"""Carry a gate out, once or as a canary; settle waivers; give the scorecard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from sickbay._version import __version__
from sickbay.engine.gate.canary import run_rounds
from sickbay.engine.gate.kit import Kit, Sides
from sickbay.engine.gate.model import EvalRule, Rule
from sickbay.engine.gate.provenance import told_by_checks
from sickbay.engine.gate.rules import Runs, carry_out
from sickbay.engine.gate.scorecard import Finding, Scorecard, decide, settle

__all__ = ["run_gate"]


async def run_gate(kit: Kit, *, canary: bool = False) -> Scorecard:
    """The scorecard. Whatever fails on the way is a finding of its rule; nothing is left out of the answer."""
    gate, sides, clock = kit.gate, kit.sides, kit.clock
    started_at, start = clock.wall(), clock.monotonic()
    runs: Runs = {"candidate": [], "baseline": []}
    abouts = {
        name: dict(arm.endpoint.about) | await told_by_checks(kit, arm.target) for name, arm in sides.live.items()
    }
    findings: list[Finding] = []
    rounds, ended = 0, ""
    if canary:
        findings, rounds, ended = await run_rounds(kit, runs)
    else:
        for rule in gate.rules:
            findings += await carry_out(rule, kit, runs)
    today = datetime.fromtimestamp(started_at, UTC).date()
    settled, waivers, errors = settle(findings, gate.rules, gate.waivers, today=today, inconclusive=gate.inconclusive)
    outcome, summary = decide(settled, errors)
    rows = [row for each in runs.values() for run in each for row in run.rows]
    return Scorecard(
        gate=gate.name, outcome=outcome, summary=summary, findings=settled, waivers=waivers, errors=errors,
        candidate=abouts["candidate"], baseline=abouts.get("baseline", _kept_about(sides)), sets=_sets(gate.rules),
        runs={arm: tuple(each) for arm, each in runs.items()}, title=gate.title, owner=gate.owner,
        gate_sha256=gate.sha256, run_id=kit.run_id, started_at=started_at, elapsed_s=clock.monotonic() - start,
        requests=sum(arm.requests for arm in sides.live.values()), rounds=rounds, ended=ended,
        tokens=sum((row.prompt_tokens or 0) + (row.output_tokens or 0) for row in rows), sickbay_version=__version__,
    )  # fmt: skip


def _kept_about(sides: Sides) -> dict[str, str]:
    first = next(iter(sides.kept.values()), None)
    return {"from": sides.baseline_from, **(first.about if first is not None else {})} if sides.baseline_from else {}


def _sets(rules: Sequence[Rule]) -> dict[str, Mapping[str, str]]:
    return {
        rule.id: {
            "set": rule.evalset.name, "version": rule.evalset.version, "sha256": rule.evalset.sha256,
            "items": str(len(rule.evalset.items)), "format": rule.evalset.format,
        }
        for rule in rules
        if isinstance(rule, EvalRule)
    }  # fmt: skip
