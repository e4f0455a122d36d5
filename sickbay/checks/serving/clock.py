"""serving.clock: does the clock of the host that answers agree with this one's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["ServingClock"]


class ServingClock(Check):
    """Compare the Date header of one answer with this host's clock.

    The header has whole seconds, and the answer was on its way for a while: the two clocks differ only where no moment
    of that interval fits. Whoever answers writes the header, so behind a gateway it is the gateway's clock.
    """

    name = "serving.clock"
    title = "Do the clocks of this host and of the one that answers agree"
    effect = Effect.PASSIVE
    needs = ("url",)
    emits = ("serving.clock_offset_s",)
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "offset_warn_s": {"type": "number", "minimum": 0, "default": 2.0},
            "timeout_s": {"type": "number", "exclusiveMinimum": 0, "maximum": 60, "default": 3.0},
        },
    }
    sources = (
        "Date: RFC 9110, section 6.6.1; an answer out of a cache has Age: RFC 9111, section 5.1",
        "2 s: own choice; latencies across hosts and tokens without leeway suffer first",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """No request that makes tokens."""
        return Cost(requests=0, seconds=float(params["timeout_s"]), usual_s=0.2)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """One GET; any status is an answer."""
        sent_s = look.clock.wall()
        timeout_s = min(float(params["timeout_s"]), look.remaining_s)
        answer = await look.http.request("GET", "/health", timeout_s=timeout_s, bytes_max=20_000)
        kept = ("date", "age", "server", "via")
        return {
            "sent_s": sent_s,
            "received_s": look.clock.wall(),
            "headers": {name: answer.headers[name][:100] for name in kept if name in answer.headers},
        }

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Warn when no moment of the request fits the header."""
        reading = offset_of(raw)
        if not reading.known:
            return Result(outcome=Outcome.UNKNOWN, summary=reading.detail, signals={"serving.clock_offset_s": reading})
        offset_s = float(reading.value)  # type: ignore[arg-type]
        off = abs(offset_s) > params["offset_warn_s"]
        ahead = "ahead of" if offset_s > 0 else "behind"
        return Result(
            outcome=Outcome.WARN if off else Outcome.PASS,
            summary=f"the clock of the host that answers is {abs(offset_s):.1f} s {ahead} this one's"
            if offset_s
            else "the clocks agree to the second",
            signals={"serving.clock_offset_s": reading},
            next_step="Ask the time service of both hosts (chronyc tracking)." if off else "",
        )


def offset_of(raw: Raw) -> Reading:
    """Seconds that the other clock is ahead, at least; 0 when some moment of the request fits."""
    from email.utils import parsedate_to_datetime  # late: what a check says of itself must load fast

    headers = raw["headers"]
    if headers.get("age", "0") != "0":
        return unknown(UnknownReason.INCONSISTENT, f"the answer came out of a cache (Age: {headers['age']})")
    if "date" not in headers:
        return unknown(UnknownReason.ABSENT, "the answer has no Date header")
    try:
        date_s = parsedate_to_datetime(headers["date"]).timestamp()
    except (ValueError, OverflowError):
        return unknown(UnknownReason.MALFORMED, f"Date: {headers['date']!r} is no date")
    source = f"Date header of GET /health: {headers['date']}"
    if date_s > raw["received_s"]:
        return measured(date_s - raw["received_s"], source)
    if date_s + 1.0 < raw["sent_s"]:
        return measured(date_s + 1.0 - raw["sent_s"], source)
    return measured(0.0, source)
