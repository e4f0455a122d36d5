"""exact and normalised: the answer is the reference."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any, ClassVar

from sickbay.checks.evals.scorers.references import needs_references, references
from sickbay.engine.evals.item import Item
from sickbay.engine.evals.scorer import Given, Score, Scorer

__all__ = ["Exact", "Normalised", "normalised"]

_VALUE = {"type": ["string", "array", "number", "boolean"], "description": "In place of the item's expected"}
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


class Exact(Scorer):
    """The answer equals one of the references."""

    name = "exact"
    title = "the answer is one of the references, letter by letter"
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "value": _VALUE,
            "strip": {"type": "boolean", "default": True, "description": "Leave white space around both out"},
            "prefix": {"type": "boolean", "default": False, "description": "The answer need only begin with it"},
        },
    }

    def misfit(self, item: Item, params: Mapping[str, Any]) -> str:
        """An item without a reference."""
        return needs_references(item, params)

    def good_answer(self, item: Item, params: Mapping[str, Any]) -> Given | None:
        """The reference itself."""
        return Given(text=references(item, params)[0])

    def score(self, item: Item, given: Given, params: Mapping[str, Any]) -> Score:
        """Compare with each reference."""
        trim = str.strip if params.get("strip", True) else str
        text = trim(given.text)
        wanted = [trim(each) for each in references(item, params)]
        hit = any(text.startswith(each) if params.get("prefix") else text == each for each in wanted)
        return Score.of(hit, "" if hit else f"found {text[:60]!r}, wanted {wanted[0][:60]!r}")


class Normalised(Scorer):
    """Like exact, without case, punctuation, articles and white space."""

    name = "normalised"
    title = "the answer is one of the references but for case, punctuation, articles and blanks"
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "value": _VALUE,
            "articles": {"type": "boolean", "default": True, "description": "Leave a, an, the out"},
        },
    }

    def misfit(self, item: Item, params: Mapping[str, Any]) -> str:
        """An item without a reference, or one of which nothing is left."""
        why = needs_references(item, params)
        articles = bool(params.get("articles", True))
        if not why and not all(normalised(each, articles=articles) for each in references(item, params)):
            return "nothing of its expected answer is left after normalising"
        return why

    def good_answer(self, item: Item, params: Mapping[str, Any]) -> Given | None:
        """The reference in capitals and with a full stop."""
        return Given(text=f" {references(item, params)[0].upper()}. ")

    def score(self, item: Item, given: Given, params: Mapping[str, Any]) -> Score:
        """Compare what is left of both."""
        articles = bool(params.get("articles", True))
        text = normalised(given.text, articles=articles)
        wanted = [normalised(each, articles=articles) for each in references(item, params)]
        hit = text in wanted
        return Score.of(hit, "" if hit else f"found {text[:60]!r}, wanted {wanted[0][:60]!r}")


def normalised(text: str, *, articles: bool = True) -> str:
    """Compatibility forms united, case folded, punctuation gone, blanks single."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(" " if unicodedata.category(letter)[0] in "PZ" or letter.isspace() else letter for letter in plain)
    if articles:
        kept = _ARTICLES.sub(" ", kept)
    return " ".join(kept.split())
