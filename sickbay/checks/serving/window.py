"""serving.window: the engine's own metrics over one window.

Counters and histograms by their increase, gauges over all reads, TTFT split into queue, prefill and frontend,
and the laws that tell a true gauge from a stale one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["ServingWindow"]


class ServingWindow(Check):
    """Read the engine's metrics page over a window and say what they mean together.

    The page is read at the start and at the end; its gauges about each second between. A metrics page that is off,
    guarded, or belongs to a router is told as such, and every number of it is unknown, never 0.

    With a Prometheus in the target the same numbers come from its samples when the run asks about another time
    (`--at`), or when the page itself cannot be read.
    """

    name = "serving.window"
    title = "load, queue, cache and latency as the engine itself counts them"
    effect = Effect.PASSIVE
    needs = ("url",)
    past = True
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "window_s": {
                "type": "number",
                "minimum": 2,
                "maximum": 600,
                "default": 10,
                "description": "seconds between the first and the last read; of a Prometheus at least eight scrapes",
            }
        },
        "additionalProperties": False,
    }
    emits = (
        "serving.metrics_readable", "serving.window_s", "serving.requests_running", "serving.requests_waiting",
        "serving.requests_waiting_min", "serving.requests_waiting_hidden",
        "serving.requests_waiting_capacity", "serving.requests_waiting_deferred",
        "serving.requests_waiting_growth", "serving.requests_running_limit", "serving.slots_busy_ratio",
        "serving.kv_usage_ratio", "serving.kv_capacity_tokens", "serving.kv_block_size_tokens",
        "serving.kv_used_tokens", "serving.preemptions", "serving.prefix_cache_hit_ratio",
        "serving.prefix_cache_queries", "serving.arrival_rate", "serving.finish_rate", "serving.requests_finished",
        "serving.abort_ratio", "serving.error_ratio", "serving.refused_ratio",
        "serving.length_finish_ratio", "serving.prompt_tokens_rate",
        "serving.generation_tokens_rate", "serving.prompt_length_tokens_mean", "serving.prompt_length_tokens_p95",
        "serving.output_length_tokens_mean", "serving.prompt_computed_tokens_mean", "serving.iteration_tokens_mean",
        "serving.ttft_s_mean", "serving.ttft_s_p50", "serving.ttft_s_p95", "serving.ttft_s_p99",
        "serving.ttft_seen_s_max", "serving.context_used_ratio_max", "serving.ended_full_ratio",
        "serving.slot_reused_tokens_p50", "serving.slot_prompt_tokens_p50",
        "serving.itl_s_mean", "serving.itl_s_p50", "serving.itl_s_p95", "serving.itl_s_p99", "serving.tpot_s_mean",
        "serving.e2e_s_mean", "serving.e2e_s_p95", "serving.queue_s_mean", "serving.queue_s_p95",
        "serving.prefill_s_mean", "serving.prefill_s_p95", "serving.decode_s_mean", "serving.prefill_s_per_token",
        "serving.queue_share", "serving.prefill_share", "serving.frontend_residual_s", "serving.frontend_share",
        "serving.busy_ratio", "serving.littles_law_ratio", "serving.token_balance_ratio",
        "serving.conservation_gap", "serving.counters_reset", "serving.stalled", "serving.saturation",
        "serving.spec_acceptance_ratio", "serving.spec_acceptance_length", "serving.lora_slots_used_ratio",
        "serving.cuda_graph_miss_ratio", "serving.expert_balance", "serving.corrupted_requests",
        "serving.kv_transfer_failures", "serving.kv_transfer_s_mean", "serving.grammar_queue",
        "serving.model_load_s", "serving.page_models", "serving.page_model_matches",
        "serving.page_doubt",
    )  # fmt: skip
    sources = (
        "prometheus.io/docs/practices/histograms",
        "vllm-project/vllm#36451",
        "ggml-org/llama.cpp: tools/server/README.md",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """No token; the window and some seconds for slow pages."""
        window_s = float(params.get("window_s", 10))
        return Cost(requests=0, seconds=window_s + 5.0, usual_s=window_s + 0.3)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Read the page over the window; steps of one run with the same window share it."""
        from sickbay.checks.serving.window_past import read_now_or_then  # late: a check's own words must load fast

        window_s = float(params["window_s"])
        return await look.share(f"serving.window:{window_s:g}", lambda: read_now_or_then(look, window_s))

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Signals from the kept lines alone."""
        # Late: what a check says of itself must load fast.
        if "from_s" in raw:
            from sickbay.checks.serving.window_past import judge_stored

            return judge_stored(raw, self.emits)
        from sickbay.checks.serving.window_judge import judge_window

        return judge_window(raw, self.emits)
