"""The world-facing half of probe.replicas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sickbay.checks.probe.answer import Question, ask
from sickbay.checks.probe.prepare import prepare_route, time_left
from sickbay.checks.probe.request import Route
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.measure.exposition import check_page, keep_lines, parse_lines
from sickbay.engine.measure.series import matched_name, values_of
from sickbay.engine.model.check import Raw
from sickbay.engine.model.look import EngineFound, Look

__all__ = ["look_replicas"]

PROMPT = "Count from one to ten in words."
GAUGES = ("requests_running", "requests_waiting")
PAGE_BYTES_MAX = 4_000_000


async def look_replicas(look: Look, params: Mapping[str, Any]) -> Raw:
    """Gauges first, so that our own question is not in them."""
    route, found = await prepare_route(look)
    rows = []
    for url in look.target.replicas[: int(params["replicas_max"])]:
        base = url.rstrip("/")
        load = await _load(look, found, base)
        rows.append({"url": url, "load": load, **await _ask(look, route, base, float(params["timeout_s"]))})
    return {"replicas": rows, "known": len(look.target.replicas)}


async def _ask(look: Look, route: Route, base: str, timeout_s: float) -> dict[str, Any]:
    there = Route(dialect=route.dialect, path=base + route.path, model=route.model, engine=route.engine)
    left = time_left(look)
    if left < 0.5:
        return {"answer_s": None, "answer": "", "problem": "there was no time left for it"}
    question = Question(messages=[{"role": "user", "content": PROMPT}], max_tokens=8)
    start_s = look.clock.monotonic()
    answer = await ask(look, there, question, timeout_s=min(timeout_s, left))
    whole_s = look.clock.monotonic() - start_s
    if not answer.ok:
        return {"answer_s": None, "answer": "", "problem": answer.failure}
    return {"answer_s": round(whole_s, 6), "answer": answer.text.sha, "problem": ""}


async def _load(look: Look, found: EngineFound | None, base: str) -> float | None:
    """Running plus waiting; None when the replica does not tell."""
    endpoint = found.spec.endpoints.get("metrics") if found else None
    if found is None or endpoint is None or found.spec.metrics_format != "prometheus" or endpoint.path.startswith(":"):
        return None
    metrics = [found.spec.metrics[name] for name in GAUGES if name in found.spec.metrics]
    url = base + endpoint.path
    try:
        answer = await look.http.request(
            "GET", url, timeout_s=min(3.0, max(0.3, time_left(look))), bytes_max=PAGE_BYTES_MAX
        )
        if answer.status != 200:
            return None
        names = [name for metric in metrics for name in metric.names]
        page = parse_lines(keep_lines(check_page(answer, where=f"GET {url}"), names, light=True).lines)
    except BudgetExceededError:
        raise
    except ProbeError:
        return None
    total, seen = 0.0, False
    for metric in metrics:
        name = matched_name(metric, page)
        values = values_of(metric, page, name) if name else {}
        total, seen = total + sum(values.values()), seen or bool(values)
    return total if seen else None
