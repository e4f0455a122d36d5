"""security.exposure: what the service answers to somebody without a key, or with a wrong one.

Only GET is sent to paths that may change something: an engine that has the path answers 405, one that has not 404.
The one request that generates asks for a single token, to see whether it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["PATHS", "SecurityExposure"]

PATHS: Mapping[str, tuple[str, str]] = {
    "/metrics": ("metrics", "load and model names"),
    "/v1/models": ("models", "names of models and adapters"),
    "/props": ("debug", "template and sampling defaults (llama.cpp)"),
    "/slots": ("debug", "prompts that run now (llama.cpp)"),
    "/server_info": ("debug", "every launch flag (vLLM in development mode, SGLang)"),
    "/get_server_info": ("debug", "every launch flag (SGLang)"),
    "/docs": ("debug", "the list of all paths"),
    "/openapi.json": ("debug", "the list of all paths"),
    "/start_profile": ("admin", "starts a profiler that slows every request"),
    "/collective_rpc": ("admin", "runs a method in every worker (vLLM in development mode)"),
    "/reset_prefix_cache": ("admin", "empties the prefix cache"),
    "/sleep": ("admin", "puts the engine to sleep (vLLM in development mode)"),
    "/v1/load_lora_adapter": ("admin", "loads weights from a path"),
    "/flush_cache": ("admin", "empties the cache (SGLang)"),
    "/update_weights_from_disk": ("admin", "replaces the weights (SGLang)"),
    "/api/delete": ("admin", "deletes a model (Ollama)"),
    "/api/pull": ("admin", "downloads a model (Ollama)"),
}
"""path -> (kind, what it gives away). vllm-project/vllm: vllm/entrypoints/openai and docs/usage/security.md;
sgl-project/sglang: http_server.py; ggml-org/llama.cpp: tools/server/README.md; ollama/ollama: docs/api.md."""
WRONG_KEY = "Bearer sickbay-wrong-key"
SHOWN_MAX = 6


class SecurityExposure(Check):
    """Asks as a stranger would: without the target's key, and with a wrong one.

    `public` are paths that may answer; `key_required: false` is for services behind a gateway that asks for the key
    (look at the gateway then). Fails when generating needs no key or an administrative path is open; warns for the
    rest.
    """

    name = "security.exposure"
    title = "what answers without a key: generation, metrics, debug and administrative paths"
    emits = (
        "security.key_required", "security.wrong_key_refused", "security.admin_paths_open", "security.debug_paths_open",
        "security.metrics_open", "security.any_origin",
    )  # fmt: skip
    effect = Effect.LIGHT
    needs = ("url",)
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "public": {"type": "array", "items": {"type": "string", "pattern": "^/"}, "default": [],
                       "description": "Paths that may answer anybody"},
            "key_required": {"type": "boolean", "default": True},
        },
    }  # fmt: skip
    sources = (
        "vllm-project/vllm: docs/usage/security.md",
        "ollama/ollama#11941 (hosts that answer the whole internet)",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """Two generating requests of one token, and small reads."""
        return Cost(requests=2, seconds=15.0)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Statuses only; no answer is kept."""
        found = await look.engine()
        chat = found.spec.endpoints.get("chat")
        path = chat.path if chat is not None and chat.path.endswith("/completions") else "/v1/chat/completions"
        body = {
            "model": found.model, "max_tokens": 1, "temperature": 0.0,
            "messages": [{"role": "user", "content": "Say yes."}],
        }  # fmt: skip
        generate = {
            name: await _status(look, "POST", path, {"Authorization": key}, body)
            for name, key in (("without", ""), ("wrong", WRONG_KEY))
        }
        statuses = {path: await _status(look, "GET", path, {"Authorization": ""}) for path in PATHS}
        return {"generate": generate, "paths": statuses, "any_origin": await _any_origin(look)}

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Open doors by kind; an unanswered door is unknown, never closed."""
        public = set(params["public"])
        opened = {
            kind: [path for path, status in raw["paths"].items()
                   if PATHS[path][0] == kind and path not in public and _is_open(status, kind)]
            for kind in ("metrics", "models", "debug", "admin")
        }  # fmt: skip
        unanswered = [path for path, status in raw["paths"].items() if status is None]
        signals = {
            "security.key_required": _refused(raw["generate"]["without"]),
            "security.wrong_key_refused": _refused(raw["generate"]["wrong"]),
            "security.admin_paths_open": _count(opened["admin"], unanswered),
            "security.debug_paths_open": _count(opened["debug"], unanswered),
            "security.metrics_open": _reading(raw["paths"]["/metrics"], opened=bool(opened["metrics"])),
            "security.any_origin": _origin(raw["any_origin"]),
        }
        return _result(signals, opened, params)


async def _status(look: Look, method: str, path: str, headers: Mapping[str, str], body: Any = None) -> int | None:
    try:
        answer = await look.http.request(
            method, path, json=body, headers=headers, timeout_s=20.0 if body else 5.0, generates=body is not None,
            bytes_max=20_000, fresh=True,
        )  # fmt: skip
    except ProbeError:
        return None
    return answer.status


async def _any_origin(look: Look) -> bool | None:
    """Whether a page of any web site may read answers with the visitor's credentials."""
    headers = {"Origin": "https://elsewhere.example", "Authorization": ""}
    try:
        answer = await look.http.request("GET", "/v1/models", headers=headers, timeout_s=5.0, bytes_max=20_000)
    except ProbeError:
        return None
    allowed = answer.headers.get("access-control-allow-origin", "")
    credentials = answer.headers.get("access-control-allow-credentials", "").lower() == "true"
    return allowed in {"*", "https://elsewhere.example"} and credentials


