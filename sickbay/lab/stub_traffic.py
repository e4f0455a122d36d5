"""Lets a recorded metrics page count on: counters and histograms grow as the traffic of a fault says.

Which series hold a quantity, by engine: the names of vLLM 0.32 and SGLang 0.5 as their recorded pages show them.
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
}
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
}
# Of a counter with several series only this one grows.
ONLY = {
    "vllm:prompt_tokens_by_source_total": 'source="local_compute"',
    "vllm:request_success_total": 'finished_reason="stop"',
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
        added = _counter(COUNTERS[name], counted)
    elif base in HISTOGRAMS and part:
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
