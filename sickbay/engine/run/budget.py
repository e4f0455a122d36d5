"""The runbook's request budget: never more generating requests than this on a sick service."""

from __future__ import annotations

from sickbay.engine.errors import BudgetExceededError
from sickbay.engine.model.signal import UnknownReason

__all__ = ["RequestBudget"]


class RequestBudget:
    """Counts requests that make the engine work."""

    __slots__ = ("limit", "made", "place")

    def __init__(self, limit: int, made: int = 0, place: str = "budget.requests in the runbook, or --requests") -> None:
        """`place`: where somebody raises it, for the message."""
        self.limit = limit
        self.made = made
        self.place = place

    @property
    def left(self) -> int:
        """How many more are allowed."""
        return max(0, self.limit - self.made)

    def take(self, what: str) -> None:
        """Count one request before it is sent.

        Raises:
            BudgetExceededError: the budget is spent; nothing was sent.
        """
        if self.made >= self.limit:
            raise BudgetExceededError(
                UnknownReason.BUDGET,
                f"{what}: not sent, the budget of {self.limit} generating requests is spent; "
                f"raise {self.place}, if the service can bear it",
            )
        self.made += 1
