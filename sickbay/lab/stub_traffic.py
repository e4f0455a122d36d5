"""Lets a recorded metrics page count on: counters and histograms grow as the traffic of a fault says.

Which series hold a quantity, by engine: the names of vLLM 0.32, SGLang 0.5 and llama.cpp as their recorded pages show
them, those of TGI, trtllm-serve and Triton as their sources do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

__all__ = ["count_traffic"]

COUNTERS = {
    "vllm:prompt_tokens_total": "prompt",
    "vllm:prompt_tokens_by_source_total": "prompt",
    "vllm:prefix_cache_queries_total": "prompt",
    "vllm:generation_tokens_total": "output",
    "vllm:request_success_total": "requests",
    "sglang:prompt_tokens_total": "prompt",
    "sglang:generation_tokens_total": "output",
    "sglang:num_requests_total": "requests",
    "llamacpp:prompt_tokens_total": "prompt",
    "llamacpp:prompt_seconds_total": "prefill",
    "llamacpp:tokens_predicted_total": "output",
    "llamacpp:tokens_predicted_seconds_total": "decode",
    "llamacpp:n_decode_total": "output",
    "tgi_request_count": "requests",
    "tgi_request_success": "requests",
    "trtllm_prompt_tokens_total": "prompt",
    "trtllm_generation_tokens_total": "output",
    "trtllm_request_success_total": "requests",
    "trtllm_num_requests_completed_total": "requests",
    "nv_inference_request_success": "requests",
    "nv_inference_count": "requests",
    "nv_inference_request_duration_us": "e2e",
    "nv_inference_queue_duration_us": "queue",
}
IN_MICROSECONDS = 1e6
HISTOGRAMS = {
    "vllm:request_prompt_tokens": "prompt",
    "vllm:request_generation_tokens": "output",
    "vllm:request_prefill_kv_computed_tokens": "prompt",
    "vllm:time_to_first_token_seconds": "ttft",
    "vllm:inter_token_latency_seconds": "itl",
    "vllm:request_time_per_output_token_seconds": "tpot",
    "vllm:e2e_request_latency_seconds": "e2e",
    "vllm:request_queue_time_seconds": "queue",
    "vllm:request_prefill_time_seconds": "prefill",
    "vllm:request_decode_time_seconds": "decode",
    "vllm:request_inference_time_seconds": "execution",
    "sglang:time_to_first_token_seconds": "ttft",
    "sglang:inter_token_latency_seconds": "itl",
    "sglang:e2e_request_latency_seconds": "e2e",
    "sglang:queue_time_seconds": "queue",
    "tgi_request_input_length": "prompt",
    "tgi_request_generated_tokens": "output",
    "tgi_request_duration": "e2e",
    "tgi_request_queue_duration": "queue",
    "tgi_request_inference_duration": "execution",
    "tgi_request_mean_time_per_token_duration": "tpot",
    "tgi_batch_inference_duration": "prefill",
    "trtllm_time_to_first_token_seconds": "ttft",
    "trtllm_time_per_output_token_seconds": "tpot",
    "trtllm_e2e_request_latency_seconds": "e2e",
    "trtllm_request_queue_time_seconds": "queue",
    "trtllm_request_prefill_time_seconds": "prefill",
    "trtllm_request_decode_time_seconds": "decode",
    "trtllm_request_inference_time_seconds": "execution",
}
# Of a name with several series only this one grows.
ONLY = {
    "vllm:prompt_tokens_by_source_total": 'source="local_compute"',
    "vllm:request_success_total": 'finished_reason="stop"',
    "tgi_batch_inference_duration": 'method="prefill"',
}
SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*?)(_sum|_count|_bucket)?(\{.*\})? (\S+)")
LE = re.compile(r'le="([^"]+)"')


def count_traffic(text: str, counted: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """The page, with what was counted added to its samples."""
    return "".join(_line(line, counted) for line in text.splitlines(keepends=True))


def _line(line: str, counted: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    match = SAMPLE.match(line)
    if match is None:
        return line
    base, part, labels = match[1], match[2] or "", match[3] or ""
    name = base + part
    if name in COUNTERS and ONLY.get(name, "") in labels:
        added = _counter(COUNTERS[name], counted) * (IN_MICROSECONDS if name.endswith("_us") else 1.0)
    elif base in HISTOGRAMS and part and ONLY.get(base, "") in labels:
        added = _histogram(part, labels, counted[HISTOGRAMS[base]])
    else:
        return line
    return f"{name}{labels} {float(match[4]) + added}\n"


def _counter(quantity: str, counted: Mapping[str, Sequence[tuple[float, float]]]) -> float:
    if quantity == "requests":
        return sum(often for often, _ in counted["prompt"])
    return sum(often * value for often, value in counted[quantity])


def _histogram(part: str, labels: str, observed: Sequence[tuple[float, float]]) -> float:
    if part == "_sum":
        return sum(often * value for often, value in observed)
    bound = float("inf")
    if part == "_bucket" and (found := LE.search(labels)):
        bound = float(found[1].replace("+Inf", "inf"))
    return sum(often for often, value in observed if value <= bound)
