"""JSON Lines to nodes: every value knows its line, so that one reader serves YAML and JSONL alike."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from sickbay.engine.evals.read.json_places import placed
from sickbay.engine.load.codes import Code
from sickbay.engine.load.yaml_node import Node, SourceText
from sickbay.engine.model.problem import Position, Problem

__all__ = ["Line", "json_nodes", "node_of", "read_lines"]

LINE_CHARS_MAX = 4_000_000
DEPTH_MAX = 60
_LONE = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_Read = TypeVar("_Read")
_NOT_UTF8 = re.compile("[\udc80-\udcff]")


def json_nodes(text: str, path: str, problems: list[Problem]) -> Iterator[Line]:
    """The objects of the file, one a line; empty lines are left out. A bad line is a problem and not given."""
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        if not line.strip():
            continue
        made = _line(line, number, SourceText(path, ""), problems)
        if made is not None:
            yield made


@dataclass(frozen=True, slots=True)
class Line:
    """One object. Its parts stand on the line without a column until `placed` looks for them: that is slow.

    `text` "": it is of a document, and knows its places.
    """

    node: Node
    text: str = ""

    def placed(self) -> Node:
        """The same with the column of every key and value."""
        return placed(self.text, self.node.line, self.node.source)[0] if self.text else self.node


def read_lines(
    lines: Iterable[Line], problems: list[Problem], read: Callable[[Node, list[Problem]], _Read]
) -> list[_Read]:
    """Each line read; one that has problems is read again, so that they are told with their columns.

    `read` appends a line's problems to the list it is given: to look through all of them at each line would take the
    square of their number.
    """
    made = []
    for line in lines:
        found: list[Problem] = []
        one = read(line.node, found)
        if found:
            found = []
            one = read(line.placed(), found)
        problems += found
        made.append(one)
    return made


def _line(line: str, number: int, source: SourceText, problems: list[Problem]) -> Line | None:
    at = Position(source.path, number, 1)
    if len(line) > LINE_CHARS_MAX:
        problems.append(
            Problem(at, Code.TOO_LARGE, f"the line has {len(line)} characters; wanted at most {LINE_CHARS_MAX}")
        )
        return None
    bad = _NOT_UTF8.search(line)
    if bad is not None:
        where = Position(source.path, number, bad.start() + 1)
        message = f"byte 0x{ord(bad.group()) - 0xDC00:02x} is not UTF-8"
        problems.append(Problem(where, Code.NOT_UTF8, message, "save the file as UTF-8"))
        return None
    repeated = False

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        made = dict(reversed(found))  # the first of two wins, as in YAML
        repeated = repeated or len(made) < len(found)
        return made if repeated else dict(found)

    try:
        data = json.loads(line, object_pairs_hook=pairs, parse_constant=_refuse, parse_float=_finite)
        if not isinstance(data, dict):
            problems.append(Problem(at, Code.WRONG_TYPE, f"wanted an object on each line, found {_kind(data)}"))
            return None
        node = node_of(data, source, number)
    except RecursionError:
        problems.append(Problem(at, Code.TOO_DEEP, f"nested deeper than {DEPTH_MAX} levels"))
        return None
    except ValueError as error:
        column = error.colno if isinstance(error, json.JSONDecodeError) else 1
        why = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        if isinstance(error, _NumberError):
            column = line.find(error.text) + 1
        elif "int_max_str_digits" in why:
            why = "a whole number of more than 4300 digits"
        hint = "write one JSON object a line"
        if isinstance(error, json.JSONDecodeError) and why == "Extra data" and line[error.pos - 1] == "\r":
            why, hint = "the line goes on after a carriage return", "end lines with LF, or CR LF"
        problems.append(Problem(Position(source.path, number, column), Code.JSON_SYNTAX, f"not JSON: {why}", hint))
        return None
    lone = _LONE.search(line)
    if lone is not None and not _encodes(data):
        where = Position(source.path, number, lone.start() + 1)
        problems.append(
            Problem(
                where, Code.JSON_SYNTAX, f"{lone.group()} alone is no character", "write the pair, or the character"
            )
        )
        return None
    if repeated:
        for key, second in placed(line, number, source)[1]:
            message = f"the key {key!r} stands twice on this line"
            problems.append(Problem(second, Code.DUPLICATE_KEY, message, "remove one of them"))
    return Line(node, line)


class _NumberError(ValueError):
    def __init__(self, text: str, why: str) -> None:
        super().__init__(why)
        self.text = text


def _encodes(data: Any) -> bool:
    try:
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(data: Any) -> str:
    return {"list": "a list", "str": "text", "NoneType": "null", "bool": "true or false"}.get(
        type(data).__name__, "a number"
    )


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _NumberError(text, f"{text[:40]} is too large for a number")
    return value


def _refuse(word: str) -> None:
    raise _NumberError(word, f"{word} is no JSON number")


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
