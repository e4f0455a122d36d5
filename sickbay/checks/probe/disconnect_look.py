"""The world-facing half of probe.disconnect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sickbay.checks.probe.prepare import prepare_route, seed_for, time_left
from sickbay.checks.probe.prompts import PromptMaker
from sickbay.checks.probe.request import HEADERS
from sickbay.checks.serving.page import page_url
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.measure.exposition import check_page, keep_lines, parse_lines
from sickbay.engine.measure.series import matched_name, values_of
from sickbay.engine.model.check import Raw
from sickbay.engine.model.look import EngineFound, HttpStream, Look
from sickbay.engine.model.signal import UnknownReason

__all__ = ["look_disconnect"]

POLL_S = 0.2
EVENTS_MIN = 3
PAGE_BYTES_MAX = 4_000_000


async def look_disconnect(look: Look, params: Mapping[str, Any]) -> Raw:
    """Begin, drop, watch."""
    route, found = await prepare_route(look)
    watch = _Watch(look, found, int(params["max_tokens"]))
    before = await watch.busy()
    if before is None:
        return _cannot("this engine tells neither its slots nor its running requests", UnknownReason.UNSUPPORTED)
    if before and not watch.by_slot:
        return _cannot(f"{before:.0f} other requests run, so ours cannot be told apart", UnknownReason.INCONSISTENT)
    prompt = PromptMaker(seed_for(look, 0)).cold(16)
    problem = await _begin_and_drop(look, route.path, route.body(prompt, int(params["max_tokens"])), params, watch)
    if problem is not None:
        return problem
    start_s, freed_s = look.clock.monotonic(), None
    while freed_s is None and look.clock.monotonic() - start_s < float(params["wait_s"]) and time_left(look) > POLL_S:
        if await watch.busy() == 0:
            freed_s = round(look.clock.monotonic() - start_s, 3)
        else:
            await look.clock.sleep(POLL_S)
    watched_s = round(look.clock.monotonic() - start_s, 3)
    return {"problem": "", "reason": "", "freed_s": freed_s, "watched_s": watched_s, "how": watch.how}


async def _begin_and_drop(
    look: Look, path: str, body: Mapping[str, Any], params: Mapping[str, Any], watch: _Watch
) -> Raw | None:
    """None when the answer had begun and the engine was seen at it."""
    timeout_s = min(float(params["timeout_s"]), max(0.5, time_left(look)))
    try:
        async with look.http.stream(
            "POST", path, json=dict(body), headers=HEADERS, timeout_s=timeout_s, fresh=True
        ) as answer:
            if answer.status != 200:
                return _cannot(f"POST {path} answers {answer.status}", UnknownReason.ABSENT)
            if not await _has_begun(answer):
                return _cannot("the answer ended before it could be dropped", UnknownReason.NO_TRAFFIC)
            if not await watch.busy():
                return _cannot("the request was not seen at the engine while it ran", UnknownReason.INCONSISTENT)
    except BudgetExceededError:
        raise
    except ProbeError as error:
        return _cannot(error.detail, error.reason)
    return None


async def _has_begun(answer: HttpStream) -> bool:
    """Whether some events came; an opening one without text, a first token, and one more."""
    events = 0
    async for chunk in answer.reads():
        events += max(chunk.data.count(b"\n\n"), chunk.data.count(b"\n") if chunk.data.startswith(b"{") else 0)
        if b"[DONE]" in chunk.data:
            return False
        if events >= EVENTS_MIN:
            return True
    return False


def _cannot(detail: str, reason: UnknownReason) -> Raw:
    return {"problem": detail, "reason": reason.value, "freed_s": None, "watched_s": 0.0, "how": ""}


class _Watch:
    """How many requests like ours the engine is at: by slot where it shows them, else by its gauge."""

    def __init__(self, look: Look, found: EngineFound | None, limit: int) -> None:
        self._look, self._found, self._limit = look, found, limit
        self.by_slot = bool(found and "slots" in found.spec.endpoints)
        self.how = ""

    async def busy(self) -> float | None:
        """0 when there is none; None when it cannot be said."""
        if self._found is None:
            return None
        if self.by_slot:
            count = await self._slots(self._found.spec.endpoints["slots"].path)
            if count is not None:
                self.how = "by its slot"
                return count
            self.by_slot = False
        self.how = "by the count of running requests"
        return await self._gauge(self._found)

    async def _slots(self, path: str) -> float | None:
        body = await self._get(path)
        rows = body.json() if body is not None and body.status == 200 else None
        if not isinstance(rows, list):
            return None
        ours = 0
        for row in rows:
            told = row.get("params") if isinstance(row, Mapping) else None
            limits = {told.get("n_predict"), told.get("max_tokens")} if isinstance(told, Mapping) else set()
            ours += bool(isinstance(row, Mapping) and row.get("is_processing") and self._limit in limits)
        return float(ours)

    async def _gauge(self, found: EngineFound) -> float | None:
        metric = found.spec.metrics.get("requests_running")
        if metric is None or "metrics" not in found.spec.endpoints or found.spec.metrics_format != "prometheus":
            return None
        url = page_url(self._look.target, found.spec)
        answer = await self._get(url)
        if answer is None or answer.status != 200:
            return None
        try:
            page = parse_lines(keep_lines(check_page(answer, where=f"GET {url}"), metric.names, light=True).lines)
        except ProbeError:
            return None
        name = matched_name(metric, page)
        values = values_of(metric, page, name) if name else {}
        return sum(values.values()) if values else None

    async def _get(self, path: str) -> Any:
        try:
            return await self._look.http.request(
                "GET", path, timeout_s=min(2.0, max(0.3, time_left(self._look))), bytes_max=PAGE_BYTES_MAX, direct=True
            )
        except BudgetExceededError:
            raise
        except ProbeError:
            return None
