"""label: the answer names one of a closed set of labels; the report adds F1 over the set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from sickbay.checks.evals.scorers.exact import normalised
from sickbay.engine.evals.item import Item
from sickbay.engine.evals.scorer import Given, Score, Scorer

__all__ = ["Label"]


class Label(Scorer):
    """The one label in the answer is the expected one. Two labels, or none, are wrong and count as "(none)"."""

    name = "label"
    title = "the answer names the expected label of a closed set; gives F1 over the set"
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "required": ["labels"],
        "properties": {
            "labels": {"type": "array", "minItems": 2, "uniqueItems": True, "items": {"type": "string", "minLength": 1}}
        },
    }

    def misfit(self, item: Item, params: Mapping[str, Any]) -> str:
        """An expected label outside the set, or two that an answer cannot tell apart."""
        seen: dict[str, str] = {}
        for label in params["labels"]:
            first = seen.setdefault(normalised(label, articles=False), label)
            if first != label:
                return f"its labels {first!r} and {label!r} differ in nothing but case and punctuation"
        if item.expected in params["labels"]:
            return ""
        return f"its expected label {item.expected!r} is none of {', '.join(params['labels'])}"

    def good_answer(self, item: Item, params: Mapping[str, Any]) -> Given | None:
        """The label in a sentence."""
        return Given(text=f"Label: {item.expected}.")

    def score(self, item: Item, given: Given, params: Mapping[str, Any]) -> Score:
        """Find labels as whole words; a label inside a longer one that is also there does not count."""
        text = normalised(given.text, articles=False)
        found: list[str] = []
        for label in sorted(params["labels"], key=len, reverse=True):
            word = re.compile(rf"(?<!\w){re.escape(normalised(label, articles=False))}(?!\w)")
            if word.search(text):
                found.append(label)
                text = word.sub(" ", text)
        label = found[0] if len(found) == 1 else "(none)"
        hit = label == item.expected
        why = "" if hit else f"found {', '.join(found) or 'no label'} in {given.text[:60]!r}, wanted {item.expected}"
        return Score(passed=hit, value=float(hit), why=why, label=label, wanted_label=str(item.expected))
