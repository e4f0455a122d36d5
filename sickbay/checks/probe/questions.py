"""Questions with one short, well-known answer each, that models from about a hundred million parameters on get right.

They are no test of ability: they show what a broken engine does to answers that hardly any model gets wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["QUESTIONS", "Known"]


@dataclass(frozen=True, slots=True)
class Known:
    """A question, and the words any of which makes the answer right."""

    text: str
    wanted: tuple[str, ...]


QUESTIONS = (
    Known("What is the capital of France? Answer with one word.", ("paris",)),
    Known("What is 2 + 2? Answer with the number only.", ("4", "four")),
    Known("What is the opposite of hot? Answer with one word.", ("cold",)),
    Known("How many days are in a week? Answer with the number only.", ("7", "seven")),
    Known("What is the capital of Italy? Answer with one word.", ("rome",)),
    Known("What color is the sky on a clear day? Answer with one word.", ("blue",)),
)
"""Asked in this order; all were answered right by SmolLM2-135M-Instruct (4 bit) at temperature 0."""
