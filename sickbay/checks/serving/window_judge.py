"""What the window of `serving.window` says. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from sickbay.checks.serving.page_honesty import (
    copied,
    kept_model,
    model_signals,
    one_model,
    page_models,
    said_of_time,
    twice,
)
from sickbay.checks.serving.window_honesty import honest_queue, is_hidden, without_class
from sickbay.checks.serving.window_latency import latency_signals
from sickbay.checks.serving.window_laws import law_signals
from sickbay.checks.serving.window_load import (
    Signals,
    kv_signals,
    load_signals,
    token_signals,
    traffic_signals,
)
from sickbay.checks.serving.window_number import number
from sickbay.checks.serving.window_slots import (
    context_signals,
    hit_signals,
    pace_signals,
    reuse_signals,
    slot_signals,
    waiting_signals,
)
from sickbay.engine.measure.exposition import parse_lines
from sickbay.engine.measure.metric_json import metrics_from_json
from sickbay.engine.measure.window import PageRead, Window
from sickbay.engine.model.check import Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["judge_window"]

_ODD_SHOWN_MAX = 4
_QUEUED = {"admission-limited", "memory-limited", "both", "gated"}


def judge_window(raw: Raw, emits: Sequence[str]) -> Result:
    """Signals from the kept lines alone."""
    problem = raw.get("problem")
    if problem is not None:
        return _unreadable(UnknownReason(problem["reason"]), str(problem["detail"]), emits)
    reads = [row for row in raw["reads"] if "problem" not in row]
    failed = [row for row in raw["reads"] if "problem" in row]
    pages = [PageRead(row["at_s"], parse_lines(row["lines"], row.get("oddities", ())), row["full"]) for row in reads]
    copy = copied(pages, reads[-1].get("wall_s"))
    if copy:
        return _unreadable(UnknownReason.INCONSISTENT, copy, emits)
    models = page_models(reads[-1]["lines"])
    mine, other = one_model(models, asked=str(raw.get("model", "")), served=raw.get("models", ()))
    if models and not mine:
        found = _unreadable(UnknownReason.INCONSISTENT, other, emits)
        told = measured(", ".join(models), "label model_name of the metrics page")
        return dataclasses.replace(found, signals={**found.signals, "serving.page_models": told})
    if other:
        pages = [dataclasses.replace(read, page=kept_model(read.page, mine)) for read in pages]
        raw = {**raw, "left": other}
    ends_badly = not reads[-1]["full"] or len(reads) < 2
    metrics = metrics_from_json(raw["metrics"])
    window = Window(pages, metrics, raw.get("absent", {}), tuple(raw.get("mirrors", ())))
    routed = pages[0].page.routed
    if routed and not any(window.name_of(quantity) for quantity in ("requests_running", "finished", "ttft_s")):
        return _unreadable(UnknownReason.INCONSISTENT, _router(routed), emits)
    if ends_badly:
        return _unreadable_end(raw, window, failed, emits)
    return _judged(raw, window, reads, failed, emits)


def _judged(
    raw: Raw, window: Window, reads: list[dict[str, Any]], failed: list[dict[str, Any]], emits: Sequence[str]
) -> Result:
    left = str(raw.get("left", ""))
    found: Signals = {
        "serving.metrics_readable": measured(True, _note(window, reads, failed, left)),
        "serving.window_s": measured(window.seconds, f"{len(reads)} reads, {len(failed)} failed"),
        "serving.counters_reset": _reset(window),
    }
    found |= load_signals(window, raw.get("settings", {}))
    slots = [row.get("slots") for row in reads]
    found |= kv_signals(window, slots)
    found |= traffic_signals(window) | token_signals(window) | latency_signals(window)
    found |= hit_signals(slots, found)
    found |= slot_signals(slots, found, window.seconds)
    found |= waiting_signals(reads, window.seconds) | pace_signals(reads, found, window.seconds)
    found |= honest_queue(window, found)
    found |= context_signals(slots, window.seconds) | reuse_signals(slots, window.seconds)
    found |= law_signals(window, found, slots)
    found |= without_class(found)
    found |= model_signals(reads[-1]["lines"], raw.get("models", ()))
    doubt = twice(pages.page for pages in window.reads)
    found["serving.page_doubt"] = measured(doubt, "the metrics page")
    found = {name: found[name] for name in emits}
    summary = "; ".join(part for part in (_summary(found), left, doubt) if part)
    return Result(outcome=_outcome(found), summary=summary, signals=found, next_step=_next(found))


def _reset(window: Window) -> Reading:
    """One fall is a restart; several are two servers that take turns, which says nothing of a restart."""
    if window.falls > 1:
        return unknown(
            UnknownReason.INCONSISTENT,
            f"{window.reset_told} {window.falls} times: two servers answer under one address",
        )
    return measured(bool(window.reset), window.reset_told or "no counter went back")


def _unreadable(reason: UnknownReason, detail: str, emits: Sequence[str]) -> Result:
    """No page: said once, and every number unknown for that reason."""
    found: dict[str, Reading] = {name: unknown(reason, detail) for name in emits}
    found["serving.metrics_readable"] = measured(False, detail)
    if reason is UnknownReason.INCONSISTENT:  # there is a page, and it is nobody's
        found["serving.page_doubt"] = measured(detail, "the metrics page")
    return Result(
        outcome=Outcome.UNKNOWN,
        summary=f"the engine's metrics cannot be read: {detail}",
        signals=found,
        next_step="Make the metrics page readable; until then the verdict rests on probes alone.",
    )


def _unreadable_end(raw: Raw, window: Window, failed: list[dict[str, Any]], emits: Sequence[str]) -> Result:
    """The page could be read at first and not at the end: the gauges of the good reads count, no increase does."""
    last = failed[-1]["problem"] if failed else {"reason": "timeout", "detail": "there was time for one read only"}
    lost = unknown(
        UnknownReason(last["reason"]),
        f"the last read of the page failed, so nothing can be counted: {last['detail']}",
    )
    found: dict[str, Reading] = dict.fromkeys(emits, lost)
    gauges = load_signals(window, raw.get("settings", {})) | kv_signals(window, [])
    found |= {name: reading for name, reading in gauges.items() if reading.known}
    found["serving.metrics_readable"] = measured(False, lost.detail)
    return Result(outcome=Outcome.UNKNOWN, summary=lost.detail, signals=found)


def _router(routed: Mapping[str, tuple[str, ...]]) -> str:
    label, values = next(iter(routed.items()))
    return (
        f"this page belongs to a router: its series carry the label {label!r} ({len(values)} servers: "
        f"{', '.join(values[:3])}); its copies are not summed. "
        "Give the engine's own page with direct_url or metrics_url"
    )


def _note(window: Window, reads: list[dict[str, Any]], failed: list[dict[str, Any]], left: str) -> str:
    """What was odd about the reads."""
    parts = [f"{len(reads)} reads over {window.seconds:.1f} s", *([left] if left else [])]
    parts += said_of_time(window, reads[-1].get("wall_s"))
    slow = max(float(row["took_s"]) for row in reads)
    if slow > 1.0:
        parts.append(f"the slowest read took {slow:.1f} s")
    if failed:
        parts.append(f"{len(failed)} reads failed: {failed[-1]['problem']['detail']}")
    odd = list(dict.fromkeys(text for read in window.reads for text in read.page.oddities))
    parts += [f"odd: {text}" for text in odd[:_ODD_SHOWN_MAX]]
    routed = window.reads[-1].page.routed
    if routed:
        parts.append(f"left out: {_router(routed)}")
    return "; ".join(parts)


def _outcome(found: Signals) -> Outcome:
    """What is wrong whatever the objective: a stall or a deadlock fails; a standing queue or a restart warns."""
    if found["serving.stalled"].value is True or found["serving.saturation"].value == "deadlock":
        return Outcome.FAIL
    queued = (
        is_hidden(found)
        or found["serving.saturation"].value in _QUEUED
        or (number(found["serving.requests_waiting_min"]) or 0.0) > 0
    )
    errors = (number(found["serving.error_ratio"]) or 0.0) > 0.01
    odd = found["serving.counters_reset"].value is not False or found["serving.page_model_matches"].value is False
    if queued or errors or odd or (number(found["serving.preemptions"]) or 0.0) > 0:
        return Outcome.WARN
    if not found["serving.requests_running"].known and not found["serving.requests_waiting"].known:
        return Outcome.UNKNOWN
    return Outcome.PASS


def _summary(found: Signals) -> str:
    """One sentence with the numbers that matter."""

    def say(name: str, form: str) -> str:
        value = number(found[f"serving.{name}"])
        return "?" if value is None else format(value, form)

    first = ("requests_running", "requests_waiting", "kv_usage_ratio")
    if not any(found[f"serving.{name}"].known for name in first):
        why = found["serving.requests_running"].detail or "it is not on the metrics page"
        return f"how many requests run and wait cannot be told: {why}; read over {say('window_s', '.1f')} s"
    text = (
        f"{say('requests_running', '.1f')} running of {say('requests_running_limit', '.0f')}, "
        f"{say('requests_waiting', '.1f')} waiting, KV {say('kv_usage_ratio', '.0%')}"
    )
    if found["serving.ttft_s_p95"].known:
        text += (
            f", TTFT p95 {say('ttft_s_p95', '.3g')} s (mean: queue {say('queue_s_mean', '.3g')} s, "
            f"prefill {say('prefill_s_mean', '.3g')} s)"
        )
    if is_hidden(found):
        text += f"; {found['serving.requests_waiting_hidden'].source}"
    if found["serving.stalled"].value is True:
        text = f"stalled: {found['serving.stalled'].source}"
    elif found["serving.counters_reset"].value:
        text += f"; {found['serving.counters_reset'].source}: a restart"
    elif not found["serving.counters_reset"].known:
        text += f"; {found['serving.counters_reset'].detail}"
    if found["serving.page_model_matches"].value is False:
        text += f"; another server's page: {found['serving.page_model_matches'].source}"
    return f"{text}, over {say('window_s', '.1f')} s"


def _next(found: Signals) -> str:
    if found["serving.stalled"].value is True:
        return "Capture stacks of the engine before a restart loses them."
    if not found["serving.counters_reset"].known:
        return "Give one server's own address (--direct-url): these numbers mix several."
    if found["serving.page_model_matches"].value is False:
        return "Give the page of the engine that answers (--direct-url, or metrics_url in sickbay.yaml)."
    if found["serving.saturation"].value == "admission-limited":
        return "Compare the limit on running requests with what the hardware has room for."
    return ""
