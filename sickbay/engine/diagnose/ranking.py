"""Order, folding, probability and bands. All of it follows from the sums; nothing is read from the world."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sickbay.engine.diagnose.weighed import Weighed
from sickbay.engine.diagnose.weights import (
    CLEAR_DISTANCE,
    CONFIRMED_PROBABILITY,
    DECISIVE,
    LIKELY_PROBABILITY,
    STRONG,
    log_odds_of_prior,
)
from sickbay.engine.model.verdict import Band, RuleFinding

__all__ = ["band_of", "fold", "order", "probabilities"]

_ALMOST = 1e-9  # sums of logarithms that are equal on paper may differ in the last bit


def order(weighed: Sequence[Weighed], folded: Mapping[str, str]) -> list[Weighed]:
    """Best first: what can be an answer, what folds under an answer, what cannot be assessed, what is ruled out.

    Within each, what is an answer before what only shared evidence speaks for, then by log-odds; ties by prior, then by
    id, so that the same file gives the same order anywhere.
    """

    def key(item: Weighed) -> tuple[int, bool, float, float, str]:
        if item.excluded:
            place = 3
        elif not item.assessable:
            place = 2
        else:
            place = 1 if item.cause.id in folded else 0
        return place, not item.fits, -round(item.log_odds, 6), -log_odds_of_prior(item.prior), item.cause.id

    return sorted(weighed, key=key)


def fold(weighed: Sequence[Weighed]) -> dict[str, str]:
    """Cause id -> the higher-ranked cause that explains it.

    Only a cause that fits explains others, and only those that rank below it; a folded cause explains nothing
    itself.
    """
    ranked = order(weighed, {})
    folded: dict[str, str] = {}
    for position, item in enumerate(ranked):
        if not item.fits or item.cause.id in folded:
            continue
        below = {other.cause.id for other in ranked[position + 1 :] if not other.excluded and other.assessable}
        for name in item.cause.explains:
            if name in below:
                folded.setdefault(name, item.cause.id)
    return folded


def probabilities(weighed: Sequence[Weighed], folded: Mapping[str, str]) -> dict[str, float]:
    """Cause id -> probability among the candidates and "something else", which stands at odds 1.

    A folded cause is no rival of the one that explains it, and takes nothing from the others; its own figure is
    what it would have beside them. What is ruled out by its gate or cannot be
    assessed has 0: it is part of something else until it has been looked at.
    """
    rivals = {i.cause.id: math.exp(i.log_odds) for i in weighed if i.assessable and i.cause.id not in folded}
    whole = 1.0 + math.fsum(rivals.values())
    shares = {name: odds / whole for name, odds in rivals.items()}
    for item in weighed:
        if item.cause.id in folded:
            odds = math.exp(item.log_odds)
            shares[item.cause.id] = odds / (whole + odds)
        elif not item.assessable:
            shares[item.cause.id] = 0.0
    return shares


def band_of(item: Weighed, *, probability: float, next_log_odds: float) -> Band:
    """How sure, in words.

    - ruled out: its requirement is false; or the evidence against it outweighs the evidence for it by 10:1 or more;
      or all of its evidence was measured and nothing speaks for it.
    - cannot be assessed: its requirement is unknown, or none of its evidence could be measured.
    - confirmed: one decisive or two independent strong pieces speak for it, nothing strong speaks against it, it is
      at least ten times as likely as the next cause, and its probability is at least 0.8.
    - likely: probability at least 0.5 with at least 10:1 of evidence in its favour.
    - possible: everything else, and what only evidence speaks for that other causes show as well.

    Args:
        item: the cause.
        probability: among the candidates and something else.
        next_log_odds: of the best other cause that does not fold under this one; -inf when there is none.
    """
    if item.excluded:
        return Band.RULED_OUT
    if not item.assessable:
        return Band.CANNOT_ASSESS
    if not item.own:
        return Band.POSSIBLE
    counted = [finding for finding in item.evidence.findings if finding.log_odds]
    if (
        _proven(counted)
        and not any(finding.log_odds <= -STRONG + _ALMOST for finding in counted)
        and item.log_odds - next_log_odds >= CLEAR_DISTANCE - _ALMOST
        and probability >= CONFIRMED_PROBABILITY
    ):
        return Band.CONFIRMED
    if probability >= LIKELY_PROBABILITY and item.net >= STRONG - _ALMOST:
        return Band.LIKELY
    return Band.POSSIBLE


def _proven(counted: Sequence[RuleFinding]) -> bool:
    strong = [finding for finding in counted if finding.log_odds >= STRONG - _ALMOST]
    return len(strong) > 1 or any(finding.log_odds >= DECISIVE - _ALMOST for finding in strong)
