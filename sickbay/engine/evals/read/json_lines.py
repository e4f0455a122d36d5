"""JSON Lines to nodes: every value knows its line, so that one reader serves YAML and JSONL alike."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sickbay.engine.load.codes import Code
from sickbay.engine.load.yaml_node import Node, SourceText
from sickbay.engine.model.problem import Position, Problem

__all__ = ["json_nodes", "node_of"]

LINE_CHARS_MAX = 4_000_000
DEPTH_MAX = 60


def json_nodes(text: str, path: str, problems: list[Problem]) -> Iterator[Node]:
    """The objects of the file, one a line; empty lines are left out. A bad line is a problem and not given."""
    source = SourceText(path, "")
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        if not line.strip():
            continue
        node = _line_node(line, number, source, problems)
        if node is not None:
            yield node


def _line_node(line: str, number: int, source: SourceText, problems: list[Problem]) -> Node | None:
    at = Position(source.path, number, 1)
    if len(line) > LINE_CHARS_MAX:
        problems.append(
            Problem(at, Code.TOO_LARGE, f"the line has {len(line)} characters; wanted at most {LINE_CHARS_MAX}")
        )
        return None
    repeated: list[str] = []

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in found:
            if key in made:
                repeated.append(key)
            made.setdefault(key, value)
        return made

    try:
        data = json.loads(line, object_pairs_hook=pairs, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        column = getattr(error, "colno", 1)
        why = getattr(error, "msg", str(error))
        hint = "write one JSON object a line"
        problems.append(Problem(Position(source.path, number, column), Code.JSON_SYNTAX, f"not JSON: {why}", hint))
        return None
    for key in repeated:
        message = f"the key {key!r} stands twice on this line"
        problems.append(Problem(at, Code.DUPLICATE_KEY, message, "remove one of them"))
    if not isinstance(data, dict):
        problems.append(Problem(at, Code.WRONG_TYPE, f"wanted an object on each line, found {type(data).__name__}"))
        return None
    try:
        return node_of(data, source, number)
    except RecursionError:
        problems.append(Problem(at, Code.TOO_DEEP, f"nested deeper than {DEPTH_MAX} levels"))
        return None


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")


def node_of(data: Any, source: SourceText, line: int, depth: int = 0) -> Node:
    """A value as a node whose every part stands on `line`. Raises RecursionError when nested too deep."""
    if depth > DEPTH_MAX:
        raise RecursionError
    node = Node(source, line, 1, data)
    if isinstance(data, dict):
        node.entries = {key: node_of(value, source, line, depth + 1) for key, value in data.items()}
    elif isinstance(data, list):
        node.items = [node_of(value, source, line, depth + 1) for value in data]
    return node
