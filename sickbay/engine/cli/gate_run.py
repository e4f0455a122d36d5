"""A gate carried out: both sides opened, a scorecard whatever happens, Ctrl-C and a deadline heeded."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sickbay.engine.cli.gate_plan import look_book
from sickbay.engine.cli.tools import Tools
from sickbay.engine.errors import ProbeError
from sickbay.engine.gate.cut import Cut, CutShortError, Why
from sickbay.engine.gate.model import Gate, RunbookRule
from sickbay.engine.model.shown_url import shown_url
from sickbay.engine.model.target import Target

if TYPE_CHECKING:
    from sickbay.engine.evals.row import EvalRun
    from sickbay.engine.evals.scorer import Asking
    from sickbay.engine.gate.arm import Arm
    from sickbay.engine.gate.scorecard import Scorecard
    from sickbay.engine.model.report import Report, StepReport
    from sickbay.engine.run.environment import Environment

__all__ = ["Progress", "Wanted", "carry_out_gate", "without_baseline"]


LIVE_EVERY_S, LOG_EVERY_S = 0.1, 30.0
RAISED_BY = "requests: in the gate"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the command line asks for.

    Attributes:
        same: candidate and baseline may be one server.
        baseline: asked side by side; None where there is none, or runs that are `kept`, with where they come from.
    """

    candidate: Target
    baseline: Target | None = None
    kept: Mapping[str, EvalRun] = field(default_factory=dict)
    kept_from: str = ""
    canary: bool = False
    journal: Path | None = None
    deadline_s: float | None = None
    allow_commands: bool = False
    same: bool = False
    quiet: bool = False


def carry_out_gate(gate: Gate, tools: Tools, wanted: Wanted) -> Scorecard:
    """The scorecard, without secrets. Ctrl-C, SIGTERM and the deadline give what is known by then."""
    return asyncio.run(_cut_in_time(gate, tools, wanted))


def without_baseline(gate: Gate, candidate: Target, why: str) -> Scorecard:
    """The scorecard of a gate that has nothing to compare with: inconclusive, and nobody was asked."""
    from sickbay.engine.gate.run import unanswered
    from sickbay.engine.run.run_id import new_run_id

    now = time.time()
    return unanswered(
        gate, why, {"candidate": {"url": shown_url(candidate.url)}}, run_id=new_run_id(now), began_at_s=now,
        elapsed_s=0.0, requests=0, cut=None,
    )  # fmt: skip


async def _cut_in_time(gate: Gate, tools: Tools, wanted: Wanted) -> Scorecard:
    from sickbay.engine.run.interrupt import listen

    loop, cut, heard = asyncio.get_running_loop(), Cut(), asyncio.Event()
    undo = listen(loop, heard)

    async def hear() -> None:
        await heard.wait()
        cut.now(Why.INTERRUPTED)

    hearing = asyncio.create_task(hear())
    timer = loop.call_later(wanted.deadline_s, cut.now, Why.DEADLINE) if wanted.deadline_s else None
    try:
        return await _carried_out(gate, tools, wanted, cut)
    finally:
        hearing.cancel()
        if timer is not None:
            timer.cancel()
        undo()


async def _carried_out(gate: Gate, tools: Tools, wanted: Wanted, cut: Cut) -> Scorecard:
    from sickbay.engine.evidence.redact import Redactor
    from sickbay.engine.gate.asking import judge_secrets
    from sickbay.engine.gate.kit import Kit, Sides
    from sickbay.engine.gate.redacted import without_secrets
    from sickbay.engine.gate.run import NotCarriedOutError, run_gate, unanswered
    from sickbay.engine.run.run_id import new_run_id
    from sickbay.engine.run.secrets import known_secrets

    environment, run_id, began_at_s = tools.environment(), new_run_id(time.time()), time.time()
    began_s = time.monotonic()
    secrets = known_secrets(wanted.candidate) | judge_secrets()
    secrets |= known_secrets(wanted.baseline) if wanted.baseline else {}
    redactor = Redactor(secrets, key=environment.redaction_key)

    async def run_book(rule: RunbookRule) -> Report:
        return await _runbook(rule, tools, wanted.candidate)

    progress = Progress(quiet=wanted.quiet)
    live: dict[str, Arm] = {}
    abouts = {"candidate": {"url": shown_url(wanted.candidate.url)}}
    if wanted.baseline is not None:
        abouts["baseline"] = {"url": shown_url(wanted.baseline.url)}
    elif wanted.kept_from:
        abouts["baseline"] = {"from": wanted.kept_from}
    async with AsyncExitStack() as stack:
        try:
            asking = await _open_sides(stack, live, gate, wanted, environment, run_id=run_id, cut=cut)
        except (ProbeError, NotCarriedOutError, CutShortError) as error:
            why = error.detail if isinstance(error, ProbeError) else str(error)
            card = unanswered(
                gate, why, abouts | {side: dict(arm.endpoint.about) for side, arm in live.items()}, run_id=run_id,
                began_at_s=began_at_s, elapsed_s=time.monotonic() - began_s, cut=cut.why,
                requests=sum(arm.requests for arm in live.values()),
            )  # fmt: skip
        else:
            sides = Sides(
                candidate=live["candidate"], baseline=live.get("baseline"), kept=wanted.kept,
                baseline_from=wanted.kept_from, asking=asking, journal_folder=wanted.journal,
            )  # fmt: skip
            kit = Kit(
                gate=gate, sides=sides, scorers=tools.plugins.scorers, clock=environment.clock, run_book=run_book,
                look=partial(_look, tools), run_id=run_id, allow_commands=wanted.allow_commands, told=progress,
                cut=cut,
            )  # fmt: skip
            card = await run_gate(kit, canary=wanted.canary)
    progress.end()
    return without_secrets(card, redactor)


