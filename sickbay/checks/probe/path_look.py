"""The world-facing half of probe.path."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from sickbay.checks.probe.gateway import gateway_signs
from sickbay.checks.probe.path_habits import ACCEPTS_GZIP, padded, padded_bytes
from sickbay.checks.probe.path_patience import LEFT_EARLY, PATIENT_TOKENS, ROOM, cut_at_s, patience, short_trace
from sickbay.checks.probe.prepare import (
    TIME_LEFT_MIN_S,
    health_path,
    known_numbers,
    prepare_route,
    seed_for,
    time_left,
)
from sickbay.checks.probe.prompts import PromptMaker
from sickbay.checks.probe.request import Route, wants_completions
from sickbay.checks.probe.server_side import ServerClock
from sickbay.checks.probe.streaming import Streamed, stream_once, watch_client
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.measure.stream import Failure
from sickbay.engine.model.check import Raw
from sickbay.engine.model.look import Look
from sickbay.engine.model.signal import UnknownReason

__all__ = ["look_path"]

PROMPT_TOKENS = 24
"""Short: prefill is not what this probe is about."""
HEALTH_TIMEOUT_S = 5.0
_BOTH = ("gateway", "direct")
CONTEXT = (
    "serving.requests_waiting",
    "serving.slots_busy_ratio",
    "serving.itl_s_mean",
    "serving.tpot_s_mean",
    "serving.ttft_s_mean",
    "serving.speculative_enabled",
)


async def look_path(look: Look, params: Mapping[str, Any], *, knocks: int) -> Raw:
    """Measure both ways, then send `knocks` requests of one token through the gateway.

    Raises ProbeError when nothing answers, or the first request is refused for want of a key.
    """
    route, found = await prepare_route(look)
    ways = ["gateway", "direct"] if look.target.direct_url else ["gateway"]
    seed = seed_for(look, int(params["seed"]))
    probe = _Probe(look, route, PromptMaker(seed), int(params["max_tokens"]), float(params["timeout_s"]))
    server = ServerClock(look, found)
    health: list[dict[str, Any]] = []
    empty = health_path(found)
    await server.start()
    async with watch_client(look.clock) as lag:
        for turn in range(int(params["repeats"])):
            health += [await _empty_route(look, empty, way, fresh=turn == 0) for way in ways]
            for way in ways if turn % 2 == 0 else reversed(ways):
                # Asked while the stream runs: an event loop that is busy then delays both.
                beside, _ = await asyncio.gather(_empty_route(look, empty, way, fresh=True), probe.shoot(way, server))
                health.append(beside)
    if len(ways) > 1 and probe.cut_only_through_gateway():
        await probe.shoot("gateway", server)  # one that is cut may have met a bad moment; two around a good one did not
    health += [await _empty_route(look, empty, way, fresh=False) for way in ways]
    told = known_numbers(look, (*LEFT_EARLY, *ROOM, "serving.context_length_tokens"))
    between = len(ways) > 1 or bool(probe.signs)
    hold_s = patience(params, told, between=between)
    patient = await probe.patiently(hold_s, ways) if hold_s else []
    context = told.get("serving.context_length_tokens")
    packed = await probe.as_users_do()
    if len(ways) > 1:
        for _ in range(knocks - 1):  # the one above was the first
            await probe.knock()
    large = await probe.large(padded_bytes(context), ways)
    return {
        "engine": found.spec.name if found else "",
        "path": probe.route.path,
        "seed": seed,
        "has_direct": len(ways) > 1,
        "planned": len(ways) * int(params["repeats"]),
        "requests": probe.requests,
        "knocks": probe.knocks,
        "stopped": probe.stopped,
        "signs": sorted(probe.signs),
        "health": [entry for entry in health if entry],
        "page_elsewhere": bool(look.target.metrics_url),
        "packed": packed,
        "padded": large,
        "patient": patient,
        "late_count": await server.late(probe.counted()),
        "client_lag": lag.to_json(),
        "context": known_numbers(look, CONTEXT),
    }


class _Probe:
    """Sends the streamed requests and keeps their traces."""

    def __init__(self, look: Look, route: Route, prompts: PromptMaker, max_tokens: int, timeout_s: float) -> None:
        self.look = look
        self.route = route
        self.prompts = prompts
        self.max_tokens = max_tokens
        self.timeout_s = timeout_s
        self.requests: list[dict[str, Any]] = []
        self.signs: set[str] = set()
        self.knocks: list[dict[str, Any]] = []
        self.stopped = ""

    def counted(self) -> float:
        """First tokens that the engine's page counted around our own requests."""
        return float(sum(each["server"].get("count", 0.0) for each in self.requests))

    async def knock(self, headers: Mapping[str, str] | None = None) -> Streamed | None:
        """One request of one token through the gateway: does it come through at all?"""
        streamed = await self._ask(self.route.body(self.prompts.cold(PROMPT_TOKENS), 1), headers=headers)
        if streamed is not None:
            self.knocks.append({"failure": str(streamed.trace.failure), "status": streamed.trace.status})
        return streamed

    async def as_users_do(self) -> dict[str, Any] | None:
        """One token as a client asks that accepts gzip; where that is packed, a whole stream, to see its form."""
        streamed = await self.knock(ACCEPTS_GZIP)
        if streamed is None or not streamed.trace.ok:
            return None
        encoding = streamed.trace.encoding
        if not encoding:
            return {"encoding": "", "trace": None}
        body = self.route.body(self.prompts.cold(PROMPT_TOKENS), self.max_tokens)
        whole = await self._ask(body, headers=ACCEPTS_GZIP)
        return {"encoding": encoding, "trace": whole.trace.to_json() if whole is not None and whole.trace.ok else None}

    async def large(self, size_bytes: int, ways: list[str]) -> dict[str, Any] | None:
        """One token again in a large body, where something stands in the way; straight too when that is refused."""
        if len(ways) < 2 and not self.signs:
            return None
        body = padded(self.route.body(self.prompts.cold(PROMPT_TOKENS), 1), size_bytes)
        found: dict[str, Any] = {"bytes": len(body)}
        for way in ways:
            streamed = await self._ask(body, direct=way == "direct")
            if streamed is None:
                return found if way == "direct" else None
            trace = streamed.trace
            found[way] = {"status": trace.status, "failure": trace.failure.value, "message": trace.message}
            if trace.ok:
                break
        return found

    async def patiently(self, hold_s: float, ways: list[str]) -> list[dict[str, Any]]:
        """One long answer through the gateway, left after `hold_s`; where it is cut before, the same straight."""
        found = []
        for way in ways:
            hold_s = min(hold_s, time_left(self.look) - 1.0)
            if self.stopped or hold_s < TIME_LEFT_MIN_S:
                break
            body = self.route.body(self.prompts.cold(PROMPT_TOKENS), PATIENT_TOKENS)
            try:
                streamed = await stream_once(self.look, self.route.path, body, timeout_s=hold_s, direct=way == "direct")
            except BudgetExceededError:
                break
            trace = short_trace(streamed.trace)
            found.append({"way": way, "hold_s": round(hold_s, 3), "trace": trace})
            cut_s = cut_at_s(trace)
            if cut_s is None:
                break
            hold_s = 1.5 * cut_s + 0.5
        return found

    async def _ask(
        self, body: Any, *, headers: Mapping[str, str] | None = None, direct: bool = False
    ) -> Streamed | None:
        """One more request, where time and budget are left for it and nothing has stopped us."""
        left = time_left(self.look)
        slowest = max((request["trace"]["end_s"] for request in self.requests), default=0.0)
        if self.stopped or left < max(TIME_LEFT_MIN_S, 2.0 * slowest):
            return None
        timeout_s = min(self.timeout_s, left)
        try:
            return await stream_once(
                self.look, self.route.path, body, timeout_s=timeout_s, direct=direct, headers=headers
            )
        except BudgetExceededError:
            return None

    def cut_only_through_gateway(self) -> bool:
        """Whether our time-out cut what went through the gateway, and the same straight to the engine came whole."""
        ends = {way: {each["trace"]["failure"] for each in self.requests if each["way"] == way} for way in _BOTH}
        return ends["gateway"] == {Failure.TIMEOUT.value} and ends["direct"] == {Failure.NONE.value}

    async def shoot(self, way: str, server: ServerClock) -> None:
        """One request that way, unless time or budget is spent."""
        if self.stopped:
            return
        left = time_left(self.look)
        # Of this way alone: one way that is slow must not keep us from trying the other.
        slowest = max((each["trace"]["end_s"] for each in self.requests if each["way"] == way), default=0.0)
        if left < max(TIME_LEFT_MIN_S, min(slowest, self.timeout_s)):
            self.stopped = f"time: {left:.1f} s were left, the slowest request took {slowest:.1f} s"
            return
        streamed = await self._send(way)
        if streamed is None:
            return
        trace = streamed.trace
        if not self.requests and await self._settled(way, streamed):
            return
        if way == "gateway":
            self.signs.update(gateway_signs(streamed.headers))
        self.requests.append({"way": way, "trace": trace.to_json(), "server": await server.lap()})

    async def _send(self, way: str) -> Streamed | None:
        body = self.route.body(self.prompts.cold(PROMPT_TOKENS), self.max_tokens)
        timeout_s = min(self.timeout_s, time_left(self.look))
        try:
            return await stream_once(self.look, self.route.path, body, timeout_s=timeout_s, direct=way == "direct")
        except BudgetExceededError as error:
            if not self.requests:
                raise
            self.stopped = f"budget: {error.detail}"
            return None

    async def _settled(self, way: str, first: Streamed) -> bool:
        """What the first answer decides. True when it was asked again another way."""
        trace = first.trace
        if trace.status in {401, 403}:
            detail = f"POST {self.route.path}: {trace.message}; give the API key of this service"
            raise ProbeError(UnknownReason.AUTH, detail)
        if trace.failure is Failure.BROKEN and trace.status == 0 and trace.connect_s is None:  # nobody listens
            raise ProbeError(UnknownReason.REFUSED, trace.message)
        if trace.failure is Failure.HTTP and self.route.dialect == "chat":
            if not wants_completions(trace.status, trace.message):
                return False
            self.route = self.route.as_completions()
            again = await self._send(way)
            if again is not None:
                self.requests.append({"way": way, "trace": again.trace.to_json(), "server": {}})
            return True
        return False


async def _empty_route(look: Look, path: str, way: str, *, fresh: bool) -> dict[str, Any]:
    """Time of an empty route that way; {} when there is no time for it or no answer."""
    left = time_left(look)
    if left < TIME_LEFT_MIN_S:
        return {}
    limit_s = min(HEALTH_TIMEOUT_S, left)
    try:
        answer = await look.http.request("GET", path, timeout_s=limit_s, direct=way == "direct", fresh=fresh)
    except ProbeError as error:
        return {"way": way, "error": error.reason.value, "limit_s": round(limit_s, 3)}
    connect_s = answer.connect_s
    return {"way": way, "elapsed_s": round(answer.elapsed_s, 6), "status": answer.status, "connect_s": connect_s}
