"""Prompt lengths from /slots: each request counted once, nothing known replaced, nothing made up."""

from sickbay.checks.serving.window_slots import slot_signals
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
