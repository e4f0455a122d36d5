"""Is it there, does it answer, does it make a token? Looks only; `alive` judges."""

from __future__ import annotations

import asyncio
import json
import re
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from sickbay.checks.probe.request import Route, route_for, wants_completions
from sickbay.checks.probe.streaming import stream_once
from sickbay.checks.serving.local_process import find_process, listeners, stopped_child, target_port
from sickbay.checks.serving.other_ports import DEFAULT_PORTS, answering_ports, candidates
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.measure.recognise import served_models
from sickbay.engine.measure.stream import Failure, StreamTrace
from sickbay.engine.model.engine_spec import EngineSpec
from sickbay.engine.model.look import EngineFound, HttpResponse, Look
from sickbay.engine.model.signal import UnknownReason

__all__ = ["ask_health", "local_process", "look_alive"]

HEALTH_TIMEOUT_S = 5.0
PROMPT = "Answer with one word: ready?"
TOKENS_MAX = 4
TOKENS_MORE = 64
"""Where somebody's rule refuses an answer of TOKENS_MAX tokens, users with longer ones may be served."""
_LIMITS = re.compile(r"\b(?:max|min)_(?:completion_|new_)?tokens\b")
_LEAST = re.compile(r"\bmin_(?:new_)?tokens\b")
"""A least length, which no request of ours holds."""
LOST_MAX = 3
"""Lost requests after which it is lost each time."""
SCHEME_TIMEOUT_S = 2.0
_SCHEME_KINDS = {"http": {"closed", "malformed"}, "https": {"tls", "timeout"}}
"""How it ends when a server is asked in the scheme that it does not speak."""
_HEALTH_PATH = "/health"  # of all engines but Ollama and Triton


async def look_alive(look: Look, timeout_s: float) -> dict[str, Any]:
    """Health, engine, models, one short streamed request; on silence, what this host can tell about it."""
    raw: dict[str, Any] = {"url": look.target.url, "asked_model": look.target.model, "timeout_s": timeout_s}
    found, raw["health"] = await asyncio.gather(_engine(look, raw), ask_health(look, _HEALTH_PATH))
    own = found.spec.endpoints.get("health") if found else None
    if own is not None and own.path != _HEALTH_PATH:
        raw["health"] = await ask_health(look, own.path)
    if look.target.direct_url and look.target.direct_url != look.target.url:
        raw["direct_health"] = await ask_health(look, own.path if own is not None else _HEALTH_PATH, direct=True)
    if "problem" in raw["health"]:
        await _other_scheme(look, raw["health"])
    if raw["health"].get("status") is not None:
        await _models(look, found, raw)
        raw["request"] = await _short_request(look, found, timeout_s)
        if "direct_health" in raw and _came_to_nothing(raw["request"]):
            raw["direct_request"] = await _straight(look, str(raw["request"]["path"]), found, timeout_s)
    if look.target.is_local:
        raw["local"] = local_process(look)
    if _is_elsewhere(raw, found):
        raw["other_ports"] = await _other_ports(look)
    return raw


def _is_elsewhere(raw: dict[str, Any], found: EngineFound | None) -> bool:
    """Whether the engine may be on another port: none answers here, and no silent process holds this one."""
    if raw["health"].get("status") is not None:
        return found is None and raw["engine"]["problem"]["reason"] == "unsupported"
    return not raw.get("local", {}).get("listening", False)


async def _engine(look: Look, raw: dict[str, Any]) -> EngineFound | None:
    try:
        found = await look.engine()
    except BudgetExceededError:
        raise
    except ProbeError as error:
        raw["engine"] = {"problem": _told(error)}
        return None
    raw["engine"] = {"name": found.spec.name, "version": found.version, "how": found.how, "model": found.model}
    return found


async def ask_health(
    look: Look, path: str, timeout_s: float = HEALTH_TIMEOUT_S, *, direct: bool = False
) -> dict[str, Any]:
    """Status and time of the health endpoint where the users call (or straight), or why there was no answer."""
    try:
        answer = await look.http.request(
            "GET", path, timeout_s=min(timeout_s, _left(look)), bytes_max=20_000, fresh=True, direct=direct
        )
    except BudgetExceededError:
        raise
    except ProbeError as error:
        return {"path": path, "problem": _told(error)}
    return {
        "path": path,
        "status": answer.status,
        "elapsed_s": round(answer.elapsed_s, 4),
        "ahead_s": _ahead(answer, look.clock.wall()),
        "said": _error_words(answer),
    }


