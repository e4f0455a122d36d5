"""Files of rows: CSV, and JSON a line or in one list, in a form of our own, of OpenAI-evals, or as a table.

The form is known by the first row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from sickbay.engine.evals.item import Item
from sickbay.engine.evals.read.context import Context
from sickbay.engine.evals.read.csv_rows import read_csv
from sickbay.engine.evals.read.json_document import read_json
from sickbay.engine.evals.read.json_lines import Line, json_nodes
from sickbay.engine.evals.read.json_table import read_table
from sickbay.engine.evals.read.native_items import read_native_lines
from sickbay.engine.evals.read.openai_evals import read_openai_lines
from sickbay.engine.evals.read.table import ASK, EXPECTED
from sickbay.engine.load.codes import Code
from sickbay.engine.load.schema_words import described
from sickbay.engine.load.yaml_node import Node
from sickbay.engine.model.problem import Problem

__all__ = ["read_list", "read_rows", "tool_of_results"]


def read_rows(text: str, context: Context) -> tuple[list[Item], str]:
    """The items and the name of the form."""
    if context.path.lower().endswith((".csv", ".tsv")):
        return read_csv(text, context), "csv"
    if text.lstrip("\ufeff \t\r\n").startswith("["):  # one list over all lines, under the name of JSON Lines
        whole = read_json(text, context.path, context.problems)
        return read_list(whole, context) if whole is not None else ([], "sickbay")
    return _read(json_nodes(text, context.path, context.problems), _first_object(text), context)


def read_list(whole: Node, context: Context) -> tuple[list[Item], str]:
    """The same for a document that is a list of rows."""
    rows: list[Node] = []
    for node in whole.items or ():
        if isinstance(node.data, dict):
            rows.append(node)
        else:
            message = f"wanted an object for each row, found {described(node.data)}"
            context.problems.append(Problem(node.at, Code.WRONG_TYPE, message))
    first = rows[0].data if rows else {}
    return _read((Line(node) for node in rows), first, replace(context, document=True))


def _read(lines: Iterable[Line], first: Mapping[str, Any], context: Context) -> tuple[list[Item], str]:
    if "ask" in first or "messages" in first:
        return read_native_lines(lines, context), "sickbay"
    if "input" in first and ("ideal" in first or not set(EXPECTED) & _plain(first)):
        return read_openai_lines(lines, context), "openai-evals"
    if set(ASK) & _plain(first):
        return read_table(lines, context), "table"
    return read_native_lines(lines, context), "sickbay"


def _plain(row: Mapping[str, Any]) -> set[str]:
    return {name.casefold() for name in row}


def tool_of_results(text: str) -> str:
    """The tool whose result rows these are, by their first line; "" for anything else."""
    first = _first_object(text)
    if "promptIdx" in first and "testIdx" in first:
        return "promptfoo"
    return "lm-evaluation-harness" if {"doc_id", "doc"} <= first.keys() else ""


def _first_object(text: str) -> dict[str, Any]:
    """The first line that is JSON, of the first fifty; empty when there is none or it is no object."""
    for line in text.removeprefix("\ufeff").split("\n", 50)[:50]:
        if line.strip():
            try:
                data = json.loads(line)
            except (ValueError, RecursionError):
                continue
            return data if isinstance(data, dict) else {}
    return {}
