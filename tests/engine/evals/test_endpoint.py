"""What an endpoint may send for an answer, and what is made of it."""

from __future__ import annotations

from typing import Any

import pytest

from sickbay.engine.evals.endpoint import read_given


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
