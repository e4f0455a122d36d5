"""JSON Schema in plain words: what was found, what was wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

__all__ = ["described", "of_types", "range_words", "shortened"]

_SHOWN_MAX = 60
_TYPES: Final = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}
_RANGES: Final = {
    "minimum": "{} or more",
    "maximum": "{} or less",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
}


def of_types(types: Sequence[str]) -> str:
    """Several types in words, such as "a number or text"."""
    return " or ".join(_TYPES.get(one, one) for one in types)


def range_words(keyword: str, limit: Any) -> str:
    """A limit in words, such as "0 or more"."""
    return _RANGES[keyword].format(f"{limit:g}" if isinstance(limit, float) else limit)


def shortened(text: str) -> str:
    """A text in one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_MAX else line[: _SHOWN_MAX - 1] + "…"


def described(data: Any) -> str:
    """A value as it was found, short: "text 'x'", "number 3", "true", "a list", "nothing"."""
    if data is None:
        return "nothing"
    if isinstance(data, bool):
        return str(data).lower()
    if isinstance(data, (int, float)):
        return f"number {data!r}"
    if isinstance(data, str):
        return f"text {data!r}" if len(data) <= _SHOWN_MAX else f"text {data[:_SHOWN_MAX]!r}…"
    return "a list" if isinstance(data, list) else "a mapping"
