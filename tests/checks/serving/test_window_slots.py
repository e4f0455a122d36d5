"""Prompt lengths from /slots: each request counted once, nothing known replaced, nothing made up."""

from typing import Any

from sickbay.checks.serving.window_load import kv_signals
from sickbay.checks.serving.window_slots import (
    context_signals,
    hit_signals,
    pace_signals,
    reuse_signals,
    slot_signals,
    waiting_signals,
)
from sickbay.engine.measure.exposition import parse_lines
from sickbay.engine.measure.window import PageRead, Window
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

NAMES = (
    "serving.prompt_length_tokens_mean",
    "serving.prompt_length_tokens_p95",
    "serving.prompt_computed_tokens_mean",
    "serving.prefill_s_mean",
)


def found(**known: float) -> dict[str, Reading]:
    readings = dict.fromkeys(NAMES, unknown(UnknownReason.UNSUPPORTED, "not published"))
    return readings | {f"serving.{name}": measured(value) for name, value in known.items()}


def slot(tokens: float, task: float, busy: float = 1.0) -> dict[str, float]:
    return {"busy": busy, "context": 2048.0, "tokens": tokens, "task": task}


def test_a_request_seen_in_three_reads_counts_once() -> None:
    reads = [[slot(600, 1)], [slot(600, 1)], [slot(600, 1)], [slot(200, 2)]]
    signals = slot_signals(reads, found(prefill_s_per_token=0.004), 8.0)
    assert signals["serving.prompt_length_tokens_mean"].value == 400.0
    assert signals["serving.prefill_s_mean"].value == 1.6


def test_what_came_from_the_cache_is_not_computed() -> None:
    signals = slot_signals([[slot(1000, 1)]], found(prefill_s_per_token=0.004, prefix_cache_hit_ratio=0.75), 8.0)
    assert signals["serving.prompt_computed_tokens_mean"].value == 250.0
    assert signals["serving.prefill_s_mean"].value == 1.0


def test_idle_slots_tell_nothing() -> None:
    assert slot_signals([[slot(600, 1, busy=0.0)], None], found(), 8.0) == {}


def test_a_published_number_wins() -> None:
    signals = slot_signals([[slot(600, 1)]], found(prompt_length_tokens_mean=50.0), 8.0)
    assert "serving.prompt_length_tokens_mean" not in signals


def read(at_s: float, *slots: dict[str, float]) -> dict[str, Any]:
    return {"at_s": at_s, "slots": list(slots)}


def test_a_request_without_a_token_has_waited_at_least_as_long_as_it_was_seen() -> None:
    reads = [
        read(0.0, slot(60, 1)),
        read(1.0, slot(60, 1)),
        read(4.0, slot(60, 1)),
        read(5.0, slot(61, 1) | {"decoded": 1.0}),
    ]
    assert waiting_signals(reads, 5.0)["serving.ttft_seen_s_max"].value == 4.0


def test_a_request_seen_once_before_its_first_token_tells_no_wait() -> None:
    reads: list[dict[str, Any]] = [
        read(0.0, slot(60, 1)),
        read(1.0, slot(60, 2)),
        {"at_s": 2.0},
        read(3.0, slot(60, 2, busy=0.0)),
    ]
    assert waiting_signals(reads, 3.0)["serving.ttft_seen_s_max"].reason is UnknownReason.NO_TRAFFIC


def test_the_fullest_context() -> None:
    slots = [[slot(100, 1), slot(2048, 2, busy=0.0)], None, [slot(2040, 1)]]
    assert context_signals(slots, 2.0)["serving.context_used_ratio_max"].value == 2040 / 2048
    assert not context_signals([None, [slot(9, 1, busy=0.0)]], 2.0)["serving.context_used_ratio_max"].known


def test_the_pace_of_requests_that_have_not_ended() -> None:
    reads: list[dict[str, Any]] = [
        {"at_s": 0.0, "slots": [slot(40, 1), slot(60, 2) | {"decoded": 4.0}]},
        {"at_s": 1.0},  # this read of the slots failed
        {"at_s": 2.0, "slots": [slot(44, 1) | {"decoded": 4.0}, slot(64, 2) | {"decoded": 8.0}]},
        {"at_s": 3.0, "slots": [slot(46, 1) | {"decoded": 6.0}, slot(9, 3) | {"decoded": 1.0}]},
    ]
    silent = dict.fromkeys(
        ("serving.itl_s_mean", "serving.tpot_s_mean"), unknown(UnknownReason.NO_TRAFFIC, "none ended")
    )
    pace = pace_signals(reads, silent, 3.0)
    assert pace["serving.itl_s_mean"].value == (2.0 + 1.0) / (4.0 + 2.0)
    assert pace["serving.tpot_s_mean"].source == "derived from /slots: 6 tokens of 3 running requests between reads"
    assert pace_signals(reads, {name: measured(0.02) for name in silent}, 3.0) == {}
    assert pace_signals(reads[:1], silent, 3.0) == {}


