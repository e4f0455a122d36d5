"""Reading trajectories and tool contracts: what was called, and which rule each call breaks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sickbay.engine.errors import ProbeError
from sickbay.engine.evals.sealed_schema import sealed_validator
from sickbay.engine.measure.json_lines import read_rows
from sickbay.engine.model.look import Files
from sickbay.engine.model.signal import UnknownReason

__all__ = ["look_actions"]

EXAMPLES_MAX = 20
Call = Mapping[str, Any]


def look_actions(files: Files, params: Mapping[str, Any]) -> dict[str, Any]:
    """Every call against its tool, every trajectory against what was expected."""
    tools = _tools(files, str(params["tools"])) if params["tools"] else None
    rows = read_rows(files, str(params["trajectories"]))
    broken: dict[str, list[str]] = {kind: [] for kind in ("unknown-tool", "arguments", "role", "approval", "repeated")}
    calls_total, matches = 0, []
    for number, row in enumerate(rows, start=1):
        calls = _calls(row, f"{params['trajectories']}: row {number}")
        calls_total += len(calls)
        name = str(row.get("id", number))[:40]
        for kind, what in _problems(calls, tools, str(row.get("role", ""))):
            if len(broken[kind]) < 10_000:
                broken[kind].append(f"{name}: {what}" if len(broken[kind]) < EXAMPLES_MAX else "")
        if isinstance(row.get("expected"), list):
            matches.append(_follows(calls, [_call(each) for each in row["expected"]], str(params["match"])))
    return {"trajectories": len(rows), "calls": calls_total, "broken": broken, "matches": matches}


def _tools(files: Files, path: str) -> dict[str, Mapping[str, Any]]:
    try:
        found = json.loads(files.read_text(path, bytes_max=4_000_000))
    except (ValueError, RecursionError) as error:
        raise ProbeError(UnknownReason.MALFORMED, f"{path}: wanted a JSON list of tools, found {error}") from error
    rows = found.get("tools") if isinstance(found, dict) else found
    if not isinstance(rows, list) or not all(isinstance(each, dict) for each in rows):
        raise ProbeError(UnknownReason.MALFORMED, f"{path}: wanted a JSON list of tools, found {str(found)[:60]!r}")
    tools: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        function = row.get("function")
        inner = function if isinstance(function, dict) else row
        schema = inner.get("parameters") or inner.get("input_schema") or {}
        try:
            checker = sealed_validator(schema)
        except ValueError as error:
            name = inner.get("name")
            raise ProbeError(UnknownReason.MALFORMED, f"{path}: tool {name!r}: no JSON Schema: {error}") from error
        tools[str(inner.get("name", ""))] = {**row, "checker": checker}
    return tools


def _calls(row: Mapping[str, Any], where: str) -> list[Call]:
    """The calls of one trajectory, own form or messages with `tool_calls`."""
    listed = row.get("calls")
    if listed is None and isinstance(row.get("messages"), list):
        messages = [each for each in row["messages"] if isinstance(each, Mapping)]
        listed = [call for each in messages for call in each.get("tool_calls") or []]
    if not isinstance(listed, list) or not all(isinstance(each, Mapping) for each in listed):
        raise ProbeError(UnknownReason.MALFORMED, f"{where}: wanted calls, a list of {{tool, arguments}}")
    return [_call(each) for each in listed]


def _call(each: Any) -> Call:
    if isinstance(each, str):
        return {"tool": each, "arguments": None}
    row = each if isinstance(each, Mapping) else {}
    function = row.get("function")
    inner = function if isinstance(function, Mapping) else row
    arguments = inner.get("arguments", inner.get("args"))
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            arguments = {"": "no JSON"}
    return {**row, "tool": str(inner.get("tool") or inner.get("name") or ""), "arguments": arguments}


def _problems(calls: Sequence[Call], tools: Mapping[str, Mapping[str, Any]] | None, role: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    done: set[str] = set()
    for call in calls:
        name = call["tool"]
        tool = (tools or {}).get(name)
        if tools is not None and tool is None:
            found.append(("unknown-tool", name))
            continue
        if tool is not None:
            problem = next(tool["checker"].iter_errors(call["arguments"] or {}), None)
            if problem is not None:
                found.append(("arguments", f"{name}: {_short(problem.message)}"))
            if isinstance(tool.get("roles"), list) and role not in tool["roles"]:
                found.append(("role", f"{name} by {role or 'nobody named'}"))
            if tool.get("approval") is True and call.get("approved") is not True:
                found.append(("approval", name))
        if _once(tool, call):
            key = json.dumps([name, call["arguments"], call.get("key")], sort_keys=True, default=str)
            if key in done:
                found.append(("repeated", name))
            done.add(key)
    return found


def _once(tool: Mapping[str, Any] | None, call: Call) -> bool:
    """Whether an equal call later would be a repeat: the tool is not idempotent, and this call did not fail."""
    declared = tool is not None and tool.get("idempotent") is False
    return (declared or call.get("idempotent") is False) and call.get("failed") is not True


def _short(text: str) -> str:
    return " ".join(str(text).split())[:80]


def _follows(calls: Sequence[Call], expected: Sequence[Call], how: str) -> bool:
    """Whether every expected call is there: with nothing else, in this order among others, or in any order."""
    if how == "exact":
        return len(calls) == len(expected) and all(map(_equal, calls, expected))
    left = list(calls)
    for wanted in expected:
        at = next((place for place, call in enumerate(left) if _equal(call, wanted)), None)
        if at is None:
            return False
        left = left[at + 1 :] if how == "in-order" else left[:at] + left[at + 1 :]
    return True


def _equal(call: Call, wanted: Call) -> bool:
    """The same tool; the expected arguments are among the given ones, or none are expected."""
    given, asked = call["arguments"], wanted["arguments"]
    if call["tool"] != wanted["tool"]:
        return False
    if not isinstance(asked, Mapping):
        return True
    return isinstance(given, Mapping) and all(given.get(name) == value for name, value in asked.items())
