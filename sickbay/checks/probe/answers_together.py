"""What becomes of questions that are answered rightly one at a time, when they are asked at the same time. Pure.

An answer of one word is no near-tie: numbers that shift a little with the batch do not turn it into another. So one
that is right alone, wrong among others and right again afterwards is owed to what ran beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

from sickbay.checks.probe.asking import Row
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["questions_together", "right_alone", "together_signals"]


def right_alone(rows: Sequence[Row]) -> list[int]:
    """Numbers of the questions that were answered rightly one at a time."""
    return [row.number for row in rows if row.answer.ok and row.answer.text.right is True]


def questions_together(right: Sequence[int], together: int) -> list[int]:
    """The numbers to ask at once: those, again and again until there are `together`; none when none was right."""
    return [right[at % len(right)] for at in range(together)] if right and together > 1 else []


def together_signals(alone: Sequence[Row], together: Sequence[Row], again: Sequence[Row]) -> dict[str, Reading]:
    """Shares of wrong answers asked at the same time and one at a time once more, and of answers to others."""
    wrong = _wrong(together, "asked at the same time")
    swapped = [row for row in together if _belongs_to_another(row, alone)]
    if not wrong.known:
        return {
            "output.together_failing_ratio": wrong,
            "output.again_failing_ratio": wrong,
            "output.foreign_content_ratio": wrong,
        }
    came = sum(row.answer.ok for row in together)
    return {
        "output.together_failing_ratio": wrong,
        "output.again_failing_ratio": _wrong(again, "asked one at a time once more") if wrong.value else _not_needed(),
        "output.foreign_content_ratio": measured(
            len(swapped) / came, f"{len(swapped)} of {came} answers given at the same time are those of other questions"
        ),
    }


def _belongs_to_another(row: Row, alone: Sequence[Row]) -> bool:
    """Whether it is, to the letter, what another question got one at a time, and that was right there.

    A text that the length limit cut is nobody's answer: what a damaged engine goes on and on with is the same for
    all, and may hold the word of any question.
    """
    others = {
        each.answer.text.sha
        for each in alone
        if each.number != row.number and each.answer.text.right and each.answer.finish != "length"
    }
    return row.answer.ok and row.answer.text.right is False and row.answer.text.sha in others


def _wrong(rows: Sequence[Row], how: str) -> Reading:
    came = [row for row in rows if row.answer.ok]
    if not came:
        return unknown(UnknownReason.NOT_ASKED, f"no question that is right one at a time was {how}")
    wrong = sum(row.answer.text.right is False for row in came)
    return measured(wrong / len(came), f"{wrong} of {len(came)} answers are wrong, {how}, that are right one at a time")


def _not_needed() -> Reading:
    return unknown(UnknownReason.NOT_ASKED, "all were right when asked at the same time")