def test_what_ended_requests_left_in_their_slots() -> None:
    rest = [slot(2047, 7, busy=0.0), slot(300, 8, busy=0.0), slot(0, -1, busy=0.0)]
    ended = context_signals([[*rest, slot(2047, 9)], [*rest, slot(40, 10, busy=0.0)]], 2.0)["serving.ended_full_ratio"]
    assert ended.value == 1 / 3  # a running request has not ended, an unused slot tells nothing
    assert ended.source == "derived from /slots: what 3 requests that ended left there"
    few = context_signals([[slot(2047, 7, busy=0.0)]], 2.0)["serving.ended_full_ratio"]
    assert (few.reason, few.detail) == (UnknownReason.NO_TRAFFIC, "the slots at rest tell of 1 requests, 2 wanted")


def kv_usage(*slots: dict[str, float]) -> Reading:
    """Of a server that publishes no KV numbers."""
    window = Window([PageRead(0.0, parse_lines(["up 1"])), PageRead(1.0, parse_lines(["up 1"]))], {})
    return kv_signals(window, [list(slots)])["serving.kv_usage_ratio"]


def test_slots_that_may_share_one_pool_leave_its_use_unknown() -> None:
    """Four slots tell 2,048 tokens each: 8,192 in all, or one pool of 2,048 that is full."""
    usage = kv_usage(slot(1000, 1), slot(900, 2), slot(0, 3, busy=0.0), slot(0, 4, busy=0.0))
    assert usage.reason is UnknownReason.INCONSISTENT
    assert usage.detail.startswith(
        "between 23% and 93%: /slots does not tell whether the 4 slots have 2048 tokens each"
    )


def test_slots_that_hold_more_than_one_pool_have_their_own() -> None:
    usage = kv_usage(*(slot(1000, number) | {"decoded": 5.0} for number in range(3)), slot(0, 4, busy=0.0))
    assert usage.value == 3000 / 8192


def test_slots_that_hold_little_have_room_either_way() -> None:
    assert kv_usage(slot(100, 1), slot(100, 2)).value == 200 / 4096


def reusing(reused: float, tokens: float, task: float, busy: float = 1.0) -> dict[str, float]:
    return slot(tokens, task, busy) | {"reused": reused}


def test_what_running_requests_took_from_the_cache() -> None:
    """A slot at rest is of long ago, and one that has not begun (-1) tells nothing yet."""
    rows = [
        [reusing(-1, 1600, 7), reusing(0, 40, 1, busy=0.0)],
        [reusing(1500, 1600, 7), reusing(0, 40, 1, busy=0.0)],
        [reusing(1550, 1700, 8) | {"decoded": 50.0}, reusing(0, 40, 1, busy=0.0)],
    ]
    signals = reuse_signals(rows, 10.0)
    assert signals["serving.slot_reused_tokens_p50"].value == 1550.0
    assert signals["serving.slot_prompt_tokens_p50"].value == 1650.0
    assert signals["serving.slot_reused_tokens_p50"].source == "derived from /slots: 2 requests seen running"


def test_a_build_that_does_not_tell_reuse_is_no_zero() -> None:
    assert reuse_signals([[slot(1600, 7)]], 10.0)["serving.slot_reused_tokens_p50"].reason is UnknownReason.NO_TRAFFIC


def test_a_hit_ratio_of_our_own_request_is_not_the_users() -> None:
    """22 tokens of ours were counted while 1,628 of a user's were being read."""
    known = {name: measured(value) for name, value in (("hit_ratio", 1.0), ("queries", 22.0))}
    before = {f"serving.prefix_cache_{name}": reading for name, reading in known.items()}
    after = hit_signals([[slot(1628, 7)]], before)["serving.prefix_cache_hit_ratio"]
    assert after.reason is UnknownReason.INCONSISTENT
    assert after.detail == "the counters hold 22 prompt tokens, which count once read; the slots show 1628"
    assert hit_signals([[slot(40, 7)]], before) == {}
    assert hit_signals([None], before) == {}
