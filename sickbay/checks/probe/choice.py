"""How often the likeliest token was chosen, against how often the model's own probabilities would choose it. Pure.

At temperature 1 with nothing cut off, each token is the likeliest with the probability that the model gives it,
whatever came before: the variance of the count is the sum of p (1 - p). A share that lies further off than chance shows
that something flattens the choice (fewer) or sharpens it (more).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sickbay.checks.probe.asking import Row

__all__ = ["CHANCE_ERRORS", "Choices", "choices_of"]

CHANCE_ERRORS = 3.3
"""Standard errors. A sound choice lies further off in one of 1,000 runs, and further off below in one of 2,000."""


@dataclass(frozen=True, slots=True)
class Choices:
    """Shares of `tokens` answers' tokens: the likeliest was chosen, and is expected; `error` is one standard error."""

    chosen: float
    expected: float
    error: float
    tokens: int

    @property
    def flattened(self) -> bool:
        """Fewer than chance leaves."""
        return self.expected - self.chosen > CHANCE_ERRORS * self.error

    @property
    def as_the_model(self) -> bool:
        """No further from the model's own probabilities than chance, on either side."""
        return abs(self.expected - self.chosen) <= CHANCE_ERRORS * self.error

    @property
    def told(self) -> str:
        """The shares, in words."""
        return f"{self.chosen:.0%} of {self.tokens} tokens were the likeliest"


def choices_of(rows: Sequence[Row]) -> Choices:
    """Over every token whose likeliest alternative was told; zeros when none was."""
    told = [token for row in rows for token in row.answer.tokens if token.best is not None]
    if not told:
        return Choices(0.0, 0.0, 0.0, 0)
    best = [math.exp(min(0.0, token.best or 0.0)) for token in told]
    count = len(told)
    return Choices(
        chosen=sum(bool(token.first_choice) for token in told) / count,
        expected=sum(best) / count,
        error=math.sqrt(sum(share * (1.0 - share) for share in best)) / count,
        tokens=count,
    )
