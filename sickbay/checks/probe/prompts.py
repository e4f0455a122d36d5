"""Prompts of the probes: plain words in random order, so that no two share a prefix.

A prefix cache is only missed when the very first tokens differ; a number at the end of a fixed text would measure
the cache. So every word is drawn anew. Same seed, same prompts; they are never logged or kept.
"""

from __future__ import annotations

import random

__all__ = ["TOKENS_PER_WORD", "WORDS", "PromptMaker"]

_TEXT = (
    "apple art autumn bag ball bank basket beach bell bench bird blue boat book bottle box bread bridge "
    "bright brown brush cake calm camp candle card chair cheese child circle city clean clear clock cloud "
    "coat coffee cold color corn corner cotton cup dance day desk dinner dog door dream dress drum early "
    "earth east egg evening eye farm field fire fish floor flower forest fresh friend fruit game garden "
    "glass gold grain grass green hall hand happy hat hill home honey horse hotel house ice island jacket "
    "juice kitchen lake lamp large leaf lemon letter light lime line little lunch map market meadow milk "
    "mirror moon morning mountain music north ocean old orange paint paper park path pencil piano picture "
    "plain plant plate pocket pond quiet rain red rice ring river road rock roof room rope rose round "
    "salt sand school sea seed sheep ship shirt shoe shop silver simple sister sky small snow soap soft "
    "song soup south spoon spring square stairs star stone store story street sugar summer sun sweet "
    "table tall tea tent ticket tomato tower town train tree valley village violin voice wall warm watch "
    "water wave west wheel white wide wind window winter wood wool yellow young "
)
WORDS = tuple(_TEXT.split())
"""Short, common, harmless; with a space before it each is one token, seldom two, in the usual vocabularies."""

TOKENS_PER_WORD = 1.1
"""Assumed until the engine's tokenizer or its usage report says better."""


class PromptMaker:
    """Makes cold prompts of a wanted length. One maker a probe; no prompt comes twice."""

    def __init__(self, seed: int) -> None:
        """Start at a seed; a new run takes a new one, or yesterday's prompts may still be cached."""
        self._random = random.Random(seed)  # noqa: S311 - prompts, not secrets
        self._seen: set[tuple[str, ...]] = set()
        self.tokens_per_word = TOKENS_PER_WORD

    def cold(self, tokens: int) -> str:
        """A prompt of about so many tokens whose first words no earlier prompt of this maker had."""
        count = max(1, round(tokens / self.tokens_per_word))
        words = self._draw(count)
        while tuple(words[:4]) in self._seen:
            words = self._draw(count + 1 if count < 4 else count)
        self._seen.add(tuple(words[:4]))
        return " ".join(words)

    def sample(self) -> str:
        """A text to tokenise, to learn how many tokens a word has: every word once."""
        return " ".join(WORDS)

    def calibrate(self, *, words: int, tokens: int) -> None:
        """Learn the ratio from a count; nonsense (none, or over 8 tokens a word) is ignored."""
        if words > 0 and 0.5 <= tokens / words <= 8:
            self.tokens_per_word = tokens / words

    def _draw(self, count: int) -> list[str]:
        return self._random.choices(WORDS, k=count)
