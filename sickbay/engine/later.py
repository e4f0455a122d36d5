"""A mapping that is made when it is first needed as a whole, and before that finds single names at less cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TypeVar

__all__ = ["Later"]

T = TypeVar("T")


class Later(Mapping[str, T]):
    """Read-only.

    Args:
        make: the whole mapping; called once at most.
        find: one entry, or None when it must be sought in the whole. What it finds must be what `make` would give.
    """

    def __init__(self, make: Callable[[], Mapping[str, T]], find: Callable[[str], T | None] = lambda _: None) -> None:
        self._make = make
        self._find = find
        self._found: dict[str, T] = {}

    @cached_property
    def _whole(self) -> Mapping[str, T]:
        # An entry that was handed out before stays the same object.
        return {name: self._found.get(name, entry) for name, entry in self._make().items()}

    def __getitem__(self, name: str) -> T:
        if "_whole" in self.__dict__:
            return self._whole[name]
        if name not in self._found:
            entry = self._find(name)
            if entry is None:
                return self._whole[name]
            self._found[name] = entry
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._whole)

    def __len__(self) -> int:
        return len(self._whole)
