"""The answer of a diagnosis and of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sickbay.engine.model.cause import Fix, Weight
from sickbay.engine.model.outcome import Layer, VerdictState

__all__ = ["Band", "CauseFinding", "Derived", "Diagnosis", "Doubt", "NextLook", "RuleFinding", "Verdict"]


class Band(StrEnum):
    """How sure, in words."""

    CONFIRMED = "confirmed"
    LIKELY = "likely"
    POSSIBLE = "possible"
    RULED_OUT = "ruled out"
    CANNOT_ASSESS = "cannot be assessed"  # what it requires is unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFinding:
    """One piece of evidence as it came out.

    `holds` is None when a signal it reads is unknown; `missing` then names them.
    `log_odds` is what it added (0 when false, unknown, or outweighed in its group).
    `numbers` are the values of every signal it read, so that the sentence can be recomputed.
    """

    id: str
    weight: Weight
    when: str
    holds: bool | None
    because: str = ""
    log_odds: float = 0.0
    numbers: Mapping[str, float | bool | str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseFinding:
    """One cause after the evidence was weighed.

    `probability` is 0 to 1 among the candidates and "something else". `coverage` is the share of this
    cause's evidence weight that could be measured. `explained_by` is the cause it folds under.
    """

    cause: str
    layer: Layer
    means: str
    band: Band
    probability: float
    log_odds: float
    coverage: float
    evidence: tuple[RuleFinding, ...] = ()
    requires: str = ""
    requires_holds: bool | None = True
    requires_missing: tuple[str, ...] = ()
    explained_by: str = ""
    fix: tuple[Fix, ...] = ()
    seen_in: tuple[str, ...] = ()

    @property
    def supporting(self) -> tuple[RuleFinding, ...]:
        """Evidence that holds and speaks for the cause."""
        return tuple(r for r in self.evidence if r.holds and not r.weight.value.startswith("refutes"))

    @property
    def against(self) -> tuple[RuleFinding, ...]:
        """Evidence that holds and speaks against it."""
        return tuple(r for r in self.evidence if r.holds and r.weight.value.startswith("refutes"))


@dataclass(frozen=True, slots=True, kw_only=True)
class NextLook:
    """The one missing look that would change the order most."""

    signals: tuple[str, ...]
    check: str  # a check that measures them; "" when none is known
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """A signal's value that nobody measured and that others give: the expression, and what it read."""

    value: float | bool | str
    source: str
    numbers: Mapping[str, float | bool | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """Values that cannot be true, alone or together. The signals named count as unknown; the sentence tells why."""

    id: str
    says: str
    signals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Ranked causes: best first; ruled-out ones last. `fits` is False when nothing reaches "possible" weight.

    `derived` are values that followed from measured ones, `doubts` what was measured and cannot be true.
    """

    causes: tuple[CauseFinding, ...]
    coverage: float  # 0 to 1: share of all candidates' evidence weight that could be measured
    fits: bool
    summary: str
    next_look: NextLook | None = None
    derived: Mapping[str, Derived] = field(default_factory=dict)
    doubts: tuple[Doubt, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The run's answer in one word, one sentence, and its ranked causes."""

    state: VerdictState
    summary: str
    diagnosis: Diagnosis | None = None

    @property
    def top(self) -> CauseFinding | None:
        """The first-ranked cause, when one fits."""
        if self.diagnosis is None or not self.diagnosis.fits or not self.diagnosis.causes:
            return None
        return self.diagnosis.causes[0]
