"""Numbers and words of a foreign model file, with errors that say where. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sickbay.engine.measure.gguf_header import ModelFileError

__all__ = ["LAYERS_MAX", "Fields"]

LAYERS_MAX = 1_000


class Fields:
    """Numbers of a foreign mapping, by the first of several names, with errors that say where."""

    def __init__(self, data: Mapping[str, Any], name: str) -> None:
        self._data = data
        self.name = name

    def optional(self, *names: str) -> int | None:
        """A whole number of at least 1; None when there is none (null, 0 and -1 mean "not set")."""
        for key in names:
            value = self._data.get(key)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 1:
                continue
            if not math.isfinite(value) or value > 1 << 40 or value != int(value):  # JSON may say NaN and Infinity
                raise ModelFileError(f"{self.name}: {key} is {value!r}, wanted a whole number")
            return int(value)
        return None

    def number(self, *names: str, most: int = 1 << 24) -> int:
        """A whole number of 1 to `most`.

        Raises:
            ModelFileError: there is none, or it is larger.
        """
        found = self.optional(*names)
        if found is None:
            seen = {key: self._data[key] for key in names if key in self._data}
            raise ModelFileError(f"{self.name}: wanted a number for {names[0]}, found {str(seen or 'nothing')[:80]}")
        if found > most:
            raise ModelFileError(f"{self.name}: {names[0]} is {found}, wanted at most {most}")
        return found

    def each(self, key: str, count: int, default: int | None = None) -> list[int]:
        """A number for each layer: one for all, or a list."""
        value = self._data.get(key, default)
        if isinstance(value, int) and not isinstance(value, bool):
            value = [value] * count
        sound = isinstance(value, list) and all(isinstance(one, int) and 0 <= one < 1 << 24 for one in value)
        if not isinstance(value, list) or not sound or len(value) < count:
            raise ModelFileError(
                f"{self.name}: {key} is {str(value)[:60]}, wanted a number, or one for each of {count} layers"
            )
        return value[:count]

    def flag(self, key: str) -> bool | None:
        """A bool; None when it is not told."""
        value = self._data.get(key)
        return value if isinstance(value, bool) else None

    def flags(self, key: str) -> list[bool]:
        """A list read as bools; empty when it is none."""
        value = self._data.get(key)
        return [bool(one) for one in value] if isinstance(value, list) else []

    def names(self, key: str) -> list[str]:
        """A list read as words; empty when it is none."""
        value = self._data.get(key)
        return [str(one) for one in value[: LAYERS_MAX + 1]] if isinstance(value, list) else []

    def numbers(self, key: str) -> list[int]:
        """A list of whole numbers; empty when it is none, or holds anything else."""
        value = self._data.get(key)
        sound = isinstance(value, list) and all(isinstance(one, int) and not isinstance(one, bool) for one in value)
        return value[: LAYERS_MAX + 1] if isinstance(value, list) and sound else []

    def has(self, prefixes: tuple[str, ...]) -> bool:
        """Whether anything is told under a name that begins so (null does not count)."""
        return any(key.startswith(prefixes) and value is not None for key, value in self._data.items())

    def text(self, key: str) -> str:
        """A text; empty when it is none."""
        value = self._data.get(key)
        return value if isinstance(value, str) else ""

    def inside(self, key: str) -> Fields:
        """The mapping below this key; an empty one when there is none."""
        value = self._data.get(key)
        return Fields(value if isinstance(value, dict) else {}, self.name)
