"""One whole answer, read and at once reduced to counts and hashes: the text is looked at and never kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sickbay.checks.probe.answer_text import TextSeen, hashed, look_at_text
from sickbay.checks.probe.request import Route
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.model.look import Look

__all__ = ["Answer", "Question", "Token", "ask", "read_answer", "whole_body"]

ANSWER_BYTES_MAX = 2_000_000
ERROR_CHARS_MAX = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked, and what an answer must hold to be right.

    `temperature` None sends no sampling setting at all. `raw_prompt` is sent to the completion route as it is.
    """

    messages: Sequence[Mapping[str, str]] = ()
    raw_prompt: str = ""
    max_tokens: int = 32
    temperature: float | None = 0.0
    logprobs: int = 0
    wanted: Sequence[str] = ()
    extra: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """One output token: its hash, its log probability, and those of the two likeliest at its place (None: not told)."""

    sha: str
    logprob: float
    best: float | None = None
    second: float | None = None

    @property
    def gap(self) -> float | None:
        """How far the runner-up was behind."""
        return None if self.best is None or self.second is None else self.best - self.second

    @property
    def first_choice(self) -> bool | None:
        """Whether it was the likeliest; None when that is not told."""
        return None if self.best is None else self.logprob >= self.best - 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How one request ended. `failure` "" means that a whole answer came."""

    failure: str = ""
    reason: str = ""  # an UnknownReason, when it failed
    status: int = 0
    finish: str = ""
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    text: TextSeen = TextSeen()
    tokens: tuple[Token, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether an answer came, empty or not."""
        return not self.failure

    def to_json(self) -> dict[str, Any]:
        """Plain data, without text."""
        data = asdict(self)
        data["tokens"] = [[each.sha, each.logprob, each.best, each.second] for each in self.tokens]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Answer:
        """The answer that `to_json` wrote."""
        known = dict(data)
        known["text"] = TextSeen(**data["text"])
        known["tokens"] = tuple(Token(*each) for each in data["tokens"])
        return cls(**known)


def whole_body(route: Route, question: Question) -> dict[str, Any]:
    """The request for an answer in one piece, in the route's dialect."""
    sampling = {} if question.temperature is None else {"temperature": question.temperature}
    extra = dict(question.extra or {})
    messages = [dict(each) for each in question.messages]
    flat = question.raw_prompt or "\n".join(each["content"] for each in messages)
    if route.dialect == "triton":
        return {"text_input": flat, "max_tokens": question.max_tokens, **sampling, **extra}
    if route.dialect == "ollama":
        options = {"num_predict": question.max_tokens, **sampling}
        return {"model": route.model, "messages": messages, "stream": False, "options": options, **extra}
    body: dict[str, Any] = {"model": route.model, "max_tokens": question.max_tokens, "stream": False}
    body |= sampling | extra
    if route.dialect == "completions" or question.raw_prompt:
        return body | {"prompt": flat} | ({"logprobs": question.logprobs} if question.logprobs else {})
    wanted = {"logprobs": True, "top_logprobs": question.logprobs} if question.logprobs else {}
    return body | {"messages": messages} | wanted


async def ask(look: Look, route: Route, question: Question, *, timeout_s: float, direct: bool = False) -> Answer:
    """Send one request and reduce its answer. A failure is an answer with its failure set.

    Raises:
        BudgetExceededError: one more request would exceed the runbook's budget; none was sent.
    """
    completions = bool(question.raw_prompt) and route.dialect == "chat"
    path = "/v1/completions" if completions else route.path.replace("generate_stream", "generate")
    try:
        answer = await look.http.request(
            "POST", path, json=whole_body(route, question), timeout_s=timeout_s, bytes_max=ANSWER_BYTES_MAX,
            direct=direct, generates=True, fresh=True,
        )  # fmt: skip
        body = answer.json() if answer.status == 200 else None
    except BudgetExceededError:
        raise  # a ProbeError too, and no answer of the server
    except ProbeError as error:
        return Answer(failure=error.detail[:ERROR_CHARS_MAX], reason=error.reason.value)
    if body is None:
        return Answer(failure=f"HTTP {answer.status}: {_message(answer.text)}", reason="absent", status=answer.status)
    return read_answer(body, question)


def read_answer(body: Any, question: Question) -> Answer:
    """The answer in any of the dialects, reduced."""
    if not isinstance(body, Mapping):
        return Answer(failure=f"wanted an object, found {type(body).__name__}", reason="malformed", status=200)
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], Mapping) else {}
    message = _mapping(choice.get("message") or body.get("message"))
    content = message.get("content")
    if content is None:
        content = choice.get("text", body.get("text_output", body.get("response")))
    if content is None and not choice and "message" not in body:
        return Answer(failure="an answer of no known shape", reason="malformed", status=200)
    usage = _mapping(body.get("usage"))
    details = _mapping(usage.get("prompt_tokens_details"))
    hidden = message.get("reasoning_content") or message.get("reasoning") or message.get("tool_calls")
    return Answer(
        status=200,
        finish=str(choice.get("finish_reason") or body.get("done_reason") or ""),
        prompt_tokens=_count(usage.get("prompt_tokens", body.get("prompt_eval_count"))),
        cached_tokens=_count(details.get("cached_tokens")),
        output_tokens=_count(usage.get("completion_tokens", body.get("eval_count"))),
        text=look_at_text(str(content or ""), wanted=question.wanted, hidden=bool(hidden)),
        tokens=tuple(_tokens(choice.get("logprobs"))),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _tokens(logprobs: Any) -> list[Token]:
    """Both shapes: the chat one with a list of content entries, the older one with parallel lists."""
    if not isinstance(logprobs, Mapping):
        return []
    entries = logprobs.get("content")
    if isinstance(entries, list):
        return [_token(each) for each in entries if isinstance(each, Mapping)]
    names, values = logprobs.get("tokens"), logprobs.get("token_logprobs")
    if not isinstance(names, list) or not isinstance(values, list):
        return []
    tops = logprobs.get("top_logprobs") or [None] * len(names)
    found = []
    for name, value, top in zip(names, values, tops, strict=False):
        rows = [{"token": key, "logprob": number} for key, number in top.items()] if isinstance(top, Mapping) else []
        found.append(_token({"token": name, "logprob": value, "top_logprobs": rows}))
    return found


def _token(entry: Mapping[str, Any]) -> Token:
    name = str(entry.get("id", "")) + str(entry.get("token", ""))
    own = _number(entry.get("logprob"))
    rows = entry.get("top_logprobs") or []
    ranked = sorted((_number(row.get("logprob")) for row in rows if isinstance(row, Mapping)), reverse=True)
    return Token(hashed(name), round(own, 5), *(round(each, 5) for each in ranked[:2]))


def _number(value: Any) -> float:
    """A log probability; one that is not finite or not there counts as very unlikely."""
    return float(value) if isinstance(value, (int, float)) and value == value and value > -1e3 else -1e3  # noqa: PLR0124 - NaN


def _count(value: Any) -> int | None:
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0 else None


def _message(text: str) -> str:
    return " ".join(text.split())[:ERROR_CHARS_MAX]
