"""serving.alive: is something there, is it the engine, and does it give a token in time?

/health alone is not believed: it stays 200 while an engine loop is frozen (vllm-project/vllm#36451, #51663).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

CLOCK_APART_S = 5.0
"""Beyond the whole seconds of a Date header and a slow answer; time services keep hosts within milliseconds."""

__all__ = ["ServingAlive", "connection_signals", "local_signals"]

_LET_GO = "Let it go on (kill -CONT, or thaw its cgroup) and find who stopped it."
OTHER_TASK = re.compile(
    r"does not (?:support|appear to be) (?:an? )?(?:chat|completions?|generat)|(?:only supports?|is) (?:an )?embedding",
    re.IGNORECASE,
)
"""How engines refuse a chat for a model of another task (vLLM, Ollama, llama.cpp: their error strings)."""
_CONNECTED_KINDS = {"closed", "certificate", "malformed", "too-large", "redirect"}
_BROKEN_KINDS = {"certificate", "malformed", "too-large", "redirect"}
_DIRECT = ("serving.direct_answers_http", "serving.direct_health_s", "serving.direct_first_token_ok")
_SAID_KINDS = {"closed", "certificate"}  # a connection was made, and how it ended is worth a word
_ERRORS = {"refused": "refused", "unreachable": "unreachable", "dns": "dns", "tls": "tls", "timeout": "timeout"}


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
        "serving.direct_answers_http", "serving.direct_health_s", "serving.direct_first_token_ok",
        "serving.clock_ahead_s", "serving.model_served", "serving.models_served",
        "serving.engine_recognised", "serving.other_engine_port", "serving.port_listening",
        "serving.process_found", "serving.known_process_gone", "serving.process_stopped", "serving.process_uptime_s",
    )  # fmt: skip
    sources = ("vllm-project/vllm#36451", "vllm-project/vllm#51663", "man7.org/linux/man-pages/man5/proc.5.html")

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """One request of four tokens; two where the model has no chat template, and up to two more for lost ones."""
        return Cost(requests=4, seconds=float(params.get("timeout_s", 15)) + 12.0, usual_s=0.5)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Look at the service from outside and, where possible, from its host."""
        from sickbay.checks.serving.alive_look import look_alive  # late: what a check says of itself must load fast

        return await look_alive(look, float(params["timeout_s"]))

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Signals and one sentence."""
        found = connection_signals(raw) | _clock(raw) | _direct(raw) | _request(raw) | _models(raw) | local_signals(raw)
        outcome, summary, next_step = _verdict(raw, found)
        ahead_s = found["serving.clock_ahead_s"].value
        if isinstance(ahead_s, float) and abs(ahead_s) > CLOCK_APART_S:
            summary += f"; clocks disagree: the server's is {abs(ahead_s):.0f} s {'ahead' if ahead_s > 0 else 'behind'}"
        return Result(outcome=outcome, summary=summary, signals=found, next_step=next_step)


def connection_signals(raw: Raw) -> dict[str, Reading]:
    """What the health route's answer, or its lack, says of the connection."""
    health = raw["health"]
    problem = health.get("problem")
    engine = raw.get("engine", {})
    found: dict[str, Reading] = {}
    if problem is None:
        what = f"GET {health['path']} gave {health['status']}"
        found["serving.reachable"] = measured(True, what)
        found["serving.connect_error"] = measured("", what)
        found["serving.answers_http"] = measured(True, what)
        found["serving.health_ok"] = measured(health["status"] == 200, what)
        found["serving.health_s"] = measured(float(health["elapsed_s"]), what)
    elif _not_ours(problem):
        lost = unknown(UnknownReason.NOT_CONFIGURED, str(problem["detail"]))
        names = ("reachable", "connect_error", "answers_http", "health_ok", "health_s")
        found |= {f"serving.{name}": lost for name in names}
    else:
        detail = str(problem["detail"])
        connected = _connected(problem, raw)
        found["serving.reachable"] = measured(connected, detail)
        said = problem["kind"] if problem["kind"] in _SAID_KINDS and not _begun(problem) else ""
        found["serving.connect_error"] = measured(
            said if connected else _ERRORS.get(problem["kind"], problem["reason"]), detail
        )
        broken = _broken(problem)
        lost = unknown(UnknownReason.MALFORMED, detail)
        found["serving.answers_http"] = lost if broken else measured(False, detail)
        found["serving.health_ok"] = lost if broken else measured(False, detail)
        found["serving.health_s"] = unknown(UnknownReason(problem["reason"]), detail)
    if "name" in engine:
        found["serving.engine_recognised"] = measured(True, str(engine["how"]))
    elif problem is None and engine["problem"]["reason"] == "unsupported":
        found["serving.engine_recognised"] = measured(False, str(engine["problem"]["detail"]))
    else:
        found["serving.engine_recognised"] = unknown(
            UnknownReason(engine["problem"]["reason"]), str(engine["problem"]["detail"])
        )
    return found


