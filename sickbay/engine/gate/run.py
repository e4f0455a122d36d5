"""Carry a gate out: ask both arms, judge each rule, settle waivers, give the scorecard."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sickbay._version import __version__
from sickbay.engine.errors import ProbeError
from sickbay.engine.evals.journal import EvalJournal
from sickbay.engine.evals.row import EvalRun, Row
from sickbay.engine.evals.runner import Options, run_evals, run_key
from sickbay.engine.evals.scorer import Scorer
from sickbay.engine.evals.scoring import self_test
from sickbay.engine.evals.stats.sequential import Canary, CanaryState
from sickbay.engine.gate.arm import Arm
from sickbay.engine.gate.judge import judge_eval, judge_latency, judge_runbook
from sickbay.engine.gate.latency import measure_pairs
from sickbay.engine.gate.model import EvalRule, Gate, LatencyRule, Outcome, Rule, RunbookRule
from sickbay.engine.gate.scorecard import Finding, Scorecard, decide, settle
from sickbay.engine.model.look import Clock
from sickbay.engine.model.report import Report

__all__ = ["Sides", "Told", "run_gate"]

RunBook = Callable[[RunbookRule], Awaitable[Report]]
Told = Callable[[str, int, int, str], None]
"""Progress: rule, done, whole, a few words."""


@dataclass(frozen=True, kw_only=True)
class Sides:
    """The candidate, and the baseline: live, or the runs of a report, or neither.

    Attributes:
        kept: the baseline's runs by set name, when it is not live.
        baseline_from: where they come from, in words.
        journal_folder: keeps the answers of each eval rule as they come; the same command goes on from them.
    """

    candidate: Arm
    baseline: Arm | None = None
    kept: Mapping[str, EvalRun] = field(default_factory=dict)
    baseline_from: str = ""
    journal_folder: Path | None = None


async def run_gate(
    gate: Gate,
    sides: Sides,
    scorers: Mapping[str, Scorer],
    *,
    clock: Clock,
    run_book: RunBook,
    run_id: str = "",
    told: Told = lambda *_: None,
) -> Scorecard:
    """The scorecard. Whatever fails on the way is a finding of its rule; nothing is left out of the answer."""
    state = _State(gate, sides, scorers, clock, told, run_id=run_id)
    started_at, start = clock.wall(), clock.monotonic()
    findings: list[Finding] = []
    for rule in gate.rules:
        findings += await state.rule(rule, run_book)
    today = datetime.fromtimestamp(started_at, UTC).date()
    settled, waivers, errors = settle(findings, gate.rules, gate.waivers, today=today, inconclusive=gate.inconclusive)
    outcome, summary = decide(settled, errors)
    rows = [row for runs in state.runs.values() for run in runs for row in run.rows]
    return Scorecard(
        gate=gate.name, outcome=outcome, summary=summary, findings=settled, waivers=waivers, errors=errors,
        candidate=dict(sides.candidate.endpoint.about), baseline=_baseline_about(sides), sets=_sets(gate.rules),
        runs={arm: tuple(runs) for arm, runs in state.runs.items()}, title=gate.title, owner=gate.owner,
        gate_sha256=gate.sha256, run_id=run_id, started_at=started_at, elapsed_s=clock.monotonic() - start,
        requests=sides.candidate.requests + (sides.baseline.requests if sides.baseline else 0),
        tokens=sum((row.prompt_tokens or 0) + (row.output_tokens or 0) for row in rows), sickbay_version=__version__,
    )  # fmt: skip


def _baseline_about(sides: Sides) -> dict[str, str]:
    if sides.baseline is not None:
        return dict(sides.baseline.endpoint.about)
    first = next(iter(sides.kept.values()), None)
    return {"from": sides.baseline_from, **(first.about if first is not None else {})} if sides.baseline_from else {}


def _sets(rules: Sequence[Rule]) -> dict[str, Mapping[str, str]]:
    return {
        rule.id: {
            "set": rule.evalset.name, "version": rule.evalset.version, "sha256": rule.evalset.sha256,
            "items": str(len(rule.evalset.items)), "format": rule.evalset.format,
        }
        for rule in rules
        if isinstance(rule, EvalRule)
    }  # fmt: skip


class _State:
    def __init__(
        self, gate: Gate, sides: Sides, scorers: Mapping[str, Scorer], clock: Clock, told: Told, *, run_id: str
    ) -> None:
        self._gate = gate
        self._sides = sides
        self._scorers = scorers
        self._clock = clock
        self._told = told
        self._run_id = run_id
        self.runs: dict[str, list[EvalRun]] = {"candidate": [], "baseline": []}

    async def rule(self, rule: Rule, run_book: RunBook) -> list[Finding]:
        """One rule's findings."""
        try:
            if isinstance(rule, EvalRule):
                return await self._eval(rule)
            if isinstance(rule, LatencyRule):
                return [await self._latency(rule)]
            assert isinstance(rule, RunbookRule)
            self._told(rule.id, 0, 1, "running")
            report = await run_book(rule)
            return [judge_runbook(rule.id, report.verdict.state, report.verdict.summary)]
        except ProbeError as error:
            return [Finding(rule=rule.id, kind="rule", found=Outcome.INCONCLUSIVE, summary=error.detail)]

    async def _eval(self, rule: EvalRule) -> list[Finding]:
        unsound = self_test(rule.evalset.items, self._scorers)
        if unsound:
            more = f" (and {len(unsound) - 1} more)" if len(unsound) > 1 else ""
            why = f"the set cannot judge: {unsound[0]}{more}"
            return [Finding(rule=rule.id, kind="eval", found=Outcome.INCONCLUSIVE, summary=why)]
        live = self._sides.baseline
        arms = {"candidate": self._sides.candidate.endpoint} | ({"baseline": live.endpoint} if live else {})
        kept = None if live else self._sides.kept.get(rule.evalset.name)
        watch = _Watch(rule, kept) if rule.sequential and (live or kept) else None
        total, done = len(arms) * len(rule.evalset.items) * rule.evalset.asked.samples, 0

        def on_row(arm: str, row: Row) -> None:
            nonlocal done
            done += 1
            self._told(rule.id, done, total, "")
            if watch is not None:
                watch.add(arm, row)

        folder = self._sides.journal_folder
        journal = (
            EvalJournal(folder / f"{rule.id}.jsonl", run_key(rule.evalset, arms, self._scorers)) if folder else None
        )
        for arm, rows in (journal.rows if journal else {}).items():
            for row in rows:
                on_row(arm, row)
        options = Options(
            concurrency=self._gate.concurrency, retries=self._gate.retries, on_row=on_row,
            stop_when=watch.answer if watch else None, journal=journal,
        )  # fmt: skip
        try:
            found = await run_evals(rule.evalset, arms, self._scorers, clock=self._clock, options=options)
        finally:
            if journal is not None:
                journal.close()
        for name, run in found.items():
            self.runs[name].append(run)
        baseline = found.get("baseline", kept)
        return judge_eval(rule, found["candidate"], baseline, watch.canary if watch else None)

    async def _latency(self, rule: LatencyRule) -> Finding:
        live = self._sides.baseline
        if live is None:
            why = "latency is compared side by side: give --baseline a URL"
            return Finding(rule=rule.id, kind="latency", found=Outcome.INCONCLUSIVE, summary=why)
        found = await measure_pairs(
            rule, live, self._sides.candidate, self._clock, seed=f"{self._run_id} {rule.id}",
            on_pair=lambda number: self._told(rule.id, number, rule.pairs, ""),
        )  # fmt: skip
        return judge_latency(rule, found.pairs, found.failures)


