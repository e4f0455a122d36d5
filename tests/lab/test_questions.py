from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sickbay.lab.prompts import Prompter
from sickbay.lab.questions import Chat, Questions, is_right, load_cases


def questions(**work: object) -> Questions:
    return Questions(work, Prompter(seed=1), seed=1, now=lambda: datetime(2026, 11, 23, 22, 5, 9, tzinfo=UTC))


def test_cases_come_in_their_order_and_again() -> None:
    asker = questions(cases=[{"ask": "a?", "want": ["x"]}, {"ask": "b?"}])
    drawn = [asker.draw(Chat()) for _ in range(3)]
    assert [(q.messages[-1]["content"], q.want) for q in drawn] == [("a?", ("x",)), ("b?", None), ("a?", ("x",))]


def test_twenty_known_answers_ship() -> None:
    cases = load_cases("known-answers")
    assert len(cases) == 20
    assert all(case["want"] for case in cases)


def test_a_code_stands_at_the_head_and_is_asked_for_at_the_end() -> None:
    question = questions(code_at_head=True, prompt_tokens=100).draw(Chat())
    assert question.want is not None
    [code] = question.want
    text = question.messages[0]["content"]
    assert text.startswith(f"The secret code is {code}.")
    assert text.endswith("What is the secret code?")
    assert len(text.split()) == 12 + 60  # the frame, and filler


def test_a_chat_goes_on_until_its_turns_are_over() -> None:
    asker, chat = questions(turns=2, prompt_tokens=10), Chat()
    assert len(asker.draw(chat).messages) == 1
    chat.messages.append({"role": "assistant", "content": "yes"})
    second = asker.draw(chat)
    assert [message["role"] for message in second.messages] == ["user", "assistant", "user"]
    assert len(asker.draw(chat).messages) == 1


def test_the_clock_stands_on_the_first_line() -> None:
    question = questions(system_tokens=3, clock=True, prompt_tokens=10).draw(Chat())
    first, rest = question.messages[0]["content"].split("\n")
    assert (question.messages[0]["role"], first) == ("system", "Current time: 2026-11-23 22:05:09.")
    assert len(rest.split()) == 3


@pytest.mark.parametrize(
    ("text", "right"), [("It is TOKYO.", True), ("It is Kyoto.", False), ("", False)], ids=["case", "other", "empty"]
)
def test_right(text: str, right: bool) -> None:
    assert is_right(text, ("Tokyo", "tokio")) is right
