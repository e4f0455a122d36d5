"""The world-facing half of probe.replicas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sickbay.checks.probe.answer import Question, ask
from sickbay.checks.probe.answer_text import hashed
from sickbay.checks.probe.prepare import prepare_route, time_left
from sickbay.checks.probe.questions import QUESTIONS
from sickbay.checks.probe.request import Route
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.measure.exposition import check_page, keep_lines, parse_lines
from sickbay.engine.measure.series import matched_name, values_of
from sickbay.engine.model.check import Raw
from sickbay.engine.model.look import EngineFound, Look

__all__ = ["look_replicas"]

IDENTITY = {"version", "build_info", "model_path", "root", "chat_template", "n_ctx", "max_model_len", "temperature"}
PROMPT = "Count from one to ten in words."
GAUGES = ("requests_running", "requests_waiting")
PAGE_BYTES_MAX = 4_000_000


async def look_replicas(look: Look, params: Mapping[str, Any]) -> Raw:
    """Gauges first, so that our own question is not in them."""
    route, found = await _route(look)
    rows = []
    for url in look.target.replicas[: int(params["replicas_max"])]:
        base = url.rstrip("/")
        load = await _load(look, found, base)
        identity = await _identity(look, found, base)
        answered = await _ask(look, route, base, float(params["timeout_s"]))
        right = await _known(look, route, base, params) if answered["answer_s"] is not None else []
        rows.append({"url": url, "load": load, **answered, "right": right, "identity": identity})
    return {"replicas": rows, "known": len(look.target.replicas)}


async def _route(look: Look) -> tuple[Route, EngineFound | None]:
    """The engine's route; plain OpenAI chat where the router tells nothing: its replicas are asked all the same."""
    try:
        return await prepare_route(look)
    except BudgetExceededError:
        raise
    except ProbeError:
        return Route(dialect="chat", path="/v1/chat/completions", model=look.target.model), None


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


async def _known(look: Look, route: Route, base: str, params: Mapping[str, Any]) -> list[bool]:
    """Right or wrong of each known question; shorter when the time runs out."""
    there = Route(dialect=route.dialect, path=base + route.path, model=route.model, engine=route.engine)
    found: list[bool] = []
    for known in QUESTIONS[: int(params["questions"])]:
        left = time_left(look)
        if left < 0.5:
            break
        question = Question(messages=[{"role": "user", "content": known.text}], max_tokens=32, wanted=known.wanted)
        answer = await ask(look, there, question, timeout_s=min(float(params["timeout_s"]), left))
        if not answer.ok:
            break
        found.append(bool(answer.text.right))
    return found


async def _identity(look: Look, found: EngineFound | None, base: str) -> dict[str, str]:
    """What a replica tells of its set-up, reduced to what must be equal on all of them."""
    told: dict[str, str] = {}
    for name in ("version", "config", "models"):
        endpoint = found.spec.endpoints.get(name) if found else None
        if endpoint is None or endpoint.path.startswith(":") or time_left(look) < 1.0:
            continue
        try:
            answer = await look.http.request("GET", base + endpoint.path, timeout_s=2.0)
            body = answer.json() if answer.status == 200 else None
        except BudgetExceededError:
            raise
        except ProbeError:
            continue
        told |= _same_everywhere(body)
    return told


def _same_everywhere(body: Any) -> dict[str, str]:
    """The named fields of a page, wherever they stand in it; a path by its last part, a template by its hash."""
    found: dict[str, str] = {}
    nodes: list[Any] = [body]
    while nodes and len(found) < len(IDENTITY):
        node = nodes.pop(0)
        if isinstance(node, list):
            nodes += node[:20]
        elif isinstance(node, Mapping):
            nodes += [each for each in node.values() if isinstance(each, (Mapping, list))]
            for name in IDENTITY & node.keys():
                if isinstance(node[name], (str, int, float, bool)):
                    found.setdefault(name, _short(name, str(node[name])))
    return found


def _short(name: str, value: str) -> str:
    return hashed(value) if name == "chat_template" else value.rpartition("/")[2][:120]


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