def _is_open(status: int | None, kind: str) -> bool:
    """200 gives it away; for a path that acts, 405 shows that it is there for whoever sends the right method."""
    return status is not None and (200 <= status < 300 or (kind == "admin" and status in {400, 405, 422}))


def _refused(status: int | None) -> Reading:
    if status is None:
        return unknown(UnknownReason.TIMEOUT, "the request was not answered")
    if status in {401, 403}:
        return measured(True, f"HTTP {status}")
    if 200 <= status < 300:
        return measured(False, f"HTTP {status}")
    return unknown(UnknownReason.ABSENT, f"HTTP {status} says neither")


def _count(paths: list[str], unanswered: list[str]) -> Reading:
    if unanswered and not paths:
        return unknown(UnknownReason.TIMEOUT, f"{unanswered[0]} was not answered")
    return measured(len(paths), ", ".join(paths[:SHOWN_MAX]))


def _reading(status: int | None, *, opened: bool) -> Reading:
    return unknown(UnknownReason.TIMEOUT, "not answered") if status is None else measured(opened, f"HTTP {status}")


def _origin(found: bool | None) -> Reading:
    return unknown(UnknownReason.TIMEOUT, "not answered") if found is None else measured(found)


def _result(signals: Mapping[str, Reading], opened: Mapping[str, list[str]], params: Mapping[str, Any]) -> Result:
    key, wrong = signals["security.key_required"], signals["security.wrong_key_refused"]
    bad, odd = [], []
    if params["key_required"]:
        bad += ["it generates without a key"] if key.value is False else []
        bad += ["it generates with a wrong key"] if wrong.value is False and key.value is not False else []
    if opened["admin"]:
        path = opened["admin"][0]
        bad.append(f"{', '.join(opened['admin'][:SHOWN_MAX])} can be reached without a key ({path} {PATHS[path][1]})")
    if opened["debug"]:
        path = opened["debug"][0]
        odd.append(f"{', '.join(opened['debug'][:SHOWN_MAX])} answer without a key ({path}: {PATHS[path][1]})")
    odd += ["/metrics answers without a key"] if opened["metrics"] else []
    odd += ["a page of any web site may read answers"] if signals["security.any_origin"].value is True else []
    blind = [name for name, reading in signals.items() if not reading.known]
    outcome = Outcome.FAIL if bad else Outcome.UNKNOWN if blind else Outcome.WARN if odd else Outcome.PASS
    words = "; ".join([*bad, *odd]) or "nothing answers without a key"
    if blind:
        words += f"; cannot be said: {', '.join(f'{name} ({signals[name].detail})' for name in blind)}"
    hint = "Ask for a key (vLLM and llama.cpp: --api-key), and let only the gateway reach the engine's port."
    return Result(outcome=outcome, summary=words, signals=signals, next_step=hint if bad or odd else "")
