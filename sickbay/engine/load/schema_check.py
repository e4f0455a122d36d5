"""Check a YAML file against its JSON Schema and say each error where it stands, in words."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema_rs

from sickbay.engine.load.codes import Code
from sickbay.engine.load.did_you_mean import did_you_mean, listed
from sickbay.engine.load.schema_words import described, of_types, percent_hint, range_words
from sickbay.engine.load.yaml_node import Node
from sickbay.engine.model.problem import Position, Problem

__all__ = ["SCHEMAS", "check_against", "check_schema", "read_schema"]

SCHEMAS = ("runbook.v1", "cause.v1", "config.v1", "target.v1", "signals.v1", "signals-file.v1")
"""The schemas of this loader; files `NAME.json` of the package folder `sickbay/schemas`."""

_FOLLOW_UPS = frozenset({Code.WRONG_TYPE, Code.UNKNOWN_KEY})
_FOLDER = Path(__file__).parents[2] / "schemas"
ERRORS_MAX = 200
"""Schema errors told of one file; a file with more is of another kind."""


@lru_cache(maxsize=16)
def read_schema(name: str) -> dict[str, Any]:
    """A shipped schema by its name, e.g. "runbook.v1"."""
    found: dict[str, Any] = json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return found


@lru_cache(maxsize=16)
def _validator(name: str) -> Any:
    return jsonschema_rs.Draft202012Validator(read_schema(name))


def check_schema(node: Node, name: str, problems: list[Problem]) -> bool:
    """Whether the node fits the shipped schema; every error is appended as a problem."""
    return check_against(node, read_schema(name), _validator(name), problems)


def check_against(node: Node, schema: Any, validator: Any, problems: list[Problem]) -> bool:
    """Whether the node fits; a place that already has a problem gets no second one for its type."""
    taken = {problem.at for problem in problems}
    told: set[tuple[Position, str, str]] = set()
    errors = 0
    for error in validator.iter_errors(node.data):
        errors += 1
        if errors > ERRORS_MAX:
            break
        for problem in _problems_of(error, node, schema):
            same = (problem.at, problem.code, problem.message)
            if same not in told and not (problem.at in taken and problem.code in _FOLLOW_UPS):
                problems.append(problem)
            told.add(same)
    return errors == 0


def _problems_of(error: Any, root: Node, schema: Any) -> list[Problem]:
    path: list[str | int] = list(error.instance_path)
    node = root.down(path)
    kind = error.kind
    where = _schema_at(schema, error.schema_path)
    if kind.name == "additionalProperties":
        known = list(where.get("properties", {}))
        return [_unknown_key(node, key, known) for key in kind.unexpected]
    if kind.name == "falseSchema" and isinstance(node.data, dict):  # a mapping that takes no key at all
        hint = "nothing can be set here"
        return [Problem(node.key_at(key), Code.UNKNOWN_KEY, f"unknown key {key!r}", hint) for key in node.data]
    at = _said_at(root, path)
    if where.get("writeOnly"):
        message = "a secret is named by reference only; what stands here is not shown"
        return [Problem(at, Code.SECRET_IN_FILE, message, f"write {where['$comment']}")]
    if kind.name == "required":
        return [_missing_key(node, at, str(kind.property), where)]
    if kind.name == "propertyNames":
        name = str(kind.error.instance)
        wanted = where.get("$comment", "another name")
        return [Problem(node.key_at(name), Code.WRONG_VALUE, f"the name {name!r} does not fit; wanted {wanted}")]
    return [_value_problem(kind, node, at, where)]


def _schema_at(schema: Any, path: list[str | int]) -> dict[str, Any]:
    """The (sub)schema whose keyword failed; empty when the path leads elsewhere."""
    for step in path[:-1]:
        try:
            schema = schema[step]
        except (KeyError, IndexError, TypeError):
            return {}
    return schema if isinstance(schema, dict) else {}


def _said_at(root: Node, path: list[str | int]) -> Position:
    """Where a value is spoken of: at its key when it is a list or mapping below a key, else where it begins."""
    node = root.down(path)
    if path and isinstance(path[-1], str) and (node.items is not None or node.entries is not None or node.data is None):
        return root.down(path[:-1]).key_at(path[-1])
    return node.at


def _unknown_key(node: Node, key: str, known: list[str]) -> Problem:
    hint = did_you_mean(key, known, f"known here: {listed(known)}")
    return Problem(node.key_at(key), Code.UNKNOWN_KEY, f"unknown key {key!r}", hint)


def _missing_key(node: Node, at: Position, key: str, where: dict[str, Any]) -> Problem:
    meaning = where.get("properties", {}).get(key, {})
    hint = str(meaning.get("description", "")) if isinstance(meaning, dict) else ""
    hint = hint[:1].lower() + hint[1:] if hint[1:2].islower() else hint
    return Problem(node.at if node.items is None else at, Code.MISSING_KEY, f"the key {key!r} is missing", hint)


def _value_problem(kind: Any, node: Node, at: Position, where: dict[str, Any]) -> Problem:
    found = described(node.data)
    name = kind.name
    if name == "type":
        wanted = str(where.get("$comment") or of_types(kind.types))
        hint = percent_hint(node.data, where) or _type_hint(kind.types, node.data)
        return Problem(at, Code.WRONG_TYPE, f"wanted {wanted}, found {found}", hint)
    if name in {"enum", "const"}:
        return _not_a_choice(kind, node, at)
    if name == "minItems" or (name in {"minProperties", "minLength"} and not node.data):
        what = {"minItems": "list", "minProperties": "mapping", "minLength": "text"}[name]
        message = f"an empty {what}" if not node.data else f"wanted at least {kind.limit} items, found {len(node.data)}"
        return Problem(at, Code.EMPTY, message, "fill it, or take the key out" if not node.data else "")
    if name in {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}:
        wanted = range_words(name, kind.limit)
        return Problem(at, Code.OUT_OF_RANGE, f"wanted {wanted}, found {found}", percent_hint(node.data, where))
    if name in {"maxItems", "maxLength", "maxProperties"}:
        return Problem(at, Code.TOO_LARGE, f"wanted at most {kind.limit}, found {len(node.data)}")
    if name == "uniqueItems":
        return _repeated(node, at)
    wanted = str(where.get("$comment") or "another value")
    return Problem(at, Code.WRONG_VALUE, f"wanted {wanted}, found {found}")


def _not_a_choice(kind: Any, node: Node, at: Position) -> Problem:
    options = [str(one) for one in (kind.options if kind.name == "enum" else [kind.expected_value])]
    hint = did_you_mean(node.data, options) if isinstance(node.data, str) else ""
    wanted = f"one of {', '.join(options)}" if len(options) > 1 else options[0]
    return Problem(at, Code.WRONG_VALUE, f"wanted {wanted}, found {described(node.data)}", hint)


def _type_hint(types: list[str], data: Any) -> str:
    if types == ["array"] and isinstance(data, (str, int, float)):
        return f"write a list: [{str(data)[:40]}]"
    if types == ["string"] and isinstance(data, (bool, int, float)):
        return f"quote it: '{str(data).lower() if isinstance(data, bool) else data}'"
    return ""


def _repeated(node: Node, at: Position) -> Problem:
    seen: list[Any] = []
    for item in node.items or []:
        if item.data in seen:
            return Problem(item.at, Code.REPEATED_ITEM, f"{described(item.data)} stands twice in this list")
        seen.append(item.data)
    return Problem(at, Code.REPEATED_ITEM, "an item stands twice in this list")
