"""Answers of every dialect, and what is kept of their text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sickbay.checks.probe.answer import Answer, Question, read_answer, whole_body
from sickbay.checks.probe.answer_text import look_at_text
from sickbay.checks.probe.request import Route

ASKED = Question(messages=[{"role": "user", "content": "capital?"}], wanted=("paris",))
SECRET = "The capital is Paris."
# Shapes as documented by the OpenAI API reference, ollama docs/api.md and the Triton generate extension.
CHAT = {"choices": [{"message": {"content": SECRET}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 9}}
OLDER = {"choices": [{"text": SECRET, "finish_reason": "length"}]}
OLLAMA = {"message": {"content": SECRET}, "done_reason": "stop", "prompt_eval_count": 7, "eval_count": 5}
TRITON = {"text_output": SECRET}


@pytest.mark.parametrize(
    ("body", "finish", "prompt_tokens"),
    [(CHAT, "stop", 9), (OLDER, "length", None), (OLLAMA, "stop", 7), (TRITON, "", None)],
    ids=["chat", "completions", "ollama", "triton"],
)
def test_every_dialect_is_read_and_no_text_is_kept(body: Any, finish: str, prompt_tokens: int | None) -> None:
    answer = read_answer(body, ASKED)
    assert (answer.ok, answer.finish, answer.prompt_tokens, answer.text.right) == (True, finish, prompt_tokens, True)
    assert "Paris" not in json.dumps(answer.to_json())
    assert Answer.from_json(json.loads(json.dumps(answer.to_json()))) == answer


@pytest.mark.parametrize(
    ("body", "failure"),
    [([1], "wanted an object, found list"), ({"id": 1}, "an answer of no known shape")],
)
def test_what_is_no_answer_says_so(body: Any, failure: str) -> None:
    assert read_answer(body, ASKED).failure == failure


def test_reasoning_without_content_is_empty_and_hidden() -> None:
    message = {"content": None, "reasoning_content": "let me think"}
    text = read_answer({"choices": [{"message": message, "finish_reason": "stop"}]}, ASKED).text
    assert (text.empty, text.hidden, text.right) == (True, True, False)


def test_log_probabilities_of_both_shapes() -> None:
    top = [{"token": " A", "logprob": -0.1}, {"token": " B", "logprob": -0.3}]
    new = {"content": [{"token": " B", "logprob": -0.3, "top_logprobs": top}]}
    old = {"tokens": [" B"], "token_logprobs": [-0.3], "top_logprobs": [{" A": -0.1, " B": -0.3}]}
    tokens = [read_answer({"choices": [{"text": "", "logprobs": each}]}, ASKED).tokens[0] for each in (new, old)]
    assert tokens[0] == tokens[1]
    assert tokens[0].gap == pytest.approx(0.2)
    assert tokens[0].first_choice is False


def test_a_log_probability_that_is_not_finite_counts_as_very_unlikely() -> None:
    body = {"choices": [{"text": "", "logprobs": {"content": [{"token": "x", "logprob": float("nan")}]}}]}
    assert read_answer(body, ASKED).tokens[0].logprob == -1000.0


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("!" * 40, "repeated"),
        ("no no no no no no no", "repeated"),
        ("", "empty"),
        ("  \n", "empty"),
        ("Paris<|im_end|>", "marks"),
        ("Das ist 巴黎", "foreign"),
        ("Par\ufffdis", "broken"),
    ],
)
def test_signs_of_a_broken_engine(text: str, sign: str) -> None:
    assert getattr(look_at_text(text), sign)


@pytest.mark.parametrize("text", ["Rome", "2 + 2 = 4", "It is a very fine day.", "Straße, naïve, Łódź", "x < y"])
def test_sound_texts_show_none(text: str) -> None:
    seen = look_at_text(text)
    assert (seen.empty, seen.repeated, seen.foreign, seen.marks, seen.broken) == (False, False, 0, 0, 0)


def test_a_wanted_word_counts_as_a_whole_word_only() -> None:
    assert look_at_text("There are 47 of them", wanted=("4", "four")).right is False
    assert look_at_text("It is 4.", wanted=("4", "four")).right is True


def test_without_sampling_nothing_of_it_is_sent() -> None:
    route = Route(dialect="chat", path="/v1/chat/completions", model="m")
    plain = Question(messages=ASKED.messages, temperature=None)
    assert set(whole_body(route, plain)) == {"model", "max_tokens", "stream", "messages"}
    assert whole_body(route, ASKED)["temperature"] == 0.0
    ollama = Route(dialect="ollama", path="/api/chat", model="m")
    assert whole_body(ollama, plain)["options"] == {"num_predict": 32}
