"""Reading the engine's metrics page again and again over one window. Looks only; `window_signals` judges."""

from __future__ import annotations

from typing import Any

from sickbay.checks.serving.page import page_problem, page_request
from sickbay.checks.serving.page_owner import none_of_it
from sickbay.checks.serving.settings import read_settings
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.measure.exposition import LINES_MAX, check_page, keep_lines
from sickbay.engine.measure.metric_json import metric_names, metrics_to_json
from sickbay.engine.measure.recognise import dig
from sickbay.engine.model.look import EngineFound, Look
from sickbay.engine.model.signal import UnknownReason

__all__ = ["read_window"]

STEP_S = 1.0
READ_TIMEOUT_S = 10.0
MARGIN_S = 1.0
LIGHT_READS_MAX = 60
SLOTS_MAX = 512


async def read_window(look: Look, window_s: float) -> dict[str, Any]:
    """Read the page at the start and at the end of the window, and its gauges about each second between.

    Returns:
        Plain data: the engine, its metric map, the kept lines of each read with their time, the slots where the
        engine has them, and the settings that matter. A page that cannot be read is told in "problem".

    Raises:
        ProbeError: no engine is there.
    """
    found = await look.engine()
    raw: dict[str, Any] = {
        "engine": found.spec.name,
        "version": found.version,
        "metrics": metrics_to_json(found.spec.metrics),
        "absent": dict(found.spec.absent),
        "mirrors": list(found.spec.mirror_labels),
        "models": [] if look.target.metrics_url else list(found.models),
        "model": look.target.model,
        "reads": [],
    }
    began = look.clock.monotonic()
    try:
        raw["reads"].append(await _read(look, found, full=True, began=began))
    except BudgetExceededError:
        raise
    except ProbeError as error:
        return raw | {"problem": {"reason": error.reason.value, "detail": error.detail}}
    settings = await read_settings(look, found)
    raw["settings"] = {
        name: rows for name, rows in settings["values"].items() if name in {
            "serving.requests_running_limit", "serving.kv_capacity_tokens", "serving.context_length_tokens",
        }
    }  # fmt: skip
    ends = began + min(window_s, max(0.0, look.remaining_s - MARGIN_S))
    step = max(STEP_S, window_s / LIGHT_READS_MAX)
    while True:
        left = ends - look.clock.monotonic()
        last = left <= step * 1.5
        await look.clock.sleep(max(0.0, left if last else step))
        raw["reads"].append(await _try_read(look, found, full=last, began=began))
        if last:
            return raw


async def _try_read(look: Look, found: EngineFound, *, full: bool, began: float) -> dict[str, Any]:
    """A later read; that it failed is a finding of its own."""
    try:
        return await _read(look, found, full=full, began=began)
    except BudgetExceededError:
        raise
    except ProbeError as error:
        return {
            "at_s": round(look.clock.monotonic() - began, 4),
            "problem": {"reason": error.reason.value, "detail": error.detail},
        }


async def _read(look: Look, found: EngineFound, *, full: bool, began: float) -> dict[str, Any]:
    """One read of the page (and of the slots). Its time is the middle of the request: the page is made inside it."""
    sent = look.clock.monotonic()
    answer, where = await page_request(look, found.spec, timeout_s=_time(look))
    done = look.clock.monotonic()
    problem = page_problem(answer, found.spec, where)
    if problem is not None:
        raise problem
    text = check_page(answer, where=where)
    kept = keep_lines(text, metric_names(found.spec.metrics), light=not full)
    if full and kept.over:
        raise ProbeError(
            UnknownReason.TOO_LARGE,
            f"{where}: over {LINES_MAX} lines of {found.spec.title}'s families; a part of them tells nothing: give the "
            "page of one engine with direct_url or metrics_url",
        )
    if full and all(line.startswith("process_") for line in kept.lines):
        raise none_of_it(text, found.spec, where)
    read: dict[str, Any] = {
        "at_s": round(sent - began + (done - sent) / 2, 4),
        "wall_s": round(look.clock.wall(), 3),
        "took_s": round(done - sent, 4),
        "full": full,
        "lines": list(kept.lines),
    }
    if kept.oddities:
        read["oddities"] = list(kept.oddities)
    slots = await _slots(look, found)
    return read if slots is None else read | {"slots": slots}


async def _slots(look: Look, found: EngineFound) -> list[dict[str, float]] | None:
    """Context, tokens held and busy flag of each slot (llama.cpp); None when they cannot be read."""
    endpoint = found.spec.endpoints.get("slots")
    if endpoint is None:
        return None
    try:
        answer = await look.http.request("GET", endpoint.path, timeout_s=_time(look), direct=True)
        body = answer.json() if answer.status == 200 else None
    except BudgetExceededError:
        raise
    except ProbeError:
        return None
    if not isinstance(body, list):
        return None
    return [_slot(row) for row in body[:SLOTS_MAX]]


def _slot(row: Any) -> dict[str, float]:
    """Numbers only: a slot's answer may hold the prompt.

    `tokens` are those the slot holds, its output included; `decoded` is that output; `task` tells requests apart.
    `reused` are the prompt tokens that its cache had, -1 where this build does not tell or has not looked yet.
    """

    def count(*paths: str, missing: float = 0.0) -> float:
        found = next((dig(row, path) for path in paths if isinstance(dig(row, path), (int, float))), None)
        return missing if found is None else float(found)

    begun = count("n_prompt_tokens_processed") + count("n_prompt_tokens_cache") > 0
    return {
        "task": count("id_task", missing=-1.0),
        "busy": float(bool(dig(row, "is_processing"))),
        "context": count("n_ctx"),
        "tokens": count("n_prompt_tokens", "n_past"),  # n_past: builds of 2024
        "decoded": count("next_token.0.n_decoded", "next_token.n_decoded"),
        "reused": count("n_prompt_tokens_cache", missing=-1.0) if begun else -1.0,
    }


def _time(look: Look) -> float:
    return max(0.2, min(READ_TIMEOUT_S, look.remaining_s - 0.3))
