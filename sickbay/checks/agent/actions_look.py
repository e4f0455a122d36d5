"""Reading trajectories and tool contracts: what was called, and which rule each call breaks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sickbay.checks.agent.calls import Call, call_of, calls_of
from sickbay.engine.errors import ProbeError
from sickbay.engine.evals.sealed_schema import sealed_validator
from sickbay.engine.measure.json_lines import read_rows
from sickbay.engine.measure.moments import moment
from sickbay.engine.model.look import Files
from sickbay.engine.model.signal import UnknownReason

__all__ = ["look_actions"]

EXAMPLES_MAX = 20
RULES = (("approval", "approval"), ("role", "roles"))


def look_actions(files: Files, params: Mapping[str, Any]) -> dict[str, Any]:
    """Every call against its tool, every trajectory against what was expected."""
    tools = _tools(files, str(params["tools"])) if params["tools"] else None
    rows = read_rows(files, str(params["trajectories"]))
    broken: dict[str, list[str]] = {kind: [] for kind in ("unknown-tool", "arguments", "role", "approval", "repeated")}
    read = [_calls(row, f"{params['trajectories']}: row {number}") for number, row in enumerate(rows, start=1)]
    told = _told(rows, read)
    matches = []
    for number, (row, (calls, own)) in enumerate(zip(rows, read, strict=True), start=1):
        name = str(row.get("id", number))[:40]
        roles = row.get("role")
        judged = told | ({"approval", "role"} if own else set())
        for kind, what in _problems(calls, tools, roles if isinstance(roles, list) else [str(roles or "")]):
            if kind in {"approval", "role"} - judged:
                continue
            if len(broken[kind]) < 10_000:
                broken[kind].append(f"{name}: {what}" if len(broken[kind]) < EXAMPLES_MAX else "")
        if isinstance(row.get("expected"), list):
            matches.append(_follows(calls, [call_of(each) for each in row["expected"]], str(params["match"])))
    return {
        "trajectories": len(rows),
        "calls": sum(len(calls) for calls, _ in read),
        "broken": broken,
        "matches": matches,
        "untold": _untold(tools, read, told),
    }


def _told(rows: Sequence[Mapping[str, Any]], read: Sequence[tuple[list[Call], bool]]) -> set[str]:
    """What the recorder of these trajectories keeps at all: a form without approvals says nothing of any."""
    told = {"role"} if any(row.get("role") for row in rows) else set()
    marks = ("approved", "approved_by", "approval", "approved_at")
    return told | (
        {"approval"} if any(name in call for calls, _ in read for call in calls for name in marks) else set()
    )


def _untold(
    tools: Mapping[str, Mapping[str, Any]] | None, read: Sequence[tuple[list[Call], bool]], told: set[str]
) -> list[str]:
    """Which rules of the contract could not be judged."""
    foreign = {call["tool"] for calls, own in read if not own for call in calls}
    wanted = {kind: {name for name, tool in (tools or {}).items() if tool.get(key)} for kind, key in RULES}
    return [kind for kind, names in wanted.items() if kind not in told and names & foreign]


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


def _calls(row: Mapping[str, Any], where: str) -> tuple[list[Call], bool]:
    found = calls_of(row)
    if found is None:
        raise ProbeError(
            UnknownReason.MALFORMED,
            f"{where}: wanted calls, a list of {{tool, arguments}}, or the messages, steps or spans of a run",
        )
    return found


def _problems(
    calls: Sequence[Call], tools: Mapping[str, Mapping[str, Any]] | None, roles: Sequence[Any]
) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    done: dict[str, list[Any]] = {}
    for call in calls:
        name = call["tool"]
        tool = (tools or {}).get(name)
        if tools is not None and tool is None:
            found.append(("unknown-tool", name))
            continue
        if tool is not None:
            found += _of_contract(call, tool)
        if call.get("denied") is True or call.get("blocked") is True or call.get("executed") is False:
            continue  # asked for, and never done
        if tool is not None:
            if isinstance(tool.get("roles"), list) and not set(map(str, roles)) & set(map(str, tool["roles"])):
                found.append(("role", f"{name} by {' '.join(map(str, roles)) or 'nobody named'}"))
            if tool.get("approval") is True and not _approved(call):
                found.append(("approval", name))
        if _once(tool, call):
            same = json.dumps([name, call["arguments"], call.get("key")], sort_keys=True, default=str)
            # Under one idempotency key the other side does it once, however often it is asked.
            keys = done.setdefault(same, [])
            if keys and (call.get("idempotency_key") is None or call["idempotency_key"] not in keys):
                found.append(("repeated", name))
            keys.append(call.get("idempotency_key"))
    return found


def _of_contract(call: Call, tool: Mapping[str, Any]) -> list[tuple[str, str]]:
    if call.get("broken"):
        return [("arguments", f"{call['tool']}: no JSON")]
    given = {} if call["arguments"] is None else call["arguments"]
    problem = next(tool["checker"].iter_errors(given), None)
    return [("arguments", f"{call['tool']}: {_short(problem.message)}")] if problem is not None else []


def _approved(call: Call) -> bool:
    """Whether somebody said yes, and not only afterwards."""
    told = call.get("approved", call.get("approval"))
    if isinstance(told, Mapping):
        told = told.get("status", told.get("approved"))
    said = told is True or str(told).lower() in {"true", "yes", "approved", "granted"} or bool(call.get("approved_by"))
    called, at = (moment(call.get(name)) for name in ("at", "approved_at"))
    return said and not (called is not None and at is not None and at.after(called) is True)


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
