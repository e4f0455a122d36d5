"""The one missing look whose answer would tell most about the causes that are still open."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

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
    emitters: Mapping[str, Sequence[str]],
) -> NextLook | None:
    """The look with the largest expected information over all open causes; None when no look would tell anything.

    Signals that one check measures are one look. Expected information is the mutual information, in bits, between
    "this is the cause" and "this piece of evidence holds", added over the pieces that the look would settle.
    """
    lost = frozenset(name for name, reading in readings.items() if reading.reason in _FINAL)
    looks = _looks(weighed, emitters, lost)
    if not looks:
        return None
    worth = {name: _worth(weighed, probabilities, signals, facts) for name, signals in looks.items()}
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


def _worth(
    weighed: Iterable[Weighed], probabilities: Mapping[str, float], signals: frozenset[str], facts: Facts
) -> float:
    """Bits that this look is expected to bring, over the causes that it would settle something about."""
    bits = 0.0
    for item in weighed:
        if item.gate is False or any(name not in signals for name in item.gate_missing):
            continue
        chance = max(probabilities[item.cause.id], math.exp(item.log_odds) / (1 + math.exp(item.log_odds)) / 4)
        ratios = [
            abs(log_odds_of(finding.weight))
            for finding in item.evidence.findings
            if finding.holds is None and all(name in signals or name in facts for name in finding.missing)
        ]
        if item.gate_missing:
            ratios.append(math.log(2.0))
        if ratios:
            # Pieces of one look overlap: the best counts whole, the rest by half.
            each = sorted((_information(min(chance, 0.95), ratio) for ratio in ratios), reverse=True)
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
