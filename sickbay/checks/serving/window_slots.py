"""What the slots of a llama.cpp server tell that its metrics page does not: prompt lengths of live requests. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sickbay.checks.serving.window_load import Signals
from sickbay.checks.serving.window_number import number
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["context_signals", "hit_signals", "pace_signals", "reuse_signals", "slot_signals", "waiting_signals"]

_PROMPT_SHARE = 0.5
"""Share of the prompt tokens seen in the slots that the counters must hold to say something of them."""

_FULL_TOKENS = 2
"""A server ends an answer one token before the context is full, or two (seen: 511 of 512)."""
_ENDED_MIN = 2

Slots = Sequence[Sequence[Mapping[str, float]] | None]


def slot_signals(slots: Slots, found: Mapping[str, Reading], seconds: float) -> Signals:
    """Prompt lengths and the prefill they cost, for the signals that the page itself left unknown.

    Args:
        slots: per read, per slot: busy flag, tokens it holds, output tokens among them, task number.
        found: the window's other signals; a known one is never replaced.
        seconds: length of the window.

    Returns:
        Derived readings; empty when no request was seen in a slot.
    """
    lengths = sorted(_lengths(slots))
    if not lengths:
        return {}
    mean = sum(lengths) / len(lengths)
    p95 = lengths[min(len(lengths) - 1, round(0.95 * (len(lengths) - 1)))]
    seen = f"derived from /slots: prompts of {len(lengths)} requests seen running (long ones are seen more easily)"
    signals = {
        "serving.prompt_length_tokens_mean": measured(mean, seen, window_s=seconds),
        "serving.prompt_length_tokens_p95": measured(p95, seen, window_s=seconds),
    }
    hits = number(found.get("serving.prefix_cache_hit_ratio")) or 0.0
    computed = mean * (1.0 - hits)
    signals["serving.prompt_computed_tokens_mean"] = measured(
        computed, f"{seen}, less the {hits:.0%} from the cache", window_s=seconds
    )
    per_token_s = number(found.get("serving.prefill_s_per_token"))
    if per_token_s is not None:
        signals["serving.prefill_s_mean"] = measured(
            computed * per_token_s,
            f"{computed:.0f} computed tokens at {per_token_s:.3g} s each; {seen}",
            window_s=seconds,
        )
    return {name: reading for name, reading in signals.items() if not found[name].known}


def waiting_signals(reads: Sequence[Mapping[str, Any]], seconds: float) -> Signals:
    """How long users' requests were seen in a slot without an output token: less than their time to first token.

    Args:
        reads: rows with `at_s` (seconds, monotonic) and, where they could be read, `slots`.
        seconds: length of the window.

    Returns:
        `serving.ttft_seen_s_max`, unknown when no request was seen twice before its first token.
    """
    first: dict[tuple[int, float], float] = {}
    longest = None
    for read in reads:
        for index, slot in enumerate(read.get("slots") or ()):
            task = (index, slot.get("task", -1.0))
            if not slot["busy"] or slot.get("decoded", 0.0) > 0 or task[1] < 0:
                continue
            since = read["at_s"] - first.setdefault(task, read["at_s"])
            if since > 0:
                longest = since if longest is None else max(longest, since)
    if longest is None:
        reading = unknown(UnknownReason.NO_TRAFFIC, "no request was seen twice in a slot before its first token")
    else:
        why = "derived from /slots: a request was seen that long without an output token"
        reading = measured(longest, why, window_s=seconds)
    return {"serving.ttft_seen_s_max": reading}


def pace_signals(reads: Sequence[Mapping[str, Any]], found: Mapping[str, Reading], seconds: float) -> Signals:
    """What a token costs the requests that run, where none ended and the counters, which count at the end, say nothing.

    Args:
        reads: rows with `at_s` (seconds, monotonic) and, where they could be read, `slots`.
        found: the window's other signals; a known one is never replaced.
        seconds: length of the window.

    Returns:
        `serving.itl_s_mean` and `serving.tpot_s_mean` over the tokens made between two reads of one request.
    """
    last: dict[tuple[int, float], tuple[float, float]] = {}
    tokens = spent = 0.0
    for read in reads:
        for index, slot in enumerate(read.get("slots") or ()):
            task, made = (index, slot.get("task", -1.0)), slot.get("decoded", 0.0)
            if not slot["busy"] or made <= 0 or task[1] < 0:
                continue
            at_s, before = last.get(task, (read["at_s"], made))
            tokens, spent = tokens + made - before, spent + read["at_s"] - at_s
            last[task] = read["at_s"], made
    if tokens <= 0 or spent <= 0:
        return {}
    why = f"derived from /slots: {tokens:.0f} tokens of {len(last)} running requests between reads"
    names = ("serving.itl_s_mean", "serving.tpot_s_mean")
    return {name: measured(spent / tokens, why, window_s=seconds) for name in names if not found[name].known}


def context_signals(slots: Slots, seconds: float) -> Signals:
    """How full contexts get: that of the fullest running request, and those of the requests that ended.

    A slot at rest still holds what its last request left there, so it tells how that one ended.

    Returns:
        `serving.context_used_ratio_max` and `serving.ended_full_ratio`.
    """
    held = [slot["tokens"] / slot["context"] for row in slots for slot in row or () if slot["busy"] and slot["context"]]
    ended = {
        (index, slot["task"]): slot["tokens"] >= slot["context"] - _FULL_TOKENS
        for row in slots
        for index, slot in enumerate(row or ())
        if not slot["busy"] and slot["context"] and slot["tokens"] > 0 and slot.get("task", -1.0) >= 0
    }
    return {
        "serving.context_used_ratio_max": measured(
            max(held), "derived from /slots: tokens of the fullest busy slot over its context", window_s=seconds
        )
        if held
        else unknown(UnknownReason.NO_TRAFFIC, "no request was seen running in a slot"),
        "serving.ended_full_ratio": measured(
            sum(ended.values()) / len(ended), f"derived from /slots: what {len(ended)} requests that ended left there"
        )
        if len(ended) >= _ENDED_MIN
        else unknown(UnknownReason.NO_TRAFFIC, f"the slots at rest tell of {len(ended)} requests, {_ENDED_MIN} wanted"),
    }


def reuse_signals(slots: Slots, seconds: float) -> Signals:
    """What users' requests took from the cache, of how long a prompt: medians over the requests seen running.

    A slot at rest tells of a request of long ago, and one that has not begun tells nothing yet; neither counts.
    """
    seen: dict[tuple[int, float], tuple[float, float]] = {}
    for row in slots:
        for index, slot in enumerate(row or ()):
            if slot["busy"] and slot.get("reused", -1.0) >= 0:
                length = slot["tokens"] - slot.get("decoded", 0.0)
                seen[index, slot.get("task", length)] = (slot["reused"], length)
    names = ("serving.slot_reused_tokens_p50", "serving.slot_prompt_tokens_p50")
    if not seen:
        return dict.fromkeys(names, unknown(UnknownReason.NO_TRAFFIC, "no running request tells what it reused"))
    why = f"derived from /slots: {len(seen)} requests seen running"
    middle = [sorted(pair[at] for pair in seen.values())[len(seen) // 2] for at in (0, 1)]
    return {name: measured(value, why, window_s=seconds) for name, value in zip(names, middle, strict=True)}


def hit_signals(slots: Slots, found: Mapping[str, Reading]) -> Signals:
    """The hit ratio, unknown where the counters leave out most of the prompts that the slots show.

    llama.cpp counts a prompt when it has been read. Where one takes longer than the window, the counters hold only
    short requests, our own among them, and their share says nothing of the users'.
    """
    name = "serving.prefix_cache_hit_ratio"
    counted, shown = number(found.get("serving.prefix_cache_queries")), sum(_lengths(slots))
    if not found[name].known or counted is None or counted >= _PROMPT_SHARE * shown:
        return {}
    why = f"the counters hold {counted:.0f} prompt tokens, which count once read; the slots show {shown:.0f}"
    return {name: unknown(UnknownReason.INCONSISTENT, why)}


def _lengths(slots: Slots) -> list[float]:
    """One prompt length a request: a task is counted once, however many reads saw it.

    A slot's tokens grow with its output, so the output is taken off (seen on a real server: 1,831 tokens while the
    prompt is computed, then 1,834 with 3 decoded).
    """
    seen: dict[tuple[int, float], float] = {}
    for row in slots:
        for index, slot in enumerate(row or ()):
            length = slot["tokens"] - slot.get("decoded", 0.0)
            if slot["busy"] and length > 0:
                seen.setdefault((index, slot.get("task", length)), length)
    return list(seen.values())
