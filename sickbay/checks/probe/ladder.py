"""probe.ladder: what a prompt token costs by length, and what a long prompt does to a short one beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sickbay.checks.probe.timeout_param import timeout_param
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["ProbeLadder"]

BESIDE_AFTER_S = 0.15
"""The short prompt starts when the long one is in prefill, not before it."""
BESIDE_WARN = 3.0


class ProbeLadder(Check):
    """Send one new prompt of each length, then the longest with a short one beside it.

    The slope over all lengths is the cost of a prompt token; the slope of the longer half over that of the shorter
    half shows whether length is paid more than once (no chunking, attention without a fast kernel).
    """

    name = "probe.ladder"
    title = "What a prompt token costs by length, and whether a long prompt holds a short one up"
    effect = Effect.LIGHT
    needs = ("url",)
    emits: ClassVar[Sequence[str]] = (
        "probe.prefill_s_per_token",
        "probe.prefill_fixed_s",
        "probe.prefill_bend_ratio",
        "probe.short_during_long_ratio",
    )
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "lengths": {
                "description": "prompt lengths in tokens, three or more for the bend; kept inside the context",
                "type": "array",
                "items": {"type": "integer", "minimum": 8, "maximum": 32768},
                "minItems": 2,
                "maxItems": 6,
                "default": [32, 256, 768],
            },
            "beside": {
                "description": "send a short prompt while the longest is in prefill",
                "type": "boolean",
                "default": True,
            },
            "seed": {"description": "seed of the prompts; 0 takes a new one each run", "type": "integer", "default": 0},
            "timeout_s": timeout_param(default=20.0, maximum=600),
        },
        "additionalProperties": False,
    }
    sources: ClassVar[Sequence[str]] = (
        "vllm-project/vllm#21495, #6150, #33743 (long prompts hold short ones up)",
        "three times as notable: a guess",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """One a length, and the pair beside each other with its short control."""
        asked = len(params["lengths"]) + 2 * bool(params["beside"])
        return Cost(requests=asked, seconds=min(20.0, asked * float(params["timeout_s"])))

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Shortest first; the pair last."""
        # Late: what a check says of itself must load fast.
        from sickbay.checks.probe.prepare import known_numbers
        from sickbay.checks.probe.timed import begin_timed

        context = known_numbers(look, ("serving.context_length_tokens",))
        room = int(float(context.get("serving.context_length_tokens", 0) or 10**9) * 0.8) - 64
        lengths = sorted({max(8, min(int(each), room)) for each in params["lengths"]})
        timed = await begin_timed(
            look, seed=int(params["seed"]), timeout_s=float(params["timeout_s"]), count_tokens=True
        )
        for length in lengths:
            await timed.send(f"alone-{length}", timed.prompts.cold(length), 1)
        if params["beside"]:
            long, short = timed.prompts.cold(lengths[-1]), timed.prompts.cold(lengths[0])
            import asyncio  # late: what a check says of itself must load fast

            await asyncio.gather(timed.send("long", long, 1), timed.send("beside", short, 1, after_s=BESIDE_AFTER_S))
        return {"rows": timed.rows, "stopped": timed.stopped, "seed": timed.seed, "lengths": lengths}

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """A line through (tokens, time to first token)."""
        # Late: what a check says of itself must load fast.
        from sickbay.checks.probe.readings import failure_of, ttfts
        from sickbay.checks.probe.timed import traces_of

        points = []
        for length in raw["lengths"]:
            for trace in traces_of(raw, f"alone-{length}"):
                tokens = trace.counts.get("prompt_tokens") or int(trace.timings.get("prompt_n", 0)) or length
                points += [(float(tokens), each) for each in ttfts([trace])]
        slope, fixed = _line(points)
        if slope is None:
            gone = unknown(UnknownReason.ABSENT, f"needs two lengths with a first token: {failure_of(raw)}")
            return Result(outcome=Outcome.UNKNOWN, summary=gone.detail, signals=dict.fromkeys(self.emits, gone))
        source = f"{len(points)} new prompts of {points[0][0]:.0f} to {points[-1][0]:.0f} tokens"
        beside = ttfts(traces_of(raw, "beside"))
        alone = ttfts(traces_of(raw, f"alone-{raw['lengths'][0]}"))
        signals = {
            "probe.prefill_s_per_token": _positive(slope, source),
            "probe.prefill_fixed_s": measured(max(0.0, fixed), source),
            "probe.prefill_bend_ratio": _bend(points),
            "probe.short_during_long_ratio": _beside(beside, alone),
        }
        ratio = signals["probe.short_during_long_ratio"].value
        summary = f"{slope * 1000:.2f} ms a prompt token over {fixed * 1000:.0f} ms, {source}"
        if isinstance(ratio, float):
            summary += f"; a short prompt takes {ratio:.1f} times as long beside a long one"
        held = isinstance(ratio, float) and ratio > BESIDE_WARN
        return Result(outcome=Outcome.WARN if held else Outcome.PASS, summary=summary, signals=signals)


def _line(points: Sequence[tuple[float, float]]) -> tuple[float | None, float]:
    """Least squares: slope and intercept; None when all lengths are one."""
    if len(points) < 2:
        return None, 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if spread <= 0:
        return None, 0.0
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    return slope, mean_y - slope * mean_x


def _positive(slope: float, source: str) -> Reading:
    if slope <= 0:
        return unknown(UnknownReason.INCONSISTENT, f"longer prompts were not slower ({source}): load or cache hides it")
    return measured(slope, source)


def _bend(points: Sequence[tuple[float, float]]) -> Reading:
    if len(points) < 3:
        return unknown(UnknownReason.ABSENT, "needs three lengths")
    middle = len(points) // 2
    early, _ = _line(points[: middle + 1])
    late, _ = _line(points[middle:])
    if early is None or late is None or early <= 0:
        return unknown(UnknownReason.INCONSISTENT, "the shorter lengths show no slope of their own")
    return measured(late / early, f"slope above {points[middle][0]:.0f} tokens over the slope below")


def _beside(beside: Sequence[float], alone: Sequence[float]) -> Reading:
    if not beside or not alone:
        return unknown(UnknownReason.ABSENT, "no short prompt was answered both alone and beside a long one")
    return measured(beside[0] / alone[0], "time to first token of a short prompt beside a long one, over alone")
