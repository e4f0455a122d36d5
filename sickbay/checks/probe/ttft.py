"""probe.ttft: time to the first token, from outside, with prompts of our own.

Short and long prompts that no cache has seen, one long prompt twice for the prefix cache, one after another.
Latency counts from the intended send, so a delay of ours shows as dispatch lag and not as a faster server.
On a slow server the long prompt shrinks and the probe stops in time; the report then says how many it measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.checks.probe.timeout_param import timeout_param
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["ProbeTtft"]


class ProbeTtft(Check):
    """Measure time to first token with a few short requests of our own.

    Sends `repeats` cold prompts of each length in `prompt_tokens` and the first long one a second time: seven requests
    by default, one at a time, 16 output tokens each, temperature 0. Prompts are random plain words and are not kept;
    the evidence holds arrival times and token counts only. The first token is the first generated token in any channel
    (content, reasoning, tool call, refusal): an opening chunk with a role and no text does not count.
    """

    name = "probe.ttft"
    title = "How long the first token takes, for short and long prompts, cold and cached"
    effect = Effect.LIGHT
    needs = ("url",)
    emits: ClassVar[Sequence[str]] = (
        "probe.ttft_s_p50",
        "probe.ttft_s_max",
        "probe.ttft_short_s_p50",
        "probe.ttft_long_s_p50",
        "probe.ttft_cold_s",
        "probe.ttft_warm_s",
        "probe.ttft_first_s",
        "probe.cold_start_ratio",
        "probe.cache_speedup",
        "probe.cached_tokens_ratio",
        "probe.prefix_reused",
        "probe.prefill_s_per_token",
        "probe.prompt_tokens_short",
        "probe.prompt_tokens_long",
        "probe.itl_s_p50",
        "probe.itl_s_p95",
        "probe.itl_s_max",
        "probe.icl_s_p50",
        "probe.tpot_s",
        "probe.e2e_s_p50",
        "probe.ttft_over_e2e",
        "probe.tokens_per_chunk",
        "probe.dispatch_lag_s_max",
        "probe.overhead_s",
        "probe.client_lag_s_max",
        "probe.connect_s",
        "probe.ttfb_s_p50",
        "probe.failed_ratio",
        "probe.server_prefill_s",
        "probe.server_queue_s",
        "probe.server_load_s",
        "probe.reload_ratio",
    )
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "prompt_tokens": {
                "description": "prompt lengths in tokens; the longest shrinks to the context and to the time there is",
                "type": "array",
                "items": {"type": "integer", "minimum": 8, "maximum": 32768},
                "minItems": 1,
                "maxItems": 4,
                "default": [32, 1024],
            },
            "repeats": {
                "description": "requests of each length",
                "type": "integer",
                "minimum": 1,
                "maximum": 5,
                "default": 3,
            },
            "max_tokens": {
                "description": "output tokens of each request",
                "type": "integer",
                "minimum": 1,
                "maximum": 512,
                "default": 16,
            },
            "cached_pair": {"description": "send the first longest prompt twice", "type": "boolean", "default": True},
            "seed": {"description": "seed of the prompts; 0 takes a new one each run", "type": "integer", "default": 0},
            "timeout_s": timeout_param(default=20.0, maximum=600, describe="most seconds for one request"),
        },
        "additionalProperties": False,
    }
    sources: ClassVar[Sequence[str]] = (
        "vllm-project/vllm#27485 (a role-only chunk is no token)",
        "vllm-project/guidellm#737 (reasoning channels), #1048 (dispatch lag)",
        "api7/aisix#869 (empty string against null)",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """Every planned request, and a time after which it stops by itself."""
        requests = planned_requests(params)
        return Cost(requests=requests, seconds=min(25.0, requests * float(params["timeout_s"])))

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Send the requests, one at a time."""
        from sickbay.checks.probe.ttft_look import look_ttft  # late: what a check says of itself must load fast

        return await look_ttft(look, params)

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Compute every latency from the traces."""
        from sickbay.checks.probe.ttft_judge import judge_ttft  # late: what a check says of itself must load fast

        return judge_ttft(raw)


def planned_requests(params: Mapping[str, Any]) -> int:
    """Requests of one use, the cached repeat included."""
    return len(set(params["prompt_tokens"])) * int(params["repeats"]) + bool(params["cached_pair"])
