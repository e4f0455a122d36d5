"""What a gate's file says and nobody can mean: a rule that cannot decide, a gate that can stop nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sickbay.engine.evals.stats.sequential import Bet
from sickbay.engine.gate.model import CanaryPlan, EvalRule, LatencyRule, Rule
from sickbay.engine.gate.watch import ROUND_STAKE_MAX
from sickbay.engine.load.codes import Code
from sickbay.engine.load.fields import Fields
from sickbay.engine.load.yaml_node import Node
from sickbay.engine.model.problem import Position, Problem

__all__ = ["check_canary", "check_sense"]

RATIO_ODD = 5.0
"""From here on a ratio is likelier a percentage than a limit that somebody means."""
Read = tuple[Node, Rule | None]
"""An entry of the file and the rule it became; None where it could not be read."""


def check_sense(at: Position, read: Sequence[Read], problems: list[Problem]) -> None:
    """Append what cannot be meant (errors), and what can hardly be (warnings)."""
    for node, rule in read:
        fields = Fields(node)
        if fields.flag("shadow") and fields.flag("critical"):
            message = "a shadow is reported and never counts, and a critical rule blocks; it cannot be both"
            hint = "take one of the two out"
            problems.append(Problem(fields.value_at("critical"), Code.WRONG_VALUE, message, hint))
        if isinstance(rule, EvalRule):
            problems += _items(rule, fields)
        elif isinstance(rule, LatencyRule):
            problems += _pairs(rule, fields)
    rules = [rule for _, rule in read if rule is not None]
    if not rules or len(rules) < len(read):
        return  # of a rule that could not be read nobody knows
    if all(rule.shadow for rule in rules):
        message = "every rule is a shadow, so the gate would pass everything"
        problems.append(Problem(at, Code.CANNOT_FAIL, message, "take shadow: true out of those that count"))
    elif not any(rule.critical and not rule.shadow for rule in rules):
        message = "no rule is critical, so the gate can warn and stop nothing"
        hint = "take critical: false out of those that must block"
        problems.append(Problem(at, Code.CANNOT_FAIL, message, hint, "warning"))


def check_canary(fields: Fields, plan: CanaryPlan, rules: Sequence[Rule | None], problems: list[Problem]) -> None:
    """Append that its rounds end before it may pass, or before a latency can have its answer."""
    if plan.rounds_min > plan.rounds:
        message = f"it passes after {plan.rounds_min} rounds at the earliest (rounds_min), and ends after {plan.rounds}"
        problems.append(
            Problem(fields.value_at("rounds"), Code.OUT_OF_RANGE, message, "more rounds, or fewer at least")
        )

    needed = max((_rounds_needed(rule) for rule in rules if isinstance(rule, LatencyRule)), default=0)
    if fields.node is not None and plan.rounds < needed:
        message = (
            f"{plan.rounds} rounds can show nothing of a latency, of which each round counts once; it needs {needed}"
        )
        problems.append(
            Problem(
                fields.value_at("rounds"), Code.ALWAYS_FAILS, message, "raise rounds: it stays inconclusive", "warning"
            )
        )  # fmt: skip


def _rounds_needed(rule: LatencyRule) -> int:
    """Rounds of a latency that is within its limit each time, until the sequential test says so."""
    bet, rounds = Bet(0.0, stake_max=ROUND_STAKE_MAX), 0
    while bet.p_value > 1.0 - rule.confidence:
        bet.add(1.0)
        rounds += 1
    return rounds


def _items(rule: EvalRule, fields: Fields) -> list[Problem]:
    """More items wanted than there are: the rule stays inconclusive whatever the release does."""
    found = []
    items = rule.evalset.items
    if rule.items_min > len(items):
        message = f"wanted at least {rule.items_min} items, and the set has {len(items)}: it stays inconclusive"
        found.append(_never(fields.value_at("items_min"), message))
    for slices, entry in zip(rule.slices, fields.items("slices"), strict=True):
        sizes = Counter(item.fields.get(slices.by, "(none)") for item in items)
        critical = sizes if "*" in slices.critical else {name: sizes[name] for name in slices.critical if name in sizes}
        for name, size in sorted(critical.items()):
            if size < slices.items_min:
                has = f"{size} item{'s' if size != 1 else ''}, wanted at least {slices.items_min} (items_min)"
                message = f"the critical slice {slices.by} = {name!r} has {has}: it stays inconclusive"
                found.append(_never(Fields(entry).value_at("critical"), message))
    return found


def _pairs(rule: LatencyRule, fields: Fields) -> list[Problem]:
    """Too few (where all agree, 2^-n must still be at most alpha), or a limit that hardly stops anything."""
    found = []
    if rule.ratio_max >= RATIO_ODD:
        message = f"the limit accepts a release {rule.ratio_max:g} times slower"
        hint = f"for {rule.ratio_max:g} % more write {1 + rule.ratio_max / 100:g}"
        found.append(Problem(fields.value_at("ratio_max"), Code.OUT_OF_RANGE, message, hint, "warning"))
    alpha, needed = 1.0 - rule.confidence, 1
    while 0.5**needed > alpha * (1 + 1e-9):
        needed += 1
    if rule.pairs < needed:
        message = (
            f"{rule.pairs} pairs can show nothing at a confidence of {rule.confidence:g}; wanted at least {needed}"
        )
        found.append(Problem(fields.value_at("pairs"), Code.OUT_OF_RANGE, message))
    return found


def _never(at: Position, message: str) -> Problem:
    return Problem(at, Code.ALWAYS_FAILS, message, "more items, or a smaller items_min", "warning")
