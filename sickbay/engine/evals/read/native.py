"""Our own eval sets with a header: YAML whose items stand in it or in a file beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sickbay.engine.evals.item import Asked, EvalSet, Item
from sickbay.engine.evals.read.beside import read_beside
from sickbay.engine.evals.read.context import Context
from sickbay.engine.evals.read.native_items import fits, item_of
from sickbay.engine.evals.read.rows import read_rows
from sickbay.engine.evals.read.scorer_uses import read_uses
from sickbay.engine.load.codes import Code
from sickbay.engine.load.fields import Fields
from sickbay.engine.load.schema_check import check_schema
from sickbay.engine.load.yaml_node import Node
from sickbay.engine.model.problem import Problem

__all__ = ["asked_of", "read_native_yaml"]


def read_native_yaml(node: Node, context: Context) -> EvalSet | None:
    """A set with its header; None when it is no mapping.

    Of a set that does not fit the schema whatever does is read all the same, so that every problem is told at once.
    """
    sound = check_schema(node, "evalset.v1", context.problems)
    if node.entries is None:
        return None
    fields = Fields(node)
    asked = asked_of(fields.below("asked").node) if sound else Asked()
    scorers = read_uses(fields.items("score"), context.scorers, context.problems) or context.default_scorers
    inner = replace(
        context, default_scorers=scorers, system=fields.text("system"), cluster=fields.text("cluster"),
    )  # fmt: skip
    below = fields.get("items")
    if below is not None and isinstance(below.data, str):
        items = _items_of_file(below, inner)
    else:
        items = [item_of(each, inner) for each in fields.items("items") if sound or fits(each)]
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
    path = Path(context.path).parent / str(below.data)
    if path.suffix.lower() in {".yaml", ".yml", ".json"}:
        hint = "write the items here, or one JSON object a line in a .jsonl file"
        message = f"wanted items in a JSONL or CSV file, found {str(below.data)!r}"
        context.problems.append(Problem(below.at, Code.WRONG_VALUE, message, hint))
        return []
    text = read_beside(path, below.at, context.problems)
    if text is None:
        return []
    return read_rows(text, replace(context, path=str(path)))[0]


def asked_of(node: Node | None) -> Asked:
    """How the set is asked; what is not written takes the default."""
    data: Mapping[str, Any] = node.data if node is not None and isinstance(node.data, dict) else {}
    return Asked(**data)
