"""JSON Schema in plain words: what was found, what was wanted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = ["described", "of_types", "percent_hint", "range_words", "shortened"]

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
_PERCENT = re.compile(r"\s*\+?(\d+(?:\.\d+)?)\s*%\s*")
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


def percent_hint(data: Any, schema: Mapping[str, Any]) -> str:
    """How to write a percentage where a share (0 to 1) or a ratio (above 1) is wanted; "" for anything else."""
    share = 1 in {schema.get("maximum"), schema.get("exclusiveMaximum")}
    match = _PERCENT.fullmatch(data) if isinstance(data, str) else None
    if match:
        percent = float(match[1])
    elif share and isinstance(data, (int, float)) and not isinstance(data, bool) and 1 <= data <= 100:
        percent = float(data)
    else:
        return ""
    if share:
        return f"a share: {percent:g} % is {percent / 100:g}" if percent <= 100 else ""
    return f"a ratio: {percent:g} % more is {1 + percent / 100:g}" if schema.get("exclusiveMinimum") == 1 else ""


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
