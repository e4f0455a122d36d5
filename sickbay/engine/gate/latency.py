"""Paired latency probes: the same new prompts to both arms in turn, the order alternating.

One request at a time, or `concurrency` of them at once: a release may be slower only where requests share it.

Every prompt is new, to this run and to any other (the seed is the run's), so that no prefix cache helps one side: a
baseline that met the same prompts in yesterday's gate would answer from its cache. The first pair only warms both up.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.evals.endpoint import error_words
from sickbay.engine.gate.arm import Arm
from sickbay.engine.gate.model import LatencyRule
from sickbay.engine.measure.stream import Failure, StreamTrace, TraceRecorder
from sickbay.engine.measure.stream_stats import CLUMP_GAP_S, StreamStats, median, stats_of
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
ERROR_BYTES_MAX = 4_000


TimedPair = tuple[float | None, float | None]
"""Baseline, candidate; None where it failed."""


@dataclass
class Measured:
    """Pairs (baseline, candidate) of the metric and of output tokens, why requests failed, and why it ended early.

    A pair counts once as failed on a side, however many of its requests failed there. One whose answers came and do not
    tell the metric (all at once, a single token) failed on neither: it is in `untold`, and no pair.
    """

    pairs: list[TimedPair] = field(default_factory=list)
    tokens: list[tuple[int | None, int | None]] = field(default_factory=list)
    failures: dict[str, list[str]] = field(default_factory=lambda: {"baseline": [], "candidate": []})
    untold: dict[str, list[str]] = field(default_factory=lambda: {"baseline": [], "candidate": []})
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
        traces: dict[str, list[StreamTrace]] = {}
        for name in ("baseline", "candidate") if number % 2 else ("candidate", "baseline"):
            try:
                traces[name] = await _burst(arms[name], prompts, rule.output_tokens, clock)
            except BudgetExceededError:
                found.stopped = f"the {name} has had the requests that the gate allows; raise requests:"
                return found
        if number:
            _add(found, rule.metric, traces)
            on_pair(number)
    return found


def _add(found: Measured, metric: str, traces: Mapping[str, Sequence[StreamTrace]]) -> None:
    """One more pair."""
    failed = {name: next((trace for trace in each if trace.failure), None) for name, each in traces.items()}
    told = {name: [stats_of(trace) for trace in each] for name, each in traces.items()}
    # Gaps of nought say how chunks were packed and nothing of tokens: then the mean time per token, on both sides.
    packed = any(_is_packed(stats) for name, each in told.items() if failed[name] is None for stats in each)
    values: dict[str, float | None] = {}
    untold = False
    for name, each in told.items():
        trace = failed[name]
        values[name] = None if trace is not None else _value(metric, each, packed=packed)
        if trace is not None:
            found.failures[name].append(trace.message or str(trace.failure))
        elif values[name] is None:
            found.untold[name].append(_why_untold(each))
            untold = True
    if untold and not any(failed.values()):
        return
    tokens = {name: None if failed[name] else sum(stats.tokens for stats in each) for name, each in told.items()}
    found.pairs.append((values["baseline"], values["candidate"]))
    found.tokens.append((tokens["baseline"], tokens["candidate"]))


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
                said = await _said(answer)
                why = f"HTTP {answer.status}{': ' if said else ''}{arm.endpoint.clean(said)}"
                return recorder.finish(clock.monotonic(), Failure.HTTP, why)
            async for chunk in answer.reads():
                recorder.feed(chunk.at_s, chunk.data)
    except BudgetExceededError:
        raise
    except ProbeError as error:
        return recorder.refuse(clock.monotonic(), error)
    return recorder.finish(clock.monotonic())


async def _said(answer: Any) -> str:
    """What the server says of its refusal."""
    body = b""
    async for chunk in answer.reads():
        body += chunk.data
        if len(body) >= ERROR_BYTES_MAX:
            break
    return error_words(body[:ERROR_BYTES_MAX].decode("utf-8", "replace"))


def _value(metric: str, told: Sequence[StreamStats], *, packed: bool) -> float | None:
    """The metric of one request, or the median of several at once; None where the answers do not tell it.

    The throughput of several is what they wrote together, over the time from the first sending to the last token.
    """
    if metric == "throughput" and len(told) > 1:
        ends = [stats.e2e_s or 0.0 for stats in told]
        whole = sum(stats.tokens for stats in told)
        return whole / max(ends) if min(ends) > 0 and whole else None
    values = [_of_one(metric, stats, packed=packed) for stats in told]
    known = [value for value in values if value]
    return median(known) if len(known) == len(values) else None


def _of_one(metric: str, stats: StreamStats, *, packed: bool) -> float | None:
    if metric in {"ttft", "e2e"}:  # opening the connection is in neither of them
        found = stats.ttft_s if metric == "ttft" else stats.e2e_s
        return found if found and found > 0 else None
    if metric == "itl":
        return stats.tpot_s if packed else median(list(stats.itl_s))
    return None if not stats.tpot_s else 1.0 / stats.tpot_s


def _is_packed(stats: StreamStats) -> bool:
    """Whether gaps between chunks say nothing of tokens: several in one, or most of them read at once."""
    return not stats.itl_s or (median(list(stats.itl_s)) or 0.0) < CLUMP_GAP_S


def _why_untold(told: Sequence[StreamStats]) -> str:
    stats = next((each for each in told if each.tokens < 2 or not each.tpot_s), told[0])
    if stats.tokens < 2:
        return f"the answer has {stats.tokens} token{'s' if stats.tokens != 1 else ''}"
    return f"its {stats.tokens} tokens came all at once"