async def _open_sides(
    stack: AsyncExitStack,
    live: dict[str, Arm],
    gate: Gate,
    wanted: Wanted,
    environment: Environment,
    *,
    run_id: str,
    cut: Cut,
) -> dict[str, Asking]:
    """Open both sides into `live`, as far as they answer, and what asks their eval sets.

    Raises:
        ProbeError: a side does not answer, or the judge.
        NotCarriedOutError: both sides are one server.
        CutShortError: the gate was cut short meanwhile.
    """
    from sickbay.engine.gate.arm import open_arm
    from sickbay.engine.gate.asking import asking_for
    from sickbay.engine.gate.one_server import PROBES
    from sickbay.engine.gate.sides import check_sides, refuse_one_server

    for side, target in (("candidate", wanted.candidate), ("baseline", wanted.baseline)):
        if target is not None:
            opening = open_arm(
                target, environment, requests=gate.requests + PROBES, run_id=run_id,
                raised_by=RAISED_BY,
            )  # fmt: skip
            live[side] = await cut.during(_opened(stack, side, opening))
    check_sides(live, same=wanted.same)
    if len(live) == 2 and not wanted.same:
        await cut.during(refuse_one_server(live))
    for arm in live.values():  # what told them apart is beside what the gate may ask
        arm.client.budget.limit = gate.requests + arm.requests
    judge = (gate.judge.url, gate.judge.model) if gate.judge else ("", "")
    return {
        name: await stack.enter_async_context(asking_for(arm, *judge, environment, gate.requests, raised_by=RAISED_BY))
        for name, arm in live.items()
    }


async def _opened(stack: AsyncExitStack, side: str, opening: AbstractAsyncContextManager[Arm]) -> Arm:
    try:
        return await stack.enter_async_context(opening)
    except ProbeError as error:
        raise ProbeError(error.reason, f"the {side} does not answer: {error.detail}") from error


async def _runbook(rule: RunbookRule, tools: Tools, target: Target) -> Report:
    from sickbay.engine.cli.setting import find_runbook
    from sickbay.engine.load.runbook import resolve_inputs
    from sickbay.engine.model.check import Effect
    from sickbay.engine.run.executor import run_runbook
    from sickbay.engine.run.plan import make_plan

    book, _ = find_runbook(rule.runbook, tools)
    ceiling = Effect(rule.effect) if rule.effect else None
    inputs = resolve_inputs(book, dict(rule.set))
    plan = make_plan(book, target, inputs, tools.knowledge, effect_ceiling=ceiling, only=(), skip=())
    return await run_runbook(plan, environment=tools.environment())


async def _look(tools: Tools, name: str, params: Mapping[str, Any], target: Target, effect: str) -> StepReport:
    """One check at one target, as a runbook of one step."""
    from sickbay.engine.run.executor import run_runbook
    from sickbay.engine.run.plan import make_plan

    book = look_book(name, params, tools, effect)
    plan = make_plan(book, target, {}, tools.knowledge, effect_ceiling=book.budget.effect, only=(), skip=())
    return (await run_runbook(plan, environment=tools.environment())).steps[0]


class Progress:
    """What is being asked, on stderr: one line that changes, or, in a log, one every half minute."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._live = sys.stderr.isatty()
        self._told_at = time.monotonic() if not self._live else 0.0

    def __call__(self, rule: str, done: int, whole: int, words: str) -> None:
        """One more."""
        if self._quiet or time.monotonic() - self._told_at < (LIVE_EVERY_S if self._live else LOG_EVERY_S):
            return
        self._told_at = time.monotonic()
        line = f"{rule}: {words or f'{done} of {whole}'}"
        sys.stderr.write(f"\r{line}\x1b[K" if self._live else f"sickbay: {line}\n")
        sys.stderr.flush()

    def end(self) -> None:
        """Clear the line."""
        if self._live and not self._quiet:
            sys.stderr.write("\r\x1b[K")
