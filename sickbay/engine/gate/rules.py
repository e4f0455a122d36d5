"""One rule, carried out once: ask, look, measure, and what it means."""

from __future__ import annotations

from sickbay.engine.errors import ProbeError
from sickbay.engine.evals.journal import EvalJournal
from sickbay.engine.evals.judge_check import uses_judge
from sickbay.engine.evals.row import EvalRun, Row
from sickbay.engine.evals.runner import Options, run_evals, run_key
from sickbay.engine.evals.scoring import self_test
from sickbay.engine.gate.judge import judge_eval, judge_runbook
from sickbay.engine.gate.judge_check import judge_check, judge_fitness
from sickbay.engine.gate.judge_latency import judge_latency
from sickbay.engine.gate.kept import too_old
from sickbay.engine.gate.kit import Kit
from sickbay.engine.gate.latency import measure_pairs
from sickbay.engine.gate.model import CheckRule, EvalRule, LatencyRule, Outcome, Rule, RunbookRule
from sickbay.engine.gate.scorecard import Finding
from sickbay.engine.gate.watch import EvalWatch

__all__ = ["Runs", "carry_out", "fitness", "look_at", "unsound"]

Runs = dict[str, list[EvalRun]]
"""Runs of every eval rule, by side."""


async def carry_out(rule: Rule, kit: Kit, runs: Runs) -> list[Finding]:
    """The rule's findings. What cannot be looked at is a finding too."""
    try:
        if isinstance(rule, EvalRule):
            return await _eval(rule, kit, runs)
        if isinstance(rule, LatencyRule):
            return [await _latency(rule, kit)]
        return await look_at(rule, kit)
    except ProbeError as error:
        return [Finding(rule=rule.id, kind="rule", found=Outcome.INCONCLUSIVE, summary=error.detail)]


async def look_at(rule: Rule, kit: Kit) -> list[Finding]:
    """A runbook, or a check on one side or both."""
    kit.told(rule.id, 0, 1, "running")
    if isinstance(rule, RunbookRule):
        report = await kit.run_book(rule)
        return [judge_runbook(rule.id, report.verdict.state, report.verdict.summary)]
    assert isinstance(rule, CheckRule)
    live = kit.sides.live
    ours = await kit.look(rule.check, rule.params, live["candidate"].target, rule.effect)
    theirs = None
    if rule.compare and "baseline" in live:
        theirs = await kit.look(rule.check, rule.params, live["baseline"].target, rule.effect)
    return judge_check(rule, ours, theirs)


def unsound(rule: EvalRule, kit: Kit) -> list[Finding]:
    """A set that grades its own reference answers wrong says nothing of a release."""
    found = self_test(rule.evalset.items, kit.scorers)
    if not found:
        return []
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    why = f"the set cannot judge: {found[0]}{more}"
    return [Finding(rule=rule.id, kind="eval", found=Outcome.INCONCLUSIVE, summary=why)]


def fitness(rule: EvalRule, kit: Kit) -> list[Finding]:
    """Is the judge fit to judge? Nothing where the rule has none."""
    judge = kit.gate.judge
    if judge is None or not uses_judge(rule.evalset, kit.scorers):
        return []
    return [judge_fitness(rule, judge, kit.sides.asking["candidate"].judge_model, dict(kit.scorers))]


async def _eval(rule: EvalRule, kit: Kit, runs: Runs) -> list[Finding]:
    broken = unsound(rule, kit)
    if broken:
        return broken
    arms = {name: arm.endpoint for name, arm in kit.sides.live.items()}
    kept = None if "baseline" in arms else kit.sides.kept.get(rule.evalset.name)
    stale = too_old(kept, kit.gate.baseline_days_max, kit.clock.wall()) if kept else ""
    if stale:
        return [Finding(rule=rule.id, kind="eval", found=Outcome.INCONCLUSIVE, summary=stale)]
    watch = EvalWatch(rule, kept) if rule.sequential and ("baseline" in arms or kept) else None
    total, done = len(arms) * len(rule.evalset.items) * rule.evalset.asked.samples, 0

    def on_row(arm: str, row: Row) -> None:
        nonlocal done
        done += 1
        kit.told(rule.id, done, total, "")
        if watch is not None:
            watch.add(arm, row)

    folder = kit.sides.journal_folder
    key = run_key(rule.evalset, arms, kit.scorers, kit.sides.asking)
    journal = EvalJournal(folder / f"{rule.id}.jsonl", key) if folder else None
    for arm, rows in (journal.rows if journal else {}).items():
        for row in rows:
            on_row(arm, row)
    options = Options(
        concurrency=kit.gate.concurrency, retries=kit.gate.retries, on_row=on_row, asking=kit.sides.asking,
        stop_when=watch.answer if watch else None, journal=journal, allow_commands=kit.allow_commands,
    )  # fmt: skip
    try:
        found = await run_evals(rule.evalset, arms, kit.scorers, clock=kit.clock, options=options)
    finally:
        if journal is not None:
            journal.close()
    for name, run in found.items():
        runs[name].append(run)
    baseline = found.get("baseline", kept)
    wanted = bool(kit.sides.baseline_from)
    return [*judge_eval(rule, found["candidate"], baseline, watch, wanted=wanted), *fitness(rule, kit)]


async def _latency(rule: LatencyRule, kit: Kit) -> Finding:
    live = kit.sides.live
    if "baseline" not in live:
        why = "latency is compared side by side: give --baseline a URL"
        return Finding(rule=rule.id, kind="latency", found=Outcome.INCONCLUSIVE, summary=why)
    found = await measure_pairs(
        rule, live["baseline"], live["candidate"], kit.clock, seed=f"{kit.run_id} {rule.id}",
        on_pair=lambda number: kit.told(rule.id, number, rule.pairs, ""),
    )  # fmt: skip
    return judge_latency(rule, found)
