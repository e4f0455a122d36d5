"""numeric: the number in the answer is the reference within a tolerance."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from sickbay.engine.evals.item import Item
from sickbay.engine.evals.scorer import Given, Score, Scorer

__all__ = ["Numeric", "numbers_in"]

_NUMBER = re.compile(r"(?<![\w.])[-+\u2212]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))(?:[eE][-+]?\d{1,3})?(?:\s*%)?")

_GROUPED = re.compile(r"(?<=\d)(?:\{,\}|\\[,;!]|[\u00a0\u202f\u2009'\u2019_])(?=\d{3}(?!\d))")
"""Thousands as TeX, French, Swiss and programs part them. A plain blank may part two numbers, and parts them here."""
_POWER = re.compile(r"(?<=\d)\s*(?:[x\u00d7*]|\\times|\\cdot)\s*10\s*\^\s*\{?([-+\u2212]?\d{1,3})\}?")


class Numeric(Scorer):
    """The last (or first, or only) number of the answer.

    Commas part thousands, and a percent sign divides by a hundred: "50 %" is 0.5, in the answer and in the reference.
    """

    name = "numeric"
    version = "2"
    title = "the last number of the answer is the reference, within a tolerance"
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "value": {"type": "number", "description": "In place of the item's expected"},
            "tolerance": {"type": "number", "minimum": 0, "default": 0.0, "description": "Largest absolute difference"},
            "relative": {"type": "number", "minimum": 0, "default": 0.0, "description": "Largest relative difference"},
            "which": {"enum": ["last", "first", "only"], "default": "last"},
        },
    }

    def misfit(self, item: Item, params: Mapping[str, Any]) -> str:
        """A reference that is no number."""
        if _wanted(item, params) is not None:
            return ""
        several = len(numbers_in(item.expected)) if isinstance(item.expected, str) else 0
        why = f"holds {several} numbers, wanted one" if several > 1 else "is no number"
        return f"its expected answer {why}: {_shown(item.expected)}"

    def good_answer(self, item: Item, params: Mapping[str, Any]) -> Given | None:
        """The number in a sentence."""
        wanted = _wanted(item, params)
        return None if wanted is None else Given(text=f"The answer is {wanted!r}.")

    def score(self, item: Item, given: Given, params: Mapping[str, Any]) -> Score:
        """Read the answer's numbers and compare one."""
        wanted = _wanted(item, params)
        if wanted is None:
            return Score.cannot(f"the expected answer is no number: {item.expected!r}")
        found = numbers_in(given.text)
        which = params.get("which", "last")
        if not found or (which == "only" and len(set(found)) > 1):
            return Score.of(False, f"{len(found)} numbers in {given.text[:80]!r}")
        number = found[0] if which == "first" else found[-1]
        within = max(float(params.get("tolerance", 0.0)), float(params.get("relative", 0.0)) * abs(wanted))
        hit = abs(number - wanted) <= within + 1e-12 * max(1.0, abs(wanted))
        return Score.of(hit, "" if hit else f"found {number:g}, wanted {wanted:g} within {within:g}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}… (beyond a double?)" if isinstance(value, int) else text[:60]


def numbers_in(text: str) -> list[float]:
    """Every number of a text: parted thousands and powers of ten are read, a percent sign divides by a hundred."""
    text = _POWER.sub(lambda power: "e" + power[1].replace("\u2212", "-"), _GROUPED.sub("", text[:100_000]))
    found = []
    for match in _NUMBER.finditer(text):
        word = match.group().replace(",", "").replace("\u2212", "-").strip()
        share = word.endswith("%")
        try:
            number = float(word.rstrip("% "))
        except ValueError:
            continue
        if math.isfinite(number):
            found.append(number / 100.0 if share else number)
    return found


def _wanted(item: Item, params: Mapping[str, Any]) -> float | None:
    value = params.get("value", item.expected)
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        try:
            number = float(value)
        except OverflowError:  # a whole number beyond a double
            return None
        return number if math.isfinite(number) else None
    found = numbers_in(str(value))
    return found[-1] if len(found) == 1 else None
