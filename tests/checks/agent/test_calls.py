"""Trajectories in the forms that agents are recorded in: no form passes for one without calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.agent.calls import calls_of
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from tests.checks.agent.test_actions import PAY, actions

ARGUMENTS = '{"euros": 5}'
OPENAI = {"id": "c1", "type": "function", "function": {"name": "pay", "arguments": ARGUMENTS}}
BLOCK = {"type": "tool_use", "id": "c1", "name": "pay", "input": {"euros": 5}}
SPAN = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "pay", "gen_ai.tool.call.arguments": ARGUMENTS}
OTLP = [{"key": key, "value": {"stringValue": text}} for key, text in SPAN.items()]


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"calls": [PAY]}, id="own"),
        pytest.param({"messages": [{"role": "assistant", "tool_calls": [OPENAI]}]}, id="openai-chat"),
        pytest.param({"messages": [{"function_call": {"name": "pay", "arguments": ARGUMENTS}}]}, id="openai-older"),
        pytest.param({"output": [{"type": "function_call", "name": "pay", "arguments": ARGUMENTS}]}, id="responses"),
        pytest.param({"messages": [{"role": "assistant", "content": [{"type": "text"}, BLOCK]}]}, id="anthropic"),
        pytest.param(
            {
                "messages": [
                    {
                        "type": "ai",
                        "content": [BLOCK],
                        "tool_calls": [{"name": "pay", "args": {"euros": 5}, "id": "c1"}],
                    }
                ]
            },
            id="langgraph-twice-the-same",
        ),
        pytest.param(
            {"messages": [{"type": "ai", "data": {"tool_calls": [{"name": "pay", "args": {"euros": 5}}]}}]},
            id="langchain",
        ),
        pytest.param({"contents": [{"parts": [{"functionCall": {"name": "pay", "args": {"euros": 5}}}]}]}, id="gemini"),
        pytest.param({"steps": [{"tool": "pay", "tool_input": {"euros": 5}}]}, id="steps"),
        pytest.param({"spans": [{"name": "chat", "attributes": {}}, {"attributes": SPAN}]}, id="spans"),
        pytest.param({"spans": [{"attributes": OTLP}]}, id="spans-as-otlp"),
    ],
)
def test_every_form_holds_its_call(row: dict[str, Any]) -> None:
    found = calls_of(row)
    assert found is not None
    assert [(call["tool"], call["arguments"]) for call in found[0]] == [("pay", {"euros": 5})]


@pytest.mark.parametrize(
    "result",
    [
        pytest.param({"role": "tool", "tool_call_id": "c1", "status": "error"}, id="langgraph"),
        pytest.param(
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "is_error": True}]},
            id="anthropic",
        ),
    ],
)
def test_a_repeat_after_a_result_that_failed(tmp_path: Path, result: dict[str, Any]) -> None:
    first = {"role": "assistant", "tool_calls": [OPENAI]}
    again = {"role": "assistant", "tool_calls": [{**OPENAI, "id": "c2"}]}
    for messages, broken in (([first, result, again], 0.0), ([first, again], 1.0)):
        found = actions(tmp_path, [{"messages": messages, "role": "clerk"}])
        assert found.signals["output.forbidden_actions"].value == broken


def test_no_call_is_not_a_kept_contract(tmp_path: Path) -> None:
    found = actions(tmp_path, [{"messages": [{"role": "assistant", "content": "hello"}]}])
    reading = found.signals["output.forbidden_actions"]
    assert (found.outcome, reading.reason) == (Outcome.UNKNOWN, UnknownReason.NO_TRAFFIC)
    assert found.summary == "no call was found in 1 trajectories"


def test_an_approval_that_nobody_records_is_not_missing(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"messages": [{"tool_calls": [{"name": "drop", "args": {}}]}]}]
    found = actions(tmp_path, rows)
    assert (found.outcome, found.signals["output.forbidden_actions"].known) == (Outcome.UNKNOWN, False)
    assert found.summary.endswith("calls that needed an approval and had none: not recorded")
    rows.append({"messages": [{"tool_calls": [{"name": "drop", "args": {}, "approved_by": "ann"}]}]})
    assert actions(tmp_path, rows).signals["output.forbidden_actions"].value == 1.0


DROP = {"tool": "drop"}


@pytest.mark.parametrize(
    ("calls", "forbidden"),
    [
        pytest.param([{**DROP, "approved": "true"}], 0, id="in-words"),
        pytest.param([{**DROP, "approval": {"status": "approved"}}], 0, id="as-an-object"),
        pytest.param([{**DROP, "approval": {"status": "pending"}}], 1, id="pending"),
        pytest.param(
            [{**DROP, "approved": True, "at": "2025-09-01T10:00:00Z", "approved_at": "2025-09-01T11:59:00+02:00"}],
            0,
            id="before",
        ),
        pytest.param(
            [{**DROP, "approved": True, "at": "2025-09-01T10:00:00Z", "approved_at": 1756724400}], 1, id="afterwards"
        ),
        pytest.param([{**DROP, "denied": True}], 0, id="asked-and-denied"),
        pytest.param([{**PAY, "idempotency_key": "k"}] * 2, 0, id="one-idempotency-key"),
        pytest.param([{**PAY, "idempotency_key": "k"}, {**PAY, "idempotency_key": "m"}], 1, id="two-idempotency-keys"),
        pytest.param([{"tool": "read", "arguments": '{"a":'}], 1, id="no-json"),
        pytest.param([{"tool": "read", "arguments": ""}], 0, id="no-arguments"),
    ],
)
def test_marks_of_a_call(tmp_path: Path, calls: list[dict[str, Any]], forbidden: int) -> None:
    found = actions(tmp_path, [{"calls": calls, "role": ["clerk", "lead"]}])
    assert found.signals["output.forbidden_actions"].value == forbidden
