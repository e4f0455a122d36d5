"""Tool calls against contract, permission and idempotency, and against the expected path."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.agent.actions import AgentActions
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.run.files import RootedFiles
from tests.checks.retrieval.test_retrieval import lines, passive

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "pay",
            "parameters": {
                "type": "object",
                "properties": {"euros": {"type": "number", "maximum": 100}},
                "required": ["euros"],
                "additionalProperties": False,
            },
        },
        "idempotent": False,
        "roles": ["clerk"],
    },
    {"name": "read", "input_schema": {"type": "object"}},
    {"name": "drop", "approval": True},
]


def actions(folder: Path, rows: Sequence[Mapping[str, Any]], *, tools: Any = TOOLS, **given: Any) -> Result:
    (folder / "tools.json").write_text(json.dumps(tools))
    path = lines(folder / "t.jsonl", rows)
    return passive(AgentActions(), trajectories=path, tools=str(folder / "tools.json"), **given)


PAY = {"tool": "pay", "arguments": {"euros": 5}}


@pytest.mark.parametrize(
    ("calls", "forbidden"),
    [
        pytest.param([PAY], 0, id="kept"),
        pytest.param([{"tool": "pay", "arguments": {"euros": 101}}], 1, id="argument-too-large"),
        pytest.param([{"tool": "pay", "arguments": {}}], 1, id="argument-missing"),
        pytest.param([{"tool": "fly"}], 1, id="unknown-tool"),
        pytest.param([PAY, PAY], 1, id="twice"),
        pytest.param([{**PAY, "failed": True}, PAY], 0, id="again-after-a-failure"),
        pytest.param([{**PAY, "key": "a"}, {**PAY, "key": "b"}], 0, id="two-orders"),
        pytest.param([{"tool": "read"}, {"tool": "read"}], 0, id="reading-twice"),
        pytest.param([{"tool": "drop"}], 1, id="not-approved"),
        pytest.param([{"tool": "drop", "approved": True}], 0, id="approved"),
    ],
)
def test_forbidden_actions(tmp_path: Path, calls: list[Any], forbidden: int) -> None:
    result = actions(tmp_path, [{"role": "clerk", "calls": calls}])
    assert result.signals["output.forbidden_actions"].value == forbidden
    assert result.outcome is (Outcome.FAIL if forbidden else Outcome.PASS)


def test_a_role_that_may_not(tmp_path: Path) -> None:
    result = actions(tmp_path, [{"id": "run-7", "role": "guest", "calls": [PAY]}])
    assert result.summary == "1 calls that this role may not make (run-7: pay by guest)"


def test_messages_in_the_openai_form(tmp_path: Path) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "pay", "arguments": '{"euros": 500}'}}
    rows = [
        {"role": "clerk", "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]}]}
    ]
    assert actions(tmp_path, rows).signals["output.forbidden_actions"].value == 1.0


@pytest.mark.parametrize(("match", "follows"), [("in-order", True), ("exact", False), ("any-order", True)])
def test_the_expected_path(tmp_path: Path, match: str, follows: bool) -> None:
    row = {"role": "clerk", "calls": [{"tool": "read"}, PAY], "expected": [{"tool": "pay", "arguments": {"euros": 5}}]}
    result = actions(tmp_path, [row], match=match)
    assert result.signals["agent.trajectory_match_ratio"].value == float(follows)


def test_another_order_follows_only_any_order(tmp_path: Path) -> None:
    row = {"role": "clerk", "calls": [{"tool": "read"}, PAY], "expected": ["pay", "read"]}
    assert actions(tmp_path, [row]).signals["agent.trajectory_match_ratio"].value == 0.0
    assert actions(tmp_path, [row], match="any-order").signals["agent.trajectory_match_ratio"].value == 1.0


def test_no_expected_path_is_unknown(tmp_path: Path) -> None:
    assert not actions(tmp_path, [{"calls": []}]).signals["agent.trajectory_match_ratio"].known


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        pytest.param("x", "wanted a JSON list of tools, found 'x'", id="text"),
        pytest.param([{"name": "a", "parameters": {"type": 7}}], "tool 'a': no JSON Schema", id="no-schema"),
    ],
)
def test_broken_contracts(tmp_path: Path, tools: Any, said: str) -> None:
    with pytest.raises(ProbeError) as caught:
        actions(tmp_path, [{"calls": []}], tools=tools)
    assert said in caught.value.detail


def test_calls_that_are_no_list(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match=r"row 1: wanted calls, a list of \{tool, arguments\}"):
        actions(tmp_path, [{"calls": 7}])
    assert RootedFiles("/").names(str(tmp_path))  # nothing was written or removed
