"""The world-facing half of probe.ttft: plan, send one at a time, stop in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sickbay.checks.probe.prepare import (
    TIME_LEFT_MIN_S,
    calibrate,
    health_path,
    known_numbers,
    prepare_route,
    seed_for,
    time_left,
)
from sickbay.checks.probe.prompts import PromptMaker
from sickbay.checks.probe.request import Route, context_from_error, wants_completions
from sickbay.checks.probe.streaming import stream_once, watch_client
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.measure.stream import Failure, StreamTrace
from sickbay.engine.measure.stream_stats import stats_of
from sickbay.engine.model.check import Raw
from sickbay.engine.model.look import EngineFound, Look
from sickbay.engine.model.signal import UnknownReason

__all__ = ["Shot", "look_ttft", "plan_shots", "shrink_long"]

PAIR_PAUSE_S = 0.2
"""Between the two requests of the cached pair: engines hand blocks to the cache when the first one has ended."""
TEMPLATE_TOKENS = 64
"""Left free for the chat template when a prompt is fitted into the context."""
LONG_SHARE = 0.3
"""Share of the time left that the long cold prompts may take together: they are a load on a slow server."""
CONTEXT = ("serving.context_length_tokens", "serving.requests_waiting", "serving.slots_busy_ratio")


@dataclass(frozen=True, slots=True)
class Shot:
    """One planned request: its wanted prompt length and whether it repeats the prompt before it."""

    tokens: int
    kind: str  # "cold" or "warm"


def plan_shots(lengths: list[int], repeats: int, *, cached_pair: bool) -> list[Shot]:
    """The order: round by round, shortest first, the cached repeat right after the first longest prompt."""
    lengths = sorted(set(lengths))
    shots: list[Shot] = []
    for turn in range(repeats):
        shots += [Shot(tokens, "cold") for tokens in lengths]
        if turn == 0 and cached_pair:
            shots.append(Shot(lengths[-1], "warm"))
    return shots


def shrink_long(wanted: int, *, short: int, s_per_token: float, time_s: float, cold_shots: int) -> int:
    """The long prompt's length that fits the time: at least four short ones, at most what was wanted."""
    if s_per_token <= 0 or cold_shots <= 0:
        return wanted
    fits = int(time_s * LONG_SHARE / cold_shots / s_per_token)
    return min(wanted, max(fits, 4 * short, 64))


@dataclass
class _Run:
    """The state of one look."""

    look: Look
    route: Route
    prompts: PromptMaker
    max_tokens: int
    timeout_s: float
    limit_tokens: int  # longest prompt the context allows
    requests: list[dict[str, Any]] = field(default_factory=list)
    stopped: str = ""
    notes: list[str] = field(default_factory=list)
    slowest_s: dict[int, float] = field(default_factory=dict)
    last_prompt: str = ""

    async def shoot(self, shot: Shot, tokens: int) -> StreamTrace | None:
        """One request; None when there is no time or no budget for it."""
        if not self._fits(tokens):
            return None
        prompt = self.last_prompt if shot.kind == "warm" else self.prompts.cold(tokens)
        self.last_prompt = prompt
        timeout_s = min(self.timeout_s, time_left(self.look))
        body = self.route.body(prompt, self.max_tokens)
        try:
            streamed = await stream_once(self.look, self.route.path, body, timeout_s=timeout_s)
        except BudgetExceededError as error:
            if not self.requests:
                raise
            self.stopped = f"budget: {error.detail}"
            return None
        trace = streamed.trace
        own_fault = trace.failure is Failure.HTTP and trace.status == 400 and context_from_error(trace.message)
        self.requests.append(
            {
                "kind": shot.kind,
                "length": shot.tokens,
                "wanted": tokens,
                "own_fault": own_fault,
                "trace": trace.to_json(),
            }
        )
        self.slowest_s[shot.tokens] = max(self.slowest_s.get(shot.tokens, 0.0), trace.end_s)
        return trace

    def _fits(self, tokens: int) -> bool:
        """Whether one more request of this length is likely to end in time."""
        left = time_left(self.look)
        expected = max((s for length, s in self.slowest_s.items() if length <= tokens), default=0.0)
        if left >= max(TIME_LEFT_MIN_S, expected):
            return True
        self.stopped = f"time: {left:.1f} s were left, the slowest such request took {expected:.1f} s"
        return False


