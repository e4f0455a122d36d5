"""probe.burst: does the engine make more tokens when more is asked. A load: only where the runbook allows it.

The same number of answers one after the other and at once; the gain tells whether there was room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sickbay.checks.probe.timeout_param import timeout_param
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason, measured, unknown

__all__ = ["ProbeBurst"]

WAITING_MAX = 0.5
BUSY_MAX = 0.95


class ProbeBurst(Check):
    """Send `together` answers of `max_tokens` at once, and one of them alone before.

    It refuses on a service that already has a queue or no free slot: there the answer is known, and users would pay.
    """

    name = "probe.burst"
    title = "Does the engine make more tokens when more is asked at once"
    effect = Effect.LOAD
    needs = ("url",)
    emits: ClassVar[Sequence[str]] = (
        "probe.burst_tokens_rate",
        "probe.burst_gain_ratio",
        "probe.burst_failed_ratio",
        "probe.burst_ttft_s_max",
    )
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "together": {
                "description": "answers at once",
                "type": "integer",
                "minimum": 2,
                "maximum": 64,
                "default": 8,
            },
            "max_tokens": {
                "description": "output tokens of each answer",
                "type": "integer",
                "minimum": 8,
                "maximum": 512,
                "default": 48,
            },
            "seed": {"description": "seed of the prompts; 0 takes a new one each run", "type": "integer", "default": 0},
            "timeout_s": timeout_param(default=20.0, maximum=300),
        },
        "additionalProperties": False,
    }
    sources: ClassVar[Sequence[str]] = ("vllm-project/vllm#14022 (not enough concurrency offered)",)

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """One alone, and the burst."""
        return Cost(requests=1 + int(params["together"]), seconds=min(25.0, 2 * float(params["timeout_s"])))

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Alone, then at once; nothing on a service that is full."""
        # Late: what a check says of itself must load fast.
        from sickbay.checks.probe.prepare import known_numbers
        from sickbay.checks.probe.timed import begin_timed

        context = known_numbers(look, ("serving.requests_waiting", "serving.slots_busy_ratio"))
        waiting, busy = (
            float(context.get(f"serving.{name}", 0.0)) for name in ("requests_waiting", "slots_busy_ratio")
        )
        if waiting >= WAITING_MAX or busy >= BUSY_MAX:
            full = f"not sent: {waiting:.1f} requests wait and {busy:.0%} of the slots are busy"
            return {"rows": [], "stopped": full, "full": True, "together_s": 0.0}
        timed = await begin_timed(look, seed=int(params["seed"]), timeout_s=float(params["timeout_s"]))
        tokens = int(params["max_tokens"])
        await timed.send("alone", timed.prompts.cold(16), tokens)
        prompts = [timed.prompts.cold(16) for _ in range(int(params["together"]))]
        together_s = await timed.together("burst", prompts, tokens)
        return {"rows": timed.rows, "stopped": timed.stopped, "full": False, "together_s": together_s}

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Tokens a second at once over tokens a second alone."""
        # Late: what a check says of itself must load fast.
        from sickbay.checks.probe.readings import failure_of, ttfts
        from sickbay.checks.probe.timed import traces_of
        from sickbay.engine.measure.stream_stats import stats_of

        alone = [stats_of(trace) for trace in traces_of(raw, "alone")]
        sent, good = traces_of(raw, "burst", ok=False), traces_of(raw, "burst")
        tokens = sum(stats_of(trace).tokens for trace in good)
        if raw["full"] or not alone or not alone[0].e2e_s or not tokens:
            reason = UnknownReason.BUDGET if raw["full"] else UnknownReason.ABSENT
            gone = unknown(reason, failure_of(raw))
            return Result(outcome=Outcome.UNKNOWN, summary=gone.detail, signals=dict.fromkeys(self.emits, gone))
        rate = tokens / max(raw["together_s"], 1e-6)
        single = alone[0].tokens / alone[0].e2e_s
        source = f"{tokens} tokens of {len(good)} answers at once in {raw['together_s']:.2f} s"
        signals = {
            "probe.burst_tokens_rate": measured(rate, source),
            "probe.burst_gain_ratio": measured(rate / single, f"{source}, over {single:.1f} a second alone"),
            "probe.burst_failed_ratio": measured(1 - len(good) / len(sent), f"{len(sent) - len(good)} of {len(sent)}"),
            "probe.burst_ttft_s_max": measured(max(ttfts(good), default=0.0), source),
        }
        summary = (
            f"{rate:.1f} tokens a second with {len(sent)} at once, {single:.1f} with one ({rate / single:.1f} times)"
        )
        return Result(outcome=Outcome.WARN if len(good) < len(sent) else Outcome.PASS, summary=summary, signals=signals)
