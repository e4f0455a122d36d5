"""What follows before a cause is weighed: values that others give, and values that cannot all be true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sickbay.engine.model.expression import Expression
from sickbay.engine.model.signal import SignalKind, SignalSpec, SignalType

__all__ = ["Contradiction", "Derivation", "Inferences"]

_NEVER_NEGATIVE_KINDS = frozenset(
    {SignalKind.GAUGE, SignalKind.QUANTILE, SignalKind.MEAN, SignalKind.RATIO, SignalKind.CONFIG}
)
_MAY_BE_NEGATIVE_UNITS = frozenset({"none", "celsius"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """One way to get a signal from others. It is used only where nobody measured the signal itself."""

    signal: str
    type: SignalType
    expression: Expression
    condition: Expression | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """Values that cannot all be true.

    Attributes:
        id: its name, unique among all.
        when: true where they do contradict each other.
        doubts: the signals that cannot be used then.
        says: the sentence, with the numbers.
    """

    id: str
    when: Expression
    doubts: tuple[str, ...]
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inferences:
    """All derivations and contradictions, in the order of their files; and the vocabulary, for what values may be."""

    derivations: tuple[Derivation, ...] = ()
    contradictions: tuple[Contradiction, ...] = ()
    vocabulary: Mapping[str, SignalSpec] = field(default_factory=dict)

    def impossible(self, name: str, value: float | bool | str) -> str:
        """Why a value cannot be a reading of this signal; "" when it can be.

        A share lies from 0 to 1, and a count, a size or a duration is not negative. A share may pass 1 by rounding
        and by reads that are not of one instant; above 1.5 it can only be something else, mostly a percentage.
        """
        spec = self.vocabulary.get(name)
        if spec is None or isinstance(value, (bool, str)):
            return ""
        if spec.unit == "ratio" and spec.kind is SignalKind.RATIO and not 0.0 <= value <= SHARE_MAX:
            return f"{name} is a share from 0 to 1 and reads {value:g}"
        if value < 0 and spec.kind in _NEVER_NEGATIVE_KINDS and spec.unit not in _MAY_BE_NEGATIVE_UNITS:
            return f"{name} cannot be negative and reads {value:g}"
        return ""


SHARE_MAX = 1.5
"""A measured share may pass 1 by rounding; above this it can only be a percentage."""
