"""The one missing look whose answer would tell most about the causes that are still open."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sickbay.engine.diagnose.facts import Facts
from sickbay.engine.diagnose.weighed import Weighed
from sickbay.engine.diagnose.weights import log_odds_of
from sickbay.engine.model.signal import Reading, UnknownReason
from sickbay.engine.model.verdict import NextLook

__all__ = ["next_look"]

_FINAL = frozenset({UnknownReason.UNSUPPORTED, UnknownReason.ABSENT, UnknownReason.WRONG_VERSION})
"""Somebody looked and it is not there: asking the same question again gives the same answer."""

_SEEN_WHEN_TRUE = 0.8
"""How often a piece of evidence shows when its cause is at work. A guess; only the order of looks rests on it."""

_WORTH_BITS = 0.01
"""A look that is expected to tell less than this is not worth naming. A guess."""

_FIRST = ("serving.first_token_ok", "serving.reachable", "serving.answers_http")
"""Whether the service answers at all comes before every question on how fast it does."""


def next_look(
    weighed: Sequence[Weighed],
    probabilities: Mapping[str, float],
    *,
    facts: Facts,
    readings: Mapping[str, Reading],
    baseline: Mapping[str, Reading],
    emitters: Mapping[str, Sequence[str]],
    settled: frozenset[str] = frozenset(),
) -> NextLook | None:
    """The look with the largest expected information over all open causes; None when no look would tell anything.

    Signals that one check measures are one look; those in `settled` were looked at, and another look gives nothing
    new. Expected information is the mutual information, in bits, between "this is the cause" and "this piece of
    evidence holds", added over the pieces that the look would settle.
    """
    lost = frozenset(
        (
            *(name for name, reading in readings.items() if reading.reason in _FINAL),
            *(f"baseline.{name}" for name, reading in baseline.items() if reading.reason in _FINAL),
            *settled,
        )
    )
    looks = _looks(weighed, emitters, lost)
    if not looks:
        return None
    pending = [found for item in weighed if (found := _pending(item, probabilities)) is not None]
    touching: dict[str, list[int]] = defaultdict(list)
    for index, one in enumerate(pending):
        for signal in one.reads:
            touching[signal].append(index)
    worth = {
        name: _worth([pending[i] for i in sorted({i for signal in signals for i in touching[signal]})], signals)
        for name, signals in looks.items()
    }
    if not any(name in facts for name in _FIRST):
        for name, signals in looks.items():
            if any(first in signals for first in _FIRST):
                worth[name] += 10.0
    best = min(looks, key=lambda name: (-round(worth[name], 6), name))
    if worth[best] < _WORTH_BITS:
        return None
    return _say(best, looks[best], weighed, readings, emitters)


def _looks(
    weighed: Iterable[Weighed], emitters: Mapping[str, Sequence[str]], lost: frozenset[str]
) -> dict[str, frozenset[str]]:
    """Look -> the missing signals it would bring: per check, and one for the baseline."""
    looks: dict[str, set[str]] = defaultdict(set)
    for item in weighed:
        if item.gate is False:
            continue
        for name in (*item.gate_missing, *(n for finding in item.evidence.findings for n in finding.missing)):
            if name in lost or name.startswith("inputs."):
                continue
            if name.startswith("baseline."):
                looks["baseline"].add(name)
                continue
            for check in sorted(emitters.get(name, ())) or [name]:
                looks[check].add(name)
    return {name: frozenset(signals) for name, signals in looks.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pending:
    """What is still open about one cause: its gate, and rules that miss signals, each with its log-ratio."""

    chance: float
    gate: frozenset[str]
    rules: tuple[tuple[frozenset[str], float], ...]
    reads: frozenset[str]


def _pending(item: Weighed, probabilities: Mapping[str, float]) -> _Pending | None:
    if item.gate is False:
        return None
    gate = frozenset(item.gate_missing)
    rules = tuple(
        (frozenset(finding.missing), abs(log_odds_of(finding.weight)))
        for finding in item.evidence.findings
        if finding.holds is None and finding.missing
    )
    if not gate and not rules:
        return None
    odds = math.exp(item.log_odds)
    chance = max(probabilities[item.cause.id], odds / (1 + odds) / 4)
    return _Pending(chance=min(chance, 0.95), gate=gate, rules=rules, reads=gate.union(*(names for names, _ in rules)))


def _worth(pending: Iterable[_Pending], signals: frozenset[str]) -> float:
    """Bits that this look is expected to bring, over the causes that it would settle something about."""
    bits = 0.0
    for one in pending:
        if not one.gate <= signals:
            continue
        ratios = [size for names, size in one.rules if names <= signals]
        if one.gate:
            ratios.append(math.log(2.0))
        if ratios:
            # Pieces of one look overlap: the best counts whole, the rest by half.
            each = sorted((_information(one.chance, ratio) for ratio in ratios), reverse=True)
            bits += each[0] + 0.5 * sum(each[1:])
    return bits


def _information(chance: float, log_ratio: float) -> float:
    """Mutual information in bits between a cause of this probability and evidence of this likelihood ratio."""
    seen, else_seen = _SEEN_WHEN_TRUE, _SEEN_WHEN_TRUE / math.exp(log_ratio)
    total = chance * seen + (1 - chance) * else_seen
    return _entropy(total) - chance * _entropy(seen) - (1 - chance) * _entropy(else_seen)


def _entropy(chance: float) -> float:
    if chance <= 0.0 or chance >= 1.0:
        return 0.0
    return -chance * math.log2(chance) - (1 - chance) * math.log2(1 - chance)


def _say(
    look: str,
    signals: frozenset[str],
    weighed: Iterable[Weighed],
    readings: Mapping[str, Reading],
    emitters: Mapping[str, Sequence[str]],
) -> NextLook:
    names = tuple(sorted(signals))
    helped = [
        item
        for item in weighed
        if item.gate is not False
        and signals & {*item.gate_missing, *(n for finding in item.evidence.findings for n in finding.missing)}
    ]
    helped.sort(key=lambda item: (-round(item.log_odds, 6), item.cause.id))
    causes = ", ".join(item.cause.id for item in helped[:3])
    why = f"would tell most about {causes}"
    details = [reading.detail for name in names if (reading := readings.get(name)) is not None and reading.detail]
    if details:
        why += f"; not seen so far: {details[0]}"
    elif look == "baseline":
        why += "; give the target a `baseline`: a report or signals file that shows this service healthy"
    known = look == "baseline" or any(look in emitters.get(name, ()) for name in names)
    return NextLook(signals=names, check=look if known and look != "baseline" else "", why=why)
