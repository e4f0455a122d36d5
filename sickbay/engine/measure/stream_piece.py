"""What one event of a streamed answer says: tokens, counts, timings, an error, the end. Pure.

The shape tells the dialect: OpenAI chat and completions (vLLM, SGLang, llama.cpp, TGI, trtllm-serve, Ollama),
llama.cpp `/completion`, Ollama's native routes, TGI and Triton `generate_stream`, SGLang `/generate`.
Text is looked at and dropped; nothing here keeps a prompt or an answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sickbay.engine.measure.stream_framing import Event

__all__ = ["Piece", "read_piece"]

_MESSAGE_CHARS_MAX = 200
_NANOSECONDS = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One event, without its text.

    Attributes:
        spoke: some channel carried text: content, reasoning, tool call, refusal, audio.
        content: the content channel did.
        total: output tokens so far as the server counts them (cumulative); None when it does not say.
        count: tokens in this very event; None when it does not say.
        summary: it carries totals only (no choices): it never moves the last token's time.
        counts: prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens, as the server reports them.
        timings: the server's own clock for this request: prompt_s, prompt_n, cache_n, predicted_s, predicted_n,
            draft_n, load_s.
        error: the server's message, shortened; "" when there is none.
        finish: the finish reason; "" when the event has none.
        done: the stream's end marker.
        malformed: it is not JSON of a known shape.
    """

    spoke: bool = False
    content: bool = False
    total: int | None = None
    count: int | None = None
    summary: bool = False
    counts: Mapping[str, int] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    finish: str = ""
    done: bool = False
    ends_by_close: bool = False
    malformed: bool = False


def read_piece(event: Event) -> Piece:
    """Read one event. Never raises: what cannot be read is `malformed`."""
    text = event.data.strip()
    if text == "[DONE]":
        return Piece(done=True, summary=True)
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        message = text[:_MESSAGE_CHARS_MAX] if event.name == "error" else ""
        return Piece(error=message, malformed=not message)
    if not isinstance(body, dict):
        return Piece(malformed=True)
    error = _error(body, event.name)
    if error:
        return Piece(error=error)
    return _read_body(body)


def _read_body(body: dict[str, Any]) -> Piece:
    if "choices" in body:
        return _openai(body)
    if "done" in body and ("message" in body or "response" in body):
        return _ollama(body)
    if isinstance(body.get("token"), dict):
        return _tgi(body)
    if "text_output" in body:
        spoke = _filled(body["text_output"])
        return Piece(spoke=spoke, content=spoke, ends_by_close=True)
    if isinstance(body.get("meta_info"), dict):
        return _sglang(body)
    if "content" in body and "stop" in body:
        return _llamacpp(body)
    if isinstance(body.get("usage"), dict) or isinstance(body.get("timings"), dict):
        return Piece(summary=True, counts=_counts(body.get("usage")), timings=_timings(body.get("timings")))
    return Piece(malformed=True)


def _openai(body: dict[str, Any]) -> Piece:
    choices = [choice for choice in _list(body["choices"]) if isinstance(choice, dict)]
    counts = _counts(body.get("usage"))
    timings = _timings(body.get("timings"))
    if not choices:
        return Piece(summary=True, counts=counts, timings=timings)
    choice = choices[0]
    found = choice.get("delta", choice.get("message"))  # `message`: the whole answer in one document
    delta: dict[str, Any] = found if isinstance(found, dict) else {}
    content = _filled(delta.get("content")) or _filled(choice.get("text"))
    total = counts.get("completion_tokens")
    if total is None and "predicted_n" in timings:
        total = int(timings["predicted_n"])
    return Piece(
        spoke=content or _other_channel(delta),
        content=content,
        total=total,
        count=_count_in(choice),
        counts=counts,
        timings=timings,
        finish=_text(choice.get("finish_reason")),
        ends_by_close="message" in choice,
    )


def _other_channel(delta: Mapping[str, Any]) -> bool:
    names = ("reasoning_content", "reasoning", "refusal", "thinking")
    if any(_filled(delta.get(name)) for name in names):
        return True
    audio = delta.get("audio")
    if isinstance(audio, dict) and (_filled(audio.get("data")) or _filled(audio.get("transcript"))):
        return True
    calls = [call.get("function") for call in _list(delta.get("tool_calls")) if isinstance(call, dict)]
    calls.append(delta.get("function_call"))
    return any(isinstance(c, dict) and (_filled(c.get("arguments")) or _filled(c.get("name"))) for c in calls)


def _count_in(choice: Mapping[str, Any]) -> int | None:
    ids = choice.get("token_ids")
    if isinstance(ids, list) and ids:
        return len(ids)
    logprobs = choice.get("logprobs")
    if isinstance(logprobs, dict):
        entries = logprobs.get("content") or logprobs.get("tokens")
        if isinstance(entries, list) and entries:
            return len(entries)
    return None


