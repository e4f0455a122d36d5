"""contains: the answer holds the references."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any, ClassVar

from sickbay.checks.evals.scorers.references import needs_references, references
from sickbay.engine.evals.item import Item
from sickbay.engine.evals.scorer import Given, Score, Scorer

__all__ = ["Contains"]


class Contains(Scorer):
    """Every reference stands in the answer; with `any`, one of them."""

    name = "contains"
    title = "the answer holds every reference (any: one of them)"
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "value": {"type": ["string", "array", "number"], "description": "In place of the item's expected"},
            "any": {"type": "boolean", "default": False},
            "ignore_case": {"type": "boolean", "default": False},
        },
    }

    def misfit(self, item: Item, params: Mapping[str, Any]) -> str:
        """An item without a reference."""
        return needs_references(item, params)

    def good_answer(self, item: Item, params: Mapping[str, Any]) -> Given | None:
        """All references in one sentence."""
        return Given(text="It is " + " ".join(references(item, params)) + ".")

    def score(self, item: Item, given: Given, params: Mapping[str, Any]) -> Score:
        """Look for each reference."""
        folded = bool(params.get("ignore_case"))
        text = _form(given.text, folded=folded)
        missing = [each for each in references(item, params) if _form(each, folded=folded) not in text]
        all_of = len(references(item, params))
        hit = len(missing) < all_of if params.get("any") else not missing
        value = 1.0 if hit else (all_of - len(missing)) / all_of
        return Score(passed=hit, value=value, why="" if hit else f"without {missing[0][:60]!r}: {given.text[:80]!r}")


def _form(text: str, *, folded: bool) -> str:
    plain = unicodedata.normalize("NFC", text)
    return plain.casefold() if folded else plain
