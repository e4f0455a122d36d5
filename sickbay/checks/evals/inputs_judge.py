"""The judgement of `evals.inputs`: two mixes of slices, with what chance alone would make of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sickbay.engine.evals.stats.proportions import wilson
from sickbay.engine.evals.stats.student import normal_quantile
from sickbay.engine.model.check import Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["judge_inputs"]

INPUTS_MIN = 30
EXPECTED_MIN = 5.0
"""Inputs that a cell of a chi-square test must expect (Cochran's rule); smaller slices are taken together."""
LEVEL_Z = normal_quantile(0.99)
FLOOR_MAX = 0.2
"""A shift that chance alone would make: above it the samples are too small to say anything."""
TESTED_MIN = 0.005
SCORED_MIN = 5
UNCOVERED_WARN, DROP_WARN = 0.2, 0.03


def judge_inputs(raw: Raw) -> Result:
    """The shift above chance, the share never tested, and the drop that the kept run foretells."""
    then, now = raw["then"], raw["now"]
    sizes = f"{sum(now.values())} recent and {sum(then.values())} tested inputs, by {raw['by']}"
    if min(sum(then.values()), sum(now.values())) < INPUTS_MIN:
        few = unknown(UnknownReason.NO_TRAFFIC, f"{sizes}; wanted {INPUTS_MIN} of each")
        signals = dict.fromkeys(
            ("eval.inputs_shift_ratio", "eval.inputs_uncovered_ratio", "eval.inputs_expected_drop"), few
        )
        return Result(outcome=Outcome.UNKNOWN, summary=f"too few to say: {sizes}", signals=signals)
    signals = {
        "eval.inputs_shift_ratio": _shift(then, now, sizes),
        "eval.inputs_uncovered_ratio": _uncovered(then, now, sizes),
        "eval.inputs_expected_drop": _expected_drop(then, now, raw["kept"]),
    }
    uncovered, drop = (signals[name].value for name in ("eval.inputs_uncovered_ratio", "eval.inputs_expected_drop"))
    warns = (isinstance(uncovered, float) and uncovered > UNCOVERED_WARN) or (
        isinstance(drop, float) and drop > DROP_WARN
    )
    said = "; ".join(reading.source for reading in signals.values() if reading.known)
    return Result(outcome=Outcome.WARN if warns else Outcome.PASS, summary=said or sizes, signals=signals)


def _shift(then: Mapping[str, int], now: Mapping[str, int], sizes: str) -> Reading:
    """Total variation distance less what two samples of one mix would show; 0 where chance explains it."""
    cells = _cells(then, now)
    n, m = sum(then.values()), sum(now.values())
    distance = 0.5 * math.fsum(abs(a / n - b / m) for a, b in cells)
    pooled = [(a + b) / (n + m) for a, b in cells]
    # The mean of |difference of two shares| is sqrt(2/pi) of its standard deviation.
    floor = 0.5 * math.fsum(math.sqrt(2 / math.pi * p * (1 - p) * (1 / n + 1 / m)) for p in pooled)
    square = math.fsum(
        (a - n * p) ** 2 / (n * p) + (b - m * p) ** 2 / (m * p) for (a, b), p in zip(cells, pooled, strict=True)
    )
    if _surprise(square, len(cells) - 1) > LEVEL_Z:
        above = max(0.0, distance - floor)
        return measured(above, f"{sizes}: the mix moved by {above:.0%} more than chance would")
    if floor > FLOOR_MAX:
        return unknown(UnknownReason.NO_TRAFFIC, f"{sizes}: too few to tell a shift below {floor:.0%}")
    return measured(0.0, f"{sizes}: chance explains the difference")


def _cells(then: Mapping[str, int], now: Mapping[str, int]) -> list[tuple[int, int]]:
    """(tested, recent) by slice; slices too small for the test are one cell."""
    n, m = sum(then.values()), sum(now.values())
    kept, small_then, small_now = [], 0, 0
    for name in {**then, **now}:
        a, b = then.get(name, 0), now.get(name, 0)
        if (a + b) * min(n, m) / (n + m) >= EXPECTED_MIN:
            kept.append((a, b))
        else:
            small_then, small_now = small_then + a, small_now + b
    return [*kept, (small_then, small_now)] if small_then + small_now else kept


def _surprise(square: float, df: int) -> float:
    """The chi-square value as a standard normal one (Wilson and Hilferty, 1931)."""
    if df < 1:
        return 0.0
    part = 2.0 / (9.0 * df)
    return (math.cbrt(square / df) - (1.0 - part)) / math.sqrt(part)


def _uncovered(then: Mapping[str, int], now: Mapping[str, int], sizes: str) -> Reading:
    """The lower 95 % bound of the share of today's inputs whose slice was (nearly) not tested."""
    n, m = sum(then.values()), sum(now.values())
    new = {name: count for name, count in now.items() if then.get(name, 0) < TESTED_MIN * n}
    low = wilson(sum(new.values()), m).low
    most = max(new, key=lambda name: new[name], default="")
    told = f"{sum(new.values())} of {m} recent inputs are of a kind that was not tested"
    return measured(low, f"{told}, most of them {most!r}" if new else f"{sizes}: every kind was tested")


def _expected_drop(then: Mapping[str, int], now: Mapping[str, int], kept: Mapping[str, Any] | None) -> Reading:
    """The kept run's score, less the same weighted as today's inputs are; 0 where its own scatter explains it."""
    if kept is None:
        return unknown(UnknownReason.NOT_CONFIGURED, "give set: and kept: a kept run of it (sickbay eval --output)")
    if "problem" in kept:
        return unknown(UnknownReason.MALFORMED, str(kept["problem"]))
    scored = {name: (passed, n) for name, (passed, n) in kept["slices"].items() if n >= SCORED_MIN}
    before, today = (_weights(mix, scored) for mix in (then, now))
    covered = sum(now.get(name, 0) for name in scored) / sum(now.values())
    if not scored or covered < 0.5:
        return unknown(UnknownReason.ABSENT, f"the kept run scored only {covered:.0%} of what users send today")
    share = {name: passed / n for name, (passed, n) in scored.items()}
    drop = math.fsum((before[name] - today[name]) * share[name] for name in scored)
    mean = math.fsum(today[name] * share[name] for name in scored)
    mixed = math.fsum(today[name] * (share[name] - mean) ** 2 for name in scored) / sum(now.values())  # of a new sample
    graded = math.fsum((before[name] - today[name]) ** 2 * _variance(*scored[name]) for name in scored)
    error = math.sqrt(mixed + graded)
    way = "lower" if drop > 0 else "higher"
    told = f"the kept run's scores, weighted as today's inputs are, are {abs(drop) * 100:.1f} points {way}"
    if abs(drop) < normal_quantile(0.975) * error:
        return measured(0.0, f"{told}, which chance explains")
    return measured(max(0.0, drop), told)


def _weights(mix: Mapping[str, int], scored: Mapping[str, Any]) -> dict[str, float]:
    whole = sum(mix.get(name, 0) for name in scored)
    return {name: mix.get(name, 0) / whole if whole else 0.0 for name in scored}


def _variance(passed: int, n: int) -> float:
    """Of a share; with one more of each kind, so that a slice that passed whole is not taken as certain."""
    share = (passed + 1) / (n + 2)
    return share * (1 - share) / n
