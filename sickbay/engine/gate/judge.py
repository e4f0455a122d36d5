"""What each rule's measurements mean. Pure: the same rows, the same finding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from sickbay.engine.evals.compare import Comparison, Pair, Pairing, compare, compare_slices, pair_runs
from sickbay.engine.evals.compare import Finding as Shown
from sickbay.engine.evals.row import EvalRun, Row
from sickbay.engine.evals.stats.power import items_needed_exactly
from sickbay.engine.evals.stats.proportions import Interval, wilson
from sickbay.engine.evals.stats.sequential import Canary, CanaryState
from sickbay.engine.evals.summary import summary_of
from sickbay.engine.gate.judge_missing import PLAN_POWER, failing_finding, of_slice, unanswered_slices, without_answers
from sickbay.engine.gate.model import EvalRule, Outcome, SliceRule
from sickbay.engine.gate.scorecard import Finding
from sickbay.engine.gate.watch import EvalWatch
from sickbay.engine.model.outcome import VerdictState

__all__ = [
    "PLAN_POWER",
    "judge_eval",
    "judge_runbook",
    "plan_power",
    "planned_items",
]

EXAMPLES_MAX = 5


def planned_items(rule: EvalRule, discordance: float, *, rules: int = 1) -> int:
    """Items the rule needs, before anything is run, where so many rules must all pass a release that is no worse."""
    return items_needed_exactly(rule.margin, discordance, alpha=1 - rule.confidence, power=plan_power(rules))


def plan_power(rules: int) -> float:
    """The chance that each of so many rules must have, so that all of them together pass at `PLAN_POWER`."""
    return 1.0 - (1.0 - PLAN_POWER) / rules


def judge_eval(
    rule: EvalRule, candidate: EvalRun, baseline: EvalRun | None, watch: EvalWatch | None = None,
    *, wanted: bool = False,
) -> list[Finding]:  # fmt: skip
    """The rule's finding, one for its minimum, and one a slice.

    Args:
        rule: what is allowed.
        candidate: its answers.
        baseline: those of the other side; None where there are none.
        watch: the sequential tests, where there are.
        wanted: a baseline was named; then one that lacks this set is no reason to look at the minimum alone.
    """
    findings = []
    if rule.minimum is not None:
        findings.append(_still(_minimum(rule, rule.minimum, candidate), "minimum", watch))
    if rule.flaky_max is not None:
        findings.append(_still(_flaky(rule, rule.flaky_max, candidate), "flaky", watch))
    if baseline is None:
        dead = failing_finding(rule, candidate, None)
        return [*findings, dead or _alone(rule, wanted=wanted)]
    why = _incomparable(candidate, baseline)
    failed = failing_finding(rule, candidate, baseline)
    if failed and watch is not None and failed.found is Outcome.BLOCK and "failing" not in watch.shown:
        # Looked at again and again, one request that fails must stop nothing.
        words = f"{failed.summary}; too few to say whether it fails more often than the baseline"
        failed = replace(failed, found=Outcome.INCONCLUSIVE, summary=words)
    if failed and (watch is None or watch.state is not CanaryState.INFERIOR):
        return [*findings, failed]
    if why:
        return [*findings, _cannot(rule, why)]
    pairing = pair_runs(baseline.rows, candidate.rows, rule.metric)
    if not pairing.pairs or (pairing.overlap < rule.overlap_min and watch is None):
        return [*findings, _cannot(rule, _unpaired(rule, pairing))]
    one = compare(pairing.pairs, rule.margin, confidence=rule.confidence, power=PLAN_POWER)
    examples = _lost(baseline.rows, candidate.rows)
    if watch is not None:
        return findings + _watched(rule, watch, pairing.pairs, one, examples)
    findings.append(without_answers(rule, _overall(rule, one, examples), candidate, baseline))
    for slices in rule.slices:
        margin = slices.margin or rule.margin
        found = compare_slices(pairing.pairs, slices.by, margin, confidence=rule.confidence, items_min=slices.items_min)
        for value, each in found.items():
            finding = _slice(rule, slices, value, each)
            if slices.is_critical(value):
                runs = of_slice(slices.by, value, candidate, baseline)
                finding = without_answers(rule, finding, *runs, margin=margin)
            findings.append(finding)
        findings += unanswered_slices(rule, slices, found, candidate)
    return findings


def _unpaired(rule: EvalRule, pairing: Pairing) -> str:
    """Why the two runs cannot be compared, in words."""
    lost = []
    if pairing.changed:
        lost.append(f"{pairing.changed} items changed their content")
    if pairing.only_baseline or pairing.only_candidate:
        lost.append(f"{pairing.only_candidate} are only in the candidate's run, {pairing.only_baseline} only before")
    return f"only {pairing.overlap:.0%} of the items pair, wanted {rule.overlap_min:.0%}: {'; '.join(lost)}"


def _watched(
    rule: EvalRule, watch: EvalWatch, pairs: Sequence[Pair], one: Comparison, examples: tuple[str, ...]
) -> list[Finding]:
    """What the sequential tests say of the whole set, and of each critical slice."""
    overall = _sequential(rule, one, watch.canary, examples)
    if "later" in watch.shown and overall.found is not Outcome.BLOCK:
        words = overall.summary.partition(": ")[0]
        overall = replace(overall, found=Outcome.BLOCK, summary=f"{words}: not worse at first, and worse later")
    findings = [overall]
    for (by, value), canary in watch.slices.items():
        inside = [pair for pair in pairs if dict(pair.fields).get(by, "(none)") == value]
        part = compare(inside, canary.margin, confidence=rule.confidence, power=PLAN_POWER)
        findings.append(replace(_sequential(rule, part, canary, ()), rule=f"{rule.id}/{by}={value}", kind="slice"))
    return findings


def _still(finding: Finding, what: str, watch: EvalWatch | None) -> Finding:
    """Looked at again and again, an interval is crossed by chance at last: only a sequential test may block."""
    if watch is None or finding.found is not Outcome.BLOCK or what in watch.shown:
        return finding
    return replace(finding, found=Outcome.INCONCLUSIVE, summary=f"{finding.summary}, so far")


def _alone(rule: EvalRule, *, wanted: bool) -> Finding:
    """A set that no baseline holds."""
    if rule.minimum is None or wanted:
        tail = "and the rule has no minimum" if rule.minimum is None else "and it was to be compared with one"
        return _cannot(rule, f"no baseline holds this set, {tail}")
    words = "not compared: no --baseline was given, so only its minimum counts"
    return Finding(rule=rule.id, kind="eval", found=Outcome.WARN, summary=words)


def _cannot(rule: EvalRule, why: str) -> Finding:
    return Finding(rule=rule.id, kind="eval", found=Outcome.INCONCLUSIVE, summary=why)


def _incomparable(candidate: EvalRun, baseline: EvalRun) -> str:
    """Why two runs measure different things; "" when they do not."""
    for name, version in baseline.scorers.items():
        now = candidate.scorers.get(name)
        if now is not None and now != version:
            return f"the baseline was scored by {name} version {version}, the candidate by version {now}"
    asked = {key for key in ("temperature", "max_tokens", "samples", "top_p", "extra") if key in baseline.asked}
    other = sorted(key for key in asked if baseline.asked[key] != candidate.asked.get(key))
    if other:
        shown = ", ".join(f"{key} {baseline.asked[key]} then, {candidate.asked.get(key)} now" for key in other)
        return f"the baseline was asked in another way: {shown}"
    return ""


def _minimum(rule: EvalRule, minimum: float, candidate: EvalRun) -> Finding:
    score = summary_of(candidate).score
    low, high = score.interval.low, score.interval.high
    found = Outcome.PASS if low >= minimum else Outcome.BLOCK if high < minimum else Outcome.INCONCLUSIVE
    words = f"score {score.passed:.1%} of {score.items} items (95 % interval {low:.1%} to {high:.1%})"
    tail = {
        Outcome.PASS: f"at least {minimum:.1%}",
        Outcome.BLOCK: f"below {minimum:.1%}",
        Outcome.INCONCLUSIVE: f"too few items to say whether it is {minimum:.1%}",
    }[found]
    numbers = {"score": score.passed, "low": low, "high": high, "minimum": minimum, "items": float(score.items)}
    return Finding(rule=f"{rule.id}/minimum", kind="eval", found=found, summary=f"{words}: {tail}", numbers=numbers)


def _flaky(rule: EvalRule, most: float, candidate: EvalRun) -> Finding:
    """Items whose samples disagree: nobody can say what such an item shows."""
    summary = summary_of(candidate)
    count, items = len(summary.flaky), summary.score.items
    bound = wilson(count, items) if items else Interval(0.0, 1.0)
    share = count / items if items else 0.0
    found = Outcome.PASS if share <= most else Outcome.BLOCK if bound.low > most else Outcome.INCONCLUSIVE
    tail = {
        Outcome.PASS: f"allowed {most:.1%}", Outcome.BLOCK: f"more than {most:.1%}",
        Outcome.INCONCLUSIVE: f"too few items to say whether it is more than {most:.1%}",
    }[found]  # fmt: skip
    words = f"the samples of {count} of {items} items disagree ({share:.1%}): {tail}"
    return Finding(
        rule=f"{rule.id}/flaky", kind="eval", found=found, summary=words, examples=summary.flaky[:EXAMPLES_MAX],
        numbers={"flaky": share, "items": float(items), "flaky_max": most},
    )  # fmt: skip


def _overall(rule: EvalRule, one: Comparison, examples: tuple[str, ...]) -> Finding:
    found, tail = _read(one)
    if one.n < rule.items_min:
        found, tail = Outcome.INCONCLUSIVE, f"{one.n} items pair, wanted at least {rule.items_min}"
    return Finding(
        rule=rule.id, kind="eval", found=found, summary=f"{_words(one)}: {tail}", detail=one.method,
        numbers=_numbers(one), examples=examples if one.worse else (),
    )  # fmt: skip


def _slice(rule: EvalRule, slices: SliceRule, value: str, one: Comparison) -> Finding:
    found, tail = _read(one)
    # A slice nobody called critical needs no proof of its own: too few items are told and do not count.
    silent = found is Outcome.INCONCLUSIVE and not slices.is_critical(value)
    return Finding(
        rule=f"{rule.id}/{slices.by}={value}", kind="slice", found=found, summary=f"{_words(one)}: {tail}",
        detail=f"{one.method}; p-values Holm-corrected over the slices", numbers=_numbers(one), shadow=silent,
    )  # fmt: skip


def _read(one: Comparison) -> tuple[Outcome, str]:
    margin = f"{one.margin * 100:g} points"
    if one.finding is Shown.INFERIOR:
        return Outcome.BLOCK, f"worse (p {one.p_worse:.2g}), and a drop of {margin} is not excluded"
    if one.finding is Shown.TOO_FEW:
        need = f"needs about {one.needed} items" if one.needed > one.n else "lies too near the margin"
        why = one.note or f"{one.n} items can show {_resolved(one.resolvable)}; this margin {need}"
        return Outcome.INCONCLUSIVE, f"too few items to say ({why})"
    if one.difference < 0 and one.p_worse <= 1 - one.confidence:
        return Outcome.WARN, f"worse (p {one.p_worse:.2g}), but by less than {margin}"
    return Outcome.PASS, f"no drop of {margin} or more"


def _resolved(margin: float) -> str:
    points = margin * 100
    return "no margin" if margin >= 1.0 else f"{points:.0f} points" if points >= 10 else f"{points:.2g} points"


def _words(one: Comparison) -> str:
    return (
        f"{one.baseline:.1%} -> {one.candidate:.1%} on {one.n} items, {one.difference * 100:+.1f} points "
        f"(at worst {one.low * 100:+.1f})"
    )


def _numbers(one: Comparison) -> dict[str, float | str]:
    return {
        "items": float(one.n), "baseline": one.baseline, "candidate": one.candidate, "difference": one.difference,
        "low": one.low, "high": one.high, "margin": one.margin, "confidence": one.confidence, "p_worse": one.p_worse,
        "better": float(one.better), "worse": float(one.worse), "resolvable": one.resolvable,
        "needed": float(one.needed), "method": one.method,
    }  # fmt: skip


def _sequential(rule: EvalRule, one: Comparison, canary: Canary, examples: tuple[str, ...]) -> Finding:
    found, tail = {
        CanaryState.NOT_INFERIOR: (Outcome.PASS, f"no drop of {canary.margin * 100:g} points or more"),
        CanaryState.INFERIOR: (Outcome.BLOCK, "worse"),
        CanaryState.GO_ON: (Outcome.INCONCLUSIVE, f"too few items to say ({one.n} were compared)"),
    }[canary.state]
    words = f"{one.baseline:.1%} -> {one.candidate:.1%} on the first {one.n} items, {one.difference * 100:+.1f} points"
    return Finding(
        rule=rule.id, kind="eval", found=found, summary=f"{words}: {tail}", detail="sequential test, valid at any time",
        numbers=_numbers(one) | {"evidence_needed": -math.log(canary.alpha)}, series=_path(canary),
        examples=examples if one.worse else (),
    )  # fmt: skip


def _path(canary: Canary) -> dict[str, tuple[float, ...]]:
    """The evidence over items, thinned to what a picture can show."""
    step = max(1, len(canary.path) // 300)
    kept = canary.path[::step] + canary.path[-1:]
    return {
        "evidence_worse": tuple(round(worse, 3) for worse, _ in kept),
        "evidence_fine": tuple(round(fine, 3) for _, fine in kept),
    }


def _lost(baseline: Sequence[Row], candidate: Sequence[Row]) -> tuple[str, ...]:
    """Items that were right before and are wrong now, with the scorer's words."""
    right = {row.item for row in baseline if row.passed}
    return tuple(f"{row.item}: {row.why or 'wrong'}" for row in candidate if row.passed is False and row.item in right)[
        :EXAMPLES_MAX
    ]


def judge_runbook(rule_id: str, state: VerdictState, summary: str) -> Finding:
    """A runbook's verdict as a finding."""
    found = {
        VerdictState.HEALTHY: Outcome.PASS,
        VerdictState.DEGRADED: Outcome.WARN,
        VerdictState.FAILING: Outcome.BLOCK,
        VerdictState.INCONCLUSIVE: Outcome.INCONCLUSIVE,
    }[state]
    return Finding(rule=rule_id, kind="runbook", found=found, summary=f"{state.value}: {summary}")
