"""regex: the answer matches a pattern."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from sickbay.checks.evals.scorers.bounded_regex import RegexTimeoutError, compile_problem, search
from sickbay.engine.evals.item import Item
from sickbay.engine.evals.scorer import Given, Score, Scorer

__all__ = ["Pattern"]


class Pattern(Scorer):
    """The pattern is found in the answer; with `group`, its last group must be one of the references."""

    name = "regex"
    blocking = True
    title = "the answer matches a regular expression (bounded: a pattern that does not end is an error, not a hang)"
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "value": {"type": "string", "minLength": 1, "description": "The pattern; else the item's expected"},
            "ignore_case": {"type": "boolean", "default": False},
            "whole": {"type": "boolean", "default": False, "description": "It must match the whole answer"},
            "group": {"type": "boolean", "default": False, "description": "Compare its last group with expected"},
        },
    }

    def misfit(self, item: Item, params: Mapping[str, Any]) -> str:
        """No pattern, or none that compiles."""
        pattern = _pattern(item, params)
        if not pattern:
            return "it has no pattern: give value, or an expected text"
        return compile_problem(pattern)

    def score(self, item: Item, given: Given, params: Mapping[str, Any]) -> Score:
        """Search, within a second."""
        pattern = _pattern(item, params)
        whole = f"\\A(?:{pattern})\\Z" if params.get("whole") else pattern
        flags = re.IGNORECASE if params.get("ignore_case") else 0
        text = given.text.strip() if params.get("whole") else given.text
        try:
            found = search(whole, text, int(flags))
        except RegexTimeoutError as error:
            return Score.cannot(str(error))
        if found is None:
            return Score.of(False, f"no match of {pattern[:60]!r} in {given.text[:80]!r}")
        if params.get("group") and isinstance(item.expected, (str, list)):
            wanted = item.expected if isinstance(item.expected, list) else [item.expected]
            hit = found[1].strip() in [str(each).strip() for each in wanted]
            return Score.of(hit, "" if hit else f"found {found[1][:60]!r}, wanted {wanted[0]!r}")
        return Score.of(True)


def _pattern(item: Item, params: Mapping[str, Any]) -> str:
    value = params.get("value")
    if value:
        return str(value)
    return item.expected if isinstance(item.expected, str) else ""
