"""Our own eval sets: YAML with a header, or JSON Lines with one item a line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema_rs

from sickbay.engine.evals.item import Asked, EvalSet, Item
from sickbay.engine.evals.read.context import Context
from sickbay.engine.evals.read.json_lines import json_nodes
from sickbay.engine.evals.read.scorer_uses import read_uses
from sickbay.engine.load.codes import Code
from sickbay.engine.load.fields import Fields
from sickbay.engine.load.schema_check import check_against, check_schema, read_schema
from sickbay.engine.load.text_file import read_text
from sickbay.engine.load.yaml_node import Node
from sickbay.engine.model.problem import Problem

__all__ = ["asked_of", "item_of", "read_native_lines", "read_native_yaml"]


def read_native_yaml(node: Node, context: Context) -> EvalSet | None:
    """A set with its header; None when it does not fit the schema."""
    if not check_schema(node, "evalset.v1", context.problems):
        return None
    fields = Fields(node)
    asked = asked_of(fields.below("asked").node)
    scorers = read_uses(fields.items("score"), context.scorers, context.problems) or context.default_scorers
    inner = replace(
        context, default_scorers=scorers, system=fields.text("system"), cluster=fields.text("cluster"),
    )  # fmt: skip
    below = fields.get("items")
    if below is not None and isinstance(below.data, str):
        items = _items_of_file(below, inner)
    else:
        items = [item_of(each, inner) for each in fields.items("items")]
    return EvalSet(
        name=fields.text("evalset"),
        version=fields.text("version"),
        title=fields.text("title"),
        why=fields.text("why"),
        asked=asked,
        slices=fields.texts("slices"),
        items=tuple(items),
        path=context.path,
    )


def _items_of_file(below: Node, context: Context) -> list[Item]:
    from sickbay.engine.evals.read.rows import read_rows  # late: that reader reads our items too

    path = Path(context.path).parent / str(below.data)
    text = read_text(path, context.problems)
    if text is None:
        return []
    return read_rows(text, replace(context, path=str(path)))[0]


def read_native_lines(text: str, context: Context) -> list[Item]:
    """Items of a JSONL file; lines that do not fit are problems and left out."""
    return [
        item_of(node, context)
        for node in json_nodes(text, context.path, context.problems)
        if check_against(node, _item_schema(), _item_validator(), context.problems)
    ]


def asked_of(node: Node | None) -> Asked:
    """How the set is asked; what is not written takes the default."""
    data: Mapping[str, Any] = node.data if node is not None and isinstance(node.data, dict) else {}
    return Asked(**data)


def item_of(node: Node, context: Context) -> Item:
    """One item that fits the schema."""
    fields = Fields(node)
    data = node.data
    if ("ask" in fields) == ("messages" in fields):
        message = "wanted ask or messages" + (", found both" if "ask" in fields else "; the item has neither")
        context.problems.append(Problem(node.at, Code.MISSING_KEY, message))
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