def _clock(raw: Raw) -> dict[str, Reading]:
    """How far the server's clock is from ours; its logs and its Prometheus tell times by it."""
    health = raw["health"]
    ahead_s = health.get("ahead_s")
    if ahead_s is None:
        reason = UnknownReason(health["problem"]["reason"]) if "problem" in health else UnknownReason.UNSUPPORTED
        return {"serving.clock_ahead_s": unknown(reason, "no fresh answer with a Date header came")}
    return {"serving.clock_ahead_s": measured(float(ahead_s), "Date header of the health route, whole seconds")}


def _direct(raw: Raw) -> dict[str, Reading]:
    """Whether the engine itself answers, behind the address where the users call."""
    health = raw.get("direct_health")
    if health is None:
        none = unknown(UnknownReason.NOT_CONFIGURED, "the target has no direct_url: the engine behind a gateway")
        return dict.fromkeys(_DIRECT, none)
    if "problem" in health:
        detail = str(health["problem"]["detail"])
        return {
            "serving.direct_answers_http": measured(False, detail),
            "serving.direct_health_s": unknown(UnknownReason(health["problem"]["reason"]), detail),
            "serving.direct_first_token_ok": _straight(raw),
        }
    what = f"GET {health['path']} straight to the engine gave {health['status']}"
    return {
        "serving.direct_answers_http": measured(True, what),
        "serving.direct_health_s": measured(float(health["elapsed_s"]), what),
        "serving.direct_first_token_ok": _straight(raw),
    }


def _straight(raw: Raw) -> Reading:
    """Whether a request that got no token where the users call gets one straight from the engine."""
    asked = raw.get("direct_request")
    if asked is None:
        return unknown(UnknownReason.NOT_ASKED, "no request of ours came to nothing where the users call")
    told = f"the same POST {asked['path']} straight to the engine"
    return measured(bool(asked["token"]), told if asked["token"] else f"{told}: {asked['message'] or 'no token came'}")


def _not_ours(problem: Mapping[str, str]) -> bool:
    """Whether nothing was asked, because something is missing on our side (a key): no word on the service."""
    return problem["reason"] == UnknownReason.NOT_CONFIGURED


def _broken(problem: Mapping[str, str]) -> bool:
    """Whether something answers, but not with HTTP that can be read: no word on the engine's health."""
    return problem["kind"] in _BROKEN_KINDS or _begun(problem)


def _begun(problem: Mapping[str, str]) -> bool:
    """Whether a part of an answer came."""
    return re.search(r"\b[1-9]\d* bytes came|in the middle of the answer", problem["detail"]) is not None


def _connected(problem: Mapping[str, str], raw: Raw) -> bool:
    """Whether a connection was made although no answer came."""
    if problem["kind"] in _CONNECTED_KINDS:
        return True
    if problem["reason"] != "timeout" or problem["detail"].find("no connection to") >= 0:
        return False
    return bool(raw.get("local", {}).get("listening", True))


def _request(raw: Raw) -> dict[str, Reading]:
    request = raw.get("request")
    names = ("first_token_ok", "first_token_s", "http_status", "error_text", "auth_ok", "lost_ratio", "answer_complete")
    if request is None:
        problem = raw["health"]["problem"]
        lost = unknown(
            UnknownReason(problem["reason"]), f"no request was sent, because nothing answered: {problem['detail']}"
        )
        found = {f"serving.{name}": lost for name in names}
        return (
            found
            if _broken(problem) or _not_ours(problem)
            else found | {"serving.first_token_ok": measured(False, lost.detail)}
        )
    if "problem" in request:
        lost = unknown(UnknownReason(request["problem"]["reason"]), request["problem"]["detail"])
        return {f"serving.{name}": lost for name in names}
    first, status = request["first_token_s"], int(request["status"])
    source = f"POST {request['path']}"
    none = f"{source}: {request['message'] or request['failure'] or 'no token came'}"
    return {
        "serving.first_token_ok": measured(first is not None, source if first is not None else none),
        "serving.first_token_s": measured(float(first), source)
        if first is not None
        else unknown(UnknownReason.TIMEOUT if request["failure"] == "timeout" else UnknownReason.ABSENT, none),
        "serving.http_status": measured(float(status), source)
        if status
        else unknown(UnknownReason.TIMEOUT if request["failure"] == "timeout" else UnknownReason.REFUSED, none),
        "serving.error_text": measured(str(request["message"]), source),
        "serving.lost_ratio": _lost(request, source),
        "serving.answer_complete": measured(request["failure"] != "timeout", none if first is None else source)
        if first is not None or request["failure"] == "timeout"
        else unknown(UnknownReason.ABSENT, none),
        "serving.auth_ok": measured(status not in {401, 403}, source)
        if status
        else unknown(UnknownReason.TIMEOUT, f"{source} gave no status"),
    }


def _lost(request: Mapping[str, Any], source: str) -> Reading:
    """Share of the same short request that came to nothing on its way."""
    lost = len(request.get("lost", ()))
    sent = max(lost, 1) + (1 if lost and request["first_token_s"] is not None else 0)
    return measured(lost / sent, f"{lost} of {sent} times {source}")


