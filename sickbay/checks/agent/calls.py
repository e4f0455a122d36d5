"""The tool calls of a recorded trajectory, in whichever of the usual forms it was kept. Pure.

Own rows (`calls`), OpenAI chat (`tool_calls`, the older `function_call`) and responses (`function_call` items),
Anthropic (`tool_use` and `tool_result` blocks), LangChain and LangGraph messages, Gemini (`functionCall` parts), agent
steps, and OpenTelemetry spans of the GenAI conventions (`execute_tool`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["Call", "call_of", "calls_of"]

Call = Mapping[str, Any]
"""`tool`, `arguments` (None: not told), `broken` (they are no JSON), and what else was recorded of it."""

LISTS = ("messages", "input", "output", "contents", "content", "steps", "spans", "events", "trajectory", "items")
CALL_TYPES = {"tool_use", "function_call", "tool_call", "mcp_call", "toolCall"}
DEPTH_MAX = 6
FAILURES = {"error", "failed", "failure", "status_code_error", "2"}
TEXT_OF = ("stringValue", "intValue", "boolValue", "doubleValue")


def calls_of(row: Mapping[str, Any]) -> tuple[list[Call], bool] | None:
    """The calls, and whether the row is of our own form; None where no known form is there."""
    listed = row.get("calls")
    if isinstance(listed, list):
        return ([call_of(each) for each in listed], True) if all(isinstance(each, Mapping) for each in listed) else None
    lists = [row[name] for name in LISTS if isinstance(row.get(name), list)]
    if not lists:
        return None
    found = list(_each_once(call for each in lists for call in _in_list(each)))
    failed = {str(number) for each in lists for number in _failures(each)}
    return [call | {"failed": True} if call.get("id") in failed else call for call in found], False


def _each_once(calls: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A call that is recorded twice, as a block and as a field of its message, has one id."""
    seen: set[str] = set()
    for call in calls:
        if not call["id"] or call["id"] not in seen:
            yield call
        seen.add(call["id"])


def _in_list(items: Sequence[Any], depth: int = 0) -> Iterator[dict[str, Any]]:
    for item in items if depth < DEPTH_MAX else ():
        if isinstance(item, Mapping):
            yield from _in_item(item, depth)


def _in_item(item: Mapping[str, Any], depth: int) -> Iterator[dict[str, Any]]:
    attributes = _attributes(item)
    if attributes:
        yield from _in_span(item, attributes)
    elif item.get("type") in CALL_TYPES or ("tool" in item and "role" not in item):
        yield dict(call_of(item))
        return
    for name in ("function_call", "functionCall"):
        if isinstance(item.get(name), Mapping):
            yield dict(call_of(item[name]))
    listed = item.get("tool_calls")
    if isinstance(listed, list):
        yield from (dict(call_of(each)) for each in listed if isinstance(each, Mapping))
    for name in ("data", "kwargs", "additional_kwargs", "message"):
        inner = item.get(name)
        # LangChain repeats the calls of a message in its provider's form.
        if isinstance(inner, Mapping) and not listed:
            yield from _in_list([inner], depth + 1)
    for name in ("content", "parts", *(each for each in LISTS if each != "content")):
        if isinstance(item.get(name), list):
            yield from _in_list(item[name], depth + 1)


def _in_span(span: Mapping[str, Any], attributes: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    tool = attributes.get("gen_ai.tool.name") or attributes.get("tool.name")
    if not tool or attributes.get("gen_ai.operation.name", "execute_tool") != "execute_tool":
        return
    given = attributes.get(
        "gen_ai.tool.call.arguments", attributes.get("tool.parameters", attributes.get("input.value"))
    )
    status = span.get("status")
    code = status.get("code", status.get("status_code", "")) if isinstance(status, Mapping) else status
    failed = str(code).lower() in FAILURES or bool(attributes.get("error.type"))
    yield {**dict(call_of({"tool": tool, "arguments": given})), "failed": failed, "id": ""}


def _attributes(item: Mapping[str, Any]) -> dict[str, Any]:
    """A span's attributes, as a mapping or in the form of OTLP's JSON."""
    told = item.get("attributes")
    if isinstance(told, Mapping):
        return dict(told)
    rows = told if isinstance(told, list) else []
    pairs = [(row.get("key"), row.get("value")) for row in rows if isinstance(row, Mapping)]
    return {
        str(key): next((value[kind] for kind in TEXT_OF if kind in value), None)
        for key, value in pairs
        if isinstance(value, Mapping)
    }


def _failures(items: Sequence[Any], depth: int = 0) -> Iterator[str]:
    """Ids of calls whose result says that they failed."""
    for item in items if depth < DEPTH_MAX else ():
        if not isinstance(item, Mapping):
            continue
        number = item.get("tool_call_id") or item.get("tool_use_id") or item.get("call_id")
        if number and (item.get("is_error") is True or str(item.get("status", "")).lower() in FAILURES):
            yield str(number)
        inner = item.get("content")
        if isinstance(inner, list):
            yield from _failures(inner, depth + 1)


def call_of(each: Any) -> Call:
    """One call, whatever its keys are named."""
    if isinstance(each, str):
        return {"tool": each, "arguments": None, "broken": False}
    row = each if isinstance(each, Mapping) else {}
    function = row.get("function")
    inner = function if isinstance(function, Mapping) else row
    names = ("arguments", "args", "input", "tool_input", "parameters")
    arguments = next((inner[name] for name in names if name in inner), None)
    broken = False
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments) if arguments.strip() else {}
        except (ValueError, RecursionError):
            arguments, broken = None, True
    tool = inner.get("tool") or inner.get("name") or inner.get("tool_name") or inner.get("action") or ""
    number = row.get("id") or row.get("call_id") or row.get("tool_call_id") or ""
    return {**row, "tool": str(tool), "arguments": arguments, "broken": broken, "id": str(number)}
