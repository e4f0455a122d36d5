"""A series of questions to one target: the route, the time there is, the budget, and what was answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sickbay.checks.probe.answer import Answer, Question, ask
from sickbay.checks.probe.prepare import TIME_LEFT_MIN_S, prepare_route, time_left
from sickbay.checks.probe.request import Route, wants_completions
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.model.look import EngineFound, Look
from sickbay.engine.model.signal import UnknownReason

__all__ = ["OBEYED_MIN", "Asking", "Row", "begin", "disobeyed", "rows_of"]

OBEYED_MIN = 0.95
"""With temperature 0 all tokens are the likeliest; near-ties that a server breaks otherwise leave some room."""
TOLD_MIN = 6


@dataclass(frozen=True, slots=True)
class Row:
    """One answer: under which arm of the experiment, and to which question."""

    arm: str
    number: int
    answer: Answer


@dataclass
class Asking:
    """Sends questions, one at a time or together, and keeps what came back."""

    look: Look
    route: Route
    found: EngineFound | None
    timeout_s: float
    direct: bool = False
    rows: list[dict[str, Any]] = field(default_factory=list)
    stopped: str = ""
    slowest_s: float = 0.0
    logprobs: bool = True

    async def ask(self, arm: str, number: int, question: Question) -> Answer | None:
        """One question; None when there was no time or no budget for it."""
        if self.stopped:
            return None
        left = time_left(self.look)
        if left < max(TIME_LEFT_MIN_S, self.slowest_s):
            self.stopped = f"time: {left:.1f} s were left, the slowest answer took {self.slowest_s:.1f} s"
            return None
        start = self.look.clock.monotonic()
        try:
            answer = await self._ask(question, min(self.timeout_s, left))
        except BudgetExceededError as error:
            if not self.rows:
                raise
            self.stopped = f"budget: {error.detail}"
            return None
        self.slowest_s = max(self.slowest_s, self.look.clock.monotonic() - start)
        self.rows.append({"arm": arm, "number": number, "answer": answer.to_json()})
        return answer

    async def together(self, arm: str, questions: Sequence[Question], numbers: Sequence[int] = ()) -> None:
        """Several questions at the same time, under these numbers (their place, when none are given)."""
        import asyncio  # late: what a check says of itself must load fast

        rows = zip(numbers or range(len(questions)), questions, strict=True)
        await asyncio.gather(*(self.ask(arm, number, question) for number, question in rows))

    async def _ask(self, question: Question, timeout_s: float) -> Answer:
        asked = question if self.logprobs else replace(question, logprobs=0)
        answer = await ask(self.look, self.route, asked, timeout_s=timeout_s, direct=self.direct)
        if asked.logprobs and answer.status in {400, 422, 501} and "logprob" in answer.failure.lower():
            self.logprobs = False  # a server that refuses log probabilities still answers without
            answer = await ask(
                self.look, self.route, replace(asked, logprobs=0), timeout_s=timeout_s, direct=self.direct
            )
        if self.rows or answer.ok:
            return answer
        if answer.status in {401, 403}:
            raise ProbeError(
                UnknownReason.AUTH, f"POST {self.route.path}: {answer.failure}; give the API key of this service"
            )
        if answer.reason in {UnknownReason.REFUSED, UnknownReason.UNREACHABLE}:
            raise ProbeError(UnknownReason(answer.reason), answer.failure)
        if self.route.dialect == "chat" and wants_completions(answer.status, answer.failure):
            self.route = self.route.as_completions()
            return await ask(self.look, self.route, asked, timeout_s=timeout_s, direct=self.direct)
        return answer


async def begin(look: Look, timeout_s: float, *, direct: bool = False) -> Asking:
    """Find the route.

    Raises:
        ProbeError: nothing answers, or it refuses us.
    """
    route, found = await prepare_route(look)
    return Asking(look, route, found, timeout_s, direct=direct)


def rows_of(raw: dict[str, Any], arm: str = "") -> list[Row]:
    """The recorded answers, of one arm or of all."""
    return [
        Row(each["arm"], int(each["number"]), Answer.from_json(each["answer"]))
        for each in raw["rows"]
        if not arm or each["arm"] == arm
    ]


def disobeyed(rows: Sequence[Row]) -> str:
    """Why answers to requests with temperature 0 are not greedy, in words; "" when they are or it cannot be told."""
    told = [token.first_choice for row in rows for token in row.answer.tokens if token.best is not None]
    first = sum(each is True for each in told)
    if len(told) < TOLD_MIN or first >= OBEYED_MIN * len(told):
        return ""
    return f"temperature 0 was sent and only {first} of {len(told)} tokens were the likeliest: it is not obeyed"
