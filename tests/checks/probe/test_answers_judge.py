"""Known questions one at a time and at the same time, and answers that end below the limit that was sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from sickbay.checks.probe.answer import Answer
from sickbay.checks.probe.answer_text import TextSeen
from sickbay.checks.probe.answers import ProbeAnswers
from sickbay.checks.probe.answers_together import questions_together
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from tests.checks.probe.looking import defaults, reason, value


def answer(sha: str, *, right: bool = True, finish: str = "stop", tokens: int | None = 2) -> Answer:
    text = TextSeen(sha=sha, chars=5, empty=False, right=right)
    return Answer(status=200, finish=finish, prompt_tokens=20, output_tokens=tokens, text=text)


def judged(
    alone: Sequence[Answer],
    together: Mapping[int, Answer] | None = None,
    again: Mapping[int, Answer] | None = None,
    context: Mapping[str, float] | None = None,
) -> Result:
    rows: list[dict[str, Any]] = [
        {"arm": "greedy", "number": number, "answer": each.to_json()} for number, each in enumerate(alone)
    ]
    for arm, given in (("together", together or {}), ("again", again or {})):
        rows += [{"arm": arm, "number": number, "answer": each.to_json()} for number, each in given.items()]
    raw = {"rows": rows, "stopped": "", "path": "/v1", "rendered_tokens": None, "context": context or {}}
    return ProbeAnswers().judge(raw, defaults(ProbeAnswers()))


ALONE = [answer("paris"), answer("four"), answer("cold")]


def test_right_one_at_a_time_and_garbled_together() -> None:
    garbled = {number: answer(f"x{number}", right=False) for number in range(3)}
    result = judged(ALONE, garbled, {number: ALONE[number] for number in range(3)})
    assert value(result, "output.together_failing_ratio") == 1.0
    assert value(result, "output.again_failing_ratio") == 0.0
    assert value(result, "output.foreign_content_ratio") == 0.0
    assert result.outcome is Outcome.FAIL
    assert result.summary == (
        "3 of 3 easy questions were answered; 3 of 3 answers are wrong, asked at the same time, that are right one "
        "at a time"
    )


def test_another_questions_answer_is_told_from_garbage() -> None:
    swapped = {0: answer("four", right=False), 1: answer("paris", right=False), 2: answer("cold")}
    result = judged(ALONE, swapped, {0: answer("paris"), 1: answer("four")})
    assert value(result, "output.foreign_content_ratio") == pytest.approx(2 / 3)


def test_an_endless_text_that_holds_somebodys_word_is_nobodys_answer() -> None:
    alone = [answer("paris"), answer("on and on, four, on", finish="length"), answer("cold")]
    garbled = {0: answer("on and on, four, on", right=False, finish="length")}
    assert value(judged(alone, garbled, {0: alone[0]}), "output.foreign_content_ratio") == 0.0


def test_right_together_needs_no_third_look() -> None:
    result = judged(ALONE, dict(enumerate(ALONE)))
    assert value(result, "output.together_failing_ratio") == 0.0
    assert reason(result, "output.again_failing_ratio") is UnknownReason.NOT_ASKED
    assert result.outcome is Outcome.PASS


def test_nothing_is_asked_together_when_nothing_was_right() -> None:
    assert questions_together([], 6) == []
    assert questions_together([1, 4], 5) == [1, 4, 1, 4, 1]
    result = judged([answer("no", right=False)])
    assert reason(result, "output.together_failing_ratio") is UnknownReason.NOT_ASKED


@pytest.mark.parametrize(
    ("tokens", "finish", "context", "share"),
    [
        pytest.param(12, "length", 0.0, 1.0, id="a-limit-that-nobody-sent"),
        pytest.param(64, "length", 0.0, 0.0, id="our-own-limit"),
        pytest.param(63, "length", 0.0, 0.0, id="one-token-less-is-a-way-of-counting"),
        pytest.param(12, "stop", 0.0, 0.0, id="it-ended-by-itself"),
        pytest.param(12, "length", 32.0, 0.0, id="the-end-of-the-context"),
    ],
)
def test_a_length_limit_below_the_one_sent(tokens: int, finish: str, context: float, share: float) -> None:
    known = {"serving.context_length_tokens": context} if context else {}
    result = judged([answer("x", right=False, finish=finish, tokens=tokens)], context=known)
    assert value(result, "output.cut_below_asked_ratio") == share


def test_a_server_that_counts_no_tokens_tells_nothing_of_the_limit() -> None:
    result = judged([answer("x", finish="length", tokens=None)])
    assert reason(result, "output.cut_below_asked_ratio") is UnknownReason.UNSUPPORTED
