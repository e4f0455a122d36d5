"""Weigh the evidence of one cause: every rule asked, the strongest of each group counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sickbay.engine.diagnose.facts import Facts
from sickbay.engine.diagnose.sentences import because_fields, render_because
from sickbay.engine.diagnose.weights import log_odds_of
from sickbay.engine.model.cause import Cause, EvidenceRule
from sickbay.engine.model.expression import Expression, Truth
from sickbay.engine.model.verdict import RuleFinding

__all__ = ["Evidence", "missing_of", "weigh_evidence"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A cause's evidence, weighed.

    Attributes:
        findings: one per rule, in the catalogue's order.
        for_: log-odds added by what speaks for the cause, at least 0.
        against: log-odds added by what speaks against it, at most 0.
        measured: weight of the evidence that could be measured.
        total: weight of all its evidence.
    """

    findings: tuple[RuleFinding, ...]
    for_: float
    against: float
    measured: float
    total: float


def weigh_evidence(cause: Cause, facts: Facts) -> Evidence:
    """Ask every rule and add up what holds. The order of the rules does not matter."""
    asked = [_ask(rule, facts) for rule in cause.evidence]
    counted = _strongest(cause.evidence, asked)
    findings = tuple(
        replace(finding, log_odds=log_odds_of(finding.weight) if index in counted else 0.0)
        for index, finding in enumerate(asked)
    )
    measured, total = _coverage(cause.evidence, findings)
    # Sorted, so that the sum is the same to the last bit whatever the order of the rules.
    added = sorted(finding.log_odds for finding in findings)
    return Evidence(
        findings=findings,
        for_=sum(value for value in added if value > 0),
        against=sum(value for value in added if value < 0),
        measured=measured,
        total=total,
    )


def missing_of(expression: Expression, facts: Facts) -> tuple[str, ...]:
    """Names an expression reads that have no value, sorted."""
    return tuple(sorted(name for name in expression.names if name not in facts))


def _ask(rule: EvidenceRule, facts: Facts) -> RuleFinding:
    holds: Truth = rule.when.truth(facts)
    return RuleFinding(
        id=rule.id,
        weight=rule.weight,
        when=rule.when.source,
        holds=holds,
        because=render_because(rule.because, facts) if holds else "",
        numbers=_numbers(rule, facts),
        missing=missing_of(rule.when, facts) if holds is None else (),
    )


def _numbers(rule: EvidenceRule, facts: Facts) -> dict[str, float | bool | str]:
    """Values of what the expression reads and of what the sentence shows."""
    names = (*rule.when.names, *because_fields(rule.because))
    return {name: facts[name] for name in names if name in facts}


def _strongest(rules: Sequence[EvidenceRule], findings: Sequence[RuleFinding]) -> frozenset[int]:
    """Indices of the rules that count: of a group's rules that hold, the strongest for and the strongest against."""
    best: dict[tuple[str, bool], int] = {}
    for index, (rule, finding) in enumerate(zip(rules, findings, strict=True)):
        if not finding.holds:
            continue
        size = log_odds_of(rule.weight)
        place = (f"group {rule.group}" if rule.group else f"rule {index}", size > 0)
        other = best.get(place)
        if other is None or (-abs(size), rule.id) < (-abs(log_odds_of(rules[other].weight)), rules[other].id):
            best[place] = index
    return frozenset(best.values())


def _coverage(rules: Iterable[EvidenceRule], findings: Iterable[RuleFinding]) -> tuple[float, float]:
    """Weight that could be measured, and all weight; the rules of a group speak of one fact and count once.

    A group is measured when one of its rules holds, or when none of them is unknown.
    """
    sizes: dict[str, float] = {}
    answers: dict[str, list[bool | None]] = {}
    for index, (rule, finding) in enumerate(zip(rules, findings, strict=True)):
        place = f"group {rule.group}" if rule.group else f"rule {index}"
        sizes[place] = max(sizes.get(place, 0.0), abs(log_odds_of(rule.weight)))
        answers.setdefault(place, []).append(finding.holds)
    measured = sum(size for place, size in sizes.items() if True in answers[place] or None not in answers[place])
    return measured, sum(sizes.values())
