"""One known question streamed, that was right unstreamed: a parser may spoil the stream alone.

The text is reduced to what is asked of it: how much of it is content, how much reasoning, whether the word is there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sickbay.checks.probe.answer import Question, whole_body
from sickbay.checks.probe.answer_text import look_at_text
from sickbay.checks.probe.asking import Asking, rows_of
from sickbay.checks.probe.prepare import TIME_LEFT_MIN_S, time_left
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.measure.recognise import dig
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["streamed_signal", "streamed_twin", "told_by"]

REASONING = ("reasoning_content", "reasoning")
BYTES_MAX = 1_000_000


async def streamed_twin(asking: Asking, questions: Sequence[Question]) -> dict[str, Any] | None:
    """The first question that came out right, asked once more as a stream; None where there is none or no time."""
    right = [row.number for row in rows_of({"rows": asking.rows}, "greedy") if row.answer.text.right]
    left = time_left(asking.look)
    if not right or asking.stopped or asking.route.dialect != "chat" or left < max(TIME_LEFT_MIN_S, asking.slowest_s):
        return None
    question = questions[right[0]]
    body = {**whole_body(asking.route, question), "stream": True}
    for name in ("logprobs", "top_logprobs"):
        body.pop(name, None)
    try:
        answer = await asking.look.http.request(
            "POST", asking.route.path, json=body, timeout_s=min(asking.timeout_s, left), bytes_max=BYTES_MAX,
            generates=True, fresh=True,
        )  # fmt: skip
    except BudgetExceededError:
        return None
    except ProbeError as error:
        return {"failure": error.detail[:160]}
    if answer.status != 200:
        return {"failure": f"HTTP {answer.status}"}
    return told_by(answer.text, question.wanted)


def told_by(text: str, wanted: Sequence[str]) -> dict[str, Any]:
    """What the events of an OpenAI stream hold; lines that are no event of it count for nothing."""
    content, reasoning = "", 0
    for line in text.splitlines():
        if not line.startswith("data:"):
            continue
        try:
            delta = dig(json.loads(line[5:]), "choices.0.delta")
        except (ValueError, RecursionError):
            continue
        if isinstance(delta, Mapping):
            content += delta["content"] if isinstance(delta.get("content"), str) else ""
            reasoning += sum(len(delta[name]) for name in REASONING if isinstance(delta.get(name), str))
    seen = look_at_text(content, wanted=wanted)
    return {"content_chars": len(content.strip()), "reasoning_chars": reasoning, "right": seen.right}


def streamed_signal(twin: Mapping[str, Any] | None) -> Reading:
    """Whether the stream is empty where the whole answer was right; another text may be a near-tie."""
    if twin is None:
        return unknown(UnknownReason.ABSENT, "no question that was right could be asked as a stream")
    if "failure" in twin:
        return unknown(UnknownReason.ABSENT, f"asked as a stream: {twin['failure']}")
    if twin["content_chars"] == 0:
        where = f", and {twin['reasoning_chars']} characters of reasoning" if twin["reasoning_chars"] else ""
        return measured(True, f"a question that is right unstreamed has no content as a stream{where}")
    if twin["right"]:
        return measured(False, "a question that is right unstreamed is right as a stream")
    return unknown(UnknownReason.INCONSISTENT, "a question that is right unstreamed got another text as a stream")