def _ollama(body: dict[str, Any]) -> Piece:
    message = body.get("message")
    delta = (
        message if isinstance(message, dict) else {"content": body.get("response"), "thinking": body.get("thinking")}
    )
    content = _filled(delta.get("content"))
    spoke = content or _other_channel(delta) or bool(_list(delta.get("tool_calls")))
    if body.get("done") is not True:
        return Piece(spoke=spoke, content=content)
    counts = _named(body, {"prompt_eval_count": "prompt_tokens", "eval_count": "completion_tokens"})
    timings = {
        name: _number(body[key]) * scale
        for key, name, scale in (
            ("prompt_eval_duration", "prompt_s", _NANOSECONDS),
            ("prompt_eval_count", "prompt_n", 1.0),
            ("eval_duration", "predicted_s", _NANOSECONDS),
            ("eval_count", "predicted_n", 1.0),
            ("load_duration", "load_s", _NANOSECONDS),
        )
        if _number(body.get(key)) >= 0
    }
    return Piece(
        spoke=spoke, content=content, counts=counts, timings=timings, done=True,
        finish=_text(body.get("done_reason")) or "stop", summary=not spoke,
    )  # fmt: skip


def _tgi(body: dict[str, Any]) -> Piece:
    details = body.get("details")
    finish, counts = "", {}
    if isinstance(details, dict):
        finish = _text(details.get("finish_reason"))
        counts = _named(details, {"generated_tokens": "completion_tokens", "input_length": "prompt_tokens"})
    if body.get("generated_text") is not None:
        finish = finish or "stop"
    # Each event is one token, special ones included: they were generated.
    return Piece(spoke=True, content=_filled(body["token"].get("text")), count=1, counts=counts, finish=finish)


def _sglang(body: dict[str, Any]) -> Piece:
    meta = body["meta_info"]
    reason = meta.get("finish_reason")
    counts = _named(meta, {"prompt_tokens": "prompt_tokens", "completion_tokens": "completion_tokens"})
    counts |= _named(meta, {"cached_tokens": "cached_tokens"})
    finish = _text(reason.get("type")) if isinstance(reason, dict) else _text(reason)
    # `text` is cumulative here, so only a rising count is a new token.
    return Piece(total=counts.get("completion_tokens"), content=_filled(body.get("text")), counts=counts, finish=finish)


def _llamacpp(body: dict[str, Any]) -> Piece:
    spoke = _filled(body["content"])
    stopped = body["stop"] is True
    timings = _timings(body.get("timings"))
    counts = _named(body, {"tokens_evaluated": "prompt_tokens"})
    if stopped:
        counts |= _named(body, {"tokens_predicted": "completion_tokens"})
        if "cache_n" in timings:
            counts["cached_tokens"] = int(timings["cache_n"])
    tokens = body.get("tokens")
    count = len(tokens) if isinstance(tokens, list) and tokens else None
    finish = (_text(body.get("stop_type")) or "stop") if stopped else ""
    return Piece(spoke=spoke, content=spoke, count=count, counts=counts, timings=timings, finish=finish, done=stopped)


def _error(body: Mapping[str, Any], name: str) -> str:
    error = body.get("error")
    if isinstance(error, dict):
        error = error.get("message") or json.dumps(error)
    if not error and (name == "error" or body.get("object") == "error"):
        error = body.get("message") or json.dumps(body)
    return str(error)[:_MESSAGE_CHARS_MAX] if error else ""


def _counts(usage: Any) -> dict[str, int]:
    if not isinstance(usage, dict):
        return {}
    counts = _named(usage, {name: name for name in ("prompt_tokens", "completion_tokens", "reasoning_tokens")})
    prompt, output = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    if isinstance(prompt, dict):
        counts |= _named(prompt, {"cached_tokens": "cached_tokens"})
    if isinstance(output, dict):
        counts |= _named(output, {"reasoning_tokens": "reasoning_tokens"})
    return counts


def _timings(timings: Any) -> dict[str, float]:
    """llama.cpp's `timings`, milliseconds there, seconds here."""
    if not isinstance(timings, dict):
        return {}
    names = {
        "prompt_ms": ("prompt_s", 0.001),
        "predicted_ms": ("predicted_s", 0.001),
        "prompt_n": ("prompt_n", 1.0),
        "predicted_n": ("predicted_n", 1.0),
        "cache_n": ("cache_n", 1.0),
        "draft_n": ("draft_n", 1.0),
    }
    return {
        name: _number(timings[key]) * scale for key, (name, scale) in names.items() if _number(timings.get(key)) >= 0
    }


def _named(body: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, int]:
    return {name: int(_number(body[key])) for key, name in names.items() if _number(body.get(key)) >= 0}


def _number(value: Any) -> float:
    """A finite number that is not negative; -1 for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return -1.0
    return float(value) if 0 <= value < 1e15 else -1.0


def _filled(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _text(value: Any) -> str:
    return value[:40] if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
