"""process.gateway: whether the gateway on this host computes, or holds requests back from the engine.

A gateway that burns its processor and one that waits for a free connection look alike from outside: both make users
wait while the engine has time. Its process tells them apart. Sources: proc(5), /proc/PID/stat and /proc/net/tcp.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["ProcessGateway"]

TICKS_PER_S = 100  # USER_HZ; 100 on every Linux that matters (sysconf(_SC_CLK_TCK))
BUSY_CORES = 0.9
"""One event loop fills one processor; a guess a little below it."""


class ProcessGateway(Check):
    """Read the processor time of the process that listens where the users call, and the connections on both its sides.

    Needs a `direct_url`, and the gateway on this host. Connections that users keep open without a request count as
    held; so the number says something only together with a slow first token and an engine that has room.
    """

    name = "process.gateway"
    title = "Whether the gateway computes, or holds requests back"
    effect = Effect.PASSIVE
    needs = ("gateway",)
    emits: ClassVar[Sequence[str]] = (
        "path.gateway_cpu_cores",
        "path.gateway_in_flight",
        "path.gateway_passed_on",
        "path.gateway_waiting",
    )
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "window_s": {
                "description": "seconds between the two reads of its processor time",
                "type": "number",
                "minimum": 0.5,
                "maximum": 300,
                "default": 4.0,
            }
        },
        "additionalProperties": False,
    }
    sources: ClassVar[Sequence[str]] = ("BerriAI/litellm#6592 (a gateway that fills its processor)",)

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """The window and a few reads."""
        window_s = float(params["window_s"])
        return Cost(requests=0, seconds=window_s + 2.0, usual_s=window_s + 0.2)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Two reads of its processor time, connections in between."""
        from sickbay.checks.process.gateway_look import look_gateway  # late: what a check says of itself must load fast

        return await look_gateway(look, float(params["window_s"]))

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Processors' worth of time, and the fewest requests that were held at any moment."""
        first, last = raw["ticks"]
        ticks = sum(count - first.get(pid, count) for pid, count in last.items())
        cores = ticks / TICKS_PER_S / max(float(raw["window_s"]), 1e-9)
        front, engine = raw["ports"]
        counts = raw["connections"]
        held, passed = [count[0] for count in counts], [count[1] for count in counts]
        waiting = _waiting(counts, engine)
        source = f"process {raw['pid']} on port {front}, over {raw['window_s']:.1f} s"
        signals = {
            "path.gateway_cpu_cores": measured(round(cores, 4), source),
            "path.gateway_in_flight": _in_flight(raw, held),
            "path.gateway_passed_on": measured(
                float(max(passed)), f"connections to port {engine}, most of {len(passed)} counts"
            ),
            "path.gateway_waiting": waiting,
        }
        words = f"the gateway's process uses {cores:.2f} processors"
        if isinstance(waiting.value, float):
            words += f" and holds at least {waiting.value:.0f} of {max(held)} requests back"
        return Result(outcome=Outcome.WARN if cores > BUSY_CORES else Outcome.PASS, summary=words, signals=signals)


def _in_flight(raw: Raw, held: Sequence[int]) -> Reading:
    """Connections of users. Over TLS one of them may carry many requests (HTTP/2), so they are no count of requests."""
    if not raw["plain"]:
        return unknown(UnknownReason.UNSUPPORTED, "over TLS one connection may carry many requests")
    return measured(sum(held) / len(held), f"connections to port {raw['ports'][0]}, mean of {len(held)}")


def _waiting(counts: Sequence[Sequence[int]], engine: int) -> Reading:
    if all(passed == 0 for _, passed in counts):
        return unknown(
            UnknownReason.ABSENT, f"no connection of this host to port {engine} is seen: the engine may be elsewhere"
        )
    least = min(max(0, held - passed) for held, passed in counts)
    return measured(float(least), f"connections on both sides, least of {len(counts)} counts")