class _Watch:
    """Feeds a sequential test with items as soon as both sides have all their samples."""

    def __init__(self, rule: EvalRule, kept: EvalRun | None) -> None:
        self._samples = rule.evalset.asked.samples
        self._rows: dict[str, dict[str, list[Row]]] = {"candidate": {}, "baseline": {}}
        self.canary = Canary(rule.margin, 1 - rule.confidence)
        for row in kept.rows if kept else ():
            self._rows["baseline"].setdefault(row.item, []).append(row)
        self._kept = kept is not None

    def add(self, arm: str, row: Row) -> None:
        """One more row."""
        self._rows[arm].setdefault(row.item, []).append(row)
        new, old = self._rows["candidate"].get(row.item, []), self._rows["baseline"].get(row.item, [])
        if len(new) == self._samples and (len(old) == self._samples or (self._kept and old)):
            ours, theirs = _share(new), _share(old)
            if ours is not None and theirs is not None:
                self.canary.add(ours - theirs)

    def answer(self) -> str:
        """Why to stop; "" to go on."""
        return (
            "" if self.canary.state is CanaryState.GO_ON else f"the sequential test has its answer: {self.canary.state}"
        )


def _share(rows: Sequence[Row]) -> float | None:
    scored = [bool(row.passed) for row in rows if not row.error and row.passed is not None]
    return sum(scored) / len(scored) if scored else None
