"""Paired latency probes: the same new prompt to both arms in turn, the order alternating, one request at a time.

Every prompt is new, to this run and to any other (the seed is the run's), so that no prefix cache helps one side: a
baseline that met the same prompts in yesterday's gate would answer from its cache. The first pair only warms both up.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.gate.arm import Arm
from sickbay.engine.gate.model import LatencyRule
from sickbay.engine.measure.stream import Failure, StreamTrace, TraceRecorder
from sickbay.engine.measure.stream_stats import StreamStats, median, stats_of
from sickbay.engine.model.look import Clock
from sickbay.engine.run.http import StepHttp

__all__ = ["Measured", "measure_pairs"]

_TEXT = """
time year people way day man thing woman life child world school state family student group country problem hand part
place case week company system program question work number night point home water room mother area money story fact
month lot right study book eye job word business issue side kind head house service friend father power hour game line
"""
WORDS = tuple(_TEXT.split())
HEADERS = {"accept": "text/event-stream", "accept-encoding": "identity"}
TIMEOUT_S = 120.0


class Measured:
    """Pairs (baseline, candidate) of the metric, and why requests failed."""

    def __init__(self) -> None:
        self.pairs: list[tuple[float | None, float | None]] = []
        self.failures: dict[str, list[str]] = {"baseline": [], "candidate": []}


async def measure_pairs(
    rule: LatencyRule, baseline: Arm, candidate: Arm, clock: Clock, *, seed: str,
    on_pair: Callable[[int], None] = lambda _: None,
) -> Measured:  # fmt: skip
    """`rule.pairs` pairs after one that is thrown away. A spent budget ends it early. `seed` is new for every run."""
    generator = random.Random(seed)  # noqa: S311  # prompts, and repeatable
    found = Measured()
    arms = {"baseline": baseline, "candidate": candidate}
    for number in range(rule.pairs + 1):
        prompt = " ".join(generator.choices(WORDS, k=rule.prompt_tokens))
        values: dict[str, float | None] = {}
        for name in ("baseline", "candidate") if number % 2 else ("candidate", "baseline"):
            try:
                trace = await _stream(arms[name], prompt, rule.output_tokens, clock)
            except BudgetExceededError as error:
                found.failures[name].append(error.detail)
                return found
            values[name] = _value(rule.metric, trace)
            if number and values[name] is None:
                found.failures[name].append(trace.message or "the stream does not tell it")
        if number:
            found.pairs.append((values["baseline"], values["candidate"]))
            on_pair(number)
    return found


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


def _value(metric: str, trace: StreamTrace) -> float | None:
    if trace.failure:
        return None
    stats: StreamStats = stats_of(trace)
    if metric in {"ttft", "e2e"}:  # opening the connection is in neither of them
        found = stats.ttft_s if metric == "ttft" else stats.e2e_s
        return found if found and found > 0 else None
    if metric == "itl":
        return median(list(stats.itl_s)) if stats.itl_s else stats.tpot_s
    return None if not stats.tpot_s else 1.0 / stats.tpot_s
