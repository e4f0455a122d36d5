"""Load signals of a window: who runs, who waits, the limit, the KV cache, arrivals, completions, tokens. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from sickbay.checks.serving.window_number import number
from sickbay.checks.serving.window_plateau import plateau
from sickbay.engine.measure.window import Window
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["Signals", "kv_signals", "load_signals", "token_signals", "traffic_signals"]

Signals = dict[str, Reading]

_ROOM = 0.7
"""Share of a pool below which a KV cache is not the cause of anything."""
_HELD_MORE = 1.05


def load_signals(window: Window, settings: Mapping[str, Sequence[Mapping[str, Any]]]) -> Signals:
    """Running, waiting, their limit, and what follows from them."""
    found = {
        "serving.requests_running": window.gauge("requests_running"),
        "serving.requests_waiting": window.gauge("requests_waiting"),
        "serving.requests_waiting_min": window.gauge("requests_waiting", "min"),
        "serving.requests_waiting_capacity": window.gauge("requests_waiting_capacity"),
        "serving.requests_waiting_deferred": window.gauge("requests_waiting_deferred"),
        "serving.requests_waiting_growth": _growth(window, "requests_waiting"),
        "serving.requests_running_limit": _limit(window, settings),
        "serving.grammar_queue": window.gauge("grammar_queue"),
    }
    running, limit = number(found["serving.requests_running"]), number(found["serving.requests_running_limit"])
    if running is not None and limit:
        middle = median([value for value in window.totals("requests_running") if value is not None])
        source = f"median of {middle:g} running over a limit of {limit:g}"
        found["serving.slots_busy_ratio"] = measured(min(1.0, middle / limit), source, window_s=window.seconds)
    else:
        missing = found["serving.requests_running_limit"] if running is not None else found["serving.requests_running"]
        found["serving.slots_busy_ratio"] = _follows(missing, "serving.requests_running_limit")
    return found


def _follows(missing: Reading, name: str) -> Reading:
    if missing.known:
        return unknown(UnknownReason.MALFORMED, f"{name} is 0")
    return unknown(missing.reason or UnknownReason.ABSENT, f"needs {name}: {missing.detail}")


def _growth(window: Window, quantity: str) -> Reading:
    """Least-squares slope over all reads, per second: one late read does not decide it."""
    points = [
        (read.at_s, value)
        for read, value in zip(window.reads, window.totals(quantity), strict=True)
        if value is not None
    ]
    if len(points) < 2 or points[-1][0] <= points[0][0]:
        return window.why_not(quantity) if not points else unknown(UnknownReason.TIMEOUT, "needs two reads, got one")
    mean_t = sum(at for at, _ in points) / len(points)
    mean_v = sum(value for _, value in points) / len(points)
    spread = sum((at - mean_t) ** 2 for at, _ in points)
    slope = sum((at - mean_t) * (value - mean_v) for at, value in points) / spread
    return measured(slope, f"slope of {window.name_of(quantity)} over {len(points)} reads", window_s=window.seconds)


def _limit(window: Window, settings: Mapping[str, Sequence[Mapping[str, Any]]]) -> Reading:
    """The limit as the engine tells it, else as its settings tell it, else as a plateau shows it."""
    told = window.gauge("requests_running_limit", "last")
    if told.known:
        return told
    for row in settings.get("serving.requests_running_limit", ()):
        try:
            value = float(row["value"])
        except (TypeError, ValueError):
            continue
        if value > 0:
            return measured(value, str(row["source"]))
    return plateau(window) or told


def kv_signals(window: Window, slots: Sequence[Sequence[Mapping[str, float]] | None]) -> Signals:
    """KV capacity and usage; from the slots where the engine publishes neither."""
    capacity = window.gauge("kv_capacity_tokens", "last")
    block = window.gauge("kv_block_size_tokens", "last")
    blocks, size = number(window.gauge("kv_blocks", "last")), number(block)
    if not capacity.known and blocks and size:
        capacity = measured(blocks * size, f"{blocks:g} blocks of {size:g} tokens")
    usage = window.gauge("kv_usage_ratio", "max")
    used = window.gauge("kv_used_tokens", "max")
    share, room = number(usage), number(capacity)
    if not used.known and share is not None and room:
        used = measured(share * room, f"{usage.source} times the capacity", window_s=window.seconds)
    seen = [row for row in slots if row]
    if not usage.known and seen:
        usage, capacity, used = _kv_of_slots(seen, window.seconds)
    return {
        "serving.kv_usage_ratio": usage,
        "serving.kv_capacity_tokens": capacity,
        "serving.kv_block_size_tokens": block,
        "serving.kv_used_tokens": used,
    }


def _is_split(seen: Sequence[Sequence[Mapping[str, float]]], pool: float) -> bool:
    """Whether more tokens were held at once than one slot's context: then each slot has a pool of its own.

    Only slots that give output hold what they say; a prompt that is being read counts whole from the start.
    """
    held = max(sum(slot["tokens"] for slot in row if slot["busy"] and slot.get("decoded", 0.0) > 0) for row in seen)
    return held > _HELD_MORE * pool


def _kv_of_slots(seen: Sequence[Sequence[Mapping[str, float]]], seconds: float) -> tuple[Reading, Reading, Reading]:
    """Derived: tokens held by busy slots over the sum of all slots' contexts (highest read).

    With one shared pool (--kv-unified) each slot tells the whole pool as its context, and nothing tells that apart
    from slots with a pool of their own. Where the two readings would not agree, the share is unknown.
    """
    capacity = max(sum(slot["context"] for slot in row) for row in seen)
    used = max(sum(slot["tokens"] for slot in row if slot["busy"]) for row in seen)
    why = (
        f"derived from /slots: tokens of busy slots over {len(seen[-1])} slots' contexts, highest of {len(seen)} reads"
    )
    if capacity <= 0:
        lost = unknown(UnknownReason.MALFORMED, "the slots tell no context size")
        return lost, lost, measured(used, why, window_s=seconds)
    pool = max(slot["context"] for row in seen for slot in row)
    if len(seen[-1]) > 1 and used / capacity < _ROOM <= used / pool and not _is_split(seen, pool):
        lost = unknown(
            UnknownReason.INCONSISTENT,
            f"between {used / capacity:.0%} and {min(1.0, used / pool):.0%}: /slots does not tell whether the "
            f"{len(seen[-1])} slots have {pool:g} tokens each or share them (--kv-unified)",
        )
        return lost, lost, measured(used, why, window_s=seconds)
    shared = "" if len(seen[-1]) == 1 else "; with one shared pool (--kv-unified) the true ratio is higher"
    return (
        measured(min(1.0, used / capacity), why + shared, window_s=seconds),
        measured(capacity, "derived from /slots: sum of the slots' contexts"),
        measured(used, why, window_s=seconds),
    )


def traffic_signals(window: Window) -> Signals:
    """Arrivals, completions and how requests ended."""
    finished = window.delta("finished")
    return {
        "serving.requests_finished": finished,
        "serving.finish_rate": window.rate("finished"),
        "serving.preemptions": window.delta("preemptions"),
        "serving.corrupted_requests": window.delta("corrupted_requests"),
        "serving.kv_transfer_failures": window.delta("kv_transfer_failures"),
        "serving.abort_ratio": _share(window, "finished_abort"),
        "serving.error_ratio": _share(window, "finished_error"),
        "serving.refused_ratio": window.ratio("http_refused", "http_requests"),
        "serving.length_finish_ratio": _share(window, "finished_length"),
        "serving.arrival_rate": _arrivals(window, finished),
    }


def _share(window: Window, part: str) -> Reading:
    """A kind of ending over all endings. Where failures are counted apart, they are added to the whole."""
    top, whole = window.delta(part), window.delta("finished")
    if not isinstance(top.value, float):
        return top
    if not isinstance(whole.value, float):
        return whole
    apart = window.name_of(part) != window.name_of("finished")
    total = whole.value + top.value if apart else whole.value
    if total <= 0:
        return unknown(UnknownReason.NO_TRAFFIC, f"no request ended within {window.seconds:.1f} s")
    return measured(top.value / total, f"{top.value:g} of {total:g} requests that ended", window_s=window.seconds)


def _arrivals(window: Window, finished: Reading) -> Reading:
    growth = [_change(window, quantity) for quantity in ("requests_running", "requests_waiting")]
    if not isinstance(finished.value, float):
        return finished
    if any(part is None for part in growth) or window.seconds <= 0:
        return unknown(UnknownReason.ABSENT, "arrivals need completions and both gauges at the start and the end")
    arrived = finished.value + sum(part for part in growth if part is not None)
    return measured(
        max(0.0, arrived) / window.seconds, "finished plus growth of running and waiting", window_s=window.seconds
    )


def _change(window: Window, quantity: str) -> float | None:
    values = window.totals(quantity)
    return None if values[0] is None or values[-1] is None else values[-1] - values[0]


def token_signals(window: Window) -> Signals:
    """Token rates, lengths and cache hits."""
    return {
        "serving.prompt_tokens_rate": _prompt_rate(window),
        "serving.generation_tokens_rate": window.rate("generation_tokens"),
        "serving.prompt_length_tokens_mean": window.mean("prompt_length_tokens"),
        "serving.prompt_length_tokens_p95": window.quantile("prompt_length_tokens", 0.95),
        "serving.output_length_tokens_mean": window.mean("output_length_tokens"),
        "serving.prompt_computed_tokens_mean": window.mean("prompt_computed_tokens"),
        "serving.iteration_tokens_mean": window.mean("iteration_tokens"),
        "serving.prefix_cache_hit_ratio": _hit_ratio(window),
        "serving.prefix_cache_queries": _looked_up(window),
        "serving.spec_acceptance_ratio": _spec_ratio(window),
        "serving.spec_acceptance_length": _spec_length(window),
        "serving.lora_slots_used_ratio": _lora(window),
        "serving.kv_transfer_s_mean": window.mean("kv_transfer_s"),
        "serving.model_load_s": window.gauge("model_load_s", "last"),
        "serving.expert_balance": window.gauge("expert_balance"),
        "serving.cuda_graph_miss_ratio": window.gauge("cuda_graph_miss_ratio"),
    }


def _prompt_rate(window: Window) -> Reading:
    both = _computed_and_cached(window)
    if both is None:
        return window.rate("prompt_tokens" if window.name_of("prompt_tokens") else "prompt_tokens_computed")
    if isinstance(both, Reading):
        return both
    return measured(
        sum(both) / window.seconds,
        "increase of computed plus cached prompt tokens, per second",
        window_s=window.seconds,
    )


def _computed_and_cached(window: Window) -> tuple[float, float] | Reading | None:
    """Both increases, where an engine counts computed and cached prompt tokens apart; None where it does not."""
    if not (window.name_of("prompt_tokens_computed") and window.name_of("prompt_tokens_cached")):
        return None
    computed, cached = window.delta("prompt_tokens_computed"), window.delta("prompt_tokens_cached")
    if not isinstance(computed.value, float):
        return computed
    return (computed.value, cached.value) if isinstance(cached.value, float) else cached


def _hit_ratio(window: Window) -> Reading:
    both = _computed_and_cached(window)
    if both is None:
        found = window.ratio("prefix_cache_hits", "prefix_cache_queries")
        value = number(found)
        return found if value is None or value <= 1 else measured(1.0, found.source, window_s=window.seconds)
    if isinstance(both, Reading):
        return both
    if sum(both) <= 0:
        return unknown(UnknownReason.NO_TRAFFIC, f"no prompt token was processed within {window.seconds:.1f} s")
    return measured(both[1] / sum(both), "cached over computed plus cached prompt tokens", window_s=window.seconds)


def _looked_up(window: Window) -> Reading:
    both = _computed_and_cached(window)
    if both is None:
        return window.delta("prefix_cache_queries")
    return both if isinstance(both, Reading) else measured(sum(both), "computed plus cached", window_s=window.seconds)


def _spec_ratio(window: Window) -> Reading:
    if window.name_of("spec_acceptance_ratio") and not window.name_of("spec_draft_tokens"):
        return _idle_at_zero(window, window.gauge("spec_acceptance_ratio"))
    return window.ratio("spec_accepted_tokens", "spec_draft_tokens")


def _spec_length(window: Window) -> Reading:
    if window.name_of("spec_acceptance_length"):
        return _idle_at_zero(window, window.gauge("spec_acceptance_length"))
    found = window.ratio("spec_accepted_tokens", "spec_drafts")
    value = number(found)
    return found if value is None else measured(1.0 + value, f"1 plus {found.source}", window_s=window.seconds)


def _idle_at_zero(window: Window, told: Reading) -> Reading:
    """Gauges that stand at 0 while speculation is off: each verified draft gives one token at least."""
    if told.known and not number(window.gauge("spec_acceptance_length")):
        return unknown(
            UnknownReason.NO_TRAFFIC, f"{told.source} is 0: speculation is off, or nothing was drafted in the window"
        )
    return told


def _lora(window: Window) -> Reading:
    """VLLM tells adapters in labels, newest series last by value; others give the ratio."""
    if "lora_info" not in window.metrics:
        return window.gauge("lora_slots_used_ratio", "max")
    name = window.name_of("lora_info")
    if not name:
        return window.why_not("lora_info")
    newest = max(window.reads[-1].page.named(name), key=lambda sample: sample.value, default=None)
    if newest is None:
        return window.why_not("lora_info")
    slots = newest.labels.get("max_lora", "")
    running = [one for one in newest.labels.get("running_lora_adapters", "").split(",") if one.strip()]
    if not slots.isdigit() or int(slots) == 0:
        return unknown(UnknownReason.MALFORMED, f"{name}: label max_lora is {slots!r}, wanted a number")
    return measured(min(1.0, len(running) / int(slots)), f"{name}: adapters running over max_lora")
