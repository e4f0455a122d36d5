"""How the stand-in for a model speaks: OpenAI's events, Ollama's lines of JSON, Triton's events."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["WORDS", "Asked", "Dialect", "dialect_of"]

WORDS = ("ocean ", "river ", "table ", "green ", "stone ", "seven ", "light ")
_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as the stand-in reads it."""

    model: str
    tokens: int
    prompt: str
    stream: bool
    wants_usage: bool = False
    finish: str = "length"
    load_s: float = 0.01  # of the time to the first token, what Ollama took to load the model

    @property
    def prompt_tokens(self) -> int:
        """A word is a token here."""
        return len(self.prompt.split())

    @property
    def usage(self) -> dict[str, int]:
        """Token counts in OpenAI's form."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.tokens,
            "total_tokens": self.prompt_tokens + self.tokens,
        }


class Dialect(Protocol):
    """One API's requests and answers."""

    content_type: str

    def read(self, body: Mapping[str, Any], model: str) -> Asked:
        """The request; `model` is the name to answer with, "" repeats the request's."""
        ...

    def whole(self, asked: Asked, words: Sequence[str]) -> Any:
        """The answer when no stream was asked for."""
        ...

    def piece(self, asked: Asked, words: Sequence[str]) -> bytes:
        """One part of the stream."""
        ...

    def end(self, asked: Asked, *, ttft_s: float, gap_s: float) -> bytes:
        """What closes the stream."""
        ...


def dialect_of(path: str) -> Dialect | None:
    """The dialect of a path that generates; None for any other path."""
    if path.endswith("/completions"):
        return _OpenAI()
    if path in {"/api/chat", "/api/generate"}:
        return _Ollama()
    return _Triton() if path.endswith(("/generate_stream", "/generate")) else None


class _OpenAI:
    content_type = "text/event-stream"

    def read(self, body: Mapping[str, Any], model: str) -> Asked:
        return Asked(
            model=model or str(body.get("model", "")),
            tokens=int(body.get("max_tokens") or 16),
            prompt=_prompt(body),
            stream=bool(body.get("stream")),
            wants_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        )

    def whole(self, asked: Asked, words: Sequence[str]) -> Any:
        message = {"role": "assistant", "content": "".join(words)}
        choice = {"index": 0, "message": message, "finish_reason": asked.finish}
        return {"model": asked.model, "choices": [choice], "usage": asked.usage}

    def piece(self, asked: Asked, words: Sequence[str]) -> bytes:
        return _event(self._chunk(asked, {"content": "".join(words)}, None))

    def end(self, asked: Asked, *, ttft_s: float, gap_s: float) -> bytes:
        last = _event(self._chunk(asked, {}, asked.finish))
        if asked.wants_usage:
            last += _event({"model": asked.model, "choices": [], "usage": asked.usage})
        return last + b"data: [DONE]\n\n"

    def _chunk(self, asked: Asked, delta: Mapping[str, str], end: str | None) -> dict[str, Any]:
        return {"model": asked.model, "choices": [{"index": 0, "delta": delta, "finish_reason": end}]}


class _Ollama:
    """Lines of JSON; the last one has counts and durations in nanoseconds (ollama/ollama: docs/api.md)."""

    content_type = "application/x-ndjson"

    def read(self, body: Mapping[str, Any], model: str) -> Asked:
        return Asked(
            model=model or str(body.get("model", "")),
            tokens=int((body.get("options") or {}).get("num_predict") or 16),
            prompt=_prompt(body),
            stream=body.get("stream", True) is not False,
        )

    def whole(self, asked: Asked, words: Sequence[str]) -> Any:
        return self._last(asked, "".join(words), 0.0, 0.0)

    def piece(self, asked: Asked, words: Sequence[str]) -> bytes:
        message = {"role": "assistant", "content": "".join(words)}
        return _line({"model": asked.model, "message": message, "done": False})

    def end(self, asked: Asked, *, ttft_s: float, gap_s: float) -> bytes:
        return _line(self._last(asked, "", ttft_s, gap_s))

    def _last(self, asked: Asked, text: str, ttft_s: float, gap_s: float) -> dict[str, Any]:
        return {
            "model": asked.model, "message": {"role": "assistant", "content": text}, "done": True,
            "done_reason": asked.finish, "load_duration": round(asked.load_s * _NANOSECONDS),
            "total_duration": round((ttft_s + gap_s * asked.tokens) * _NANOSECONDS),
            "prompt_eval_count": asked.prompt_tokens,
            "prompt_eval_duration": round(max(0.0, ttft_s - asked.load_s) * _NANOSECONDS),
            "eval_count": asked.tokens, "eval_duration": round(gap_s * asked.tokens * _NANOSECONDS),
        }  # fmt: skip


class _Triton:
    """The generate extension (triton-inference-server/server: docs/protocol/extension_generate.md)."""

    content_type = "text/event-stream"

    def read(self, body: Mapping[str, Any], model: str) -> Asked:
        return Asked(
            model=model or "ensemble",
            tokens=int(body.get("max_tokens") or 16),
            prompt=str(body.get("text_input", "")),
            stream=bool(body.get("stream")),
        )

    def whole(self, asked: Asked, words: Sequence[str]) -> Any:
        return self._answer(asked, words)

    def piece(self, asked: Asked, words: Sequence[str]) -> bytes:
        return _event(self._answer(asked, words))

    def end(self, asked: Asked, *, ttft_s: float, gap_s: float) -> bytes:
        return b""

    def _answer(self, asked: Asked, words: Sequence[str]) -> dict[str, Any]:
        return {"model_name": asked.model, "model_version": "1", "text_output": "".join(words)}


def _event(data: Any) -> bytes:
    return f"data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def _line(data: Any) -> bytes:
    return f"{json.dumps(data, separators=(',', ':'))}\n".encode()


def _prompt(body: Mapping[str, Any]) -> str:
    texts = [str(message.get("content", "")) for message in body.get("messages") or ()] or [str(body.get("prompt", ""))]
    return " ".join(texts)
