"""A YAML value with the position of every key and value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sickbay.engine.model.problem import Position

__all__ = ["Node", "SourceText"]


@dataclass(frozen=True, slots=True)
class SourceText:
    """The text of one file and its name."""

    path: str
    text: str

    def position(self, index: int) -> Position:
        """Line and column (from 1) of a character index."""
        index = max(0, min(index, len(self.text)))
        start = self.text.rfind("\n", 0, index) + 1
        return Position(self.path, self.text.count("\n", 0, start) + 1, index - start + 1)


@dataclass(slots=True, eq=False)
class Node:
    """One value.

    Attributes:
        data: the value as plain data: None, bool, int, float, str, list, dict.
        items: the nodes of a list; None otherwise.
        entries: the nodes of a mapping by key; None otherwise.
        keys: where each key of a mapping stands (line, column).
        start, stop: the characters of the source it was written in, quotes and indicators included.
        size: values in it, aliases counted as often as they are used.
    """

    source: SourceText
    line: int
    column: int
    data: Any
    start: int = 0
    stop: int = 0
    block: bool = False  # a literal (|) or folded (>) scalar
    items: list[Node] | None = None
    entries: dict[str, Node] | None = None
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)
    size: int = 1

    @property
    def at(self) -> Position:
        """Where the value begins."""
        return Position(self.source.path, self.line, self.column)

    def key_at(self, key: str) -> Position:
        """Where a key of this mapping stands; the mapping's own beginning when it has no such key."""
        line, column = self.keys.get(key, (self.line, self.column))
        return Position(self.source.path, line, column)

    def child(self, step: str | int) -> Node | None:
        """The node below: a mapping's key or a list's index; None when there is none."""
        if isinstance(step, int):
            return self.items[step] if self.items is not None and 0 <= step < len(self.items) else None
        return self.entries.get(step) if self.entries is not None else None

    def down(self, path: list[str | int]) -> Node:
        """The node at a path of keys and indices; the deepest one that exists."""
        node: Node = self
        for step in path:
            below = node.child(step)
            if below is None:
                break
            node = below
        return node

    def inside(self, offset: int) -> Position:
        """Where the character `offset` of a scalar's text stands, through quotes, escapes and folding."""
        if not isinstance(self.data, str) or offset <= 0:
            offset = 0
        text = self.source.text
        index = text.find("\n", self.start, self.stop) + 1 if self.block else self.start
        for place, letter in enumerate(self.data if isinstance(self.data, str) else ""):
            while index < self.stop and not _same(text[index], letter):
                index += 1
            if place >= offset:
                return self.source.position(index)
            index += 1
        return self.at if offset == 0 else self.source.position(min(index, self.stop))


def _same(written: str, letter: str) -> bool:
    return written == letter or (letter.isspace() and written.isspace())
