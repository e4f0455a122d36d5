"""A series of streamed requests of our own, measured: kinds, prompts, time and budget in one place. No text is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sickbay.checks.probe.prepare import TIME_LEFT_MIN_S, calibrate, prepare_route, seed_for, time_left
from sickbay.checks.probe.prompts import PromptMaker
from sickbay.checks.probe.request import Route, wants_completions
from sickbay.checks.probe.streaming import stream_once
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.measure.stream import Failure, StreamTrace
from sickbay.engine.model.look import EngineFound, Look
from sickbay.engine.model.signal import UnknownReason

__all__ = ["Timed", "begin_timed", "traces_of"]


@dataclass
class Timed:
    """Sends and keeps. `url` is put before the path (a replica's address); "" asks the target."""

    look: Look
    route: Route
    found: EngineFound | None
    prompts: PromptMaker
    seed: int
    timeout_s: float
    rows: list[dict[str, Any]] = field(default_factory=list)
    stopped: str = ""

    async def send(
        self,
        kind: str,
        prompt: str,
        max_tokens: int,
        *,
        extra: Mapping[str, Any] | None = None,
        url: str = "",
        after_s: float = 0.0,
    ) -> StreamTrace | None:
        """One request; None when there is no time or no budget for it."""
        if after_s:
            await self.look.clock.sleep(after_s)
        left = time_left(self.look)
        if self.stopped or left < TIME_LEFT_MIN_S:
            self.stopped = self.stopped or f"time: {left:.1f} s were left"
            return None
        try:
            trace = await self._once(prompt, max_tokens, extra or {}, url, min(self.timeout_s, left))
        except BudgetExceededError as error:
            if not self.rows:
                raise
            self.stopped = f"budget: {error.detail}"
            return None
        self.rows.append({"kind": kind, "trace": trace.to_json()})
        return trace

    async def together(self, kind: str, prompts: list[str], max_tokens: int) -> float:
        """Several requests at the same time; seconds until the last one ended."""
        start = self.look.clock.monotonic()
        await asyncio.gather(*(self.send(kind, prompt, max_tokens) for prompt in prompts))
        return self.look.clock.monotonic() - start

    async def _once(
        self, prompt: str, max_tokens: int, extra: Mapping[str, Any], url: str, timeout_s: float
    ) -> StreamTrace:
        body = self.route.body(prompt, max_tokens) | dict(extra)
        trace = (await stream_once(self.look, url + self.route.path, body, timeout_s=timeout_s)).trace
        if self.rows or trace.ok:
            return trace
        if trace.status in {401, 403}:
            raise ProbeError(
                UnknownReason.AUTH, f"POST {self.route.path}: {trace.message}; give the API key of this service"
            )
        if trace.failure is Failure.BROKEN and trace.status == 0:
            raise ProbeError(UnknownReason.REFUSED, trace.message)
        refused = trace.failure is Failure.HTTP and self.route.dialect == "chat"
        if refused and wants_completions(trace.status, trace.message):
            self.route = self.route.as_completions()
            body = self.route.body(prompt, max_tokens) | dict(extra)
            return (await stream_once(self.look, url + self.route.path, body, timeout_s=timeout_s)).trace
        return trace


async def begin_timed(look: Look, *, seed: int, timeout_s: float, count_tokens: bool = False) -> Timed:
    """Find the route; `count_tokens` asks the engine how many tokens a word has.

    Raises:
        ProbeError: nothing answers, or it refuses us.
    """
    route, found = await prepare_route(look)
    used = seed_for(look, seed)
    prompts = PromptMaker(used)
    if count_tokens:
        await calibrate(look, prompts, found)
    return Timed(look, route, found, prompts, used, timeout_s)


def traces_of(raw: Mapping[str, Any], kind: str = "", *, ok: bool = True) -> list[StreamTrace]:
    """The recorded traces of one kind or of all; `ok` leaves failed ones out."""
    traces = [StreamTrace.from_json(row["trace"]) for row in raw["rows"] if not kind or row["kind"] == kind]
    return [trace for trace in traces if trace.ok] if ok else traces
