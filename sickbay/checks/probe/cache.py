"""probe.cache: does the engine reuse a prompt's beginning, and do the callers' prompts have one to reuse.

A repeated prompt tells the engine's part. Two or more recorded prompts of one conversation tell the callers' part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sickbay.checks.probe.timeout_param import timeout_param
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["ProbeCache"]

REUSED_TOKENS = 0.3
REUSED_TIME = 0.7
NOT_REUSED_TIME = 0.4
"""Share of what a cache could save. Reuse saves nearly all and none saves nothing; one pair beside other requests can
land in between (0.57 was seen with the cache switched off), and then the clock has not told."""
VISIBLE_TIME = 0.3
SAME_PLACE_TOKENS = 8
SAME_PLACE_SHARE = 0.9


class ProbeCache(Check):
    """Send `pairs` new prompts of `prompt_tokens`, each twice, `pause_s` apart.

    `prompts_file` names a JSON file with two or more prompts of one conversation, in their order (a list of texts,
    or of message lists); only the lengths of what they share are kept.
    """

    name = "probe.cache"
    title = "Does a repeated prompt come from the cache, and do the callers' prompts begin alike"
    effect = Effect.LIGHT
    needs = ("url",)
    emits: ClassVar[Sequence[str]] = (
        "probe.ttft_cold_s",
        "probe.ttft_warm_s",
        "probe.cache_speedup",
        "probe.cached_tokens_ratio",
        "probe.prefix_reused",
        "client.common_prefix_ratio",
        "client.prefix_break_same_place",
    )
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "prompt_tokens": {
                "description": "length of the repeated prompt; several KV blocks long (a block may hold 784 tokens)",
                "type": "integer",
                "minimum": 64,
                "maximum": 32768,
                "default": 640,
            },
            "pairs": {
                "description": "prompts that are sent twice",
                "type": "integer",
                "minimum": 1,
                "maximum": 5,
                "default": 1,
            },
            "pause_s": {
                "description": "seconds between the two",
                "type": "number",
                "minimum": 0,
                "maximum": 30,
                "default": 1.0,
            },
            "prompts_file": {
                "description": "JSON file of consecutive prompts of one conversation; empty: none",
                "type": "string",
                "default": "",
            },
            "seed": {"description": "seed of the prompts; 0 takes a new one each run", "type": "integer", "default": 0},
            "timeout_s": timeout_param(default=20.0, maximum=300),
        },
        "additionalProperties": False,
    }
    sources: ClassVar[Sequence[str]] = (
        "vllm-project/vllm#54607 (a prefix shorter than one block is never reused)",
        "vllm-project/vllm#51198, #44082; ggml-org/llama.cpp#21831 (silently off for a class of models)",
        "a third of the tokens, or seven tenths of the time beyond that of a short prompt, as reuse: guesses",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """Two a pair, and a short one where the server does not report what it reused."""
        asked = 2 * int(params["pairs"]) + 1
        return Cost(requests=asked, seconds=min(20.0, asked * float(params["timeout_s"])))

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """The pairs; then what slots and recorded prompts tell."""
        from sickbay.checks.probe.cache_look import look_cache  # late: what a check says of itself must load fast

        return await look_cache(look, params)

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """The server's count decides, else the clock."""
        # Late: what a check says of itself must load fast.
        from sickbay.checks.probe.readings import failure_of, over, ttfts
        from sickbay.checks.probe.timed import traces_of

        cold, warm, short = (ttfts(traces_of(raw, kind)) for kind in ("cold", "warm", "short"))
        speedup = over(cold, warm)
        signals = _prefixes(raw["prefixes"])
        if speedup is None:
            gone = unknown(UnknownReason.ABSENT, f"no prompt was answered twice: {failure_of(raw)}")
            signals |= dict.fromkeys(self.emits[:5], gone)
            return Result(outcome=Outcome.UNKNOWN, summary=gone.detail, signals=signals)
        ratio = _cached(raw)
        signals |= {
            "probe.ttft_cold_s": measured(sorted(cold)[len(cold) // 2], f"{len(cold)} new prompts"),
            "probe.ttft_warm_s": measured(sorted(warm)[len(warm) // 2], f"{len(warm)} repeated prompts"),
            "probe.cache_speedup": measured(speedup, f"new over repeated, {len(warm)} pairs"),
            "probe.cached_tokens_ratio": ratio,
            "probe.prefix_reused": _reused(
                ratio, speedup, over(short, cold), float(raw["context"].get("serving.requests_waiting", 0.0))
            ),
        }
        reused = signals["probe.prefix_reused"]
        summary = (
            f"a repeated prompt takes {warm[0]:.3f} s, a new one {cold[0]:.3f} s; {reused.source or reused.detail}"
        )
        return Result(outcome=Outcome.WARN if reused.value is False else Outcome.PASS, summary=summary, signals=signals)


def _cached(raw: Raw) -> Reading:
    from sickbay.checks.probe.timed import traces_of  # late: what a check says of itself must load fast

    shares = []
    for trace in traces_of(raw, "warm"):
        cached = trace.counts.get("cached_tokens", trace.timings.get("cache_n"))
        prompt = trace.counts.get("prompt_tokens") or trace.timings.get("prompt_n", 0) + trace.timings.get("cache_n", 0)
        if cached is not None and prompt:
            shares.append(min(1.0, float(cached) / float(prompt)))
    if not shares:
        detail = "the server does not report cached prompt tokens (vLLM: --enable-prompt-tokens-details)"
        return unknown(UnknownReason.UNSUPPORTED, detail)
    return measured(sum(shares) / len(shares), f"cached share of {len(shares)} repeated prompts, as reported")


def _reused(ratio: Reading, speedup: float, fixed: float | None, waiting: float) -> Reading:
    """`fixed`: the share of a new prompt's time that a short one takes as well, and no cache can save."""
    if isinstance(ratio.value, float):
        told = f"{ratio.value:.0%} of the repeated prompt is reported as cached"
        return measured(ratio.value >= REUSED_TOKENS, told)
    if waiting >= 0.5:
        return unknown(UnknownReason.INCONSISTENT, f"time says nothing while {waiting:.0f} requests wait")
    fixed = fixed or 0.0
    if 1 - fixed < VISIBLE_TIME:
        return unknown(
            UnknownReason.INCONSISTENT,
            f"by time it cannot be said: a short prompt takes {fixed:.0%} of the new one's time, so a cache could save "
            "little; take a longer one (prompt_tokens)",
        )
    saved = (1 - 1 / speedup) / (1 - fixed)
    told = f"by time: the repeat took {1 / speedup:.0%} of the first, a short prompt {fixed:.0%}"
    if NOT_REUSED_TIME <= saved < REUSED_TIME:
        return unknown(UnknownReason.INCONSISTENT, f"{told}: neither all nor nothing was saved; take more pairs")
    return measured(saved >= REUSED_TIME, told)


def _prefixes(found: Mapping[str, Any]) -> dict[str, Reading]:
    names = ("client.common_prefix_ratio", "client.prefix_break_same_place")
    if found.get("problem"):
        return dict.fromkeys(names, unknown(UnknownReason(found["reason"]), found["problem"]))
    pairs = found.get("pairs") or []
    if not pairs:
        gone = unknown(UnknownReason.NOT_CONFIGURED, "no recorded prompts were given (prompts_file)")
        return dict.fromkeys(names, gone)
    shares = [common / max(1, earlier) for common, earlier in pairs]
    source = f"{len(pairs)} pairs of consecutive prompts, in characters"
    broken = [common for common, earlier in pairs if common < SAME_PLACE_SHARE * earlier]
    same = len(broken) == len(pairs) >= 2 and max(broken) - min(broken) <= SAME_PLACE_TOKENS
    return {
        names[0]: measured(sum(shares) / len(shares), source),
        names[1]: measured(same, f"{source}; they part at {', '.join(str(each) for each, _ in pairs[:4])}"),
    }
