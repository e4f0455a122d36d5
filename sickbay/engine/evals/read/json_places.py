"""Where each key and value of a JSON text stands. Slow beside `json`: used for lines with a problem, and documents."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from typing import Any

from sickbay.engine.load.yaml_node import Node, SourceText
from sickbay.engine.model.problem import Position

__all__ = ["placed"]

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


def placed(text: str, line: int, source: SourceText) -> tuple[Node, list[tuple[str, Position]]]:
    """The value with columns, and every key that stands twice in its object, with its second place.

    Args:
        text: one value, a line or a document, that `json` can read.
        line: the number of its first line.
        source: named in positions.
    """
    places = _Places(text, line, source)
    return places.value(_skip(text, 0))[0], places.repeated


class _Places:
    def __init__(self, text: str, line: int, source: SourceText) -> None:
        self._text = text
        self._line = line
        self._source = source
        self._starts = [0, *(place + 1 for place, letter in enumerate(text) if letter == "\n")]
        self.repeated: list[tuple[str, Position]] = []

    def value(self, index: int) -> tuple[Node, int]:
        """The value that begins here, and where it ends."""
        first = self._text[index]
        if first == "{":
            return self._object(index)
        if first == "[":
            return self._list(index)
        data, end = _DECODER.raw_decode(self._text, index)
        return self._node(index, data), end

    def _node(self, index: int, data: Any) -> Node:
        line, column = self._place(index)
        return Node(self._source, line, column, data)

    def _place(self, index: int) -> tuple[int, int]:
        line = bisect_right(self._starts, index)
        return self._line + line - 1, index - self._starts[line - 1] + 1

    def _object(self, index: int) -> tuple[Node, int]:
        node = self._node(index, {})
        node.entries = {}
        index = _skip(self._text, index + 1)
        while self._text[index] != "}":
            key, end = _DECODER.raw_decode(self._text, index)
            below, after = self.value(_skip(self._text, _skip(self._text, end) + 1))
            if key in node.entries:
                self.repeated.append((key, Position(self._source.path, *self._place(index))))
            else:
                node.entries[key], node.data[key] = below, below.data
                node.keys[key] = self._place(index)
            index = _skip(self._text, after)
            if self._text[index] == ",":
                index = _skip(self._text, index + 1)
        return node, index + 1

    def _list(self, index: int) -> tuple[Node, int]:
        node = self._node(index, [])
        node.items = []
        index = _skip(self._text, index + 1)
        while self._text[index] != "]":
            below, after = self.value(index)
            node.items.append(below)
            node.data.append(below.data)
            index = _skip(self._text, after)
            if self._text[index] == ",":
                index = _skip(self._text, index + 1)
        return node, index + 1


def _skip(text: str, index: int) -> int:
    found = _SPACE.match(text, index)
    return found.end() if found else index
