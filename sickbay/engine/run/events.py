"""What a run tells while it goes on, for live progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from sickbay.engine.model.report import Report, StepReport

__all__ = ["Event", "EventKind", "OnEvent"]


class EventKind(StrEnum):
    """What happened."""

    RUN_STARTED = "run-started"
    STEP_STARTED = "step-started"
    STEP_ENDED = "step-ended"
    PROGRESS = "progress"  # after each group of steps: how far the run is
    NOTE = "note"  # something the person should know that is no result, e.g. the journal cannot be written
    RUN_ENDED = "run-ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened; `at_s` counts from the start of the run.

    `done` of `total` steps have ended. `result` is set on step-ended, `report` on run-ended.
    """

    kind: EventKind
    at_s: float
    done: int = 0
    total: int = 0
    step: str = ""
    check: str = ""
    text: str = ""
    result: StepReport | None = None
    report: Report | None = None


OnEvent = Callable[[Event], None]