def _ahead(answer: HttpResponse, ours_s: float) -> float | None:
    """Seconds by which the server's clock is ahead of ours, by the Date header of a fresh answer; None without one."""
    if answer.headers.get("age", "0").strip() not in {"", "0"}:
        return None  # out of a cache: its date is of another time
    try:
        theirs_s = parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return round(theirs_s + 0.5 - ours_s, 3)  # whole seconds: half of one is the best guess


async def _other_scheme(look: Look, health: dict[str, Any]) -> None:
    """Whether what listens there speaks TLS where plain http was asked, or the reverse: then that is what is told."""
    problem, parts = health["problem"], urlsplit(look.target.url)
    if problem["kind"] not in _SCHEME_KINDS.get(parts.scheme, set()):
        return
    other = "https" if parts.scheme == "http" else "http"
    url = parts._replace(scheme=other, netloc=parts.netloc.rpartition("@")[2], path=health["path"], query="").geturl()
    try:
        await look.http.request("GET", url, timeout_s=min(SCHEME_TIMEOUT_S, _left(look)), bytes_max=20_000, fresh=True)
    except BudgetExceededError:
        raise
    except ProbeError as error:
        if getattr(error, "kind", "") != "certificate":
            return
    speaks = "TLS" if other == "https" else "plain http, not TLS"
    host = parts.netloc.rpartition("@")[2]
    problem["detail"] = f"GET {parts.scheme}://{host}{health['path']}: {host} speaks {speaks}; use {other}://{host}"
    problem["reason"], problem["kind"] = UnknownReason.UNREACHABLE.value, "tls"


async def _models(look: Look, found: EngineFound | None, raw: dict[str, Any]) -> None:
    """Names of the served models, from the users' URL: a gateway may name them otherwise."""
    endpoint = found.spec.endpoints.get("models") if found else None
    path, method = (endpoint.path, endpoint.method) if endpoint else ("/v1/models", "GET")
    try:
        answer = await look.http.request(method, path, timeout_s=min(HEALTH_TIMEOUT_S, _left(look)))
        names = served_models(answer.json()) if answer.status == 200 else ()
        raw["models"] = {"path": path, "status": answer.status, "names": list(names)}
    except BudgetExceededError:
        raise
    except ProbeError as error:
        raw["models"] = {"path": path, "problem": _told(error)}


async def _short_request(look: Look, found: EngineFound | None, timeout_s: float) -> dict[str, Any]:
    """One streamed request of a few tokens; again in raw form when there is no chat template, and when it was lost.

    A request that is lost may be the one of many that a broken worker gets: two more tell always from sometimes.
    """
    if found is None:
        found = _plain(look)
    route = route_for(found)
    lost: list[str] = []
    refused = ""
    try:
        trace = await _ask(look, route, timeout_s)
        if trace.status in {400, 422} and _LIMITS.search(trace.message):
            refused = trace.message
            trace = await _ask(look, route, timeout_s, tokens=TOKENS_MORE)
        if trace.status >= 300 and route.dialect == "chat" and wants_completions(trace.status, trace.message):
            route = route.as_completions()
            trace = await _ask(look, route, timeout_s)
        while is_lost(trace) and len(lost) < LOST_MAX:
            lost.append(trace.message or trace.failure.value)
            if len(lost) < LOST_MAX:
                trace = await _ask(look, route, timeout_s)
    except BudgetExceededError as error:
        if not lost:
            return {"problem": {"reason": error.reason.value, "detail": error.detail, "kind": ""}}
    first = trace.reads[trace.chunks[0].read].at_s if trace.chunks and trace.reads else None
    return {
        "path": route.path,
        "status": trace.status,
        "failure": trace.failure.value,
        "message": trace.message,
        "first_token_s": None if first is None else round(first, 4),
        "connected": trace.connect_s is not None or trace.status > 0,
        "ended_s": round(trace.end_s, 4),
        "lost": lost,
        "refused_short": refused,
        "added": _added(refused) if first is not None else "",
    }


