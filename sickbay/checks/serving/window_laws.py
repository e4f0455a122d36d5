"""Laws that sound gauges keep, and the classes of saturation. Pure.

Little's law, token balance and conservation tell stale gauges, stalls and leaked requests from load.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from sickbay.checks.serving.window_load import Signals
from sickbay.checks.serving.window_number import number
from sickbay.engine.measure.window import Window
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["law_signals"]

_KV_FREE = 0.8
_KV_FULL = 0.9
_FULL = 0.95
_PROGRESS = (
    "generation_tokens",
    "prompt_tokens",
    "prompt_tokens_computed",
    "engine_steps",
    "iteration_tokens",
    "finished",
)
_STALL_READS_MIN = 3
_STALL_SECONDS_MIN = 8.0  # one step of a CPU engine with a full token budget takes 4 s and more


def law_signals(window: Window, load: Signals, slots: Sequence[Sequence[Mapping[str, float]] | None]) -> Signals:
    """Consistency, stall, busy share and the saturation class."""
    stalled = _stalled(window, slots)
    return {
        "serving.busy_ratio": _busy(window),
        "serving.littles_law_ratio": _little(window, load),
        "serving.token_balance_ratio": _balance(window, load),
        "serving.conservation_gap": _conservation(window),
        "serving.stalled": stalled,
        "serving.saturation": _saturation(window, load, stalled),
    }


def _busy(window: Window) -> Reading:
    """Share of the window spent computing."""
    told = window.gauge("busy_ratio", "mean")
    if told.known:
        return told
    idle = window.delta("idle_seconds")
    if isinstance(idle.value, float) and window.seconds > 0:
        share = max(0.0, 1.0 - idle.value / window.seconds)
        return measured(share, f"1 minus {idle.source} over the window", window_s=window.seconds)
    prompt, output = window.delta("prompt_seconds"), window.delta("generation_seconds")
    if not (isinstance(prompt.value, float) and isinstance(output.value, float)):
        return prompt if not prompt.known else output
    # Seconds of a request count when it ends and overlap between slots; the reads bound what is possible.
    spent = (prompt.value + output.value) / window.seconds
    active = [running for running in window.totals("requests_running") if running is not None]
    seen = (sum(value > 0 for value in active) + 1) / (len(active) or 1)
    return measured(
        min(1.0, spent, seen),
        f"{prompt.value:.2f} s prompt and {output.value:.2f} s output of requests that ended, over the window; "
        "slots overlap, so at most the share of reads with a busy slot",
        window_s=window.seconds,
    )


def _little(window: Window, load: Signals) -> Reading:
    running, rate = number(load["serving.requests_running"]), number(load["serving.finish_rate"])
    execution = window.mean("execution_s")
    seconds = number(execution)
    if seconds is None and isinstance(load["serving.e2e_s_mean"].value, float):
        queue = number(load["serving.queue_s_mean"])
        seconds = load["serving.e2e_s_mean"].value - queue if queue is not None else None
    if running is None:
        return load["serving.requests_running"]
    if rate is None:
        return load["serving.finish_rate"]
    if seconds is None:
        return execution
    if rate * seconds <= 0:
        return unknown(UnknownReason.NO_TRAFFIC, f"no request ended within {window.seconds:.1f} s")
    if seconds > window.seconds:
        return unknown(
            UnknownReason.INCONSISTENT,
            f"requests execute {seconds:.1f} s on average, longer than the window of {window.seconds:.1f} s; "
            "take a longer one",
        )
    return measured(
        running / (rate * seconds),
        f"{running:g} running over {rate:.3g} finished/s times {seconds:.3g} s in execution",
        window_s=window.seconds,
    )


def _balance(window: Window, load: Signals) -> Reading:
    running, rate = number(load["serving.requests_running"]), number(load["serving.generation_tokens_rate"])
    per_token = load["serving.itl_s_mean"] if load["serving.itl_s_mean"].known else load["serving.tpot_s_mean"]
    seconds = number(per_token)
    if window.name_of("generation_seconds"):
        return unknown(UnknownReason.UNSUPPORTED, "this engine counts output tokens only when a request ends")
    if running is None or rate is None:
        return load["serving.requests_running"] if running is None else load["serving.generation_tokens_rate"]
    if running <= 0:
        return unknown(UnknownReason.NO_TRAFFIC, "nothing ran in the window")
    if seconds is None or seconds <= 0:
        return per_token if not per_token.known else unknown(UnknownReason.NO_TRAFFIC, "no time per token")
    return measured(
        rate * seconds / running,
        f"{rate:.4g} tokens/s over {running:g} running requests at {seconds:.4g} s a token",
        window_s=window.seconds,
    )


def _conservation(window: Window) -> Reading:
    """Arrivals minus completions minus growth, where an engine counts arrivals on its own."""
    arrived, finished = window.delta("arrived"), window.delta("finished")
    if not isinstance(arrived.value, float) or not isinstance(finished.value, float):
        return unknown(UnknownReason.UNSUPPORTED, "this engine counts no arrivals apart from completions")
    ends = [window.totals(quantity) for quantity in ("requests_running", "requests_waiting")]
    growth = [row[-1] - row[0] if row[0] is not None and row[-1] is not None else None for row in ends]
    if growth[0] is None or growth[1] is None:
        return unknown(UnknownReason.ABSENT, "needs running and waiting at the start and the end")
    return measured(
        arrived.value - finished.value - growth[0] - growth[1],
        "arrived minus finished minus growth of running and waiting",
        window_s=window.seconds,
    )


def _stalled(window: Window, slots: Sequence[Sequence[Mapping[str, float]] | None]) -> Reading:
    """Work is there in every read, and nothing that counts progress moved."""
    rows = zip(window.totals("requests_running"), window.totals("requests_waiting"), strict=True)
    present = [(running or 0.0) + (waiting or 0.0) for running, waiting in rows if (running, waiting) != (None, None)]
    moved = {name: window.delta(name) for name in _PROGRESS if window.name_of(name)}
    known = {name: found.value for name, found in moved.items() if isinstance(found.value, float)}
    if not known:
        return next(iter(moved.values()), unknown(UnknownReason.ABSENT, "no counter of progress on the page"))
    if min(present, default=0.0) <= 0:
        return measured(False, "a read found nothing running and nothing waiting")
    if any(value > 0 for value in known.values()):
        return measured(False, f"progress: {', '.join(f'{name} +{value:g}' for name, value in known.items())}")
    if len(present) < _STALL_READS_MIN or window.seconds < _STALL_SECONDS_MIN:
        return unknown(
            UnknownReason.TIMEOUT,
            f"a stall needs {_STALL_READS_MIN} reads over {_STALL_SECONDS_MIN:g} s, got {len(present)} over "
            f"{window.seconds:.1f} s",
        )
    prompt = max((slot["tokens"] for slot in slots[-1] or () if slot["busy"] and not slot.get("decoded")), default=0.0)
    if prompt > 0:
        return unknown(
            UnknownReason.INCONSISTENT,
            f"nothing moved within {window.seconds:.1f} s, but a slot computes a prompt of {prompt:g} tokens, which is "
            "one step; take a longer window",
        )
    return measured(
        True,
        f"{min(present):g} or more requests in each of {len(present)} reads over {window.seconds:.1f} s, and none of "
        f"{', '.join(known)} rose",
        window_s=window.seconds,
    )


def _saturation(window: Window, load: Signals, stalled: Reading) -> Reading:
    """The class from running, limit, waiting and KV; a number that is missing leaves the class unknown."""
    running, waiting = number(load["serving.requests_running"]), number(load["serving.requests_waiting"])
    limit, kv = number(load["serving.requests_running_limit"]), number(load["serving.kv_usage_ratio"])
    if running is None or waiting is None:
        return load["serving.requests_running"] if running is None else load["serving.requests_waiting"]
    numbers = f"running {running:g}, limit {_say(limit)}, waiting {waiting:g}, KV {_say(kv)}"
    if stalled.value is True and kv is not None and kv >= 0.99:
        return measured("deadlock", f"{numbers}; nothing moved", window_s=window.seconds)
    queued = _queued(window.totals("requests_waiting"), waiting)
    if not queued and limit is None and (kv is None or kv < _KV_FULL):
        return measured("not-saturated", f"{numbers}; no queue stands", window_s=window.seconds)
    name = _class(_while_queued(window, running), limit, queued=queued, kv=kv)
    if not name:
        missing = "serving.requests_running_limit" if limit is None else "serving.kv_usage_ratio"
        why = load[missing]
        return unknown(
            why.reason or UnknownReason.ABSENT, f"{numbers}; the class needs {missing}: {why.detail or why.source}"
        )
    return measured(name, numbers, window_s=window.seconds)


def _while_queued(window: Window, mean: float) -> float:
    """Median of the running requests over the reads in which something waited.

    Requests that began together end together: a read between them finds few running, and says nothing of the limit.
    """
    rows = zip(window.totals("requests_running"), window.totals("requests_waiting"), strict=True)
    seen = [running for running, waiting in rows if running is not None and waiting]
    return median(seen) if seen else mean


def _queued(waiting: Sequence[float | None], mean: float) -> bool:
    """Whether a queue stood: something waited in at least half of the reads, and half a request on average."""
    seen = [value for value in waiting if value is not None]
    return mean >= 0.5 and sum(value > 0 for value in seen) * 2 >= len(seen)


def _class(running: float, limit: float | None, *, queued: bool, kv: float | None) -> str:
    if limit is None:
        return "memory-limited" if queued and kv is not None and kv > _KV_FULL else ""
    full = running >= _FULL * limit
    if not queued:
        return "not-saturated"
    if full and kv is not None:
        return "both" if kv > _KV_FULL else "admission-limited"
    if full:
        return ""
    if kv is None:
        return ""
    return "memory-limited" if kv > _KV_FULL else "gated"


def _say(value: float | None) -> str:
    return "unknown" if value is None else f"{value:g}" if value > 1 else f"{value:.2f}"
