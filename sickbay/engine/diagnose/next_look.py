"""The one missing look whose answer would tell most about the causes that are still open."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from sickbay.engine.diagnose.facts import Facts
from sickbay.engine.diagnose.promise import open_causes, promise, spoken_of
from sickbay.engine.diagnose.weighed import Weighed
from sickbay.engine.model.signal import Reading, UnknownReason
from sickbay.engine.model.verdict import NextLook

__all__ = ["next_look"]

_FINAL = frozenset({UnknownReason.UNSUPPORTED, UnknownReason.ABSENT, UnknownReason.WRONG_VERSION})
"""Somebody looked and it is not there: asking the same question again gives the same answer."""

_WORTH = 0.0005
"""A look that is less likely than this to show the cause is not worth naming. A guess."""

_FIRST = ("serving.first_token_ok", "serving.reachable", "serving.answers_http")
"""Whether the service answers at all comes before every question on how fast it does."""


def next_look(
    weighed: Sequence[Weighed],
    *,
    facts: Facts,
    readings: Mapping[str, Reading],
    baseline: Mapping[str, Reading],
    emitters: Mapping[str, Sequence[str]],
    settled: frozenset[str] = frozenset(),
) -> NextLook | None:
    """The look that is likeliest to show the true cause; None when no look would tell anything.

    Signals that one check measures are one look; those in `settled` were looked at, and another look gives nothing
    new. A look is worth the chance that one of the open causes is the true one and that the look makes it an answer.
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
    causes = open_causes(weighed)
    touching: dict[str, list[int]] = defaultdict(list)
    for index, one in enumerate(causes):
        for signal in one.reads:
            touching[signal].append(index)
    worth = {
        name: promise([causes[i] for i in sorted({i for signal in signals for i in touching[signal]})], signals)
        for name, signals in looks.items()
    }
    if not any(name in facts for name in _FIRST):
        for name, signals in looks.items():
            if any(first in signals for first in _FIRST):
                worth[name] += 10.0
    best = min(looks, key=lambda name: (-round(worth[name], 6), name))
    if worth[best] < _WORTH:
        return None
    return _say(best, looks[best], spoken_of(causes, looks[best]), readings, emitters)


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


def _say(
    look: str,
    signals: frozenset[str],
    causes: Sequence[str],
    readings: Mapping[str, Reading],
    emitters: Mapping[str, Sequence[str]],
) -> NextLook:
    names = tuple(sorted(signals))
    about = ", ".join(causes[:3]) or "whether the service answers at all"
    why = f"would tell most about {about}"
    details = [reading.detail for name in names if (reading := readings.get(name)) is not None and reading.detail]
    if details:
        why += f"; not seen so far: {details[0]}"
    elif look == "baseline":
        why += "; give the target a `baseline`: a report or signals file that shows this service healthy"
    known = look == "baseline" or any(look in emitters.get(name, ()) for name in names)
    return NextLook(signals=names, check=look if known and look != "baseline" else "", why=why)
