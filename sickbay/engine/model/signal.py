"""Signals: the named, typed, unit-bearing measurements between looking and knowing."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Reading", "SignalKind", "SignalSpec", "SignalType", "UnknownReason", "measured", "unknown"]


_CLAUSE = re.compile(r"[;:(]| - ")
_QUANTILE = re.compile(r"_p(50|90|95|99)$")


class SignalType(StrEnum):
    """The CEL type of a signal. Every number is a double; counts and seconds alike."""

    NUMBER = "number"
    BOOL = "bool"
    TEXT = "text"


class SignalKind(StrEnum):
    """What sort of number it is, so that nobody rates a gauge."""

    GAUGE = "gauge"  # the state at one instant
    RATE = "rate"  # per second over the window
    DELTA = "delta"  # increase over the window
    QUANTILE = "quantile"
    MEAN = "mean"
    RATIO = "ratio"  # 0 to 1
    CONFIG = "config"  # a setting
    FACT = "fact"  # a yes or no, or a name
    DERIVED = "derived"  # arithmetic over other signals


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalSpec:
    """One entry of the vocabulary (`schemas/signals.yaml`).

    `unit` is a base unit: s, bytes, ratio, tokens, requests, tokens/s, celsius, watts, none.
    `otel` is the OpenTelemetry GenAI metric it corresponds to, where there is one. `told` says who tells it where no
    check measures it: "experiment", "person" or "record".
    """

    name: str
    type: SignalType
    unit: str
    kind: SignalKind
    meaning: str
    otel: str = ""
    source: str = ""
    told: str = ""

    @property
    def words(self) -> str:
        """A few words for a sentence: the meaning, cut short, and the statistic; "" where the name says as much."""
        if self.meaning == self.name:
            return ""
        first = _CLAUSE.split(self.meaning, maxsplit=1)[0].strip()
        quantile = _QUANTILE.search(self.name)
        if quantile is None:
            return first
        rank = quantile.group(1)
        return f"{first}, {'median' if rank == '50' else f'{rank}th percentile'}"


class UnknownReason(StrEnum):
    """Why a thing could not be looked at: a code a machine can count."""

    NOT_ASKED = "not-asked"  # no step looked
    NOT_CONFIGURED = "not-configured"  # the target does not say where to look
    ABSENT = "absent"  # looked; the series, field or file is not there
    DISABLED = "disabled"  # the server says the feature is off
    WRONG_VERSION = "wrong-version"
    AUTH = "auth"
    PERMISSION = "permission"
    REFUSED = "refused"  # nothing listens, or the peer closed
    UNREACHABLE = "unreachable"  # no route, no name
    TIMEOUT = "timeout"
    HUNG = "hung"  # a child process had to be abandoned
    CRASHED = "crashed"
    MALFORMED = "malformed"  # an answer that cannot be read
    TOO_LARGE = "too-large"
    NO_TRAFFIC = "no-traffic"  # nothing happened in the window
    RESET = "reset"  # a counter went back within the window
    MISSING_LIBRARY = "missing-library"
    BUDGET = "budget"  # looking would exceed the run's budget
    UNSUPPORTED = "unsupported"  # this engine or device cannot say
    INCONSISTENT = "inconsistent"  # two readings contradict each other


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One signal's value with its passport, or why there is none.

    Exactly one of `value` and `reason` is set. Numbers are finite floats.

    Attributes:
        value: float, bool or str; None when unknown.
        reason: why it is unknown; None when measured.
        detail: the unknown in a sentence, with what would settle it.
        source: from which raw data, e.g. "vllm:num_requests_waiting summed over 2 series".
        window_s: seconds the value covers; None for an instant.
        at_s: wall-clock time of the look (Unix seconds); the engine fills it.
        step: id of the step that measured it; the engine fills it.
        by: the same per entity (GPU, replica, device), for outliers and tables.
    """

    value: float | bool | str | None = None
    reason: UnknownReason | None = None
    detail: str = ""
    source: str = ""
    window_s: float | None = None
    at_s: float | None = None
    step: str = ""
    by: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a reading that is both or neither, and numbers that are not finite."""
        if (self.value is None) == (self.reason is None):
            raise ValueError(f"a reading has a value or a reason, got {self.value!r} and {self.reason!r}")
        if isinstance(self.value, float) and not math.isfinite(self.value):
            raise ValueError(f"a measured number is finite, got {self.value!r}")

    @property
    def known(self) -> bool:
        """Whether there is a value."""
        return self.value is not None


def measured(
    value: float | bool | str, source: str = "", *, window_s: float | None = None, by: Mapping[str, float] | None = None
) -> Reading:
    """A measured value; integers become floats, NaN and infinity become unknown (malformed)."""
    number = value if isinstance(value, (bool, str)) else float(value)
    if isinstance(number, float) and not math.isfinite(number):
        return unknown(UnknownReason.MALFORMED, f"{source or 'the source'} gave {number}")
    return Reading(value=number, source=source, window_s=window_s, by=by or {})


def unknown(reason: UnknownReason, detail: str = "") -> Reading:
    """No value, and why."""
    return Reading(reason=reason, detail=detail)
