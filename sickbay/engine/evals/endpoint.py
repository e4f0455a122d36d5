"""One endpoint under test, and one request to it: OpenAI chat completions in, a `Given` out."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.evals.item import Asked, Item
from sickbay.engine.evals.retry import retry_after_s
from sickbay.engine.evals.scorer import Given
from sickbay.engine.model.look import Clock, Http
from sickbay.engine.model.signal import UnknownReason

__all__ = ["CHAT_PATH", "Endpoint", "ask_once", "body_of", "error_words", "read_given"]

CHAT_PATH = "/v1/chat/completions"
ANSWER_BYTES_MAX = 4_000_000
ERROR_CHARS_MAX = 160
TOKENS_MAX = 1_000_000_000
BROKEN_OFF = frozenset({"error", "abort"})
"""Ends of an answer that is none: OpenRouter's, and vLLM's and SGLang's for a request they dropped."""
REASONING_FIELDS = ("reasoning_content", "reasoning")
"""What engines call it: vLLM renamed the first to the second; llama.cpp, SGLang and DeepSeek have the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where to ask.

    Attributes:
        http: makes the capability for one request; a new one each time, so that records of requests do not pile up.
        identity: address and model: part of what a cached or journaled answer belongs to.
        about: provenance, for the report.
        clean: takes the target's own secrets out of what it says: a server may repeat the key it was sent.
    """

    http: Callable[[], Http]
    model: str
    path: str = CHAT_PATH
    identity: str = ""
    direct: bool = False
    about: Mapping[str, str] = field(default_factory=dict)
    clean: Callable[[str], str] = str


def body_of(item: Item, asked: Asked, model: str, sample: int) -> dict[str, Any]:
    """The request of one sample. Each sample has its own seed; a setting that is None is not sent."""
    body: dict[str, Any] = {
        "model": model,
        "messages": list(item.messages),
        "max_tokens": item.max_tokens or asked.max_tokens,
        "stream": False,
    }
    if asked.temperature is not None:
        body["temperature"] = asked.temperature
    if asked.top_p is not None:
        body["top_p"] = asked.top_p
    if asked.seed is not None:
        body["seed"] = asked.seed + sample
    if item.tools:
        body["tools"] = list(item.tools)
    return {**body, **asked.extra}


async def ask_once(endpoint: Endpoint, body: Mapping[str, Any], clock: Clock, *, timeout_s: float) -> Given:
    """Send one request. A failure is an answer with its failure set.

    Raises:
        BudgetExceededError: one more request would exceed the budget; none was sent.
    """
    start = clock.monotonic()
    try:
        response = await endpoint.http().request(
            "POST", endpoint.path, json=body, timeout_s=timeout_s, bytes_max=ANSWER_BYTES_MAX,
            direct=endpoint.direct, generates=True,
        )  # fmt: skip
        elapsed_s = clock.monotonic() - start
        if response.status == 400 and _filtered(response.text):
            return Given(finish="content_filter", status=400, elapsed_s=elapsed_s)
        if response.status != 200:
            return Given(
                failure=f"HTTP {response.status}: {error_words(endpoint.clean(response.text))}",
                reason=_reason(response.status).value, status=response.status, elapsed_s=elapsed_s,
                retry_after_s=retry_after_s(response.headers, clock.wall()),
            )  # fmt: skip
        given = read_given(response.json(), elapsed_s, endpoint.clean)
        return replace(given, text=endpoint.clean(given.text), model=endpoint.clean(given.model))
    except BudgetExceededError:
        raise  # a ProbeError too, and no answer of the server
    except ProbeError as error:
        elapsed_s = clock.monotonic() - start
        failure = endpoint.clean(error.detail)[:ERROR_CHARS_MAX]
        return Given(failure=failure, reason=error.reason.value, elapsed_s=elapsed_s)


