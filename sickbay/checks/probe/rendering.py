"""What the engine itself says of a conversation: the prompt it renders, and the ids of a text or a conversation.

llama.cpp renders at /apply-template and splits at /tokenize; vLLM's /tokenize takes a conversation and gives the ids
of the rendered prompt; TGI's /chat_tokenize gives both; SGLang splits a text only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sickbay.checks.probe.prepare import TIME_LEFT_MIN_S, time_left
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.model.look import EngineFound, Look

__all__ = ["Rendering"]

TIMEOUT_S = 4.0
Message = Mapping[str, str]
Tool = Mapping[str, Any]


class Rendering:
    """Asks the engine behind any gateway; None wherever it cannot say. Costs no output token."""

    def __init__(self, look: Look, found: EngineFound | None) -> None:
        self._look = look
        self._found = found
        self.name = found.spec.name if found else ""

    async def text(self, messages: Sequence[Message], tools: Sequence[Tool] | None = None) -> str | None:
        """The rendered prompt as text; llama.cpp and TGI only."""
        if self.name == "tgi":
            templated = (await self._chat_tokenized(messages, tools)).get("templated_text")
            return templated if isinstance(templated, str) else None
        endpoint = self._found.spec.endpoints.get("render") if self._found else None
        if endpoint is None:
            return None
        body = await self._post(endpoint.path, _conversation(messages, tools))
        prompt = body.get("prompt") if isinstance(body, Mapping) else None
        return prompt if isinstance(prompt, str) else None

    async def ids(self, text: str, *, special: bool = False, bare: bool = False) -> list[int] | None:
        """The ids of a text; `special`: start tokens are added and control text is read, as for a rendered prompt.

        `bare` reads control text and adds nothing: what is missing then, the tokenizer adds itself. llama.cpp only.
        """
        if bare and self.name != "llamacpp":
            return None
        path = self._path("tokenize")
        if not path or self._found is None:
            return None
        asked: dict[str, Any] = {"content": text, "add_special": special and not bare, "parse_special": special or bare}
        if self.name in {"vllm", "sglang"}:
            asked = {"model": self._found.model, "prompt": text, "add_special_tokens": special}
        elif self.name == "tgi":
            asked = {"inputs": text, "add_special_tokens": special}
        return _ids(await self._post(path, asked))

    async def prompt_ids(self, text: str) -> list[int] | None:
        """The ids of a text as a part of a prompt: control text is read, nothing is added."""
        return await self.ids(text, bare=self.name == "llamacpp")

    async def conversation_ids(
        self, messages: Sequence[Message], tools: Sequence[Tool] | None = None
    ) -> list[int] | None:
        """The ids that a conversation really becomes, start tokens included."""
        path = self._path("tokenize")
        if self.name == "vllm" and path and self._found is not None:
            asked = {"model": self._found.model, **_conversation(messages, tools)}
            return _ids(await self._post(path, asked))
        if self.name == "tgi":
            return _ids((await self._chat_tokenized(messages, tools)).get("tokenize_response"))
        rendered = await self.text(messages, tools)
        return None if rendered is None else await self.ids(rendered, special=True)

    async def _chat_tokenized(
        self, messages: Sequence[Message], tools: Sequence[Tool] | None = None
    ) -> Mapping[str, Any]:
        """TGI's answer with `templated_text` and `tokenize_response`; empty when it gives none."""
        body = await self._post(self._path("chat_tokenize"), _conversation(messages, tools))
        return body if isinstance(body, Mapping) else {}

    def _path(self, name: str) -> str:
        endpoint = self._found.spec.endpoints.get(name) if self._found else None
        return endpoint.path if endpoint else ""

    async def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        left = time_left(self._look)
        if left < TIME_LEFT_MIN_S:
            return None
        try:
            answer = await self._look.http.request(
                "POST", path, json=body, timeout_s=min(TIMEOUT_S, left), direct=True, fresh=True
            )
            return answer.json() if answer.status == 200 else None
        except BudgetExceededError:
            raise
        except ProbeError:
            return None


def _conversation(messages: Sequence[Message], tools: Sequence[Tool] | None) -> dict[str, Any]:
    body: dict[str, Any] = {"messages": [dict(each) for each in messages]}
    return body | ({"tools": [dict(each) for each in tools]} if tools else {})


def _ids(body: Any) -> list[int] | None:
    rows = body.get("tokens") if isinstance(body, Mapping) else body
    if not isinstance(rows, list):
        return None
    ids = [row.get("id") if isinstance(row, Mapping) else row for row in rows]
    return [each for each in ids if isinstance(each, int)] if all(isinstance(each, int) for each in ids) else None
