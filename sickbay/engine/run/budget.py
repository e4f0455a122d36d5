"""The runbook's request budget: never more generating requests than this on a sick service."""

from __future__ import annotations

from sickbay.engine.errors import BudgetExceededError
from sickbay.engine.model.signal import UnknownReason

__all__ = ["RequestBudget"]


class RequestBudget:
    """Counts requests that make the engine work."""

    __slots__ = ("limit", "made")

    def __init__(self, limit: int, made: int = 0) -> None:
        self.limit = limit
        self.made = made

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
                "raise budget.requests in the runbook, or --requests, if the service can bear it",
            )
        self.made += 1
