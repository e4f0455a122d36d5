"""What paired latencies mean. Pure: the same pairs, the same finding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from sickbay.engine.evals.stats.ranks import hodges_lehmann
from sickbay.engine.evals.stats.sequential import CanaryState
from sickbay.engine.evals.stats.serial import counted_as, widened
from sickbay.engine.gate.latency import Measured
from sickbay.engine.gate.model import LatencyRule, Outcome
from sickbay.engine.gate.scorecard import Finding
from sickbay.engine.gate.watch import LatencyWatch
from sickbay.engine.measure.stream_stats import median

__all__ = ["judge_latency", "judge_latency_watch"]

WORK_MIN = 0.9
"""Of the baseline's output tokens; with fewer, a request that ends sooner is not faster."""
EXP_MAX = 20.0
"""Of a logarithm: no ratio of latencies that anybody measures is beyond."""
FAST_ODD = 0.2
"""A release this much faster is likelier answered by a cache, or by something else than the model."""


def judge_latency(rule: LatencyRule, measured: Measured) -> Finding:
    """The ratio candidate over baseline (throughput: baseline over candidate), by signed ranks of its logarithm."""
    pairs = measured.pairs
    for name in ("baseline", "candidate"):
        failures = measured.failures[name]
        if (len(failures) / len(pairs) if pairs else len(failures)) > rule.errors_max:
            words = f"{len(failures)} of {len(pairs)} requests to the {name} failed: {failures[0]}"
            found = Outcome.BLOCK if name == "candidate" else Outcome.INCONCLUSIVE
            return Finding(rule=rule.id, kind="latency", found=found, summary=words)
    untold = _untold(rule, measured)
    if untold is not None:
        return untold
    if measured.stopped:
        words = f"{len(pairs)} of {rule.pairs} pairs were measured: {measured.stopped}"
        return Finding(rule=rule.id, kind="latency", found=Outcome.INCONCLUSIVE, summary=words)
    one = _measured(rule, pairs)
    found, tail = _read(rule, one)
    odd = _other_work(rule, measured)
    if odd and found in {Outcome.PASS, Outcome.WARN}:
        found, tail = Outcome.INCONCLUSIVE, odd
    return replace(one, found=found, summary=f"{one.summary}: {tail}")


def _untold(rule: LatencyRule, measured: Measured) -> Finding | None:
    """Answers that came and do not tell the metric: no fault that was shown, and nothing to compare."""
    whole = len(measured.pairs) + max(len(each) for each in measured.untold.values())
    for name, why in measured.untold.items():
        if len(why) > rule.errors_max * whole:
            words = f"{len(why)} of {whole} answers of the {name} do not tell the {rule.metric}: {why[0]}"
            return Finding(rule=rule.id, kind="latency", found=Outcome.INCONCLUSIVE, summary=words)
    return None


def _measured(rule: LatencyRule, pairs: Sequence[tuple[float | None, float | None]]) -> Finding:
    """The numbers and the words for them, without an answer. In numbers "ratio" above 1 is always the worse."""
    told = [(old, new) for old, new in pairs if old and new]
    slower = [old / new if rule.metric == "throughput" else new / old for old, new in told]
    logs = [math.log(each) for each in slower]
    counted = counted_as(logs)
    shift = widened(hodges_lehmann(logs, alpha=1 - rule.confidence), counted, alpha=1 - rule.confidence)
    numbers: dict[str, float | str] = {
        "pairs": float(len(told)), "ratio": math.exp(shift.shift), "ratio_max": rule.ratio_max,
        "baseline_median": median(old for old, _ in told) or 0.0,
        "candidate_median": median(new for _, new in told) or 0.0,
    }  # fmt: skip
    bound = "too few for a bound"
    if math.isfinite(shift.high):
        numbers |= {"low": math.exp(max(shift.low, -EXP_MAX)), "high": math.exp(min(shift.high, EXP_MAX))}
        bound = f"at worst {_seen(rule, float(numbers['high'])):.2f}"
    if counted < len(told):
        numbers["pairs_counted"] = counted
        bound += f"; it changed along the run, so they count as {max(1, round(counted))}"
    crowd = f", {rule.concurrency} at a time" if rule.concurrency > 1 else ""
    return Finding(
        rule=rule.id, kind="latency", found=Outcome.INCONCLUSIVE, numbers=numbers,
        summary=f"{rule.metric} is {_seen(rule, math.exp(shift.shift)):.2f} times the baseline's over {len(told)} "
        f"pairs{crowd} ({bound})",
        detail="Hodges-Lehmann ratio, signed ranks; candidate and baseline in turn",
        series={"baseline": tuple(old for old, _ in told), "candidate": tuple(new for _, new in told)},
        unit="tokens/s" if rule.metric == "throughput" else "s",
    )  # fmt: skip


