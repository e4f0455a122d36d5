"""Paired latency probes: the same new prompts to both arms in turn, the order alternating.

One request at a time, or `concurrency` of them at once: a release may be slower only where requests share it.

Every prompt is new, to this run and to any other (the seed is the run's), so that no prefix cache helps one side: a
baseline that met the same prompts in yesterday's gate would answer from its cache. The first pair only warms both up.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.gate.arm import Arm
from sickbay.engine.gate.model import LatencyRule
from sickbay.engine.measure.stream import Failure, StreamTrace, TraceRecorder
from sickbay.engine.measure.stream_stats import StreamStats, median, stats_of
from sickbay.engine.model.look import Clock
from sickbay.engine.run.http import StepHttp

__all__ = ["Measured", "TimedPair", "measure_pairs"]

_TEXT = """
time year people way day man thing woman life child world school state family student group country problem hand part
place case week company system program question work number night point home water room mother area money story fact
month lot right study book eye job word business issue side kind head house service friend father power hour game line
"""
WORDS = tuple(_TEXT.split())
HEADERS = {"accept": "text/event-stream", "accept-encoding": "identity"}
TIMEOUT_S = 120.0
NOT_TOLD = "the stream does not tell it"


TimedPair = tuple[float | None, float | None]
"""Baseline, candidate; None where it failed."""


@dataclass
class Measured:
    """Pairs (baseline, candidate) of the metric and of output tokens, why requests failed, and why it ended early.

    A pair counts once as failed on a side, however many of its requests failed there.
    """

    pairs: list[TimedPair] = field(default_factory=list)
    tokens: list[tuple[int | None, int | None]] = field(default_factory=list)
    failures: dict[str, list[str]] = field(default_factory=lambda: {"baseline": [], "candidate": []})
    stopped: str = ""


async def measure_pairs(
    rule: LatencyRule, baseline: Arm, candidate: Arm, clock: Clock, *, seed: str,
    on_pair: Callable[[int], None] = lambda _: None,
) -> Measured:  # fmt: skip
    """`rule.pairs` pairs after one that is thrown away. A spent budget ends it early. `seed` is new for every run."""
    generator = random.Random(seed)  # noqa: S311  # prompts, and repeatable
    found = Measured()
    arms = {"baseline": baseline, "candidate": candidate}
    for number in range(rule.pairs + 1):
        prompts = [" ".join(generator.choices(WORDS, k=rule.prompt_tokens)) for _ in range(rule.concurrency)]
        values: dict[str, float | None] = {}
        tokens: dict[str, int | None] = {}
        for name in ("baseline", "candidate") if number % 2 else ("candidate", "baseline"):
            try:
                traces = await _burst(arms[name], prompts, rule.output_tokens, clock)
            except BudgetExceededError:
                found.stopped = f"the {name} has had the requests that the gate allows; raise requests:"
                return found
            values[name], why = _value(rule.metric, traces)
            tokens[name] = None if why else sum(stats_of(trace).tokens for trace in traces)
            if number and why:
                found.failures[name].append(why)
        if number:
            found.pairs.append((values["baseline"], values["candidate"]))
            found.tokens.append((tokens["baseline"], tokens["candidate"]))
            on_pair(number)
    return found


async def _burst(arm: Arm, prompts: Sequence[str], output_tokens: int, clock: Clock) -> list[StreamTrace]:
    """All prompts at once. A spent budget is told when every request that was sent has ended."""
    work = (_stream(arm, prompt, output_tokens, clock) for prompt in prompts)
    done = await asyncio.gather(*work, return_exceptions=True)
    for each in done:
        if isinstance(each, BaseException):
            raise each
    return [each for each in done if isinstance(each, StreamTrace)]


async def _stream(arm: Arm, prompt: str, output_tokens: int, clock: Clock) -> StreamTrace:
    body: dict[str, Any] = {
        "model": arm.endpoint.model, "messages": [{"role": "user", "content": prompt}], "max_tokens": output_tokens,
        "temperature": 0.0, "stream": True, "stream_options": {"include_usage": True},
    }  # fmt: skip
    if arm.engine in {"vllm", "sglang", "llamacpp", "trtllm-serve"}:
        body["ignore_eos"] = True
    recorder = TraceRecorder(clock.monotonic())
    try:
        async with StepHttp(arm.client).stream(
            "POST", arm.endpoint.path, json=body, headers=HEADERS, timeout_s=TIMEOUT_S, fresh=True
        ) as answer:
            recorder.start(
                sent_at_s=answer.sent_at_s, headers_at_s=clock.monotonic(), connect_s=answer.connect_s,
                status=answer.status, headers=answer.headers,
            )  # fmt: skip
            if answer.status >= 300:
                return recorder.finish(clock.monotonic(), Failure.HTTP, f"HTTP {answer.status}")
            async for chunk in answer.reads():
                recorder.feed(chunk.at_s, chunk.data)
    except BudgetExceededError:
        raise
    except ProbeError as error:
        return recorder.refuse(clock.monotonic(), error)
    return recorder.finish(clock.monotonic())


def _value(metric: str, traces: Sequence[StreamTrace]) -> tuple[float | None, str]:
    """The metric of one request, or the median of several at once; or None, and why.

    The throughput of several is what they wrote together, over the time from the first sending to the last token.
    """
    failed = next((trace for trace in traces if trace.failure), None)
    if failed is not None:
        return None, failed.message or str(failed.failure)
    told = [stats_of(trace) for trace in traces]
    if metric == "throughput" and len(told) > 1:
        ends = [stats.e2e_s or 0.0 for stats in told]
        whole = sum(stats.tokens for stats in told)
        return (whole / max(ends), "") if min(ends) > 0 and whole else (None, NOT_TOLD)
    values = [_of_one(metric, stats) for stats in told]
    known = [value for value in values if value]
    return (median(known), "") if len(known) == len(values) else (None, NOT_TOLD)


def _of_one(metric: str, stats: StreamStats) -> float | None:
    if metric in {"ttft", "e2e"}:  # opening the connection is in neither of them
        found = stats.ttft_s if metric == "ttft" else stats.e2e_s
        return found if found and found > 0 else None
    if metric == "itl":
        return median(list(stats.itl_s)) if stats.itl_s else stats.tpot_s
    return None if not stats.tpot_s else 1.0 / stats.tpot_s
