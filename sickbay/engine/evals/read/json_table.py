"""JSON rows with the columns of a table: what `datasets` writes of a published set, and Inspect's own data sets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sickbay.engine.evals.item import Item
from sickbay.engine.evals.read.context import Context
from sickbay.engine.evals.read.json_lines import Line, read_lines
from sickbay.engine.evals.read.table import Columns, columns_of, item_of_row
from sickbay.engine.load.yaml_node import Node

__all__ = ["read_table"]


def read_table(lines: Iterable[Line], context: Context) -> list[Item]:
    """The rows of JSON Lines. The first says which column is which; a row without a name is called by its place."""
    listed = list(lines)
    columns = _columns([line.node for line in listed], context)
    if columns is None:
        return []
    made = read_lines(
        listed, context.problems, lambda node, told: _item(node, columns, replace(context, problems=told))
    )
    return [item for item in made if item is not None]


def _columns(rows: Sequence[Node], context: Context) -> Columns | None:
    return columns_of(list(rows[0].data), context, rows[0].at) if rows else None


def _item(node: Node, columns: Columns, context: Context) -> Item | None:
    return item_of_row(node.data, columns, node.at, context)
