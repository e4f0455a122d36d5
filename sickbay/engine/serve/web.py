"""The HTTP side: metrics, health of the process, readiness, and a small page that lists the jobs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from sickbay.engine.model.look import Clock
from sickbay.engine.report.markup import add, page
from sickbay.engine.report.plain_text import plain
from sickbay.engine.serve.exposition import Exposition
from sickbay.engine.serve.jobs import JobState
from sickbay.engine.serve.scheduler import Scheduler

__all__ = ["make_app"]

_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(
    scheduler: Scheduler, exposition: Exposition, clock: Clock, *, ready: Callable[[], str]
) -> web.Application:
    """The application.

    Args:
        scheduler: whose jobs are listed, and whose health is told.
        exposition: the metrics page.
        clock: for the ages on the job page.
        ready: why requests should go elsewhere (starting, stopping); "" when ready.
    """

    async def metrics(request: web.Request) -> web.Response:
        zipped = "gzip" in request.headers.get("Accept-Encoding", "")
        headers = {**_SAFE, "Content-Type": CONTENT_TYPE_LATEST, "Vary": "Accept-Encoding"}
        if zipped:
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=exposition.page(zipped=zipped), headers=headers)

    async def healthy(_: web.Request) -> web.Response:
        return _state(scheduler.sick(), "healthy")

    async def is_ready(_: web.Request) -> web.Response:
        return _state(ready() or scheduler.sick(), "ready")

    async def index(_: web.Request) -> web.Response:
        text = _index(scheduler.states, clock)
        return web.Response(text=text, content_type="text/html", charset="utf-8", headers=_SAFE)

    app = web.Application()
    app.add_routes(
        [
            web.get("/metrics", metrics),
            web.get("/-/healthy", healthy),
            web.get("/-/ready", is_ready),
            web.get("/", index),
        ]
    )
    return app


def _state(wrong: str, good: str) -> web.Response:
    if wrong:
        return web.Response(status=503, text=f"{wrong}\n", headers=_SAFE)
    return web.Response(text=f"{good}\n", headers=_SAFE)


def _index(states: Sequence[JobState], clock: Clock) -> str:
    root = ET.Element("html", lang="en")
    head = add(root, "head")
    add(head, "meta", charset="utf-8")
    add(head, "title", "sickbay")
    body = add(root, "body")
    add(body, "h1", "sickbay")
    links = add(body, "p")
    for path in ("/metrics", "/-/healthy", "/-/ready"):
        add(links, "a", path, href=path).tail = " "
    table = add(body, "table", border="1", cellpadding="6")
    row = add(add(table, "thead"), "tr")
    for title in ("runbook", "target", "every", "verdict", "last run", "answer", "missed", "errors"):
        add(row, "th", title)
    rows = add(table, "tbody")
    for state in states:
        row = add(rows, "tr")
        for cell in _cells(state, clock):
            add(row, "td", cell)
    return page(root)


def _cells(state: JobState, clock: Clock) -> tuple[str, ...]:
    verdict, ended, answer = "running" if state.running else "no run yet", "", state.last_error
    if state.report is not None and state.ended_at_s is not None:
        fresh = state.fresh(clock.monotonic())
        verdict = state.report.verdict.state.value if fresh else "stale"
        ended = datetime.fromtimestamp(state.ended_at_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        answer = answer or plain(state.report.verdict.summary)
    job = state.job
    return (
        plain(job.runbook, 80),
        plain(job.target, 80),
        f"{job.every_s:g} s",
        verdict,
        ended,
        answer,
        str(state.missed),
        str(state.errors),
    )
