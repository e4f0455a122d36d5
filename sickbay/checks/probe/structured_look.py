"""The world-facing half of probe.structured: one answer under a schema, one forced tool call, and what came of them.

Texts are looked at and not kept: what is stored says only of which form an answer was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sickbay.checks.probe.prepare import known_numbers, prepare_route, seed_for, time_left
from sickbay.checks.probe.reference_files import read_reference
from sickbay.checks.probe.request import Route
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.measure.recognise import dig
from sickbay.engine.model.look import EngineFound, Look

__all__ = ["look_structured", "schema_form", "tool_form"]

ASKED = "Tell me something about the weather."
TOOL_MARKS = ("<tool_call>", "[TOOL_CALLS]", "<|python_tag|>", "<function=", "<\uff5ctool")
"""How models write a call: Hermes and Qwen, Mistral, Llama 3, Qwen coder, DeepSeek."""
DICTATED = {"<tool_call>": "<tool_call>\nCALL\n</tool_call>", "[TOOL_CALLS]": "[TOOL_CALLS][CALL]"}
"""Where a template has the mark, this is what its model writes for a call."""
ERROR_CHARS = 160
REFUSED, REFUSED_MIN = "serving.refused_ratio", 0.1


async def look_structured(look: Look, params: Mapping[str, Any]) -> dict[str, Any]:
    """Through the users' address first; what fails there is asked once more at the engine behind it."""
    route, found = await prepare_route(look)
    word = f"field_{seed_for(look, int(params['seed'])) % 10_000}"
    bodies = {"schema": _schema_body(route, word)}
    dictated = await _tools(look, found)
    if dictated is not None:
        bodies["tool"] = _tool_body(word, dictated)
    elif float(known_numbers(look, [REFUSED]).get(REFUSED, 0.0)) > REFUSED_MIN:
        # Somebody's requests are refused: are they those with tools? A model without tools shows it as well.
        bodies["offered"] = {"tools": _tool_body(word, "")["tools"], "max_tokens": 1}
    rows = [await _asked(look, route, what, body, params) for what, body in bodies.items()]
    gateway = look.target.behind_gateway
    if gateway:
        ignored = [row["what"] for row in rows if row["form"] in {"plain", "other", "text"}]
        rows += [await _asked(look, route, what, bodies[what], params, direct=True) for what in ignored]
    return {"rows": rows, "gateway": gateway, "engine": found.spec.title if found else ""}


def _schema_body(route: Route, word: str) -> dict[str, Any]:
    """A schema with two words that nobody would write unasked."""
    schema = {
        "type": "object",
        "properties": {word: {"type": "string", "enum": ["amber", "teal"]}},
        "required": [word],
        "additionalProperties": False,
    }
    if route.dialect == "ollama":
        return {"format": schema}
    named = {"name": "answer", "schema": schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def _tool_body(word: str, dictated: str) -> dict[str, Any]:
    """A call that the model cannot but write; `dictated`: as this text, so that the server's parser has to find it."""
    function = {
        "name": word,
        "description": "Look up the weather.",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string", "enum": ["Graz"]}},
            "required": ["place"],
            "additionalProperties": False,
        },
    }
    body: dict[str, Any] = {"tools": [{"type": "function", "function": function}]}
    if dictated:
        call = json.dumps({"name": word, "arguments": {"place": "Graz"}})
        text = dictated.replace("CALL", call)
        return body | {"tool_choice": "auto", "structured_outputs": {"choice": [text]}}
    return body | {"tool_choice": {"type": "function", "function": {"name": word}}}


async def _tools(look: Look, found: EngineFound | None) -> str | None:
    """How a call is forced: "" by name, else the text to dictate; None where the model's template has no place for it.

    llama.cpp tells whether its template takes tools. vLLM's is read from the model's files.
    """
    if found is None or found.spec.name not in {"llamacpp", "vllm"}:
        return None
    try:
        if found.spec.name == "vllm":
            files = read_reference(look.files, look.target)
            template = files.tool_template or files.template
            return next((text for mark, text in DICTATED.items() if mark in template), None)
        answer = await look.http.request("GET", "/props", timeout_s=4.0, direct=True)
        return "" if answer.status == 200 and dig(answer.json(), "chat_template_caps.supports_tools") is True else None
    except BudgetExceededError:
        raise
    except ProbeError:
        return None


async def _asked(
    look: Look, route: Route, what: str, extra: Mapping[str, Any], params: Mapping[str, Any], *, direct: bool = False
) -> dict[str, Any]:
    body: dict[str, Any] = {"model": route.model, "messages": [{"role": "user", "content": ASKED}], "stream": False}
    options = {"max_tokens": int(params["max_tokens"]), "temperature": 0.0}
    body |= {"options": {"num_predict": options["max_tokens"]}} if route.dialect == "ollama" else options
    row = {"what": what, "direct": direct}
    if route.dialect not in {"chat", "ollama"}:
        return row | {"form": "unsupported", "why": "only chat routes take a schema or tools"}
    try:
        answer = await look.http.request(
            "POST", route.path, json=body | dict(extra), direct=direct, generates=True, fresh=True,
            timeout_s=max(1.0, min(float(params["timeout_s"]), time_left(look))),
        )  # fmt: skip
        if answer.status != 200:
            why = f"HTTP {answer.status}: {' '.join(answer.text.split())[:ERROR_CHARS]}"
            return row | {"form": "refused" if answer.status in range(400, 502) else "failed", "why": why}
        told = answer.json()
    except BudgetExceededError:
        raise
    except ProbeError as error:
        return row | {"form": "failed", "why": error.detail[:ERROR_CHARS]}
    message = dig(told, "choices.0.message") or dig(told, "message")
    finish = str(dig(told, "choices.0.finish_reason") or dig(told, "done_reason") or "")
    if not isinstance(message, Mapping):
        return row | {"form": "failed", "why": "an answer of no known shape"}
    if what == "offered":
        return row | {"form": "taken", "why": ""}
    form = schema_form(message, extra, finish) if what == "schema" else tool_form(message, extra)
    return row | {"form": form, "why": ""}


def schema_form(message: Mapping[str, Any], extra: Mapping[str, Any], finish: str) -> str:
    """One of "followed", "cut" (by the length, and JSON so far), "other" (JSON, but not of the schema) or "plain"."""
    schema = extra.get("format") or extra["response_format"]["json_schema"]["schema"]
    [word] = schema["required"]
    text = str(message.get("content") or "").strip()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return (
            "cut" if finish == "length" and text.startswith("{") and "".join(text.split()).startswith('{"') else "plain"
        )
    fits = isinstance(value, Mapping) and list(value) == [word] and value[word] in schema["properties"][word]["enum"]
    return "followed" if fits else "other"


def tool_form(message: Mapping[str, Any], extra: Mapping[str, Any]) -> str:
    """One of "followed" (a call of the tool), "text" (a call as plain text in the content) or "plain"."""
    name = extra["tools"][0]["function"]["name"]
    calls = message.get("tool_calls")
    named = [dig(call, "function.name") for call in calls] if isinstance(calls, list) else []
    if name in named:
        return "followed"
    text = str(message.get("content") or "")
    return "text" if name in text or any(mark in text for mark in TOOL_MARKS) else "plain"
