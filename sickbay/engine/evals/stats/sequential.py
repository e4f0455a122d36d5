"""Looking again and again without more false alarms: a betting martingale, valid at every time (Ville's inequality).

Against "the mean is at or below m" a gambler with one coin stakes a predictable share of it on each value. If the
claim holds, the coins never reach 1/alpha with a probability above alpha, however often one looks. Bounded values
only. Source: Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting (2023).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["STAKE_MAX", "Bet", "Canary", "CanaryState"]

STAKE_MAX = 0.5
"""Largest share of what one value can cost; 1.0 would allow ruin."""


class Bet:
    """Evidence against "the mean is at or below `claim`" from values between `low` and `high`."""

    def __init__(self, claim: float, low: float = -1.0, high: float = 1.0, stake_max: float = STAKE_MAX) -> None:
        if not low <= claim < high:
            raise ValueError(f"the claim lies in {low!r} to {high!r}, got {claim!r}")
        self.claim = claim
        self.log_wealth = 0.0
        self._worst = claim - low
        self._stake_max = stake_max
        # A weak prior of one value at the claim keeps the first stakes small.
        self._n, self._sum, self._squares = 1.0, 0.0, (high - low) ** 2 / 16.0

    def add(self, value: float) -> None:
        """One more value; the stake was fixed before it was seen."""
        gain = value - self.claim
        mean = self._sum / self._n
        variance = self._squares / self._n
        stake = max(0.0, mean / (variance + mean * mean)) if mean > 0 else 0.0
        if self._worst > 0:
            stake = min(stake, self._stake_max / self._worst)
        self.log_wealth += math.log1p(stake * gain)
        self._n += 1
        self._sum += gain
        self._squares += (gain - self._sum / self._n) ** 2

    @property
    def p_value(self) -> float:
        """Valid at any time: the claim is refuted when it was ever below alpha."""
        return min(1.0, math.exp(-self.log_wealth))


class CanaryState(StrEnum):
    """What can be said so far."""

    GO_ON = "go-on"
    NOT_INFERIOR = "not-inferior"
    INFERIOR = "inferior"


@dataclass
class Canary:
    """Two bets on the same paired differences: "worse by the margin or more", and "not worse".

    `path` holds, after each item, the natural logarithm of the evidence for "worse" and for "not worse by the
    margin"; log(1/alpha) of either decides. The first of them to fall ends it. Either error is held at alpha,
    whatever the number of looks.
    """

    margin: float
    alpha: float = 0.05
    alpha_worse: float | None = None  # of the answer "worse"; smaller where several rules may stop a release

    def __post_init__(self) -> None:
        """Open both bets."""
        if not 0 < self.margin < 1:
            raise ValueError(f"a margin lies between 0 and 1, got {self.margin!r}")
        self._worse = Bet(-self.margin)
        self._fine = Bet(0.0)
        self.n = 0
        self.path: list[tuple[float, float]] = []
        self.state = CanaryState.GO_ON

    def add(self, difference: float | None, counted: float | None = None) -> CanaryState:
        """One item's candidate score minus its baseline score, -1 to 1. Once decided it stays so.

        Args:
            difference: of the answers that came; None where one side has none.
            counted: the same with each answer that never came counted as wrong: what "not worse" must hold for. An
                answer that never came is no evidence for "worse".
        """
        counted = difference if counted is None else counted
        if counted is not None:
            self._worse.add(counted)
        if difference is not None:
            self.n += 1
            self._fine.add(-difference)
        self.path.append((self._fine.log_wealth, self._worse.log_wealth))
        if self.state is CanaryState.GO_ON:
            if self._fine.p_value <= (self.alpha if self.alpha_worse is None else self.alpha_worse):
                self.state = CanaryState.INFERIOR
            elif self._worse.p_value <= self.alpha:
                self.state = CanaryState.NOT_INFERIOR
        return self.state
