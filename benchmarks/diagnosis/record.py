"""What one case of the benchmark came to: data for `score`, whatever the case was."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sickbay.engine.model.verdict import Band, Diagnosis

__all__ = ["Ranked", "Record", "ranked_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """One cause of the answer. `supported`: something that was seen speaks for it."""

    cause: str
    band: Band
    probability: float
    supported: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One case, run once.

    Attributes:
        case: id of the fault, control or incident.
        mode: how it was run, e.g. "first look" or "interactive".
        symptom: the runbook it started from.
        confidence: "high" or "medium"; "" where that says nothing.
        accepted: causes that are right in the first place; empty for a control.
        must_not_blame: causes whose first place or confirmation is a false accusation.
        answered: the diagnosis names a cause; False is an abstention.
        ranking: causes, best first.
        grounded: every number that is cited recomputes from the evidence of this run; None: not checked.
        wall_s: seconds to the verdict (simulated where the case is a stub).
        requests: requests that made tokens.
        looks: looks taken, in order.
        told: for each of them, the kinds of evidence that it brought; empty where the case holds nothing of it.
        right: at first look, and after each of them, whether the answer was right.
    """

    case: str
    mode: str
    symptom: str
    confidence: str = ""
    accepted: frozenset[str] = frozenset()
    must_not_blame: frozenset[str] = frozenset()
    answered: bool = False
    ranking: tuple[Ranked, ...] = ()
    grounded: bool | None = None
    wall_s: float = 0.0
    requests: int = 0
    looks: tuple[str, ...] = ()
    told: tuple[frozenset[str], ...] = ()
    right: tuple[bool, ...] = ()

    @property
    def rank(self) -> int:
        """Place of the first accepted cause that something speaks for; 0 when there is none."""
        for place, ranked in enumerate(self.ranking, 1):
            if ranked.cause in self.accepted and ranked.supported and ranked.band is not Band.RULED_OUT:
                return place
        return 0

    @property
    def right_at_1(self) -> bool:
        """The answer is an accepted cause. An abstention is not right."""
        return self.answered and self.rank == 1

    @property
    def right_at_3(self) -> bool:
        """An accepted cause stands among the first three."""
        return 1 <= self.rank <= 3

    @property
    def false_accusation(self) -> bool:
        """A cause that must not be blamed is the answer, or is confirmed."""
        first = {self.ranking[0].cause} if self.answered and self.ranking else set()
        confirmed = {ranked.cause for ranked in self.ranking if ranked.band is Band.CONFIRMED}
        return bool((first | confirmed) & self.must_not_blame)

    @property
    def top(self) -> Ranked | None:
        """The answer; None for an abstention."""
        return self.ranking[0] if self.answered and self.ranking else None


def ranked_of(diagnosis: Diagnosis, *, keep: int = 10, also: Collection[str] = ()) -> tuple[Ranked, ...]:
    """The first causes of a diagnosis, and everything that is confirmed or named in `also`."""
    return tuple(
        Ranked(
            cause=finding.cause,
            band=finding.band,
            probability=finding.probability,
            supported=any(rule.log_odds > 0 for rule in finding.evidence),
        )
        for place, finding in enumerate(diagnosis.causes)
        if place < keep or finding.band is Band.CONFIRMED or finding.cause in also
    )