async def look_ttft(look: Look, params: Mapping[str, Any]) -> Raw:
    """Measure. Raises ProbeError when nothing answers at all or the first request is refused for want of a key."""
    route, found = await prepare_route(look)
    seed = seed_for(look, int(params["seed"]))
    prompts = PromptMaker(seed)
    calibrated = await calibrate(look, prompts, found)
    connect_s = await _connect(look, found)
    context = known_numbers(look, CONTEXT)
    limit = int(context.get("serving.context_length_tokens", 0) or 10**9) - int(params["max_tokens"]) - TEMPLATE_TOKENS
    run = _Run(look, route, prompts, int(params["max_tokens"]), float(params["timeout_s"]), max(limit, 8))
    shots = plan_shots(list(params["prompt_tokens"]), int(params["repeats"]), cached_pair=bool(params["cached_pair"]))
    async with watch_client(look.clock) as lag:
        await _carry_out(run, shots)
    return {
        "engine": found.spec.name if found else "",
        "path": run.route.path,
        "seed": seed,
        "calibrated": calibrated,
        "tokens_per_word": round(prompts.tokens_per_word, 4),
        "planned": len(shots),
        "requests": run.requests,
        "stopped": run.stopped,
        "notes": run.notes,
        "connect_s": connect_s,
        "client_lag": lag.to_json(),
        "context": context,
    }


async def _carry_out(run: _Run, shots: list[Shot]) -> None:
    lengths = {shot.tokens: min(shot.tokens, run.limit_tokens) for shot in shots}
    short, long = min(lengths), max(lengths)
    if lengths[long] < long:
        run.notes.append(f"{long} tokens wanted, {lengths[long]} sent: the context has no more room")
    for index, shot in enumerate(shots):
        if shot.kind == "warm":
            if not run.requests or run.requests[-1]["trace"]["failure"]:
                run.notes.append("no cached pair: its first request failed")
                continue
            await run.look.clock.sleep(min(PAIR_PAUSE_S, max(0.0, time_left(run.look))))
        trace = await run.shoot(shot, lengths[shot.tokens])
        if trace is None:
            return
        if index == 0:
            trace = await _first(run, shot, lengths[shot.tokens], trace)
            if len(lengths) > 1 and trace is not None and trace.ok:
                cold = sum(s.tokens == long and s.kind == "cold" for s in shots)
                _fit_long(run, trace, lengths, short=short, long=long, cold=cold)
        elif run.requests[-1]["own_fault"] and shot.tokens == long:
            lengths[long] = max(short, lengths[long] // 3)
            run.notes.append(f"the long prompt was over the context; {lengths[long]} tokens from now on")


async def _first(run: _Run, shot: Shot, tokens: int, trace: StreamTrace) -> StreamTrace | None:
    """What the very first answer decides: no key, nobody there, or a model without a chat template."""
    if trace.status in {401, 403}:
        raise ProbeError(
            UnknownReason.AUTH, f"POST {run.route.path}: {trace.message}; give the API key of this service"
        )
    if trace.failure is Failure.BROKEN and trace.status == 0:
        raise ProbeError(UnknownReason.REFUSED, trace.message)
    if trace.failure is Failure.HTTP and run.route.dialect == "chat" and wants_completions(trace.status, trace.message):
        run.requests.pop()
        run.notes.append(f"asked {run.route.path} first: {trace.message}")
        run.route = run.route.as_completions()
        return await run.shoot(shot, tokens)
    return trace


def _fit_long(run: _Run, trace: StreamTrace, lengths: dict[int, int], *, short: int, long: int, cold: int) -> None:
    """Choose the long prompt by how fast the server read the short one."""
    ttft_s = stats_of(trace).ttft_s
    reported = trace.counts.get("prompt_tokens", 0)
    read, read_s = trace.timings.get("prompt_n", 0.0), trace.timings.get("prompt_s", 0.0)
    if read >= 8 and read_s > 0:
        s_per_token = read_s / read
    elif ttft_s is not None:
        s_per_token = ttft_s / (reported or lengths[short])
    else:
        return
    fitted = shrink_long(
        lengths[long], short=lengths[short], s_per_token=s_per_token, time_s=time_left(run.look), cold_shots=cold
    )
    if fitted < lengths[long]:
        run.notes.append(
            f"{lengths[long]} tokens wanted, {fitted} sent: at {s_per_token * 1000:.1f} ms a token more would not fit "
            f"into {time_left(run.look):.0f} s"
        )
        lengths[long] = fitted


async def _connect(look: Look, found: EngineFound | None) -> float | None:
    """Time of a new connection; None when the empty route gave none."""
    if time_left(look) < TIME_LEFT_MIN_S:
        return None
    try:
        answer = await look.http.request("GET", health_path(found), timeout_s=min(5.0, time_left(look)), fresh=True)
    except ProbeError:
        return None
    return answer.connect_s
