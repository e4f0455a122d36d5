"""serving.still: is it still there? The last look of a run, for services that die while one looks.

A run takes a minute; what `serving.alive` saw at its start may be over. What this look finds replaces it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.checks.serving.alive_signals import connection_signals, local_signals
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["ServingStill"]

SLACK_S = 2.0
"""How far two readings of one process' age may lie apart and still be of the same process."""


class ServingStill(Check):
    """Ask the health route again, twice before it is believed dead, and look whether the process is still the same."""

    name = "serving.still"
    title = "Still there at the end of the run"
    effect = Effect.PASSIVE
    needs = ("url",)
    emits = (
        "serving.reachable", "serving.connect_error", "serving.answers_http", "serving.health_ok",
        "serving.port_listening", "serving.process_found", "serving.known_process_gone", "serving.process_stopped",
        "serving.restarted_meanwhile", "serving.first_token_ok",
    )  # fmt: skip
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "timeout_s": {
                "description": "seconds for each of the two tries",
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": 60,
                "default": 2.5,
            }
        },
        "additionalProperties": False,
    }
    sources = ("vllm-project/vllm#28726 (an engine that dies under load)",)

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """No request that makes tokens."""
        return Cost(requests=0, seconds=1.0 + 2.0 * float(params["timeout_s"]), usual_s=0.1)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """The health route, and what /proc tells."""
        from sickbay.checks.serving.still_look import look_still  # late: what a check says of itself must load fast

        return await look_still(look, float(params["timeout_s"]))

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """What is known now; fail when it answered before and does not any more."""
        connection, local = connection_signals(raw), local_signals(raw)
        slow = _slow(raw, local)
        if slow:
            connection = dict.fromkeys(connection, unknown(UnknownReason.TIMEOUT, slow))
        signals = {name: reading for name, reading in (connection | local).items() if name in self.emits}
        signals["serving.restarted_meanwhile"] = restarted = _restarted(raw, signals)
        signals["serving.first_token_ok"] = unknown(UnknownReason.NOT_ASKED, "the last look sends no request")
        answers = signals["serving.answers_http"]
        if slow:
            return Result(outcome=Outcome.WARN, summary=slow, signals=signals)
        if answers.value is False:
            signals["serving.first_token_ok"] = measured(False, f"nothing answers any more: {answers.source}")
            return Result(
                outcome=Outcome.FAIL,
                summary=f"it answered when the run began and does not any more: {answers.source}",
                signals=signals,
                next_step="Look at the end of the engine's log, and run again.",
            )
        if restarted.value is True:
            return Result(
                outcome=Outcome.WARN,
                summary=f"it was restarted while we looked: {restarted.source}",
                signals=signals,
                next_step="Find who restarts it, and read the log of the process that ended.",
            )
        if answers.value is None:
            return Result(outcome=Outcome.UNKNOWN, summary=answers.detail, signals=signals)
        return Result(outcome=Outcome.PASS, summary=f"still there: {answers.source}", signals=signals)


def _slow(raw: Raw, local: Mapping[str, Reading]) -> str:
    """That the health route is late, and nothing more; "" when it answered, or when more is known."""
    problem = raw["health"].get("problem")
    if problem is None or problem["reason"] != UnknownReason.TIMEOUT or local["serving.process_stopped"].value is True:
        return ""
    return (
        f"the health route is late: {problem['detail']}" if local["serving.port_listening"].value is not False else ""
    )


def _restarted(raw: Raw, signals: Mapping[str, Reading]) -> Reading:
    """Whether another process answers than at the begin: the named one is gone, or the present one is too young."""
    if signals["serving.answers_http"].value is not True:
        return unknown(UnknownReason.ABSENT, "nothing answers now")
    if signals["serving.known_process_gone"].value is True:
        return measured(True, f"the process {raw['pid']} is gone, and another answers")
    process = raw.get("local", {}).get("process", {})
    before_s, now_s = raw["uptime_before_s"], process.get("uptime_s")
    if before_s is None or now_s is None:
        return unknown(UnknownReason.ABSENT, "the age of its process is not known")
    young = now_s + SLACK_S < before_s + raw["passed_s"]
    return measured(
        young, f"its process is {now_s:.0f} s old, and was {before_s:.0f} s old {raw['passed_s']:.0f} s ago"
    )
