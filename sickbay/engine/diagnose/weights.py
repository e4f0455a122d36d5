"""The one table behind the words: how much a prior and a piece of evidence count.

Catalogue authors write words; these numbers turn them into natural log-odds. They are round numbers
that a person can keep in mind, not fitted ones; `docs/decisions/0002-how-causes-are-weighed.md` says why.

    prior        odds before any look, against "something else" at 1:1
    common       1:5
    occasional   1:15
    rare         1:50

    evidence     likelihood ratio, for the cause or (refutes-) against it
    weak         2:1
    moderate     4:1
    strong       10:1
    decisive     100:1
"""

from __future__ import annotations

import math
from typing import Final

from sickbay.engine.model.cause import Prior, Weight

__all__ = [
    "CLEAR_DISTANCE",
    "CONFIRMED_PROBABILITY",
    "DECISIVE",
    "FITS_ODDS",
    "LIKELY_PROBABILITY",
    "MODERATE",
    "STRONG",
    "log_odds_of",
    "log_odds_of_prior",
]

_PRIOR_ODDS: Final = {Prior.COMMON: 1 / 5, Prior.OCCASIONAL: 1 / 15, Prior.RARE: 1 / 50}

_RATIOS: Final = {"weak": 2.0, "moderate": 4.0, "strong": 10.0, "decisive": 100.0}

MODERATE: Final = math.log(_RATIOS["moderate"])
STRONG: Final = math.log(_RATIOS["strong"])
DECISIVE: Final = math.log(_RATIOS["decisive"])

FITS_ODDS: Final = math.log(0.5)
"""Log-odds against "something else" from which a supported cause is an answer and not a guess.

A common cause reaches it with one moderate piece (0.2 x 4 = 0.8), an occasional one with a strong piece
(0.67), a rare one needs a strong and a moderate piece (0.8) or a decisive one (2).
"""

CLEAR_DISTANCE: Final = math.log(10.0)
"""How far, in log-odds, a confirmed cause stands above the next one: ten times as likely."""

CONFIRMED_PROBABILITY: Final = 0.8
LIKELY_PROBABILITY: Final = 0.5


def log_odds_of_prior(prior: Prior) -> float:
    """Natural log-odds at which a cause starts."""
    return math.log(_PRIOR_ODDS[prior])


def log_odds_of(weight: Weight) -> float:
    """What a piece of evidence adds when it holds: positive for, negative against."""
    word = weight.value
    sign = -1.0 if word.startswith("refutes-") else 1.0
    return sign * math.log(_RATIOS[word.removeprefix("refutes-")])