def _seen(rule: LatencyRule, ratio: float) -> float:
    """Candidate over baseline, as a person says it: of a throughput the worse is the smaller."""
    return 1.0 / ratio if rule.metric == "throughput" else ratio


def _limit(rule: LatencyRule) -> str:
    return f"{_seen(rule, rule.ratio_max):.3g}"


def _read(rule: LatencyRule, one: Finding) -> tuple[Outcome, str]:
    low, high = one.numbers.get("low"), one.numbers.get("high")
    limit = _limit(rule)
    if not isinstance(low, float) or not isinstance(high, float):
        return Outcome.INCONCLUSIVE, f"too few pairs to say whether it is within {limit}"
    if high <= rule.ratio_max:
        if high < FAST_ODD:
            return Outcome.WARN, "so much faster that it may be a cache, or not the model, that answers"
        return (Outcome.WARN, f"slower, but within {limit}") if low > 1.0 else (Outcome.PASS, f"within {limit}")
    if low > 1.0:
        return Outcome.BLOCK, f"slower, and beyond {limit} is not excluded"
    return Outcome.INCONCLUSIVE, f"too few pairs to say whether it is within {limit}"


def _other_work(rule: LatencyRule, measured: Measured) -> str:
    """Whole requests are compared only where both sides wrote about as much; "" where they did."""
    work = [(old, new) for old, new in measured.tokens if old and new is not None]
    if rule.metric != "e2e" or not work:
        return ""
    old, new = median(float(old) for old, _ in work) or 0.0, median(float(new) for _, new in work) or 0.0
    if new >= WORK_MIN * old:
        return ""
    return f"the candidate wrote {new:g} tokens where the baseline wrote {old:g}, so its time is of less work; use itl"


def judge_latency_watch(rule: LatencyRule, watch: LatencyWatch) -> Finding:
    """The same over the rounds of a canary, by what the sequential tests say."""
    measured = watch.measured
    failed = _failed_watch(rule, watch)
    if failed is not None:
        return failed
    untold = _untold(rule, measured)
    if untold is not None and watch.state is not CanaryState.INFERIOR:
        return untold
    one = _measured(rule, measured.pairs)
    limit, odd = _limit(rule), _other_work(rule, measured)
    found, tail = {
        CanaryState.NOT_INFERIOR: (Outcome.PASS, f"within {limit}"),
        CanaryState.INFERIOR: (Outcome.BLOCK, f"beyond {limit}"),
        CanaryState.GO_ON: (Outcome.INCONCLUSIVE, f"too few pairs to say whether it is within {limit}"),
    }[watch.state]
    if watch.later and found is not Outcome.BLOCK:
        found, tail = Outcome.BLOCK, f"within {limit} at first, and beyond it later"
    if odd and found is Outcome.PASS:
        found, tail = Outcome.INCONCLUSIVE, odd
    evidence = {
        "evidence_worse": tuple(round(beyond, 3) for beyond, _ in watch.path),
        "evidence_fine": tuple(round(within, 3) for _, within in watch.path),
    }
    words = one.summary.partition(" (")[0]
    return replace(
        one, found=found, summary=f"{words}: {tail}", detail="sequential sign test, valid at any time",
        series={**one.series, **evidence},
        numbers={**one.numbers, "evidence_needed": -math.log(watch.alpha), "items": float(len(watch.path))},
    )  # fmt: skip


def _failed_watch(rule: LatencyRule, watch: LatencyWatch) -> Finding | None:
    """Requests that failed. One of them stops no canary: only when the candidate is shown to fail more often."""
    pairs = watch.measured.pairs
    for name in ("candidate", "baseline"):
        failures = watch.measured.failures[name]
        if len(failures) > rule.errors_max * len(pairs):
            words = f"{len(failures)} of {len(pairs)} requests to the {name} failed: {failures[0]}"
            if name == "candidate" and watch.fails_more:
                return Finding(rule=rule.id, kind="latency", found=Outcome.BLOCK, summary=words)
            if name == "candidate":
                words = f"{words}; too few to say whether it fails more often than the baseline"
            return Finding(rule=rule.id, kind="latency", found=Outcome.INCONCLUSIVE, summary=words)
    return None
