"""What a gate would ask of both sides, and what it could show; nothing is asked. For `gate --plan` and `plan`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sickbay.engine.cli.setting import find_runbook
from sickbay.engine.cli.tools import Tools
from sickbay.engine.errors import UsageError
from sickbay.engine.load.runbook import resolve_inputs
from sickbay.engine.model.runbook import Budget, Group, Runbook, Step
from sickbay.engine.model.target import Target
from sickbay.engine.run.plan import make_plan

if TYPE_CHECKING:
    from sickbay.engine.gate.model import CheckRule, EvalRule, Gate, Rule, RunbookRule

__all__ = ["GatePlan", "PlannedRule", "look_book", "plan_as_json", "plan_as_text", "plan_gate"]

LOOK_S, LOOK_REQUESTS = 300.0, 200
"""Most that one check of a gate may take."""
_WIDTH = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRule:
    """One rule before it is carried out. Requests are generating ones, at most, without retries.

    Attributes:
        items: of an eval set; `items_needed` of them show the margin, and `margin_shown` is what these can show.
        judge: requests to the judge.
    """

    rule: str
    kind: str
    candidate: int = 0
    baseline: int = 0
    judge: int = 0
    items: int = 0
    samples: int = 0
    margin: float | None = None
    margin_shown: float | None = None
    items_needed: int | None = None
    pairs: int = 0
    words: str = ""

    @property
    def too_few(self) -> bool:
        """Whether the rule will mostly be inconclusive."""
        return self.items_needed is not None and self.items < self.items_needed


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePlan:
    """Every rule, and the sums."""

    gate: str
    discordance: float
    rules: tuple[PlannedRule, ...]
    allowed: int
    rounds: int = 0  # of a canary, where the gate says how
    hours: float = 0.0
    round_items: int = 0

    def total(self, side: str) -> int:
        """Requests to "candidate", "baseline" or "judge", at most."""
        return sum(getattr(rule, side) for rule in self.rules)


def plan_gate(gate: Gate, tools: Tools, discordance: float) -> GatePlan:
    """The plan against a live baseline; with a kept one the baseline's requests fall away.

    Raises:
        UsageError: the discordance is no share above 0 and below 1.
    """
    if not 0.0 < discordance < 1.0:
        raise UsageError(f"--discordance: {discordance:g}; wanted a share above 0 and below 1")
    from sickbay.engine.gate.model import EvalRule

    counted = sum(isinstance(rule, EvalRule) and rule.critical and not rule.shadow for rule in gate.rules)
    rules = tuple(_rule(rule, tools, discordance, max(1, counted)) for rule in gate.rules)
    plan = gate.canary
    canary: dict[str, Any] = {}
    if gate.canary_given:
        canary = {"rounds": plan.rounds, "hours": plan.rounds * plan.every_s / 3600, "round_items": plan.items}
    return GatePlan(gate=gate.name, discordance=discordance, rules=rules, allowed=gate.requests, **canary)


def _rule(rule: Rule, tools: Tools, discordance: float, counted: int) -> PlannedRule:
    # Late, here and below: `plan` of a runbook must not load the whole of evals.
    from sickbay.engine.gate.model import EvalRule, LatencyRule, RunbookRule

    if isinstance(rule, EvalRule):
        return _eval(rule, tools, discordance, counted)
    if isinstance(rule, LatencyRule):
        many = f", {rule.concurrency} at a time" if rule.concurrency > 1 else ""
        than = "slower" if rule.metric == "throughput" else "the baseline's"
        words = f"may be {rule.ratio_max:g} times {than}{many}"
        asked = (rule.pairs + 1) * rule.concurrency
        return PlannedRule(rule=rule.id, kind="latency", candidate=asked, baseline=asked, pairs=rule.pairs, words=words)
    if isinstance(rule, RunbookRule):
        return PlannedRule(rule=rule.id, kind="runbook", candidate=_runbook(rule, tools), words=rule.runbook)
    return _check(rule, tools)  # type: ignore[arg-type]  # the fourth kind


def _eval(rule: EvalRule, tools: Tools, discordance: float, counted: int) -> PlannedRule:
    from sickbay.engine.evals.judge_check import uses_judge
    from sickbay.engine.evals.stats.power import margin_resolved_exactly
    from sickbay.engine.gate.judge import plan_power, planned_items

    items, samples = len(rule.evalset.items), rule.evalset.asked.samples
    asked = items * samples
    judged = 2 * asked if uses_judge(rule.evalset, tools.plugins.scorers) else 0
    shown = margin_resolved_exactly(items, discordance, alpha=1 - rule.confidence, power=plan_power(counted))
    return PlannedRule(
        rule=rule.id, kind="eval", candidate=asked, baseline=asked, judge=judged, items=items, samples=samples,
        margin=rule.margin, margin_shown=shown, items_needed=planned_items(rule, discordance, rules=counted),
    )  # fmt: skip


def _runbook(rule: RunbookRule, tools: Tools) -> int:
    book, _ = find_runbook(rule.runbook, tools)
    plan = make_plan(book, _SOMEBODY, resolve_inputs(book, dict(rule.set)), tools.knowledge, only=(), skip=(),
                     effect_ceiling=None)  # fmt: skip
    return min(plan.requests, book.budget.requests)


def _check(rule: CheckRule, tools: Tools) -> PlannedRule:
    book = look_book(rule.check, rule.params, tools, rule.effect)
    plan = make_plan(book, _SOMEBODY, {}, tools.knowledge, only=(), skip=(), effect_ceiling=book.budget.effect)
    cost = sum(step.cost.requests for step in plan.steps)
    return PlannedRule(
        rule=rule.id, kind="check", candidate=cost, baseline=cost if rule.compare else 0, words=rule.check
    )


_SOMEBODY = Target(name="candidate", url="http://127.0.0.1:9")
"""Stands for the release: costs do not depend on where it is, and nothing is asked."""


def look_book(name: str, params: Mapping[str, Any], tools: Tools, effect: str) -> Runbook:
    """One check as a runbook of one step.

    Raises:
        UsageError: there is no such check.
    """
    from sickbay.engine.model.check import Effect

    check = tools.knowledge.checks.get(name)
    if check is None:
        raise UsageError(f"no check named {name!r}")
    step = Step(id=name, check=name, params=params, critical=True)
    budget = Budget(deadline_s=LOOK_S, effect=Effect(effect) if effect else check.effect, requests=LOOK_REQUESTS)
    return Runbook(name="gate", title=name, why="a rule of a gate", groups=(Group((step,)),), causes=(), budget=budget)


def plan_as_text(plan: GatePlan) -> str:
    """At most 80 columns."""
    lines = [f"{plan.gate}: {len(plan.rules)} rules; where {plan.discordance:.0%} of the items differ"]
    for rule in plan.rules:
        lines += _wrapped(rule)
    sides = f"{plan.total('candidate'):,} to the candidate, {plan.total('baseline'):,} to a baseline that is asked too"
    judge = f", {plan.total('judge'):,} to the judge" if plan.total("judge") else ""
    lines += textwrap.wrap(
        f"requests: at most {sides}{judge}, retries apart; allowed {plan.allowed:,} to each side", _WIDTH
    )
    if plan.rounds:
        lines += textwrap.wrap(
            f"as a canary: at most {plan.rounds} rounds in {plan.hours:.3g} hours, and of each set at most "
            f"{plan.round_items} items a round", _WIDTH
        )  # fmt: skip
    over = [side for side in ("candidate", "baseline") if plan.total(side) > plan.allowed]
    if over:
        lines += textwrap.wrap(f"TOO MANY for the {' and the '.join(over)}: raise requests: in the gate", _WIDTH)
    return "\n".join(lines) + "\n"


def _wrapped(rule: PlannedRule) -> Iterator[str]:
    yield from textwrap.wrap(f"{rule.rule}: {_words(rule)}", _WIDTH, initial_indent="  ", subsequent_indent="    ")


def _words(rule: PlannedRule) -> str:
    if rule.kind == "eval":
        assert rule.margin is not None
        assert rule.margin_shown is not None
        many = f"{rule.items:,} item{'s' if rule.items != 1 else ''}"
        many += f", {rule.samples} samples each" if rule.samples > 1 else ""
        can = f"can show a margin of {rule.margin_shown * 100:.1f} points"
        wanted = f"wanted {rule.margin * 100:g}"
        enough = (
            f"TOO FEW: it will mostly be inconclusive; {rule.items_needed:,} are needed" if rule.too_few else "enough"
        )
        return f"{many}, {rule.candidate:,} requests a side; {can}, {wanted}: {enough}"
    if rule.kind == "latency":
        return f"{rule.pairs} pairs, {rule.candidate} requests a side; {rule.words}"
    side = "a side" if rule.baseline else "to the candidate"
    asked = f"at most {rule.candidate} requests {side}" if rule.candidate else "asks for no answer"
    return f"the {rule.kind} {rule.words}, {asked}"


def plan_as_json(plan: GatePlan) -> dict[str, Any]:
    """Plain data with its schema's name."""
    rules = [{**asdict(rule), "too_few": rule.too_few} for rule in plan.rules]
    totals = {side: plan.total(side) for side in ("candidate", "baseline", "judge")}
    return {
        "schema": "sickbay.gate-plan.v1", "gate": plan.gate, "discordance": plan.discordance, "requests": totals,
        "requests_allowed": plan.allowed, "rules": rules,
    }  # fmt: skip
