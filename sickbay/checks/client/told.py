"""client.told: what the caller says of its own side: workers, connections, and the figures it reports.

No engine can see a client's pool or arithmetic. Somebody who runs the load generator can, and says so as inputs of the
runbook (`--set client_workers=16 --set client_connections_max=2`); what is not told stays unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["ClientTold"]

SIGNALS = {
    "workers": "client.workers",
    "connections_max": "client.connections_max",
    "ttft_s": "client.ttft_s_reported",
    "itl_s": "client.itl_s_reported",
    "tokens_rate": "client.tokens_rate_single",
}
PER_CONNECTION = "client.workers_per_connection"


def _number(words: str) -> dict[str, Any]:
    return {"type": "number", "minimum": 0, "default": 0, "description": f"{words}; 0 is not told"}


class ClientTold(Check):
    """Pass on what the caller says of itself. It looks at nothing."""

    name = "client.told"
    title = "What the caller says of its own side"
    effect = Effect.PASSIVE
    emits: ClassVar[Sequence[str]] = (*SIGNALS.values(), PER_CONNECTION)
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "workers": _number("concurrent workers the client or load generator was asked for"),
            "connections_max": _number("connections its pool allows"),
            "ttft_s": _number("time to first token that it reports, seconds"),
            "itl_s": _number("gap per token that it reports, seconds"),
            "tokens_rate": _number("output tokens a second of one stream by the same client"),
        },
        "additionalProperties": False,
    }
    sources: ClassVar[Sequence[str]] = ("uw-syfi/vibesys#252", "vllm-project/guidellm#1048")

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """Nothing is asked."""
        return Cost(requests=0, seconds=0.2)

    def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """The numbers that were told."""
        return {"told": {name: float(params[name]) for name in SIGNALS if params[name] > 0}}

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Each number under its signal's name; workers over connections where both are told."""
        told: Mapping[str, float] = raw["told"]
        signals = {signal: _reading(told, name) for name, signal in SIGNALS.items()}
        signals[PER_CONNECTION] = (
            measured(told["workers"] / told["connections_max"], "told by the caller")
            if {"workers", "connections_max"} <= told.keys()
            else _untold("workers and connections_max")
        )
        if not told:
            return Result(
                outcome=Outcome.SKIP,
                summary="the caller told nothing of its own side; --set client_…=N does",
                signals=signals,
            )
        words = ", ".join(f"{name} {value:g}" for name, value in told.items())
        return Result(outcome=Outcome.PASS, summary=f"the caller says: {words}", signals=signals)


def _reading(told: Mapping[str, float], name: str) -> Reading:
    return measured(told[name], "told by the caller") if name in told else _untold(name)


def _untold(what: str) -> Reading:
    return unknown(UnknownReason.NOT_CONFIGURED, f"the caller did not tell its {what}")
