"""cites: every citation points into the context, and quoted text stands there word for word."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from sickbay.checks.evals.scorers.exact import normalised
from sickbay.engine.evals.item import Item
from sickbay.engine.evals.scorer import Given, Score, Scorer

__all__ = ["Cites"]

_MARK = re.compile(r"\[(\d{1,4})\]")
_QUOTE = re.compile(r"[\"“„«]([^\"”“»]{12,600})[\"”“»]")


class Cites(Scorer):
    """Marks like [2] count the item's context passages from 1. It finds invented sources, not weak ones."""

    name = "cites"
    title = "citations [n] exist in the given context, and quotations stand there word for word"
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"at_least": {"type": "integer", "minimum": 0, "default": 1}},
    }

    def misfit(self, item: Item, params: Mapping[str, Any]) -> str:
        """No context."""
        return "" if item.context else "it has no context passages"

    def score(self, item: Item, given: Given, params: Mapping[str, Any]) -> Score:
        """Count marks, look quotations up."""
        marks = [int(number) for number in _MARK.findall(given.text)]
        invented = [number for number in marks if not 1 <= number <= len(item.context)]
        if invented:
            return Score.of(False, f"cites [{invented[0]}] of {len(item.context)} passages")
        if len(marks) < params.get("at_least", 1):
            return Score.of(False, f"{len(marks)} citations, wanted at least {params.get('at_least', 1)}")
        whole = " ".join(normalised(passage, articles=False) for passage in item.context)
        for quote in _QUOTE.findall(given.text):
            if normalised(quote, articles=False) not in whole:
                return Score.of(False, f"the quotation {quote[:60]!r} stands in no passage")
        return Score.of(True)
