"""serving.alive: is something there, is it the engine, and does it give a token in time?

/health alone is not believed: it stays 200 while an engine loop is frozen (vllm-project/vllm#36451, #51663).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.checks.serving.alive_signals import alive_signals
from sickbay.checks.serving.alive_verdict import alive_verdict
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["ServingAlive"]

CLOCK_APART_S = 5.0
"""Beyond the whole seconds of a Date header and a slow answer; time services keep hosts within milliseconds."""


class ServingAlive(Check):
    """Ask for health, the model list, and a few tokens of one short streamed request.

    When nothing answers and the target is this host, /proc tells whether the port is listened on, whether the
    process is stopped, and whether an engine answers on another port; of other hosts only usual ports are asked.
    """

    name = "serving.alive"
    title = "an answer token within a deadline, not /health alone"
    effect = Effect.LIGHT
    needs = ("url",)
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "timeout_s": {
                "type": "number",
                "minimum": 0.5,
                "maximum": 600,
                "default": 15,
                "description": "deadline of the first token of the short request",
            }
        },
        "additionalProperties": False,
    }
    emits = (
        "serving.reachable", "serving.connect_error", "serving.health_ok", "serving.health_s",
        "serving.answers_http", "serving.first_token_ok", "serving.first_token_s", "serving.http_status",
        "serving.error_text", "serving.auth_ok", "serving.lost_ratio", "serving.answer_complete",
        "serving.setting_added",
        "serving.direct_answers_http", "serving.direct_health_s", "serving.direct_first_token_ok",
        "serving.clock_ahead_s", "serving.model_served", "serving.models_served",
        "serving.engine_recognised", "serving.other_engine_port", "serving.port_listening",
        "serving.process_found", "serving.known_process_gone", "serving.process_stopped", "serving.process_uptime_s",
    )  # fmt: skip
    sources = ("vllm-project/vllm#36451", "vllm-project/vllm#51663", "man7.org/linux/man-pages/man5/proc.5.html")

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """One request of four tokens, and up to three more.

        One where so short an answer is refused, one where the model has no chat template, two for lost ones, one
        straight to the engine for a token that did not come where users call.
        """
        return Cost(requests=4, seconds=float(params.get("timeout_s", 15)) + 12.0, usual_s=0.5)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Look at the service from outside and, where possible, from its host."""
        from sickbay.checks.serving.alive_look import look_alive  # late: what a check says of itself must load fast

        return await look_alive(look, float(params["timeout_s"]))

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Signals and one sentence."""
        found = alive_signals(raw)
        outcome, summary, next_step = alive_verdict(raw, found)
        ahead_s = found["serving.clock_ahead_s"].value
        if isinstance(ahead_s, float) and abs(ahead_s) > CLOCK_APART_S:
            summary += f"; clocks disagree: the server's is {abs(ahead_s):.0f} s {'ahead' if ahead_s > 0 else 'behind'}"
        return Result(outcome=outcome, summary=summary, signals=found, next_step=next_step)
