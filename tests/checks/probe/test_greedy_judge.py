"""Greedy answers compared: equal, parted at a near-tie, parted at a clear choice, shifted."""

from __future__ import annotations

from typing import Any

import pytest

from sickbay.checks.probe.answer import Answer, Token
from sickbay.checks.probe.answer_text import TextSeen
from sickbay.checks.probe.greedy import ProbeGreedy
from sickbay.checks.probe.greedy_compare import compare
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from tests.checks.probe.looking import reason, value


def answer(words: str, *, shift: float = 0.0, gap: float = 2.0) -> Answer:
    tokens = tuple(Token(word, -0.5 - shift, -0.5 - shift, -0.5 - shift - gap) for word in words.split())
    return Answer(status=200, tokens=tokens, text=TextSeen(sha=words, empty=False))


def judged(cold: str, alone: str, loaded: Answer, *, gap: float = 2.0, running: float = 0.0) -> Result:
    rows: list[dict[str, Any]] = [{"arm": "cold", "number": 0, "answer": answer(cold, gap=gap).to_json()}]
    rows += [{"arm": "alone", "number": 0, "answer": answer(alone, gap=gap).to_json()}] * 2
    rows += [{"arm": "loaded", "number": 0, "answer": loaded.to_json()}]
    raw = {"rows": rows, "stopped": "", "context": {"serving.requests_running": running}}
    return ProbeGreedy().judge(raw, {})


def test_all_equal() -> None:
    result = judged("a b c", "a b c", answer("a b c"))
    assert result.outcome is Outcome.PASS
    assert [value(result, f"output.{name}_differs_ratio") for name in ("alone", "warm", "loaded")] == [0.0, 0.0, 0.0]
    assert value(result, "output.shift_loaded_over_noise") == 0.0
    assert reason(result, "output.small_gap_ratio") is UnknownReason.ABSENT


def test_among_others_it_parts_at_a_near_tie() -> None:
    result = judged("a b c", "a b c", answer("a b d"), gap=0.05)
    assert result.outcome is Outcome.PASS
    assert value(result, "output.loaded_differs_ratio") == 1.0
    assert value(result, "output.small_gap_ratio") == 1.0


def test_among_others_it_parts_where_the_choice_was_clear() -> None:
    result = judged("a b c", "a b c", answer("a b d"))
    assert result.outcome is Outcome.WARN
    assert value(result, "output.small_gap_ratio") == 0.0


def test_a_shift_before_the_split_is_told_against_the_noise_floor() -> None:
    result = judged("a b c", "a b c", answer("a b c", shift=0.2))
    assert value(result, "output.shift_loaded_over_noise") == pytest.approx(20.0)


def test_a_cold_answer_that_parts_at_a_near_tie_shows_no_shift() -> None:
    result = judged("a x c", "a b c", answer("a b c"), running=2.0)
    assert value(result, "output.warm_differs_ratio") == 1.0
    assert value(result, "output.shift_warm_over_noise") == 0.0
    assert reason(result, "output.alone_differs_ratio") is UnknownReason.INCONSISTENT


def test_a_cold_answer_that_differs() -> None:
    result = judged("a x c", "a b c", answer("a b c"))
    assert result.outcome is Outcome.WARN
    assert value(result, "output.warm_differs_ratio") == 1.0


def test_nothing_is_alone_while_users_are_served() -> None:
    result = judged("a b c", "a b c", answer("a b c"), running=2.0)
    assert reason(result, "output.alone_differs_ratio") is UnknownReason.INCONSISTENT


def test_an_answer_that_goes_on_differs_without_a_first_differing_token() -> None:
    pair = compare(answer("a b"), answer("a b c"))
    assert (pair.differs, pair.at, pair.common) == (True, None, 2)


def test_without_tokens_texts_are_compared() -> None:
    first = Answer(text=TextSeen(sha="1", empty=False))
    assert compare(first, Answer(text=TextSeen(sha="2", empty=False))).differs
    assert not compare(first, first).differs


def test_no_answer_is_unknown_and_says_why() -> None:
    gone = Answer(failure="HTTP 500: broken", status=500)
    raw = {"rows": [{"arm": "cold", "number": 0, "answer": gone.to_json()}], "stopped": "", "context": {}}
    result = ProbeGreedy().judge(raw, {})
    assert result.outcome is Outcome.UNKNOWN
    assert result.summary == "no two answers could be compared: HTTP 500: broken"
