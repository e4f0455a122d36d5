"""Items of our own: a mapping each, in YAML or one a line of a JSON Lines file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import jsonschema_rs

from sickbay.engine.evals.item import Item
from sickbay.engine.evals.read.context import Context
from sickbay.engine.evals.read.json_lines import Line, read_lines
from sickbay.engine.evals.read.scorer_uses import read_uses
from sickbay.engine.load.codes import Code
from sickbay.engine.load.fields import Fields
from sickbay.engine.load.schema_check import check_against, read_schema
from sickbay.engine.load.yaml_node import Node
from sickbay.engine.model.problem import Problem

__all__ = ["fits", "item_of", "read_native_lines"]


def read_native_lines(lines: Iterable[Line], context: Context) -> list[Item]:
    """Items of a JSONL file; lines that do not fit are problems and left out."""
    found = read_lines(lines, context.problems, lambda node, told: _line_item(node, replace(context, problems=told)))
    return [item for item in found if item is not None]


def _line_item(node: Node, context: Context) -> Item | None:
    sound = check_against(node, _item_schema(), _item_validator(), context.problems)
    return item_of(node, context) if sound else None


def fits(node: Node) -> bool:
    """Whether one item is sound by itself."""
    return bool(_item_validator().is_valid(node.data))


def item_of(node: Node, context: Context) -> Item:
    """One item that fits the schema."""
    fields = Fields(node)
    data = node.data
    if ("ask" in fields) == ("messages" in fields):
        message = "wanted ask or messages" + (", found both" if "ask" in fields else "; the item has neither")
        context.problems.append(Problem(node.at, Code.MISSING_KEY, message))
    for place, each in enumerate(fields.items("messages")):
        if each.data["role"] not in {"assistant", "tool"} and not each.data.get("content"):
            message = f"messages[{place}]: the {each.data['role']} says nothing"
            context.problems.append(Problem(each.at, Code.EMPTY, message, "give it a content"))
    extra = {name: _word(value) for name, value in (data.get("fields") or {}).items()}
    own = read_uses(fields.items("score"), context.scorers, context.problems)
    return context.item(
        item_id=str(data["id"]),
        messages=tuple(data.get("messages") or ({"role": "user", "content": data.get("ask", "")},)),
        expected=data.get("expected"),
        scorers=own,
        fields=extra,
        cluster=str(data.get("cluster", "")),
        context=_texts(data.get("context")),
        tools=tuple(data.get("tools") or ()),
        max_tokens=data.get("max_tokens"),
        position=node.at,
    )


def _texts(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@lru_cache(maxsize=1)
def _item_schema() -> dict[str, Any]:
    whole = read_schema("evalset.v1")
    return {**whole["$defs"]["item"], "$defs": whole["$defs"]}


@lru_cache(maxsize=1)
def _item_validator() -> Any:
    return jsonschema_rs.Draft202012Validator(_item_schema())
