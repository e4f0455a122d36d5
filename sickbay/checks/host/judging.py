"""What the host checks' judging shares: not this host, and one outcome from what fails and what warns. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sickbay.engine.model.check import Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, unknown

__all__ = ["NOT_LOCAL", "not_here", "outcome_of"]

NOT_LOCAL: Raw = {"local": False}


def not_here(raw: Raw, emits: Sequence[str]) -> Result | None:
    """The skip of a host that is not the engine's; None: judge."""
    if raw["local"]:
        return None
    detail = "host checks need to run on the engine's host"
    nothing = dict.fromkeys(emits, unknown(UnknownReason.NOT_CONFIGURED, detail))
    return Result(outcome=Outcome.SKIP, summary=detail, signals=nothing)


def outcome_of(fail: Sequence[str], warn: Sequence[str], readings: Iterable[Reading]) -> Outcome:
    """Fail, else warn, else pass; unknown when nothing at all could be read."""
    if fail:
        return Outcome.FAIL
    if warn:
        return Outcome.WARN
    return Outcome.PASS if any(reading.known for reading in readings) else Outcome.UNKNOWN
