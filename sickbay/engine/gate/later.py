"""Did a release become worse while a canary watched it? One bet begins with every round, and their mixture decides.

A bet on the whole time sees a late change late: what was good before speaks against it. Each of these begins with
nothing. The k-th has the weight 1/(k (k + 1)); the weights add up to at most 1, so the mixture is a fair game too, and
the chance that it ever reaches 1/alpha without a change is at most alpha (Ville's inequality; e-detectors: Shin, Ramdas
and Rinaldo, 2023).
"""

from __future__ import annotations

import math

from sickbay.engine.evals.stats.sequential import STAKE_MAX, Bet

__all__ = ["Later"]


class Later:
    """Evidence for "from some round on the mean is above `claim`". Values lie between -1 and 1."""

    def __init__(self, claim: float, alpha: float, *, stake_max: float = STAKE_MAX) -> None:
        self._claim, self._stake_max = claim, stake_max
        self._needed = 1.0 / alpha
        self._bets: list[Bet] = []
        self.shown = False  # once shown it stays so

    def begin(self) -> None:
        """A new round."""
        self._bets.append(Bet(self._claim, stake_max=self._stake_max))

    def add(self, value: float) -> None:
        """One more value, of the round that was begun last."""
        for bet in self._bets:
            bet.add(value)
        mixed = math.fsum(
            math.exp(min(bet.log_wealth, 600.0)) / (place * (place + 1)) for place, bet in enumerate(self._bets, 1)
        )
        self.shown = self.shown or mixed >= self._needed
