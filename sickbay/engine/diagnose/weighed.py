"""One cause after its gate and its evidence were weighed; the working form behind a CauseFinding."""

from __future__ import annotations

from dataclasses import dataclass

from sickbay.engine.diagnose.evidence import Evidence, missing_of, weigh_evidence
from sickbay.engine.diagnose.facts import Facts
from sickbay.engine.diagnose.weights import FITS_ODDS, MODERATE, STRONG, log_odds_of, log_odds_of_prior
from sickbay.engine.model.cause import Cause, Prior
from sickbay.engine.model.expression import Truth

__all__ = ["Weighed", "weigh_cause"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """A cause with its sums."""

    cause: Cause
    prior: Prior
    evidence: Evidence
    gate: Truth
    gate_missing: tuple[str, ...]

    @property
    def net(self) -> float:
        """Log-odds that the evidence added, for and against together."""
        return self.evidence.for_ + self.evidence.against

    @property
    def log_odds(self) -> float:
        """Prior and evidence, against "something else" at 0."""
        return log_odds_of_prior(self.prior) + self.net

    @property
    def assessable(self) -> bool:
        """The gate is open, and something that speaks for the cause or against it could be looked at."""
        return self.gate is True and (self.evidence.measured > 0 or self.evidence.total == 0)

    @property
    def excluded(self) -> bool:
        """The gate is shut, evidence against it outweighs by 10:1, or all that could speak for it was seen not to hold.

        The last holds only when everything was measured: what was not looked at excludes nothing.
        """
        if self.gate is False:
            return True
        if self.gate is None:
            return False
        return self.net <= -STRONG + 1e-9 or self._all_measured_and_silent

    @property
    def fits(self) -> bool:
        """Whether it is an answer: by more than a weak or shared piece, and not far less likely than something else."""
        return (
            self.assessable
            and not self.excluded
            and self.own
            and self.net >= MODERATE - 1e-9
            and self.log_odds >= FITS_ODDS - 1e-9
        )

    @property
    def own(self) -> bool:
        """Something speaks for it that other causes of the symptom would not show as well."""
        rows = zip(self.cause.evidence, self.evidence.findings, strict=True)
        return any(finding.holds and log_odds_of(rule.weight) > 0 and not rule.shared for rule, finding in rows)

    @property
    def _all_measured_and_silent(self) -> bool:
        evidence = self.evidence
        return evidence.total > 0 and evidence.for_ == 0 and evidence.measured >= evidence.total - 1e-9


def weigh_cause(cause: Cause, facts: Facts, *, symptom: str, unnamed: Prior = Prior.RARE) -> Weighed:
    """Weigh one cause for one symptom. A symptom that its prior does not name takes `unnamed`."""
    gate: Truth = True if cause.requires is None else cause.requires.truth(facts)
    return Weighed(
        cause=cause,
        prior=cause.prior.get(symptom, unnamed),
        evidence=weigh_evidence(cause, facts),
        gate=gate,
        gate_missing=missing_of(cause.requires, facts) if cause.requires is not None and gate is None else (),
    )
