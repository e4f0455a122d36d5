"""What follows from the readings before any cause is weighed: impossible values, contradictions, derived values.

Nothing is guessed over a contradiction: the signals that take part in it count as unknown, and it is told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from sickbay.engine.diagnose.facts import Facts, facts_of
from sickbay.engine.diagnose.sentences import render_because
from sickbay.engine.model.inference import Derivation, Inferences
from sickbay.engine.model.report import Report
from sickbay.engine.model.signal import Reading, SignalType, UnknownReason
from sickbay.engine.model.verdict import Derived, Doubt

__all__ = ["Inferred", "derived_of", "infer"]

_OPEN = frozenset({UnknownReason.NOT_ASKED, UnknownReason.NOT_CONFIGURED, UnknownReason.ABSENT, UnknownReason.DISABLED})
"""Nobody looked, or it is not there. Any other reason was a finding of its own, and nothing is put in its place."""
_PASSES = 3  # a derived value may rest on another derived one; deeper chains would be hard to follow on paper


@dataclass(frozen=True, slots=True, kw_only=True)
class Inferred:
    """The facts to weigh, what was added to them, and what was held in doubt."""

    facts: Facts
    derived: Mapping[str, Derived] = field(default_factory=dict)
    doubts: tuple[Doubt, ...] = ()

    @property
    def doubted(self) -> frozenset[str]:
        """Signals that count as unknown because their values cannot be true; `baseline.NAME` for the baseline's."""
        return frozenset(name for doubt in self.doubts for name in doubt.signals)


def infer(
    readings: Mapping[str, Reading],
    *,
    inputs: Mapping[str, float | str | bool],
    baseline: Mapping[str, Reading],
    inferences: Inferences,
) -> Inferred:
    """The facts, without what cannot be true and with what follows from the rest. Same readings, same facts."""
    facts = dict(facts_of(readings, inputs=inputs, baseline=baseline))
    closed = frozenset(name for name, one in readings.items() if one.reason is not None and one.reason not in _OPEN)
    doubts = _impossible(facts, inferences)
    closed |= {name for doubt in doubts for name in doubt.signals}
    for doubt in doubts:
        for name in doubt.signals:
            del facts[name]
    whole = {**facts, **_values(_derived(facts, inferences, closed))}
    found = []
    for law in inferences.contradictions:
        if sum(name in whole for name in law.when.names) > 1 and law.when.truth(whole) is True:
            signals = tuple(name for name in law.doubts if name in whole or _contradicted(readings.get(name)))
            found.append(Doubt(id=law.id, says=render_because(law.says, whole), signals=signals))
    for doubt in found:
        for name in doubt.signals:
            facts.pop(name, None)
    closed |= {name for doubt in found for name in doubt.signals}
    derived = _derived(facts, inferences, closed)
    return Inferred(facts={**facts, **_values(derived)}, derived=derived, doubts=(*doubts, *found))


def _contradicted(reading: Reading | None) -> bool:
    """Whether the look itself found readings of it that contradict each other."""
    return reading is not None and reading.reason is UnknownReason.INCONSISTENT


def derived_of(report: Report, inferences: Inferences) -> Mapping[str, Derived]:
    """What follows from a report's own signals; for holding a report to its evidence."""
    return infer(report.signals, inputs=report.inputs, baseline=report.baseline, inferences=inferences).derived


def _impossible(facts: Facts, inferences: Inferences) -> tuple[Doubt, ...]:
    found = []
    for name in sorted(facts):
        why = inferences.impossible(name.removeprefix("baseline."), facts[name])
        if why:
            said = f"when it was well, {why}" if name.startswith("baseline.") else why
            found.append(Doubt(id="impossible-value", says=said, signals=(name,)))
    return tuple(found)


def _derived(facts: Facts, inferences: Inferences, closed: AbstractSet[str]) -> dict[str, Derived]:
    """Every value that the facts give and that nobody measured; of several ways the first that can be gone."""
    found: dict[str, Derived] = {}
    known = dict(facts)
    for _ in range(_PASSES):
        before = len(found)
        for way in inferences.derivations:
            if way.signal in known or way.signal in closed or not _may_follow(way, known):
                continue
            value = _value(way, known)
            if value is not None and not inferences.impossible(way.signal, value):
                found[way.signal] = Derived(value=value, source=_source(way), numbers=_numbers(way, known))
                known[way.signal] = value
        if len(found) == before:
            break
    return found


def _may_follow(way: Derivation, known: Facts) -> bool:
    """Cheaper than to evaluate: arithmetic needs all its names, a condition at least one."""
    if way.condition is not None and not any(name in known for name in way.condition.names):
        return False
    return all(name in known for name in way.expression.names)


def _source(way: Derivation) -> str:
    return way.expression.source if way.condition is None else f"{way.expression.source} if {way.condition.source}"


def _numbers(way: Derivation, known: Facts) -> dict[str, float | bool | str]:
    names = (*way.expression.names, *(way.condition.names if way.condition is not None else ()))
    return {name: known[name] for name in names if name in known}


def _value(way: Derivation, known: Facts) -> float | bool | str | None:
    if way.condition is not None and way.condition.truth(known) is not True:
        return None
    value = way.expression.program(known)
    if way.type is SignalType.NUMBER:
        return value if isinstance(value, float) and math.isfinite(value) else None
    if way.type is SignalType.BOOL:
        return value if isinstance(value, bool) else None
    return value if isinstance(value, str) else None


def _values(derived: Mapping[str, Derived]) -> dict[str, float | bool | str]:
    return {name: one.value for name, one in derived.items()}