def _added(refusal: str) -> str:
    """The least length that a short request was refused for, where a longer one is served; "" for none."""
    named = _LEAST.search(refusal)
    return named[0] if named else ""


def _came_to_nothing(request: dict[str, Any]) -> bool:
    """Whether no token came, and not for want of a key or of the model: the engine would say the same."""
    status = int(request.get("status", 0))
    return request.get("first_token_s", 0.0) is None and not (400 <= status < 500 and status not in {408, 429})


async def _straight(look: Look, path: str, found: EngineFound | None, timeout_s: float) -> dict[str, Any] | None:
    """The request that came to nothing once more, straight to the engine; None when no request is left for it."""
    route = route_for(found or _plain(look))
    if path != route.path:
        route = route.as_completions()
    try:
        trace = await _ask(look, route, timeout_s, direct=True)
    except BudgetExceededError:
        return None
    return {"path": route.path, "token": bool(trace.chunks), "message": trace.message or trace.failure.value}


async def _ask(
    look: Look, route: Route, timeout_s: float, *, direct: bool = False, tokens: int = TOKENS_MAX
) -> StreamTrace:
    body = route.body(PROMPT, tokens)
    return (await stream_once(look, route.path, body, timeout_s=min(timeout_s, _left(look)), direct=direct)).trace


def is_lost(trace: StreamTrace) -> bool:
    """Whether a request came to nothing on its way: closed, broken off, or refused by what stands in front.

    A time-out is slow and not lost; 429 and 503 are the engine's own words for full and for loading.
    """
    if trace.failure in {Failure.BROKEN, Failure.INCOMPLETE}:
        return True
    return trace.failure is Failure.HTTP and trace.status in {502, 504}


def _plain(look: Look) -> EngineFound:
    """An OpenAI-compatible server that no engine file describes."""
    return EngineFound(
        spec=EngineSpec(name="unknown", title="unknown", default_port=0, fingerprints=(), endpoints={}),
        model=look.target.model,
    )


def local_process(look: Look) -> dict[str, Any]:
    """What this host's /proc tells: is the port listened on, and how is the process."""
    found: dict[str, Any] = {}
    port = target_port(look.target.direct_url or look.target.url)
    try:
        found["listening"] = any(each.port == port for each in listeners(look.files))
    except ProbeError as error:
        found["listening_problem"] = _told(error)
    try:
        found["pid_given"] = look.target.pid is not None
        process = find_process(look.files, look.target)
    except ProbeError as error:
        if error.reason is UnknownReason.ABSENT and look.target.pid is not None:
            return found | {"process": {"found": False, "detail": error.detail}}
        return found | {"process_problem": _told(error)}
    if process is None:
        return found | {"process": {"found": False, "detail": f"no process of this host can be told for port {port}"}}
    halted = process if process.stopped else stopped_child(look.files, process.pid)
    return found | {
        "process": {
            "found": True, "pid": process.pid, "name": process.name, "state": process.state,
            "stopped": f"/proc/{halted.pid}/stat ({halted.name}, state {halted.state})" if halted else "",
            "uptime_s": process.uptime_s,
        }
    }  # fmt: skip


async def _other_ports(look: Look) -> dict[str, Any]:
    """Ports of the same host where a model list answers."""
    port = target_port(look.target.direct_url or look.target.url)
    asked = [each for each in DEFAULT_PORTS if each != port]
    if look.target.is_local:
        try:
            asked = candidates(listeners(look.files), port)
        except ProbeError as error:
            return {"asked": [], "problem": _told(error)}
    return {"asked": asked, "answering": await answering_ports(look, asked)}


def _told(error: ProbeError) -> dict[str, str]:
    """A problem as data. `kind` is the connection's own word for it, where it has one."""
    return {"reason": error.reason.value, "detail": error.detail[:400], "kind": str(getattr(error, "kind", ""))}


def _error_words(answer: HttpResponse) -> str:
    """The message of an error answer, shortened; "" for a good one."""
    if answer.status < 400:
        return ""
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        return " ".join(answer.text.split())[:160]
    error = body.get("error", body) if isinstance(body, dict) else body
    words = error.get("message") or error.get("detail") if isinstance(error, dict) else error
    return " ".join(str(words).split())[:160]


def _left(look: Look) -> float:
    return max(0.2, look.remaining_s - 0.3)
