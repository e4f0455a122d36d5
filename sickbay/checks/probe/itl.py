"""probe.itl: how evenly one answer streams, and what company does to it.

One long answer alone gives the floor of the gap and shows stalls; some answers at once give the price of company.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.checks.probe.timeout_param import timeout_param
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

if TYPE_CHECKING:
    from sickbay.engine.measure.stream import StreamTrace

__all__ = ["ProbeItl"]

STALL_TIMES = 5.0
STALL_MIN_S = 0.1
PERIODIC_STALLS_MIN = 3
PERIODIC_SPREAD = 0.2
GAPS_MIN = 8


class ProbeItl(Check):
    """Stream one answer of `max_tokens`, then `together` answers of half that length at once.

    A stall is a gap of over five times the median and over 0.1 s. Stalls at even distances point at something
    periodic (a scrape, a log flush, garbage collection).
    """

    name = "probe.itl"
    title = "How evenly an answer streams, alone and among others"
    effect = Effect.LIGHT
    needs = ("url",)
    emits: ClassVar[Sequence[str]] = (
        "probe.itl_s_p50",
        "probe.itl_s_p95",
        "probe.itl_s_max",
        "probe.itl_alone_s",
        "probe.itl_among_ratio",
        "probe.stalls",
        "probe.stall_period_s",
        "probe.tokens_per_chunk",
    )
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "max_tokens": {
                "description": "output tokens of the long answer",
                "type": "integer",
                "minimum": 16,
                "maximum": 1024,
                "default": 96,
            },
            "together": {
                "description": "answers streamed at the same time; 0 sends none",
                "type": "integer",
                "minimum": 0,
                "maximum": 8,
                "default": 3,
            },
            "seed": {"description": "seed of the prompts; 0 takes a new one each run", "type": "integer", "default": 0},
            "timeout_s": timeout_param(default=20.0, maximum=300),
        },
        "additionalProperties": False,
    }
    sources: ClassVar[Sequence[str]] = (
        "vllm-project/vllm#17598 (gaps grow with the batch)",
        "five times the median as a stall: a guess",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """One answer, and those at once."""
        return Cost(requests=1 + int(params["together"]), seconds=min(16.0, 2 * float(params["timeout_s"])))

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Alone, then together."""
        # Late: what a check says of itself must load fast.
        from sickbay.checks.probe.prepare import known_numbers
        from sickbay.checks.probe.timed import begin_timed

        timed = await begin_timed(look, seed=int(params["seed"]), timeout_s=float(params["timeout_s"]))
        tokens = int(params["max_tokens"])
        await timed.send("alone", timed.prompts.cold(24), tokens)
        if int(params["together"]):
            prompts = [timed.prompts.cold(24) for _ in range(int(params["together"]))]
            await timed.together("among", prompts, max(16, tokens // 2))
        context = known_numbers(look, ("serving.requests_running", "serving.requests_waiting"))
        return {"rows": timed.rows, "stopped": timed.stopped, "seed": timed.seed, "context": context}

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Gaps per token of the long answer; company against alone."""
        # Late: what a check says of itself must load fast.
        from sickbay.checks.probe.readings import failure_of
        from sickbay.checks.probe.timed import traces_of
        from sickbay.engine.measure.stream_stats import median, quantile, stats_of

        traces = [trace for trace in traces_of(raw, "alone", ok=False) if trace.failure.value in {"", "timeout"}]
        alone = [stats_of(trace) for trace in traces]
        gaps = _with_the_last(alone[0].itl_s, traces[0]) if alone else ()
        if not gaps or (len(gaps) < GAPS_MIN and traces[0].ok):
            why = (alone[0].itl_refused if alone else "") or failure_of(raw)
            gone = unknown(UnknownReason.ABSENT, f"no stream long enough to tell gaps: {why}")
            return Result(outcome=Outcome.UNKNOWN, summary=gone.detail, signals=dict.fromkeys(self.emits, gone))
        middle = median(gaps) or 0.0
        source = f"{len(gaps)} gaps of one answer" + ("" if traces[0].ok else ", which did not end in time")
        among = [gap for trace in traces_of(raw, "among") for gap in stats_of(trace).itl_s]
        stalls = _stalls(gaps, middle)
        signals = {
            "probe.itl_s_p50": measured(middle, source),
            "probe.itl_s_p95": measured(quantile(gaps, 0.95) or 0.0, source),
            "probe.itl_s_max": measured(max(gaps), source),
            "probe.itl_alone_s": _alone(raw, middle, source),
            "probe.itl_among_ratio": _among(among, middle, int(params["together"])),
            "probe.stalls": measured(float(len(stalls)), f"gaps over {STALL_TIMES:g} times the median, of {source}"),
            "probe.stall_period_s": _period(stalls),
            "probe.tokens_per_chunk": measured(alone[0].tokens_per_chunk or 0.0, source),
        }
        summary = f"a token takes {middle * 1000:.1f} ms in one answer, at most {max(gaps) * 1000:.0f} ms"
        ratio = signals["probe.itl_among_ratio"].value
        if isinstance(ratio, float):
            summary += f"; {ratio:.1f} times that with {params['together']} answers at once"
        if stalls:
            summary += f"; {len(stalls)} stalls"
        return Result(outcome=Outcome.WARN if stalls else Outcome.PASS, summary=summary, signals=signals)


def _with_the_last(gaps: Sequence[float], trace: StreamTrace) -> tuple[float, ...]:
    """An answer cut by our own time-out was still waiting for a token: that wait is a gap too, as a lower bound."""
    if trace.ok or not trace.chunks:
        return tuple(gaps)
    last = trace.reads[min(trace.chunks[-1].read, len(trace.reads) - 1)].at_s
    return (*gaps, max(0.0, trace.end_s - last))


def _stalls(gaps: Sequence[float], middle: float) -> list[float]:
    """When (seconds from the first token) a gap ended that is far above the others."""
    limit = max(STALL_TIMES * middle, STALL_MIN_S)
    return [end for end, gap in zip(itertools.accumulate(gaps), gaps, strict=True) if gap > limit]


def _alone(raw: Raw, middle: float, source: str) -> Reading:
    running = raw["context"].get("serving.requests_running")
    if running is None:
        return unknown(UnknownReason.ABSENT, "it is not known whether other requests ran meanwhile")
    if float(running) >= 0.5:
        return unknown(UnknownReason.INCONSISTENT, f"{float(running):.1f} other requests ran meanwhile")
    return measured(middle, f"{source}, nothing else running")


def _among(gaps: Sequence[float], middle: float, together: int) -> Reading:
    if len(gaps) < GAPS_MIN or middle <= 0:
        return unknown(UnknownReason.ABSENT, f"{len(gaps)} gaps of answers at once, {GAPS_MIN} are wanted")
    ordered = sorted(gaps)
    return measured(ordered[len(ordered) // 2] / middle, f"median of {len(gaps)} gaps, {together} answers at once")


def _period(stalls: Sequence[float]) -> Reading:
    distances = [later - earlier for earlier, later in itertools.pairwise(stalls)]
    if len(distances) < PERIODIC_STALLS_MIN - 1:
        return unknown(UnknownReason.ABSENT, f"{len(stalls)} stalls, {PERIODIC_STALLS_MIN} are wanted to see a period")
    mean = sum(distances) / len(distances)
    spread = max(abs(each - mean) for each in distances) / mean
    if spread > PERIODIC_SPREAD:
        return unknown(UnknownReason.INCONSISTENT, f"{len(stalls)} stalls at uneven distances")
    return measured(mean, f"{len(stalls)} stalls at even distances")
