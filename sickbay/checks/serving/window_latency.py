"""Latency signals of a window: TTFT, token gaps, whole requests, and TTFT split into queue, prefill, frontend. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from sickbay.checks.serving.window_load import Signals
from sickbay.checks.serving.window_number import number
from sickbay.engine.measure.window import Window
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["latency_signals"]

_COUNTS_DIFFER_MAX = 1.25
_NEGATIVE_MAX = 0.1


def latency_signals(window: Window) -> Signals:
    """Every server-side latency the engine can give."""
    found: Signals = {}
    for name, quantity in (("ttft", "ttft_s"), ("itl", "itl_s")):
        found[f"serving.{name}_s_mean"] = window.mean(quantity)
        for percent in (50, 95, 99):
            found[f"serving.{name}_s_p{percent}"] = window.quantile(quantity, percent / 100)
    found["serving.tpot_s_mean"] = window.mean("tpot_s")
    for name in ("e2e", "queue", "prefill"):
        found[f"serving.{name}_s_mean"] = window.mean(f"{name}_s")
        found[f"serving.{name}_s_p95"] = window.quantile(f"{name}_s", 0.95)
    found["serving.decode_s_mean"] = window.mean("decode_s")
    _from_sums(window, found)
    _from_parts(window, found)
    found["serving.prefill_s_per_token"] = _per_token(window)
    found |= _split(window, found)
    return found


def _from_sums(window: Window, found: Signals) -> None:
    """Engines with sums of seconds instead of histograms (llama.cpp, Triton) give means."""
    if not found["serving.e2e_s_mean"].known and window.name_of("request_seconds"):
        found["serving.e2e_s_mean"] = window.ratio("request_seconds", "finished")
    mean = window.ratio("generation_seconds", "generation_tokens")
    value = number(mean)
    for name in ("serving.itl_s_mean", "serving.tpot_s_mean"):
        if not found[name].known and window.name_of("generation_seconds"):
            source = f"{mean.source}; counted when a request ends"
            found[name] = mean if value is None else measured(value, source, window_s=window.seconds)


def _from_parts(window: Window, found: Signals) -> None:
    """Engines without a time to first token (TGI) have the parts it is made of."""
    parts = [number(found["serving.queue_s_mean"]), number(found["serving.prefill_s_mean"])]
    if window.name_of("ttft_s") or None in parts:
        return
    tokenize = number(window.mean("tokenize_s"))
    total = sum(part for part in (tokenize, *parts) if part is not None)
    names = "tokenisation, queue and prefill" if tokenize is not None else "queue and prefill"
    found["serving.ttft_s_mean"] = measured(
        total, f"sum of the means of {names}; the engine publishes no time to first token", window_s=window.seconds
    )


def _per_token(window: Window) -> Reading:
    if window.name_of("prompt_seconds"):
        return window.ratio("prompt_seconds", "prompt_tokens_computed")
    seconds, tokens = window.mean("prefill_s"), window.mean("prompt_computed_tokens")
    top, bottom = number(seconds), number(tokens)
    if top is None:
        return seconds
    if bottom is None:
        return tokens
    if bottom <= 0:
        return unknown(UnknownReason.NO_TRAFFIC, "no prompt token was computed: everything came from the cache")
    return measured(top / bottom, "mean prefill time over mean computed prompt tokens", window_s=window.seconds)


@dataclass(frozen=True, slots=True)
class _Parts:
    """Means over one and the same set of requests; `ttft` is what the parts are shares of."""

    ttft: float
    queue: float
    prefill: float
    source: str

    @property
    def residual(self) -> float:
        return self.ttft - self.queue - self.prefill


def _split(window: Window, found: Signals) -> Signals:
    parts = _parts(window, found)
    if isinstance(parts, Reading):
        names = ("queue_share", "prefill_share", "frontend_residual_s", "frontend_share")
        return {f"serving.{name}": parts for name in names}
    if parts.residual < -_NEGATIVE_MAX * parts.ttft:
        odd = unknown(
            UnknownReason.INCONSISTENT,
            f"queue {parts.queue:.3f} s and prefill {parts.prefill:.3f} s are more than the {parts.ttft:.3f} s to the "
            f"first token ({parts.source}); the window mixes different requests, take a longer one",
        )
        return {
            f"serving.{name}": odd for name in ("queue_share", "prefill_share", "frontend_residual_s", "frontend_share")
        }
    residual = max(0.0, parts.residual)
    seconds = window.seconds
    return {
        "serving.queue_share": measured(min(1.0, parts.queue / parts.ttft), parts.source, window_s=seconds),
        "serving.prefill_share": measured(min(1.0, parts.prefill / parts.ttft), parts.source, window_s=seconds),
        "serving.frontend_residual_s": measured(residual, parts.source, window_s=seconds),
        "serving.frontend_share": measured(residual / parts.ttft, parts.source, window_s=seconds),
    }


def _parts(window: Window, found: Signals) -> _Parts | Reading:
    """Time to first token and its parts, over the same requests where the engine allows it.

    Queue, prefill, decode and e2e are recorded when a request ends, TTFT when it begins to answer. So the time to
    first token of the ended requests is e2e minus decode, where the engine has both.
    """
    queue, prefill = found["serving.queue_s_mean"], found["serving.prefill_s_mean"]
    queue_s, prefill_s = number(queue), number(prefill)
    if queue_s is None:
        return queue
    if prefill_s is None:
        return prefill
    e2e_s, decode_s = number(found["serving.e2e_s_mean"]), number(found["serving.decode_s_mean"])
    ended = window.count("e2e_s")
    if e2e_s is not None and decode_s is not None and e2e_s > decode_s and ended == window.count("queue_s"):
        return _Parts(
            e2e_s - decode_s, queue_s, prefill_s, f"means over the {ended:g} requests that ended: e2e minus decode"
        )
    ttft = found["serving.ttft_s_mean"]
    ttft_s = number(ttft)
    if ttft_s is None:
        return ttft
    if not window.name_of("ttft_s"):
        return _Parts(ttft_s, queue_s, prefill_s, ttft.source)
    counts = sorted((window.count("ttft_s"), window.count("queue_s")))
    if counts[0] * _COUNTS_DIFFER_MAX < counts[1] or ttft_s <= 0:
        return unknown(
            UnknownReason.INCONSISTENT,
            f"TTFT speaks of {window.count('ttft_s'):g} requests, queue time of {window.count('queue_s'):g}; "
            "take a longer window",
        )
    return _Parts(ttft_s, queue_s, prefill_s, f"means of TTFT, queue and prefill over about {counts[1]:g} requests")
