"""A stream of a question that was right unstreamed: what its events hold, and what is made of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sickbay.checks.probe.streamed_twin import streamed_signal, told_by


def events(*deltas: dict[str, Any]) -> str:
    lines = [f"data: {json.dumps({'choices': [{'delta': delta}]})}" for delta in deltas]
    return "\n\n".join([": keep-alive", *lines, 'data: {"choices": []}', "data: {half", "data: [DONE]"])


@pytest.mark.parametrize(
    ("deltas", "fails", "said"),
    [
        ([{"role": "assistant"}, {"content": "Par"}, {"content": "is."}], False, "is right as a stream"),
        ([{"reasoning": "Par"}, {"reasoning": "is."}], True, "no content as a stream, and 6 characters of reasoning"),
        ([{"reasoning_content": "Hm.", "content": None}, {"content": "Paris"}], False, "is right as a stream"),
        ([{"content": ""}, {"content": " "}], True, "has no content as a stream"),
        ([{"content": "Lyon"}], None, "got another text as a stream"),
    ],
)
def test_what_a_stream_says(deltas: list[dict[str, Any]], fails: bool | None, said: str) -> None:
    reading = streamed_signal(told_by(events(*deltas), ("paris",)))
    assert reading.value is fails
    assert said in reading.source + reading.detail


@pytest.mark.parametrize(
    ("twin", "said"), [(None, "no question that was right"), ({"failure": "HTTP 500"}, "HTTP 500")]
)
def test_no_stream_is_unknown(twin: dict[str, Any] | None, said: str) -> None:
    assert said in streamed_signal(twin).detail
