"""probe.disconnect: does the engine stop working when its client has gone.

A long answer is begun and dropped; then the engine is watched. llama.cpp's slots show the very request (by its odd
length limit), also among others; elsewhere the count of running requests must fall, which only tells at idle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sickbay.checks.probe.timeout_param import timeout_param
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["ProbeDisconnect"]


class ProbeDisconnect(Check):
    """Begin one long answer through the path users take, drop it after its first tokens, and watch the engine."""

    name = "probe.disconnect"
    title = "Does the engine stop when the client goes away"
    effect = Effect.LIGHT
    needs = ("url",)
    emits: ClassVar[Sequence[str]] = ("probe.cancel_frees_slot", "probe.cancel_s")
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "wait_s": {
                "description": "seconds within which the slot must be free",
                "type": "number",
                "minimum": 0.5,
                "maximum": 30,
                "default": 2.0,
            },
            "max_tokens": {
                "description": "length limit of the answer that is dropped; long enough to run for more than wait_s",
                "type": "integer",
                "minimum": 64,
                "maximum": 8192,
                "default": 701,
            },
            "timeout_s": timeout_param(default=10.0, maximum=120, describe="most seconds until the first token"),
        },
        "additionalProperties": False,
    }
    sources: ClassVar[Sequence[str]] = (
        "BerriAI/litellm#30223, vllm-project/vllm#27073",
        "two seconds: a guess; engines look for a closed connection at every step",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """One answer, dropped."""
        return Cost(
            requests=1, seconds=min(12.0, float(params["timeout_s"]) + float(params["wait_s"]) + 1.0), usual_s=0.5
        )

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Begin, drop, watch."""
        from sickbay.checks.probe.disconnect_look import look_disconnect  # late: what a check says must load fast

        return await look_disconnect(look, params)

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Free within the time, still busy, or not to be told."""
        freed = _freed(raw)
        after = unknown(freed.reason, freed.detail) if freed.reason else _after(raw)
        signals = {"probe.cancel_frees_slot": freed, "probe.cancel_s": after}
        outcome = Outcome.PASS if freed.value is True else Outcome.WARN if freed.known else Outcome.UNKNOWN
        return Result(outcome=outcome, summary=freed.source or freed.detail, signals=signals)


def _freed(raw: Raw) -> Reading:
    if raw["problem"]:
        return unknown(UnknownReason(raw["reason"]), raw["problem"])
    if raw["freed_s"] is not None:
        return measured(True, f"free {raw['freed_s']:.1f} s after the client had gone ({raw['how']})")
    return measured(False, f"still busy {raw['watched_s']:.1f} s after the client had gone ({raw['how']})")


def _after(raw: Raw) -> Reading:
    if raw["freed_s"] is None:
        return unknown(UnknownReason.TIMEOUT, f"not free within {raw['watched_s']:.1f} s")
    return measured(float(raw["freed_s"]), raw["how"])
