"""probe.needle: what is sent is a conversation, and what was evaluated of it is told from all of it."""

from __future__ import annotations

from typing import Any

import pytest

from sickbay.checks.probe.answer import Answer
from sickbay.checks.probe.answer_text import look_at_text
from sickbay.checks.probe.needle import ALL_EVALUATED, CODES, HISTORY_SHARE, ProbeNeedle
from sickbay.engine.model.outcome import Outcome


def judged(evaluated: int, *, sent: int | None = 1000, words: int = 700, lost: tuple[str, ...] = ()) -> Any:
    rows = [
        {
            "arm": end, "number": number,
            "answer": Answer(
                status=200, prompt_tokens=evaluated,
                text=look_at_text("?" if end in lost else code, wanted=(code,)),
            ).to_json(),
        }
        for number, (end, code) in enumerate(CODES.items())
    ]  # fmt: skip
    raw = {
        "rows": rows, "stopped": "", "seed": 1, "wanted_tokens": 1000, "context": {},
        "sent_tokens": dict.fromkeys(CODES, sent), "sent_words": dict.fromkeys(CODES, words),
    }  # fmt: skip
    return ProbeNeedle().judge(raw, {})


def test_the_earlier_turn_is_more_than_the_share_that_counts_as_all() -> None:
    assert HISTORY_SHARE > 2 * (1 - ALL_EVALUATED)


@pytest.mark.parametrize(
    ("evaluated", "outcome"),
    [
        pytest.param(1040, Outcome.PASS, id="all-and-the-templates-marks"),
        pytest.param(1000, Outcome.PASS, id="all-under-a-template-without-marks"),
        pytest.param(875, Outcome.FAIL, id="without-the-earlier-turn"),
        pytest.param(400, Outcome.FAIL, id="less-than-half"),
    ],
)
def test_what_was_evaluated_of_what_was_sent(evaluated: int, outcome: Outcome) -> None:
    result = judged(evaluated)
    assert result.outcome is outcome
    assert result.summary.startswith(f"{evaluated} prompt tokens were evaluated, and the text alone has 1000")


def test_without_a_tokenizer_words_are_the_least_there_can_be() -> None:
    result = judged(600, sent=None)
    assert result.signals["output.prompt_tokens_ratio"].source == (
        "600 prompt tokens were evaluated of 700 words, each a token or more"
    )
    assert not judged(700, sent=None).signals["output.prompt_tokens_ratio"].known
