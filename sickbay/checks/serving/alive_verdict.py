"""What serving.alive says of what it found: outcome, one sentence, what to do. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from sickbay.checks.serving.alive_signals import is_broken, not_ours
from sickbay.engine.model.check import Raw
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading

__all__ = ["alive_verdict"]

_LET_GO = "Let it go on (kill -CONT, or thaw its cgroup) and find who stopped it."


def alive_verdict(raw: Raw, found: Mapping[str, Reading]) -> tuple[Outcome, str, str]:
    """Outcome, one sentence, and what to do."""
    value = {name.removeprefix("serving."): reading.value for name, reading in found.items()}
    other = value["other_engine_port"]
    elsewhere = f"; an inference engine answers on port {other:.0f}" if isinstance(other, float) and other else ""
    if not value["answers_http"]:
        return _silent(raw, found, elsewhere)
    request = raw["request"]
    if "problem" in request:
        return Outcome.UNKNOWN, f"no request was sent: {request['problem']['detail']}", ""
    if value["auth_ok"] is False:
        return Outcome.FAIL, f"{request['path']} refuses us: {request['message']}", "Check the API key of the target."
    if value["model_served"] is False:
        asked = found["serving.model_served"].source
        return (
            Outcome.FAIL,
            f"the model is not served: {asked}",
            "Ask for a served model, or load the one that is wanted.",
        )
    if value["first_token_ok"] is not True:
        said = request["message"] or request["failure"] or "the answer had no token"
        limit = f" within {raw['timeout_s']:g} s" if request["failure"] == "timeout" else ""
        summary = f"no token{limit}: {said}{elsewhere}"
        if value["process_stopped"] is True:
            summary = f"a process of the engine is stopped: {found['serving.process_stopped'].source}; {summary}"
            return Outcome.FAIL, summary, _LET_GO
        if value["direct_first_token_ok"] is True:
            summary += "; straight to the engine the same request gets a token"
            return Outcome.FAIL, summary, "The engine is well; look at what stands in front of it."
        return Outcome.FAIL, summary, "Look at the queue, the engine's log and its process."
    summary = f"first token after {value['first_token_s']:.3f} s"
    if lost := request.get("lost", ()):
        return (
            Outcome.WARN,
            f"{len(lost)} of {len(lost) + 1} short requests got no answer: {lost[0]}",
            "Something on the way loses requests: look at the gateway's workers and their logs.",
        )
    if value["answer_complete"] is False:
        return (
            Outcome.WARN,
            f"{summary}, and the few tokens asked for never came to an end: {request['message'] or 'no end in time'}",
            "It begins answers and does not finish them: look at its running requests and its log.",
        )
    if refused := request.get("refused_short"):
        return (
            Outcome.WARN,
            f"{summary}, once a longer answer was asked for; a short one is refused: {refused}",
            "Look at what stands in front of the engine for the settings it adds to requests.",
        )
    if value["health_ok"] is not True:
        return (
            Outcome.WARN,
            f"{summary}, but {found['serving.health_ok'].source}",
            "The health endpoint and the engine disagree.",
        )
    return Outcome.PASS, f"{summary}; {found['serving.health_ok'].source} in {value['health_s']:.3f} s", ""


def _silent(raw: Raw, found: Mapping[str, Reading], elsewhere: str) -> tuple[Outcome, str, str]:
    detail = raw["health"]["problem"]["detail"]
    if not_ours(raw["health"]["problem"]):
        return Outcome.UNKNOWN, f"nothing was asked: {detail}", "Give sickbay what it lacks, then run again."
    process = found["serving.process_stopped"]
    if process.value is True:
        return (
            Outcome.FAIL,
            f"the engine's process is stopped: {process.source}; {detail}",
            _LET_GO,
        )
    if raw["health"]["problem"]["kind"] == "certificate":
        return Outcome.UNKNOWN, f"nothing was asked: {detail}", "Make the certificate one that users accept."
    if is_broken(raw["health"]["problem"]):
        return (
            Outcome.UNKNOWN,
            f"what answers cannot be read: {detail}",
            "Look at what listens there: is it the engine, or a proxy in front of it?",
        )
    if elsewhere:
        return Outcome.FAIL, f"{detail}{elsewhere}", "Correct the address of the target, or start its engine."
    if found["serving.direct_answers_http"].value is True:
        straight = found["serving.direct_answers_http"].source
        return Outcome.FAIL, f"{detail}; {straight}", "The engine is well; look at what stands in front of it."
    listening = found["serving.port_listening"].value
    where = "; nothing of this host listens on that port" if listening is False else ""
    return Outcome.FAIL, f"{detail}{where}", "Start the engine, or correct the address of the target."
