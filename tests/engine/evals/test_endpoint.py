"""What an endpoint may send for an answer, and what is made of it."""

from __future__ import annotations

from typing import Any

import pytest

from sickbay.engine.evals.endpoint import read_given
from sickbay.engine.evals.retry import may_pass
from sickbay.engine.evals.scorer import Given


def message(**parts: Any) -> dict[str, Any]:
    return {"choices": [{"message": parts}]}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (message(content="a"), "a"),
        (message(content=None), ""),
        (message(content=[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, 3]), "ab"),
        (message(content=None, refusal="I cannot help with that."), "I cannot help with that."),
        (message(content=None, tool_calls={"x": 1}), ""),
        (message(content=[{"type": "refusal", "refusal": "I cannot."}]), "I cannot."),
        ({"choices": [{"text": "a"}]}, "a"),
    ],
)
def test_an_answer(body: Any, text: str) -> None:
    given = read_given(body)
    assert (given.text, given.failure) == (text, "")


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"error": {"message": "overloaded, try later", "code": 503}},
         "HTTP 200, and an answer without choices: overloaded, try later"),
        ({"choices": []}, "HTTP 200, and an answer without choices: {'choices': []}"),
        ([1, 2], "HTTP 200, and an answer without choices: [1, 2]"),
        (None, "HTTP 200, and an answer without choices: None"),
        (message(content={"a": 1}), 'content that is no text: {"a": 1}'),
        (message(content=7), "content that is no text: 7"),
        ({"choices": [{}]}, "HTTP 200, and a choice without a message: {}"),
        ({"choices": [{"message": None}]}, 'HTTP 200, and a choice without a message: {"message": null}'),
        ({"choices": [{"message": {"content": "Par"}, "finish_reason": "abort"}]},
         "the server broke the answer off (finish_reason abort)"),
        ({"choices": [{"message": {"content": ""}, "finish_reason": "error", "error": {"message": "upstream died"}}]},
         "the server broke the answer off (finish_reason error): upstream died"),
    ],
)  # fmt: skip
def test_no_answer_is_a_failure_and_not_a_wrong_one(body: Any, wanted: str) -> None:
    given = read_given(body)
    assert (given.failure, given.reason, given.text) == (wanted, "malformed", "")


@pytest.mark.parametrize("count", [float("nan"), float("inf"), -1, "3", True, 10**400, None])
def test_a_count_of_tokens_that_is_none(count: Any) -> None:
    assert read_given({**message(content="a"), "usage": {"prompt_tokens": count}}).prompt_tokens is None


@pytest.mark.parametrize(
    "parts",
    [
        {"tool_calls": [{"function": {"name": "f", "arguments": '{"a": 1}'}}]},
        {"tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]},
        {"tool_calls": None, "function_call": {"name": "f", "arguments": '{"a": 1}'}},
    ],
)
def test_a_call_in_each_of_its_forms(parts: dict[str, Any]) -> None:
    assert read_given(message(content=None, **parts)).tool_calls == ({"name": "f", "arguments": {"a": 1}},)


@pytest.mark.parametrize("arguments", [None, "", "{}", {}])
def test_a_call_without_arguments(arguments: object) -> None:
    calls = [{"function": {"name": "f", "arguments": arguments}}]
    assert read_given(message(content=None, tool_calls=calls)).tool_calls == ({"name": "f", "arguments": {}},)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("<think>London? No.</think>Paris", True), ("London? No.</think>Paris", True), ("\n<thinking>Lon", True),
        ("Paris", False), ("HTML has no tag <think>, I think.", False), ("", False),
    ],
)  # fmt: skip
def test_reasoning_inside_the_answer_is_seen(text: str, wanted: bool) -> None:
    assert Given(text=text).thinks_aloud is wanted


def test_what_a_server_may_answer_the_next_time() -> None:
    found = [status for status in range(200, 600) if may_pass(status)]
    assert found == [408, 425, 429, 500, 502, 503, 504, *range(506, 600)]