def _models(raw: Raw) -> dict[str, Reading]:
    models, asked = raw.get("models"), str(raw["asked_model"])
    if models is None or "problem" in models:
        problem = (models or raw["health"])["problem"]
        lost = unknown(UnknownReason(problem["reason"]), str(problem["detail"]))
        return {"serving.models_served": lost, "serving.model_served": lost}
    names = [str(name) for name in models["names"]]
    where = f"GET {models['path']}"
    if models["status"] in {401, 403}:
        lost = unknown(UnknownReason.AUTH, f"{where} gave {models['status']}: it wants an API key")
        return {"serving.models_served": lost, "serving.model_served": lost}
    if not names:
        lost = unknown(UnknownReason.ABSENT, f"{where} gave {models['status']} and no model names")
        return {"serving.models_served": lost, "serving.model_served": lost}
    served = not asked or asked in names or f"{asked}:latest" in names
    said = str((raw.get("request") or {}).get("message", ""))
    if served and OTHER_TASK.search(said):
        return {
            "serving.models_served": measured(", ".join(names[:16]), where),
            "serving.model_served": measured(False, f"{where} lists {asked or names[0]!r}, but not for chat: {said}"),
        }
    return {
        "serving.models_served": measured(", ".join(names[:16]), where),
        "serving.model_served": measured(
            served, f"{where}: asked for {asked or names[0]!r}, served {', '.join(names[:8])}"
        ),
    }


def local_signals(raw: Raw) -> dict[str, Reading]:
    """What /proc says of the engine's process and its port."""
    local = raw.get("local")
    names = ("port_listening", "process_found", "known_process_gone", "process_stopped", "process_uptime_s")
    if local is None:
        far = unknown(
            UnknownReason.NOT_CONFIGURED, "the target is another host; its processes cannot be seen from here"
        )
        found = {f"serving.{name}": far for name in names}
    else:
        found = _process(local) | {"serving.known_process_gone": _known_process(local)}
        found["serving.port_listening"] = (
            measured(bool(local["listening"]), "/proc/net/tcp")
            if "listening" in local
            else _problem(local["listening_problem"])
        )
    others = raw.get("other_ports")
    if others is None:
        reading = unknown(UnknownReason.NOT_ASKED, "something holds the target's own port, so no other was asked")
    elif "problem" in others:
        reading = _problem(others["problem"])
    else:
        answering = others["answering"]
        asked = ", ".join(str(port) for port in others["asked"]) or "none"
        reading = measured(float(answering[0]) if answering else 0.0, f"asked /v1/models on ports: {asked}")
    return found | {"serving.other_engine_port": reading}


def _known_process(local: Mapping[str, Any]) -> Reading:
    """Whether the process the target names is gone. A pid that another program has taken over looks alive."""
    if not local.get("pid_given"):
        return unknown(UnknownReason.NOT_CONFIGURED, "the target names no process id: --pid")
    if "process_problem" in local:
        return _problem(local["process_problem"])
    process = local["process"]
    return measured(not process["found"], str(process.get("detail") or f"/proc/{process.get('pid')}/stat"))


def _process(local: Mapping[str, Any]) -> dict[str, Reading]:
    if "process_problem" in local:
        lost = _problem(local["process_problem"])
        return {f"serving.process_{name}": lost for name in ("found", "stopped", "uptime_s")}
    process = local["process"]
    if not process["found"]:
        gone = unknown(UnknownReason.ABSENT, str(process["detail"]))
        seen = local.get("listening") is True  # somebody listens: then the process is hidden, not gone
        return {
            "serving.process_found": gone if seen else measured(False, str(process["detail"])),
            "serving.process_stopped": gone,
            "serving.process_uptime_s": gone,
        }
    source = f"/proc/{process['pid']}/stat ({process['name']}, state {process['state']})"
    uptime = process["uptime_s"]
    return {
        "serving.process_found": measured(True, source),
        "serving.process_stopped": measured(bool(process["stopped"]), process["stopped"] or source),
        "serving.process_uptime_s": measured(float(uptime), source)
        if uptime is not None
        else unknown(UnknownReason.ABSENT, "/proc/uptime cannot be read"),
    }


def _problem(problem: Mapping[str, str]) -> Reading:
    return unknown(UnknownReason(problem["reason"]), str(problem["detail"]))


def _verdict(raw: Raw, found: Mapping[str, Reading]) -> tuple[Outcome, str, str]:
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
    if value["health_ok"] is not True:
        return (
            Outcome.WARN,
            f"{summary}, but {found['serving.health_ok'].source}",
            "The health endpoint and the engine disagree.",
        )
    return Outcome.PASS, f"{summary}; {found['serving.health_ok'].source} in {value['health_s']:.3f} s", ""


def _silent(raw: Raw, found: Mapping[str, Reading], elsewhere: str) -> tuple[Outcome, str, str]:
    detail = raw["health"]["problem"]["detail"]
    if _not_ours(raw["health"]["problem"]):
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
    if _broken(raw["health"]["problem"]):
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
