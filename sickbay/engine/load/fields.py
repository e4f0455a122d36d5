"""A mapping's values by type. A value of another type reads as absent: the schema check has told it."""

from __future__ import annotations

from collections.abc import Iterator

from sickbay.engine.load.yaml_node import Node
from sickbay.engine.model.problem import Position

__all__ = ["Fields", "as_value"]


def as_value(node: Node | None) -> float | str | bool | None:
    """A scalar as the model holds it: every number is a float. None for anything else."""
    data = node.data if node is not None else None
    if isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    return data if isinstance(data, (float, str, bool)) else None


class Fields:
    """Typed access to one mapping node; None or another kind of node reads as an empty mapping."""

    def __init__(self, node: Node | None) -> None:
        self.node = node
        self._entries: dict[str, Node] = (node.entries or {}) if node is not None else {}

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[tuple[str, Node]]:
        return iter(self._entries.items())

    @property
    def at(self) -> Position:
        """Where the mapping begins."""
        return self.node.at if self.node is not None else Position("")

    def get(self, key: str) -> Node | None:
        """The node of a key."""
        return self._entries.get(key)

    def key_at(self, key: str) -> Position:
        """Where the key stands."""
        return self.node.key_at(key) if self.node is not None else Position("")

    def value_at(self, key: str) -> Position:
        """Where the key's value begins."""
        node = self._entries.get(key)
        return node.at if node is not None else self.key_at(key)

    def text(self, key: str, default: str = "") -> str:
        """A text."""
        node = self._entries.get(key)
        return node.data if node is not None and isinstance(node.data, str) else default

    def number(self, key: str) -> float | None:
        """A number as a float."""
        node = self._entries.get(key)
        if node is None or isinstance(node.data, bool) or not isinstance(node.data, (int, float)):
            return None
        return float(node.data)

    def flag(self, key: str) -> bool:
        """A truth value; absent is False."""
        node = self._entries.get(key)
        return node is not None and node.data is True

    def below(self, key: str) -> Fields:
        """A mapping."""
        return Fields(self._entries.get(key))

    def items(self, key: str) -> tuple[Node, ...]:
        """A list's nodes."""
        node = self._entries.get(key)
        return tuple(node.items or ()) if node is not None else ()

    def texts(self, key: str) -> tuple[str, ...]:
        """A list's texts."""
        return tuple(item.data for item in self.items(key) if isinstance(item.data, str))

    def pairs(self, key: str) -> dict[str, str]:
        """A mapping of texts."""
        return {name: node.data for name, node in self.below(key) if isinstance(node.data, str)}