def read_given(body: Any, elapsed_s: float = 0.0, clean: Callable[[str], str] = str) -> Given:
    """The answer in a chat (or text) completion's body. `clean`: of what is quoted where there is none."""
    choices = body.get("choices") if isinstance(body, Mapping) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, Mapping):
        found = error_words(clean(json.dumps(body))) if isinstance(body, (Mapping, list)) else repr(body)[:60]
        return _malformed(f"HTTP 200, and an answer without choices: {found}"[:ERROR_CHARS_MAX], elapsed_s)
    finish = str(choice.get("finish_reason") or "")
    if choice.get("error") or finish in BROKEN_OFF:
        why = f": {error_words(json.dumps(choice))}" if choice.get("error") else ""
        return _malformed(f"the server broke the answer off (finish_reason {finish or 'none'}){why}", elapsed_s)
    message = choice.get("message")
    if not isinstance(message, Mapping) and not isinstance(choice.get("text"), str):
        return _malformed(f"HTTP 200, and a choice without a message: {json.dumps(choice)[:80]}", elapsed_s)
    message = message if isinstance(message, Mapping) else {}
    content = message.get("content", choice.get("text"))
    if content is None:
        content = message.get("refusal")  # OpenAI puts a refusal there, and null into content
    if not isinstance(content, (str, list, type(None))):
        return _malformed(f"content that is no text: {clean(json.dumps(content))[:60]}", elapsed_s)
    calls = _calls(message)
    usage = body.get("usage")
    usage = usage if isinstance(usage, Mapping) else {}
    return Given(
        text=_text(content),
        model=str(body.get("model") or "")[:ERROR_CHARS_MAX],
        finish=finish,
        tool_calls=calls,
        prompt_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        elapsed_s=elapsed_s,
        status=200,
        reasoned=any(isinstance(message.get(name), str) and message[name].strip() for name in REASONING_FIELDS),
    )


def _filtered(text: str) -> bool:
    """Whether a filter before the model declined: Azure OpenAI says so with HTTP 400 and this code."""
    with contextlib.suppress(ValueError, RecursionError):
        data = json.loads(text)
        error = data.get("error") if isinstance(data, Mapping) else None
        return isinstance(error, Mapping) and error.get("code") == "content_filter"
    return False


def _malformed(failure: str, elapsed_s: float) -> Given:
    return Given(failure=failure, reason=UnknownReason.MALFORMED.value, status=200, elapsed_s=elapsed_s)


def _text(content: Any) -> str:
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, Mapping)]
        return "".join(str(part.get("text") or part.get("refusal") or "") for part in parts)
    return content if isinstance(content, str) else ""


def _calls(message: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """Its tool calls; or the one in `function_call`, as OpenAI called it until late 2023 and some servers still do."""
    listed = message.get("tool_calls")
    calls = listed if isinstance(listed, list) else []
    if not calls and isinstance(message.get("function_call"), Mapping):
        calls = [{"function": message["function_call"]}]
    return tuple(_call(each) for each in calls if isinstance(each, Mapping))


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    function = function if isinstance(function, Mapping) else {}
    arguments = function.get("arguments")
    if arguments is None:  # of a tool that takes none
        arguments = {}
    if isinstance(arguments, str):
        with contextlib.suppress(ValueError, RecursionError):  # kept as the text it is: the scorer tells it
            arguments = json.loads(arguments or "{}")
    return {"name": str(function.get("name", "")), "arguments": arguments}


def _count(value: Any) -> int | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= TOKENS_MAX:
        return None
    return int(value)


def _reason(status: int) -> UnknownReason:
    return UnknownReason.AUTH if status in {401, 403} else UnknownReason.ABSENT


def error_words(text: str) -> str:
    """What an error's body says, in one line: its message where it has one."""
    with contextlib.suppress(ValueError, RecursionError):
        data = json.loads(text)
        error = data.get("error", data) if isinstance(data, dict) else data
        text = str(error.get("message") or error) if isinstance(error, dict) else str(error)
    return " ".join(text.split())[:ERROR_CHARS_MAX]
