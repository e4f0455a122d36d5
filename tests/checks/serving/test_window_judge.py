"""Recorded pages of real servers, with figures computed by hand from their lines; and edited pages that lie."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from sickbay.checks.serving.window import ServingWindow
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from tests.checks.serving.looking import reason, value
from tests.checks.serving.replay import evidence, fault, page


def judge(raw: dict[str, Any]) -> Result:
    result = ServingWindow().judge(json.loads(json.dumps(raw)), {"window_s": 10})
    assert set(result.signals) == set(ServingWindow.emits)
    return result


# Sums and counts of the pages' own lines, subtracted by hand (after minus before).
QUEUE = {
    "ttft_s_mean": 31.258110 / 12,
    "queue_s_mean": 27.493443 / 12,
    "prefill_s_mean": 2.527591 / 12,
    "decode_s_mean": 24.785865 / 12,
    "e2e_s_mean": 56.042011 / 12,
    "itl_s_mean": 24.785865 / 756,
    "requests_finished": 12,
    "length_finish_ratio": 1.0,
    "preemptions": 0.0,
    "prompt_length_tokens_mean": 710 / 12,
    "kv_capacity_tokens": 46592,
    "kv_block_size_tokens": 128,
    # 12 first tokens: 5 up to 2.5 s, 12 up to 5 s; the 11.4th lies 6.4/7 into that bucket.
    "ttft_s_p95": 2.5 + 2.5 * (11.4 - 5) / 7,
    # The parts of the same 12 ended requests: first token after (56.042011 - 24.785865) / 12 s.
    "queue_share": 27.493443 / (56.042011 - 24.785865),
    "frontend_residual_s": (56.042011 - 24.785865 - 27.493443 - 2.527591) / 12,
}


def test_vllm_queue_by_hand() -> None:
    result = judge(fault("vllm", "queue"))
    for name, wanted in QUEUE.items():
        assert value(result, name) == pytest.approx(wanted, rel=1e-5), name
    assert reason(result, "requests_running_limit") is UnknownReason.UNSUPPORTED
    assert value(result, "stalled") is False


def test_vllm_kv_pressure_by_hand() -> None:
    result = judge(fault("vllm", "kv_pressure"))
    assert result.outcome is Outcome.WARN
    assert value(result, "preemptions") == 4
    assert value(result, "kv_usage_ratio") == pytest.approx(0.941176, rel=1e-5)
    assert value(result, "kv_capacity_tokens") == 18 * 128
    assert value(result, "kv_used_tokens") == pytest.approx(0.941176 * 2304, rel=1e-5)
    assert value(result, "itl_s_mean") == pytest.approx(237.931215 / 4194, rel=1e-5)
    # Queues of 27 µs under a first bucket of 0.3 s: told as a bound, from the mean.
    assert value(result, "queue_s_p95") < 0.001
    assert "at most this" in result.signals["serving.queue_s_p95"].source
    assert reason(result, "littles_law_ratio") is UnknownReason.INCONSISTENT


def test_vllm_memory_limited_while_it_lasts() -> None:
    during = page("vllm", "kv_pressure_metrics_during.txt")
    result = judge(evidence("vllm", [during, during, during], step_s=1.0))
    assert value(result, "saturation") == "memory-limited"
    assert value(result, "requests_waiting_capacity") == 2


def test_vllm_prefix_cache_lost_and_found() -> None:
    cold, warm = judge(fault("vllm", "long_prompt")), judge(fault("vllm", "long_prompt_cached"))
    assert value(cold, "prefix_cache_hit_ratio") == 0.0
    assert value(warm, "prefix_cache_hit_ratio") == pytest.approx(6144 / value(warm, "prefix_cache_queries"))
    assert value(warm, "prefix_cache_hit_ratio") > 0.9
    assert value(warm, "ttft_s_mean") < value(cold, "ttft_s_mean") / 10
    assert value(cold, "prefill_s_per_token") == pytest.approx(
        20.868067 / (4 * value(cold, "prompt_computed_tokens_mean")), rel=1e-5
    )


def test_vllm_of_2025_by_its_old_names() -> None:
    olden = [
        text.replace("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")
        .replace("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds")
        .replace("vllm:prefix_cache", "vllm:gpu_prefix_cache")
        for text in (page("vllm", f"queue_metrics_{when}.txt") for when in ("before", "during", "after"))
    ]
    result = judge(evidence("vllm", olden))
    assert value(result, "itl_s_mean") == pytest.approx(QUEUE["itl_s_mean"], rel=1e-5)
    assert result.signals["serving.kv_usage_ratio"].source.startswith("vllm:gpu_cache_usage_perc")
    assert value(result, "prefix_cache_hit_ratio") == 0.0


def test_two_vllm_engines_are_summed_and_ratios_are_not() -> None:
    texts = []
    for when in ("before", "during", "after"):
        text = page("vllm", f"queue_metrics_{when}.txt")
        lines = [line for line in text.splitlines() if line.startswith("vllm:")]
        texts.append(
            text + "\n".join(line.replace('engine="0"', 'engine="1"') for line in lines if "engine=" in line) + "\n"
        )
    result = judge(evidence("vllm", texts))
    assert value(result, "requests_finished") == 24
    assert value(result, "ttft_s_mean") == pytest.approx(QUEUE["ttft_s_mean"], rel=1e-5)
    assert value(result, "kv_usage_ratio") == pytest.approx(0.0110193, rel=1e-4)
    assert value(result, "kv_capacity_tokens") == 2 * 46592


def _plateau(during: str) -> list[str]:
    """Six pages of the same gauges between which requests end."""
    finished = 'vllm:request_success_total{engine="0",finished_reason="length",model_name="smollm2-135m-instruct"} '
    pages = []
    for step in range(6):
        lines = [line for line in during.splitlines() if not line.startswith(finished)]
        pages.append("\n".join([*lines, f"{finished}{20 + step}"]) + "\n")
    return pages


def test_a_plateau_while_all_wait_for_something_else_is_no_limit() -> None:
    during = page("vllm", "queue_metrics_during.txt")
    name = 'vllm:num_requests_waiting_by_reason{engine="0",model_name="smollm2-135m-instruct",reason='
    deferred = during.replace(f'{name}"capacity"}} 8.0', f'{name}"capacity"}} 0.0')
    deferred = deferred.replace(f'{name}"deferred"}} 0.0', f'{name}"deferred"}} 8.0')
    result = judge(evidence("vllm", _plateau(deferred), step_s=1.0))
    assert value(result, "requests_waiting_deferred") == 8.0
    assert reason(result, "requests_running_limit") is UnknownReason.UNSUPPORTED
    assert not result.signals["serving.saturation"].known


def test_a_limit_shown_by_a_plateau_is_told_as_inferred() -> None:
    result = judge(evidence("vllm", _plateau(page("vllm", "queue_metrics_during.txt")), step_s=1.0))
    assert value(result, "requests_running_limit") == 4
    assert result.signals["serving.requests_running_limit"].source == (
        "inferred: 4 ran in 6 of 6 reads and never more, while 8 or more waited, 5 finished and KV was at most 1% "
        "used; the engine does not publish its limit"
    )
    assert value(result, "saturation") == "admission-limited"


def test_a_read_between_two_batches_does_not_hide_the_limit() -> None:
    during = page("vllm", "queue_metrics_during.txt")
    line = next(line for line in during.splitlines() if line.startswith("vllm:num_requests_running{"))
    between = during.replace(line, line.replace(" 4.0", " 1.0"))
    result = judge(evidence("vllm", [during, during, between, during, during], step_s=1.0, limit=4.0))
    assert value(result, "requests_running") == pytest.approx(17 / 5)
    assert value(result, "slots_busy_ratio") == 1.0
    assert value(result, "saturation") == "admission-limited"


def _running(counts: list[int]) -> list[str]:
    """Pages that find so many running, while others wait and requests end."""
    pages = _plateau(page("vllm", "queue_metrics_during.txt")) * 2
    line = next(line for line in pages[0].splitlines() if line.startswith("vllm:num_requests_running{"))
    done = 'vllm:request_success_total{engine="0",finished_reason="length",model_name="smollm2-135m-instruct"} '
    return [
        re.sub(re.escape(done) + r"\S+", f"{done}{20 + step}", text.replace(line, line.replace(" 4.0", f" {count}.0")))
        for step, (count, text) in enumerate(zip(counts, pages, strict=True))
    ]


def test_batches_that_end_together_show_the_limit_too() -> None:
    # As a slow machine was seen: a third of the reads fall between two batches of four.
    counts = [1, 4, 4, 1, 4, 4, 0, 4, 4, 1, 4, 4]
    result = judge(evidence("vllm", _running(counts), step_s=1.0))
    assert value(result, "requests_running_limit") == 4
    assert "4 ran in 8 of 12 reads" in result.signals["serving.requests_running_limit"].source
    assert value(result, "saturation") == "admission-limited"


@pytest.mark.parametrize(
    "counts",
    [
        [3, 4, 4, 3, 4, 4, 3, 4, 4, 3, 4, 4],  # something else limits: it nearly reaches four again and again
        [1, 4, 1, 4, 0, 4, 1, 4, 1, 4, 1, 1],  # more often idle than full
        [1, 3, 3, 1, 3, 3, 1, 3, 3, 1, 3, 3],  # too few to tell a batch from single requests
    ],
)
def test_a_top_that_is_only_reached_is_no_limit(counts: list[int]) -> None:
    result = judge(evidence("vllm", _running(counts), step_s=1.0))
    assert reason(result, "requests_running_limit") is UnknownReason.UNSUPPORTED


def test_a_restart_in_the_window_is_never_a_negative_rate() -> None:
    after, before = page("vllm", "queue_metrics_after.txt"), page("vllm", "queue_metrics_before.txt")
    result = judge(evidence("vllm", [after, before, before]))
    assert value(result, "counters_reset") is True
    assert result.outcome is Outcome.WARN
    for name in ("ttft_s_mean", "generation_tokens_rate", "requests_finished", "ttft_s_p95", "prefix_cache_hit_ratio"):
        assert reason(result, name) is UnknownReason.RESET, name


def test_an_idle_window_knows_no_latency() -> None:
    idle = page("vllm", "queue_metrics_before.txt")
    result = judge(evidence("vllm", [idle, idle, idle]))
    assert result.outcome is Outcome.PASS
    for name in ("ttft_s_mean", "ttft_s_p95", "itl_s_mean", "queue_share", "prefix_cache_hit_ratio", "abort_ratio"):
        assert reason(result, name) is UnknownReason.NO_TRAFFIC, name
    assert value(result, "generation_tokens_rate") == 0.0
    assert value(result, "saturation") == "not-saturated"


def test_work_without_progress_is_a_stall() -> None:
    during = page("vllm", "queue_metrics_during.txt")
    result = judge(evidence("vllm", [during, during, during]))
    assert value(result, "stalled") is True
    assert result.outcome is Outcome.FAIL
    assert result.summary.startswith("stalled: 12 or more requests in each of 3 reads over 10.0 s, and none of")


def test_a_routers_page_is_named_and_not_summed() -> None:
    lines = [f'vllm:num_requests_running{{server="http://10.0.0.{n}:8000"}} 5' for n in (1, 2)]
    lines += [f'vllm:gpu_cache_usage_perc{{server="http://10.0.0.{n}:8000"}} 0.4' for n in (1, 2)]
    result = judge(evidence("vllm", ["\n".join(lines) + "\n"] * 2))
    assert value(result, "metrics_readable") is False
    assert reason(result, "requests_running") is UnknownReason.INCONSISTENT
    assert result.summary == (
        "the engine's metrics cannot be read: this page belongs to a router: its series carry the label 'server' "
        "(2 servers: http://10.0.0.1:8000, http://10.0.0.2:8000); its copies are not summed. "
        "Give the engine's own page with direct_url or metrics_url"
    )


def test_nan_and_negative_numbers_are_told_and_not_used() -> None:
    text = page("vllm", "queue_metrics_during.txt")
    for family, broken in (("vllm:num_requests_running{", "NaN"), ("vllm:num_preemptions_total{", "-7")):
        line = next(line for line in text.splitlines() if line.startswith(family))
        text = text.replace(line, f"{line.rsplit(' ', 1)[0]} {broken}")
    result = judge(evidence("vllm", [text, text]))
    assert not result.signals["serving.requests_running"].known
    assert not result.signals["serving.preemptions"].known
    note = result.signals["serving.metrics_readable"].source
    assert "odd: vllm:num_requests_running is NaN" in note
    assert "odd: vllm:num_preemptions_total is negative (-7)" in note


SLOTS = [{"busy": 1.0, "context": 1024.0, "tokens": 300.0}, {"busy": 0.0, "context": 1024.0, "tokens": 900.0}]


def test_llamacpp_queue_by_hand() -> None:
    result = judge(fault("llamacpp", "queue", limit=1.0))
    # The page's own lines: 58 to 410 seconds and tokens, subtracted by hand below.
    before, after = page("llamacpp", "queue_metrics_before.txt"), page("llamacpp", "queue_metrics_after.txt")

    def gained(name: str) -> float:
        def read(text: str) -> float:
            return float(next(line.split()[1] for line in text.splitlines() if line.startswith(f"llamacpp:{name} ")))

        return read(after) - read(before)

    seconds, tokens = gained("tokens_predicted_seconds_total"), gained("tokens_predicted_total")
    assert value(result, "itl_s_mean") == pytest.approx(seconds / tokens)
    assert value(result, "prefill_s_per_token") == pytest.approx(
        gained("prompt_seconds_total") / gained("prompt_tokens_total")
    )
    assert value(result, "generation_tokens_rate") == pytest.approx(tokens / 10)
    assert reason(result, "ttft_s_p95") is UnknownReason.UNSUPPORTED
    assert result.signals["serving.ttft_s_p95"].detail == (
        "llama.cpp publishes no time to first token; measure it with probe.ttft"
    )
    assert reason(result, "error_ratio") is UnknownReason.UNSUPPORTED


def test_llamacpp_slots_too_few_while_it_lasts() -> None:
    during = page("llamacpp", "queue_metrics_during.txt")
    moving = [during.replace("n_decode_total ", f"n_decode_total {step}") for step in (1, 2, 3)]
    result = judge(evidence("llamacpp", moving, step_s=2.0, limit=1.0, slots=SLOTS[:1]))
    assert result.outcome is Outcome.WARN
    assert value(result, "saturation") == "admission-limited"
    assert value(result, "slots_busy_ratio") == 1.0
    assert value(result, "requests_waiting_min") == 4
    assert value(result, "stalled") is False


def test_llamacpp_kv_is_derived_from_busy_slots_and_says_so() -> None:
    during = page("llamacpp", "queue_metrics_during.txt")
    result = judge(evidence("llamacpp", [during, during], slots=SLOTS))
    assert value(result, "kv_usage_ratio") == pytest.approx(300 / 2048)
    assert value(result, "kv_capacity_tokens") == 2048
    assert result.signals["serving.kv_usage_ratio"].source == (
        "derived from /slots: tokens of busy slots over 2 slots' contexts, highest of 2 reads; "
        "with one shared pool (--kv-unified) the true ratio is higher"
    )


def test_llamacpp_in_one_long_prefill_step_is_not_called_stalled() -> None:
    during = page("llamacpp", "queue_metrics_during.txt")
    prefill = [{"task": 1.0, "busy": 1.0, "context": 4096.0, "tokens": 1831.0, "decoded": 0.0}]
    result = judge(evidence("llamacpp", [during] * 3, slots=prefill))
    assert reason(result, "stalled") is UnknownReason.INCONSISTENT
    assert result.signals["serving.stalled"].detail == (
        "nothing moved within 10.0 s, but a slot computes a prompt of 1831 tokens, which is one step; "
        "take a longer window"
    )
    decoding = [prefill[0] | {"decoded": 7.0, "tokens": 1838.0}]
    stuck = judge(evidence("llamacpp", [during] * 3, slots=decoding))
    assert value(stuck, "stalled") is True
    assert value(stuck, "prompt_length_tokens_mean") == 1831


def test_sglang_gauges_that_stand_at_zero_are_not_bad_speculation() -> None:
    result = judge(fault("sglang", "kv_pressure"))
    assert reason(result, "spec_acceptance_ratio") is UnknownReason.NO_TRAFFIC
    assert reason(result, "spec_acceptance_length") is UnknownReason.NO_TRAFFIC
    assert value(result, "kv_usage_ratio") == pytest.approx(0.26)
    assert value(result, "requests_finished") == 5
    assert value(result, "queue_share") > 0.9
    assert "odd: sglang:fwd_occupancy is NaN" in result.signals["serving.metrics_readable"].source


def test_the_end_of_the_window_lost_keeps_the_gauges_and_counts_nothing() -> None:
    raw = fault("vllm", "queue")
    raw["reads"][-1] = {"at_s": 10.0, "problem": {"reason": "timeout", "detail": "GET u: no answer within 10 s"}}
    result = judge(raw)
    assert result.outcome is Outcome.UNKNOWN
    assert value(result, "metrics_readable") is False
    assert value(result, "requests_waiting") == 4.0
    assert reason(result, "ttft_s_mean") is UnknownReason.TIMEOUT
    assert result.summary == (
        "the last read of the page failed, so nothing can be counted: GET u: no answer within 10 s"
    )


def test_the_evidence_is_small_and_holds_only_named_families() -> None:
    raw = fault("vllm", "queue")
    assert len(json.dumps(raw)) < 100_000
    assert not any("python_gc" in line or "_created" in line for read in raw["reads"] for line in read["lines"])


def documented(engine: str, **given: Any) -> dict[str, Any]:
    return evidence(engine, [page(engine, f"metrics_{when}.txt") for when in ("before", "before", "after")], **given)


def test_tgi_by_hand() -> None:
    result = judge(documented("tgi"))
    wanted = {
        "requests_running": 2.0, "requests_waiting": 0.0, "requests_finished": 12.0, "error_ratio": 0.0,
        "queue_s_mean": 0.002, "prefill_s_mean": 0.041, "e2e_s_mean": 1.903, "tpot_s_mean": 0.032,
        "prompt_tokens_rate": 216.0, "output_length_tokens_mean": 60.0, "ttft_s_mean": 0.0436,
    }  # fmt: skip
    assert {name: value(result, name) for name in wanted} == pytest.approx(wanted)
    assert result.signals["serving.ttft_s_mean"].source.startswith(
        "sum of the means of tokenisation, queue and prefill"
    )
    assert value(result, "prefill_share") == pytest.approx(0.041 / 0.0436)
    assert reason(result, "kv_usage_ratio") is UnknownReason.UNSUPPORTED
    assert reason(result, "prefix_cache_hit_ratio") is UnknownReason.UNSUPPORTED
    assert reason(result, "ttft_s_p95") is UnknownReason.UNSUPPORTED


def test_trtllm_serve_by_hand() -> None:
    result = judge(documented("trtllm-serve"))
    wanted = {
        "requests_running": 3.0, "requests_running_limit": 8.0, "kv_usage_ratio": 0.21, "kv_capacity_tokens": 65536.0,
        "prefix_cache_hit_ratio": 64 / 180, "requests_finished": 24.0, "length_finish_ratio": 1.0, "error_ratio": 0.0,
        "ttft_s_mean": 0.045, "queue_s_mean": 0.002, "prefill_s_mean": 0.041, "decode_s_mean": 0.57,
        "generation_tokens_rate": 144.0,
    }  # fmt: skip
    assert {name: value(result, name) for name in wanted} == pytest.approx(wanted)


def test_triton_reads_one_model_of_its_ensemble() -> None:
    result = judge(documented("triton-trtllm"))
    wanted = {
        "requests_running": 2.0, "requests_waiting": 0.0, "requests_running_limit": 8.0, "kv_usage_ratio": 0.11,
        "kv_capacity_tokens": 6239 * 64.0, "requests_finished": 16.0, "error_ratio": 0.0, "e2e_s_mean": 0.69,
    }  # fmt: skip
    assert {name: value(result, name) for name in wanted} == pytest.approx(wanted)
    assert reason(result, "queue_s_mean") is UnknownReason.UNSUPPORTED


def test_sglang_without_a_cache_hit_so_far_has_none() -> None:
    before, after = (page("sglang", f"kv_pressure_metrics_{when}.txt") for when in ("before", "after"))
    assert "sglang:cached_tokens_total" not in before
    lines = [line for line in after.splitlines(keepends=True) if "cached_tokens_total" not in line]
    result = judge(evidence("sglang", [before, "".join(lines)]))
    assert value(result, "prefix_cache_hit_ratio") == 0.0
    assert value(result, "preemptions") == 0.0
    assert value(result, "abort_ratio") == 0.0


def test_what_the_api_server_refuses_is_counted_though_the_engine_never_saw_it() -> None:
    before, after = (page("vllm", f"queue_metrics_{when}.txt") for when in ("before", "after"))
    assert value(judge(evidence("vllm", [before, after])), "refused_ratio") == 0.0
    refused = 'http_requests_total{handler="/v1/chat/completions",method="POST",status="4xx"} 36.0\n'
    assert value(judge(evidence("vllm", [before, after + refused])), "refused_ratio") == pytest.approx(36 / 48)
    assert reason(judge(documented("tgi")), "refused_ratio") is UnknownReason.UNSUPPORTED
