"""What a plain YAML scalar means: the core of YAML 1.2, without the traps of 1.1.

`yes`, `no`, `on`, `off` are refused (true to some readers, text to others). Octal, hexadecimal and
sexagesimal numbers, underscores and dates stay text; where a number is wanted, that is a type error.
"""

from __future__ import annotations

import math
import re
from typing import TypeAlias

__all__ = ["AMBIGUOUS", "Scalar", "resolve_plain"]

Scalar: TypeAlias = bool | int | float | str | None

AMBIGUOUS = frozenset(word for base in ("yes", "no", "on", "off") for word in (base, base.title(), base.upper()))
"""Words that YAML 1.1 reads as truth values and YAML 1.2 as text."""

_NUMBER = re.compile(r"[-+]?(?:0|[1-9]\d*)?(?:\.\d*)?(?:[eE][-+]?\d+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_NUMBER_BEGINS = frozenset("0123456789+-.")
_WORD_LENGTH_MAX = 5
_WORDS: dict[str, bool | None] = {
    "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_EXACT_DIGITS = 15  # a double holds every integer of so many digits


def resolve_plain(text: str) -> tuple[Scalar, str]:
    """The value of an unquoted scalar, and what is wrong with how it is written.

    Returns:
        The value, and "" or the trap: "ambiguous" or "not-finite" (the value is then the text).
    """
    if not text:
        return None, ""
    first = text[0]
    if first.isalpha():
        if len(text) > _WORD_LENGTH_MAX:
            return text, ""
        if text in AMBIGUOUS:
            return text, "ambiguous"
        return _WORDS.get(text, text), ""
    if first not in _NUMBER_BEGINS:
        return (None if text == "~" else text), ""
    if _NUMBER.fullmatch(text) and any(letter.isdigit() for letter in text):
        return _number(text)
    return text, "not-finite" if _NOT_FINITE.fullmatch(text) else ""


def _number(text: str) -> tuple[Scalar, str]:
    if len(text) <= _EXACT_DIGITS and text.lstrip("+-").isdigit():
        return int(text), ""
    value = float(text)
    return (value, "") if math.isfinite(value) else (text, "not-finite")
