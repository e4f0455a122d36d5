"""How a probe asks each engine for a streamed answer: path and body, every parameter explicit.

Server defaults may come from the model's own files, so temperature, length and streaming are always sent. Engines
that can count tokens in every event are asked to: vLLM and SGLang by `continuous_usage_stats`, llama.cpp by
`timings_per_token`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sickbay.engine.model.look import EngineFound

__all__ = ["HEADERS", "Route", "context_from_error", "route_for", "wants_completions"]

HEADERS = {"accept": "text/event-stream, application/x-ndjson", "accept-encoding": "identity"}
"""Identity, because a compressed stream is a buffered stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where to ask and in which dialect: "chat", "completions", "ollama" or "triton"."""

    dialect: str
    path: str
    model: str
    engine: str = ""

    def body(self, prompt: str, max_tokens: int) -> dict[str, Any]:
        """The request. Greedy, streamed, of a fixed length where the engine can ignore the end of sequence."""
        if self.dialect == "triton":
            return {"text_input": prompt, "max_tokens": max_tokens, "temperature": 0.0, "stream": True}
        if self.dialect == "ollama":
            options = {"temperature": 0.0, "num_predict": max_tokens}
            return {"model": self.model, "messages": _messages(prompt), "stream": True, "options": options}
        asked = {"prompt": prompt} if self.dialect == "completions" else {"messages": _messages(prompt)}
        body: dict[str, Any] = {
            "model": self.model,
            **asked,
            "max_tokens": max_tokens,
            "temperature": 0.0,
            "top_p": 1.0,
            "n": 1,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self.engine in {"vllm", "sglang"}:
            body["stream_options"]["continuous_usage_stats"] = True
        if self.engine in {"vllm", "sglang", "llamacpp", "trtllm-serve"}:
            body["ignore_eos"] = True
        if self.engine == "llamacpp":
            body |= {"timings_per_token": True, "cache_prompt": True}
        return body

    def as_completions(self) -> Route:
        """The same engine without a chat template."""
        return Route(dialect="completions", path="/v1/completions", model=self.model, engine=self.engine)


def route_for(found: EngineFound) -> Route:
    """The route of an engine: its native one where only that reports timings or streams, else OpenAI chat."""
    name, model = found.spec.name, found.model
    if name == "ollama":
        return Route(dialect="ollama", path="/api/chat", model=model, engine=name)
    if name == "triton-trtllm":
        path = f"/v2/models/{quote(model or 'ensemble', safe='')}/generate_stream"
        return Route(dialect="triton", path=path, model=model, engine=name)
    chat = found.spec.endpoints.get("chat")
    return Route(dialect="chat", path=chat.path if chat else "/v1/chat/completions", model=model, engine=name)


def wants_completions(status: int, message: str) -> bool:
    """Whether a refused chat request says that the model has no chat template or the server no chat route."""
    return "chat template" in message.lower() or (status in {404, 405, 501} and "model" not in message.lower())


def context_from_error(message: str) -> bool:
    """Whether the server refused the prompt as too long for its context: our fault, not its."""
    text = message.lower()
    return "context" in text and any(word in text for word in ("exceed", "maximum", "longer", "at least", "too long"))


def _messages(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]
