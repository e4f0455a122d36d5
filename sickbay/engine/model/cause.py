"""A cause: an entry of the catalogue. Data only; it never touches the world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sickbay.engine.model.expression import Expression
from sickbay.engine.model.outcome import Layer
from sickbay.engine.model.problem import Position

__all__ = ["Cause", "EvidenceRule", "Fix", "Prior", "Seen", "Weight"]


class Prior(StrEnum):
    """How often this cause is behind a symptom before anything was measured."""

    COMMON = "common"
    OCCASIONAL = "occasional"
    RARE = "rare"


class Weight(StrEnum):
    """How much one piece of evidence says; likelihood ratios 2, 4, 10, 100, for or against."""

    WEAK = "weak"
    MODERATE = "moderate"
    STRONG = "strong"
    DECISIVE = "decisive"
    REFUTES_WEAK = "refutes-weak"
    REFUTES_MODERATE = "refutes-moderate"
    REFUTES_STRONG = "refutes-strong"
    REFUTES_DECISIVE = "refutes-decisive"


class Seen(StrEnum):
    """How often a piece of evidence is seen where its cause is at work. It orders the looks and moves no cause."""

    OFTEN = "often"
    SOMETIMES = "sometimes"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRule:
    """One piece of evidence.

    `because` is a sentence with `{signal}` or `{signal:format}` fields. Rules of one cause that share a `group` speak
    of the same fact: only the strongest that holds counts. `seen` is None where nobody counted. What is `shared` other
    causes of the symptom show as well: it counts and makes no answer by itself.
    """

    id: str
    when: Expression
    weight: Weight
    because: str = ""
    group: str = ""
    seen: Seen | None = None
    shared: bool = False
    position: Position = Position("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """What to do. Printed, never run."""

    do: str
    how: Mapping[str, str] = field(default_factory=dict)  # engine name or "any" -> flag or command
    risk: str = ""
    undo: str = ""
    verify: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A root cause: what it means, the evidence for and against, the fix and what the fix risks.

    Attributes:
        prior: symptom (runbook name) -> prior; a symptom that is not named takes "rare".
        requires: must hold; false rules the cause out, unknown makes it "cannot be assessed".
        explains: tags of symptoms it produces; other causes in the same run whose id stands here fold under it.
    """

    id: str
    layer: Layer
    means: str
    prior: Mapping[str, Prior] = field(default_factory=dict)
    requires: Expression | None = None
    evidence: tuple[EvidenceRule, ...] = ()
    explains: tuple[str, ...] = ()
    fix: tuple[Fix, ...] = ()
    seen_in: tuple[str, ...] = ()
    position: Position = Position("")
