"""`--canary`: a gate repeated over time, stopped as soon as its answer is clear.

Every round asks a few new items and latency pairs of both sides and looks once more. Items and pairs feed sequential
tests that may be looked at after every round (see `evals.stats.sequential`); the chance to stop a sound release is
split over the rules that may stop it, so it is held for the whole gate and for any number of rounds. A runbook or
check stops the release only when two rounds in a row say so (see `rounds`), and has no answer before the last round: a
gate of such rules alone watches to its end, and so does one with `rounds_min`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from sickbay.engine.errors import ProbeError
from sickbay.engine.evals.item import EvalSet, Item
from sickbay.engine.evals.row import EvalRun
from sickbay.engine.evals.runner import Options, run_evals
from sickbay.engine.evals.stats.sequential import CanaryState
from sickbay.engine.gate.cut import CutShortError, Why
from sickbay.engine.gate.judge import judge_eval
from sickbay.engine.gate.judge_latency import judge_latency_watch
from sickbay.engine.gate.kept import too_old
from sickbay.engine.gate.kit import Kit
from sickbay.engine.gate.latency import measure_pairs
from sickbay.engine.gate.model import CanaryPlan, EvalRule, LatencyRule, Outcome, Rule
from sickbay.engine.gate.rounds import Rounds
from sickbay.engine.gate.rules import Runs, fitness, look_at, unsound
from sickbay.engine.gate.scorecard import Finding
from sickbay.engine.gate.watch import EvalWatch, LatencyWatch

__all__ = ["run_rounds"]


ROUNDS_LEAST = 2


@dataclass
class _Watched:
    """One rule over the rounds."""

    rule: Rule
    evals: EvalWatch | None = None
    latency: LatencyWatch | None = None
    todo: list[Item] = field(default_factory=list)
    runs: dict[str, EvalRun] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    looks: Rounds = field(default_factory=Rounds)
    over: bool = False  # nothing more to be learnt of it


async def run_rounds(kit: Kit, runs: Runs) -> tuple[list[Finding], int, str]:
    """Findings of all rules, the rounds it took, and why it ended."""
    plan = kit.gate.canary
    counted = sum(
        rule.critical and not rule.shadow and isinstance(rule, (EvalRule, LatencyRule)) for rule in kit.gate.rules
    )
    watched = [_watched(rule, kit, max(1, counted)) for rule in kit.gate.rules]
    number, why = 0, ""
    try:
        while not why:
            number += 1
            began_at_s = kit.clock.monotonic()
            for each in watched:
                if not each.over:
                    kit.told(each.rule.id, number, plan.rounds, f"round {number} of at most {plan.rounds}")
                    await kit.cut.during(_round(each, kit, number))
            why = _why_over(watched, number, plan, _answered_for(kit))
            if not why:
                await kit.cut.during(kit.clock.sleep(max(0.0, plan.every_s - (kit.clock.monotonic() - began_at_s))))
    except CutShortError:
        why = f"{'the deadline came' if kit.cut.why is Why.DEADLINE else 'interrupted'} in round {number}"
    for each in watched:
        for name, run in each.runs.items():
            runs[name].append(run)
    return [finding for each in watched for finding in each.findings], number, why


def _watched(rule: Rule, kit: Kit, counted: int) -> _Watched:
    soaks = kit.gate.canary.rounds_min > ROUNDS_LEAST
    if isinstance(rule, LatencyRule):
        return _Watched(rule, latency=LatencyWatch(rule, rules=counted, soaks=soaks))
    if not isinstance(rule, EvalRule):
        return _Watched(rule)
    kept = None if "baseline" in kit.sides.live else kit.sides.kept.get(rule.evalset.name)
    return _Watched(rule, evals=EvalWatch(rule, kept, rules=counted, soaks=soaks), todo=_shuffled(rule, kit))


def _shuffled(rule: EvalRule, kit: Kit) -> list[Item]:
    """The items in an order that says nothing; those of one cluster together, since they count together."""
    groups: dict[str, list[Item]] = {}
    for item in rule.evalset.items:
        groups.setdefault(f"c {item.cluster}" if item.cluster else f"i {item.id}", []).append(item)
    order = list(groups.values())
    random.Random(f"{kit.run_id} {rule.id}").shuffle(order)  # noqa: S311  # an order, and repeatable
    return [item for group in order for item in group]


def _answered_for(kit: Kit) -> set[str]:
    """Rules whose block somebody has waived: they stop no release, and so no canary."""
    today = datetime.fromtimestamp(kit.clock.wall(), UTC).date()
    return {each.rule for each in kit.gate.waivers if "block" in each.covers and each.expires >= today}


def _why_over(watched: list[_Watched], number: int, plan: CanaryPlan, waived: set[str]) -> str:
    rounds, rounds_min = plan.rounds, max(ROUNDS_LEAST, plan.rounds_min)
    for each in watched:
        stops = each.rule.critical and not each.rule.shadow and each.rule.id not in waived
        for finding in each.findings:
            if stops and finding.found is Outcome.BLOCK and finding.rule not in waived:
                return f"{finding.rule} shows the release to be worse"
    tested = [each for each in watched if (each.evals or each.latency) and not each.rule.shadow]
    if tested and all(each.over for each in tested) and number >= rounds_min:
        return "every rule has its answer"
    return f"all {rounds} rounds are used up" if number >= rounds else ""


async def _round(each: _Watched, kit: Kit, number: int) -> None:
    try:
        if isinstance(each.rule, EvalRule):
            await _ask(each, each.rule, kit, number)
        elif isinstance(each.rule, LatencyRule):
            await _measure(each, each.rule, kit, number)
        else:
            each.findings = each.looks.add(await look_at(each.rule, kit))
    except ProbeError as error:
        lost = [Finding(rule=each.rule.id, kind="rule", found=Outcome.INCONCLUSIVE, summary=error.detail)]
        each.findings = each.looks.add(lost)


async def _ask(each: _Watched, rule: EvalRule, kit: Kit, number: int) -> None:
    assert each.evals is not None
    each.evals.begin()
    broken = unsound(rule, kit)
    kept = kit.sides.kept.get(rule.evalset.name) if "baseline" not in kit.sides.live else None
    stale = too_old(kept, kit.gate.baseline_days_max, kit.clock.wall()) if kept else ""
    if stale:
        broken = [Finding(rule=rule.id, kind="eval", found=Outcome.INCONCLUSIVE, summary=stale)]
    if broken or ("baseline" not in kit.sides.live and rule.evalset.name not in kit.sides.kept):
        why = "no baseline holds this set; a canary compares"
        each.findings = broken or [Finding(rule=rule.id, kind="eval", found=Outcome.INCONCLUSIVE, summary=why)]
        each.over = True
        return
    batch, each.todo = each.todo[: kit.gate.canary.items], each.todo[kit.gate.canary.items :]
    options = Options(
        concurrency=kit.gate.concurrency, retries=kit.gate.retries, on_row=each.evals.add, asking=kit.sides.asking,
        allow_commands=kit.allow_commands,
    )  # fmt: skip
    arms = {name: arm.endpoint for name, arm in kit.sides.live.items()}
    part = replace(rule.evalset, items=tuple(batch))
    found = await run_evals(part, arms, kit.scorers, clock=kit.clock, options=options)
    for name, run in found.items():
        each.runs[name] = _joined(each.runs.get(name), run, rule.evalset)
    worse = each.evals.state is CanaryState.INFERIOR
    each.over = not each.todo or worse or (each.evals.over and number >= kit.gate.canary.rounds_min)
    baseline = each.runs.get("baseline", kit.sides.kept.get(rule.evalset.name))
    judged = judge_eval(replace(rule, sequential=True), each.runs["candidate"], baseline, each.evals)
    each.findings = [*judged, *fitness(rule, kit)]


def _joined(before: EvalRun | None, run: EvalRun, evalset: EvalSet) -> EvalRun:
    """The rounds so far as one run of the whole set, of which a part may never be asked."""
    run = replace(run, set_sha256=evalset.sha256, planned=len(evalset.items) * evalset.asked.samples)
    if before is None:
        return run
    return replace(
        before, rows=before.rows + run.rows, stopped=run.stopped, requests=before.requests + run.requests,
        elapsed_s=before.elapsed_s + run.elapsed_s,
    )  # fmt: skip


async def _measure(each: _Watched, rule: LatencyRule, kit: Kit, number: int) -> None:
    watch, live = each.latency, kit.sides.live
    assert watch is not None
    if "baseline" not in live:
        why = "latency is compared side by side: give --baseline a URL"
        each.findings, each.over = (
            [Finding(rule=rule.id, kind="latency", found=Outcome.INCONCLUSIVE, summary=why)],
            True,
        )
        return
    watch.begin()
    part = replace(rule, pairs=kit.gate.canary.pairs)
    found = await measure_pairs(
        part, live["baseline"], live["candidate"], kit.clock, seed=f"{kit.run_id} {rule.id} {number}"
    )
    watch.add(found)
    clear = watch.state is not CanaryState.GO_ON and number >= kit.gate.canary.rounds_min
    each.over = clear or watch.state is CanaryState.INFERIOR or watch.later or bool(found.stopped)
    each.findings = [judge_latency_watch(rule, watch)]
