"""tool-call: the model called the right tool with the right arguments."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sickbay.checks.evals.scorers.json_answer import same_json
from sickbay.checks.evals.scorers.references import structure
from sickbay.engine.evals.item import Item
from sickbay.engine.evals.scorer import Given, Score, Scorer
from sickbay.engine.evals.sealed_schema import SchemaError, sealed_validator

__all__ = ["ToolCall"]


class ToolCall(Scorer):
    """The calls are the expected ones: names, and arguments as JSON values; an argument may have several right values.

    `expected` is {"name": ..., "arguments": {...}}, a list of these (all of them, in any order unless `ordered`), or an
    empty list: nothing may be called. Arguments must also fit the tool's own schema where the item brings the tool.
    """

    name = "tool-call"
    version = "2"
    title = "the model calls the expected tools with the expected arguments"
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "arguments": {"enum": ["equal", "subset", "ignore"], "default": "equal"},
            "ordered": {"type": "boolean", "default": False},
            "extra_calls": {
                "type": "boolean",
                "default": False,
                "description": "Calls beside the expected are allowed",
            },
        },
    }

    def misfit(self, item: Item, params: Mapping[str, Any]) -> str:
        """An expected value that is no call, or a tool that is none."""
        wanted = _wanted(item)
        if wanted is None:
            return 'wanted expected: {"name": ..., "arguments": {...}} or a list of these'
        schemas = _schemas(item)
        for name, schema in schemas.items():
            if not name:
                return "one of its tools has no name; wanted function: {name: ..., parameters: {...}}"
            try:
                sealed_validator(schema)
            except SchemaError as error:
                return f"the parameters of its tool {name!r} are no schema: {error}"
        unknown = [each["name"] for each in wanted if schemas and each["name"] not in schemas]
        return f"it expects a call of {unknown[0]!r}, which is not among its tools" if unknown else ""

    def good_answer(self, item: Item, params: Mapping[str, Any]) -> Given | None:
        """The expected calls."""
        wanted = _wanted(item) or []
        calls = tuple({"name": each["name"], "arguments": _first_right(each.get("arguments", {}))} for each in wanted)
        return Given(tool_calls=calls, finish="tool_calls")

    def score(self, item: Item, given: Given, params: Mapping[str, Any]) -> Score:
        """Compare each expected call with what was called."""
        wanted = _wanted(item)
        if wanted is None:
            return Score.cannot("the expected value is no tool call")
        broken = _contract_problem(item, given.tool_calls)
        if broken:
            return Score.of(False, broken)
        pair = _in_order if params.get("ordered") else _in_any_order
        found = pair(wanted, given.tool_calls, params)
        if isinstance(found, Mapping):
            return Score.of(False, _difference(found, given.tool_calls))
        left = [call for place, call in enumerate(given.tool_calls) if place not in found]
        if left and not params.get("extra_calls"):
            return Score.of(False, f"called {left[0].get('name')!r} too, which was not wanted")
        return Score.of(True)


_Calls = Sequence[Mapping[str, Any]]


def _in_order(wanted: _Calls, calls: _Calls, params: Mapping[str, Any]) -> Mapping[str, Any] | frozenset[int]:
    """The places of the calls that are the expected ones, one after the other; or the first that has none."""
    found: list[int] = []
    for each in wanted:
        start = found[-1] + 1 if found else 0
        end = len(calls) if params.get("extra_calls") else start + 1
        place = next((at for at in range(start, min(end, len(calls))) if _same(each, calls[at], params)), None)
        if place is None:
            return each
        found.append(place)
    return frozenset(found)


def _in_any_order(wanted: _Calls, calls: _Calls, params: Mapping[str, Any]) -> Mapping[str, Any] | frozenset[int]:
    """The same in any order. A call may be right for several expected ones: each gets its own (augmenting paths)."""
    owner: dict[int, int] = {}

    def found_for(number: int, tried: set[int]) -> bool:
        for at, call in enumerate(calls):
            if at not in tried and _same(wanted[number], call, params):
                tried.add(at)
                if at not in owner or found_for(owner[at], tried):
                    owner[at] = number
                    return True
        return False

    lost = next((number for number in range(len(wanted)) if not found_for(number, set())), None)
    return frozenset(owner) if lost is None else wanted[lost]


def _wanted(item: Item) -> list[dict[str, Any]] | None:
    wanted = structure(item)
    wanted = wanted if isinstance(wanted, list) else [wanted]
    return wanted if all(map(_is_call, wanted)) else None


def _is_call(data: Any) -> bool:
    return isinstance(data, dict) and isinstance(data.get("name"), str) and isinstance(data.get("arguments", {}), dict)


def _schemas(item: Item) -> dict[str, Any]:
    """The schema of each tool's arguments, by its name; "" for a tool without one."""
    found: dict[str, Any] = {}
    for tool in item.tools:
        inner = tool.get("function", tool)
        name = inner.get("name") if isinstance(inner, Mapping) else None
        schema = inner.get("parameters") if isinstance(inner, Mapping) else None
        found[name if isinstance(name, str) else ""] = True if schema is None else schema
    return found


def _same(wanted: Mapping[str, Any], call: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
    if wanted["name"] != call.get("name"):
        return False
    how = params.get("arguments", "equal")
    if how == "ignore":
        return True
    asked, found = wanted.get("arguments", {}), call.get("arguments")
    if not isinstance(found, Mapping):
        return False
    if how == "equal" and set(found) - set(asked):
        return False
    return all(name in found and _right(value, found[name]) for name, value in asked.items())


def _right(wanted: Any, found: Any) -> bool:
    """Equal, or one of {"any": [...]}; text without regard to case at its ends' blanks."""
    if isinstance(wanted, Mapping) and set(wanted) == {"any"} and isinstance(wanted["any"], list):
        return any(_right(each, found) for each in wanted["any"])
    if isinstance(wanted, bool) or isinstance(found, bool):
        return wanted is found
    if isinstance(wanted, str) and isinstance(found, str):
        return wanted.strip() == found.strip()
    return same_json(wanted, found)


def _first_right(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value["any"][0] if isinstance(value, Mapping) and set(value) == {"any"} and value["any"] else value
        for name, value in arguments.items()
    }


def _contract_problem(item: Item, calls: Sequence[Mapping[str, Any]]) -> str:
    schemas = _schemas(item)
    for call in calls:
        schema = schemas.get(str(call.get("name")))
        if not isinstance(call.get("arguments"), Mapping):
            return f"the arguments of {call.get('name')!r} are no JSON object: {str(call.get('arguments'))[:60]!r}"
        if isinstance(schema, dict):
            error = next(iter(sealed_validator(schema).iter_errors(call["arguments"])), None)
            if error is not None:
                return f"the arguments of {call.get('name')!r} do not fit the tool's schema: {error.message[:100]}"
    return ""


def _difference(wanted: Mapping[str, Any], calls: Sequence[Mapping[str, Any]]) -> str:
    if not calls:
        return f"no tool was called, wanted {wanted['name']!r}"
    shown = json.dumps(wanted.get("arguments", {}))[:60]
    return (
        f"found {calls[0].get('name')}({json.dumps(calls[0].get('arguments'))[:60]}), wanted {wanted['name']}({shown})"
    )
