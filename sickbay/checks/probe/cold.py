"""probe.cold: is the first request of a shape slower than the next ones, and does the server load a model for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sickbay.checks.probe.timeout_param import timeout_param
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["ProbeCold"]

SLOW_TIMES = 3.0
SLOW_MIN_S = 0.3


class ProbeCold(Check):
    """Send `repeats` new prompts of one length, one after the other.

    Put it before other probes: whatever ran before has warmed the server.
    """

    name = "probe.cold"
    title = "Is the first request slower than the next ones of the same shape"
    effect = Effect.LIGHT
    needs = ("url",)
    emits: ClassVar[Sequence[str]] = (
        "probe.ttft_first_s",
        "probe.cold_start_ratio",
        "probe.server_load_s",
        "probe.reload_ratio",
    )
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "prompt_tokens": {
                "description": "length of the prompts in tokens",
                "type": "integer",
                "minimum": 8,
                "maximum": 8192,
                "default": 48,
            },
            "repeats": {
                "description": "requests, the first one included",
                "type": "integer",
                "minimum": 2,
                "maximum": 10,
                "default": 3,
            },
            "seed": {"description": "seed of the prompts; 0 takes a new one each run", "type": "integer", "default": 0},
            "timeout_s": timeout_param(default=20.0, maximum=600),
        },
        "additionalProperties": False,
    }
    sources: ClassVar[Sequence[str]] = (
        "sgl-project/sglang#4773 (606 to 1186 tokens a second between first and second run)",
        "ollama/ollama#1782 (load_duration)",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """Every planned request."""
        asked = int(params["repeats"])
        return Cost(requests=asked, seconds=min(15.0, asked * float(params["timeout_s"])))

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """One after the other."""
        from sickbay.checks.probe.timed import begin_timed  # late: what a check says of itself must load fast

        timed = await begin_timed(look, seed=int(params["seed"]), timeout_s=float(params["timeout_s"]))
        for _ in range(int(params["repeats"])):
            await timed.send("shape", timed.prompts.cold(int(params["prompt_tokens"])), 2)
        return {"rows": timed.rows, "stopped": timed.stopped, "seed": timed.seed}

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """The first against the median of the others; load times as the server tells them."""
        # Late: what a check says of itself must load fast.
        from sickbay.checks.probe.readings import failure_of, load_readings, over, ttfts
        from sickbay.checks.probe.timed import traces_of

        traces = traces_of(raw)
        times = ttfts(traces)
        if not times or not traces_of(raw, ok=False)[0].ok:
            gone = unknown(UnknownReason.ABSENT, f"the first request gave no token: {failure_of(raw)}")
            return Result(outcome=Outcome.UNKNOWN, summary=gone.detail, signals=dict.fromkeys(self.emits, gone))
        ratio = over(times[:1], times[1:])
        signals = {
            "probe.ttft_first_s": measured(times[0], "the first of the requests of one shape"),
            "probe.cold_start_ratio": _ratio(ratio, len(times)),
            **load_readings(traces),
        }
        slow = ratio is not None and ratio > SLOW_TIMES and times[0] > SLOW_MIN_S
        summary = f"first token after {times[0]:.3f} s"
        if ratio is not None:
            summary += f", {ratio:.1f} times the later {len(times) - 1} of the same shape"
        return Result(outcome=Outcome.WARN if slow else Outcome.PASS, summary=summary, signals=signals)


def _ratio(ratio: float | None, requests: int) -> Reading:
    if ratio is None:
        return unknown(UnknownReason.ABSENT, "needs two answers of the same shape")
    return measured(ratio, f"first of {requests} requests over the median of the others")
