"""A person's answer, read as what was asked for."""

from __future__ import annotations

import math

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.runbook import Ask
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.run.values import Value

__all__ = ["answered"]

_WORDS = {"y": True, "yes": True, "true": True, "n": False, "no": False, "false": False}


def answered(question: Ask, answer: Value | None) -> Value:
    """The answer in the question's type.

    Raises:
        ProbeError: nobody answered (not-asked), or the answer is none of what was wanted (malformed).
    """
    if answer is None:
        raise ProbeError(UnknownReason.NOT_ASKED, f"nobody answered: {question.question}")
    value = _typed(question, answer)
    if value is None:
        raise ProbeError(
            UnknownReason.MALFORMED, f"{question.question} wanted a {question.type}, the answer was {answer!r}"
        )
    if question.choices and value not in question.choices:
        raise ProbeError(
            UnknownReason.MALFORMED,
            f"{question.question} wanted one of {', '.join(question.choices)}, the answer was {answer!r}",
        )
    return value


def _typed(question: Ask, answer: Value) -> Value | None:
    if question.type == "bool":
        return answer if isinstance(answer, bool) else _WORDS.get(str(answer).strip().lower())
    if question.type == "number":
        try:
            number = float(answer)
        except ValueError:
            return None
        return number if math.isfinite(number) and not isinstance(answer, bool) else None
    return str(answer)
