"""What serving.alive found, as signals. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sickbay.engine.model.check import Raw
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["alive_signals", "connection_signals", "is_broken", "local_signals", "not_ours"]

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


def alive_signals(raw: Raw) -> dict[str, Reading]:
    """Every signal of serving.alive."""
    return connection_signals(raw) | _clock(raw) | _direct(raw) | _request(raw) | _models(raw) | local_signals(raw)


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
    elif not_ours(problem):
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
        broken = is_broken(problem)
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


def not_ours(problem: Mapping[str, str]) -> bool:
    """Whether nothing was asked, because something is missing on our side (a key): no word on the service."""
    return problem["reason"] == UnknownReason.NOT_CONFIGURED


def is_broken(problem: Mapping[str, str]) -> bool:
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
    names = (
        "first_token_ok",
        "first_token_s",
        "http_status",
        "error_text",
        "auth_ok",
        "lost_ratio",
        "answer_complete",
        "setting_added",
    )
    if request is None:
        problem = raw["health"]["problem"]
        lost = unknown(
            UnknownReason(problem["reason"]), f"no request was sent, because nothing answered: {problem['detail']}"
        )
        found = {f"serving.{name}": lost for name in names}
        return (
            found
            if is_broken(problem) or not_ours(problem)
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
        "serving.setting_added": _added(request, source),
        "serving.answer_complete": measured(request["failure"] != "timeout", none if first is None else source)
        if first is not None or request["failure"] == "timeout"
        else unknown(UnknownReason.ABSENT, none),
        "serving.auth_ok": measured(status not in {401, 403}, source)
        if status
        else unknown(UnknownReason.TIMEOUT, f"{source} gave no status"),
    }


def _added(request: Mapping[str, Any], source: str) -> Reading:
    """A setting that we did not send and that our short request was refused for: somebody on the way sets it."""
    added = str(request.get("added", ""))
    told = request["refused_short"] if added else "it was not refused for a setting that was not sent"
    return measured(added, f"{source}: {told}")


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
