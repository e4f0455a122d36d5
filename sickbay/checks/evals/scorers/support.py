"""grounded: what the answer says stands in the given context, sentence by sentence. No model is asked.

A sentence is supported when one passage holds most of its content words and every number and name in it. That finds
invented figures, names and subjects; it does not find a context turned into its opposite ("did" for "did not"): for
that, use `judge`, which is shown the context as well.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any, ClassVar

from sickbay.engine.evals.item import Item
from sickbay.engine.evals.scorer import Given, Score, Scorer

__all__ = ["Grounded", "unsupported"]

_SENTENCE = re.compile(r"(?<=[.!?。!?])\s+|\n+")
_WORD = re.compile(r"\d+(?:[.,]\d+)*%?|[^\W\d_]+(?:['\u2019][^\W\d_]+)?", re.UNICODE)
_MARK = re.compile(r"\[\d{1,4}\]|[*_`#>]+")
_EMPTY_WORDS = """
a an and are as at be been but by can could did do does for from had has have he her his how i if in into is it its may
might more most no not of on only or our she should so some such than that the their them then there these they this
those to was we were what when where which who will with would you your yes according based context passage passages
document documents answer states says mentioned provided also however therefore
"""
_EMPTY = frozenset(_EMPTY_WORDS.split())
STEM_CHARS = 5
"""Words of more letters are compared by their beginning: "refunds", "refunded" and "refunding" are one word here."""


class Grounded(Scorer):
    """Share of the answer's sentences that the item's context supports; passes when it is `at_least`."""

    name = "grounded"
    title = "every sentence of the answer is supported by the given context (words, numbers, names)"
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "at_least": {"type": "number", "exclusiveMinimum": 0, "maximum": 1, "default": 1.0},
            "words": {"type": "number", "exclusiveMinimum": 0, "maximum": 1, "default": 0.6,
                      "description": "Share of a sentence's content words that one passage must hold"},
        },
    }  # fmt: skip

    def misfit(self, item: Item, params: Mapping[str, Any]) -> str:
        """No context."""
        return "" if any(passage.strip() for passage in item.context) else "it has no context passages"

    def good_answer(self, item: Item, params: Mapping[str, Any]) -> Given | None:
        """A passage, word for word."""
        return Given(text=max(item.context, key=len))

    def score(self, item: Item, given: Given, params: Mapping[str, Any]) -> Score:
        """Sentences that say something, each against its best passage."""
        total, lost = unsupported(given.text, item.context, words=params.get("words", 0.6))
        if not total:
            return Score.of(False, "the answer says nothing that could be looked up")
        share = 1.0 - len(lost) / total
        passed = share >= params.get("at_least", 1.0) - 1e-9
        why = f"{len(lost)} of {total} sentences stand in no passage: {lost[0]}" if lost else ""
        return Score(passed=passed, value=share, why=why[:200])


def unsupported(text: str, context: tuple[str, ...], *, words: float = 0.6) -> tuple[int, list[str]]:
    """How many sentences say something, and why each unsupported one is."""
    passages = [_stems(passage) for passage in context]
    everything = set().union(*passages) if passages else set()
    total, lost = 0, []
    for sentence in _SENTENCE.split(_MARK.sub(" ", text)):
        said = _stems(sentence)
        if not said:
            continue
        total += 1
        missing = [word for word in _pinned(sentence) if _stem(word) not in everything]
        held = max((len(said & passage) / len(said) for passage in passages), default=0.0)
        if missing:
            lost.append(f"{missing[0]!r} in {sentence.strip()[:80]!r}")
        elif held < words:
            lost.append(f"{sentence.strip()[:80]!r}")
    return total, lost


def _pinned(sentence: str) -> list[str]:
    """Numbers, and names: words with a capital that do not begin the sentence."""
    found = _WORD.findall(sentence)
    return [
        word for place, word in enumerate(found) if word[0].isdigit() or (place and word[0].isupper() and len(word) > 2)
    ]


def _stems(text: str) -> set[str]:
    words = (word for word in _WORD.findall(text) if word.casefold() not in _EMPTY)
    return {_stem(word) for word in words}


def _stem(word: str) -> str:
    plain = unicodedata.normalize("NFKC", word).casefold().replace("\u2019", "'").removesuffix("'s")
    return plain.replace(",", "").rstrip("%") if plain[:1].isdigit() else plain[:STEM_CHARS]
