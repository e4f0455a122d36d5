"""Ask every item of a set, of one endpoint or of two side by side, under a budget; nothing is asked twice.

With two arms each item goes to both at about the same time, and which of them is asked first alternates, so that
drift of machine and traffic hits both alike.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from sickbay.engine.errors import BudgetExceededError, ConfigError, DeliveryError
from sickbay.engine.evals.cache import AnswerCache
from sickbay.engine.evals.endpoint import Endpoint, ask_once, body_of
from sickbay.engine.evals.item import EvalSet, Item, ScorerUse, digest
from sickbay.engine.evals.journal import EvalJournal
from sickbay.engine.evals.retry import DEAD_AFTER, RETRIED_REASONS, may_pass, wait_s
from sickbay.engine.evals.row import EvalRun, Row
from sickbay.engine.evals.scorer import Asking, AskingScorer, Given, Scorer
from sickbay.engine.evals.scoring import row_of
from sickbay.engine.model.look import Clock

__all__ = ["INTERRUPTED", "Options", "Progress", "refuse_commands", "run_evals", "run_key"]

INTERRUPTED = "interrupted"
"""What `EvalRun.stopped` says then."""

Progress = Callable[[str, Row], None]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to ask.

    Attributes:
        concurrency: requests under way at the same time, over all arms.
        retries: further attempts after a failure that may pass; every one is told in the row.
        backoff_s: wait before the first of them; doubles. A longer `Retry-After` of the server is kept to.
        stop_when: asked after every row; True ends the run early (a sequential test that has its answer).
        interrupt: ends the run at once when it is set; requests under way are given up.
    """

    concurrency: int = 8
    retries: int = 2
    backoff_s: float = 0.5
    timeout_s: float = 120.0
    keep_answers: bool = False
    journal: EvalJournal | None = None
    cache: AnswerCache | None = None
    on_row: Progress | None = None
    stop_when: Callable[[], str] | None = None
    interrupt: asyncio.Event | None = None
    asking: Mapping[str, Asking] = field(default_factory=dict)
    allow_commands: bool = False


def run_key(
    evalset: EvalSet,
    arms: Mapping[str, Endpoint],
    scorers: Mapping[str, Scorer],
    asking: Mapping[str, Asking] | None = None,
) -> str:
    """What makes two runs the same run, so that one may go on where the other was killed. A judge is part of it."""
    versions = _versions(evalset, scorers)
    parts = [evalset.sha256, sorted([name, arm.identity] for name, arm in arms.items()), versions]
    judges = sorted({each.judge_identity for each in (asking or {}).values()}) if _judged(versions, scorers) else []
    return digest([*parts, judges] if any(judges) else parts)


def _judged(names: Iterable[str], scorers: Mapping[str, Scorer]) -> bool:
    return any(isinstance(found := scorers[name], AskingScorer) and found.needs_judge for name in names)


async def run_evals(
    evalset: EvalSet,
    arms: Mapping[str, Endpoint],
    scorers: Mapping[str, Scorer],
    *,
    clock: Clock,
    options: Options,
) -> dict[str, EvalRun]:
    """Every arm's run. Whatever fails, there is a run: what was not asked is missing and `stopped` says why.

    Raises:
        ConfigError: the set runs commands, and nobody allowed that.
    """
    if not options.allow_commands:
        refuse_commands(evalset, scorers)
    run = _Run(evalset, arms, scorers, clock, options)
    started_at, start = clock.wall(), clock.monotonic()
    work = run.work()
    workers = [asyncio.create_task(run.drain(work)) for _ in range(max(1, options.concurrency))]
    try:
        if not await _done(workers, options.interrupt):
            run.stopped = run.stopped or INTERRUPTED
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.wait(workers)
        if options.journal is not None:
            with contextlib.suppress(DeliveryError):  # the same disk: told with the row that it did not take
                options.journal.sync()
    elapsed_s = clock.monotonic() - start
    return {name: run.told(name, started_at, elapsed_s) for name in arms}


async def _done(workers: Sequence[asyncio.Task[None]], interrupt: asyncio.Event | None) -> bool:
    """Whether they came to their end; False when the run was interrupted first. Raises what one of them raised."""
    heard = asyncio.create_task(interrupt.wait() if interrupt is not None else asyncio.Event().wait())
    left = set(workers)
    try:
        while left and not heard.done():
            done, _ = await asyncio.wait({*left, heard}, return_when=asyncio.FIRST_COMPLETED)
            for worker in done - {heard}:
                worker.result()
            left -= done
    finally:
        heard.cancel()
    return not left


def refuse_commands(evalset: EvalSet, scorers: Mapping[str, Scorer]) -> None:
    """Raise ConfigError when an item's scorer runs programs that the set names."""
    for item in evalset.items:
        for use in item.scorers:
            if scorers[use.scorer].runs_commands:
                at = use.position if use.position.path else item.position
                raise ConfigError(
                    f"{at}: the scorer {use.scorer!r} runs a command that this set names, and that is off; read the "
                    "set, then add --allow-commands (`sickbay eval` and `sickbay gate` only)"
                )


def _versions(evalset: EvalSet, scorers: Mapping[str, Scorer]) -> dict[str, str]:
    used = sorted({use.scorer for item in evalset.items for use in item.scorers})
    return {name: scorers[name].version for name in used}


class _Run:
    """The state all workers share."""

    def __init__(
        self, evalset: EvalSet, arms: Mapping[str, Endpoint], scorers: Mapping[str, Scorer], clock: Clock,
        options: Options,
    ) -> None:  # fmt: skip
        self._evalset = evalset
        self._arms = arms
        self._scorers = scorers
        self._clock = clock
        self._options = options
        self._dead = dict.fromkeys(arms, 0)
        self._unjudged = 0
        journal = options.journal.rows if options.journal is not None else {}
        items = {item.id: item for item in evalset.items}
        self.rows: dict[str, list[Row]] = {
            name: [_of_today(row, items[row.item]) for row in journal.get(name, ()) if row.item in items]
            for name in arms
        }
        self.requests = dict.fromkeys(arms, 0)
        self.stopped = ""

    def told(self, name: str, started_at: float, elapsed_s: float) -> EvalRun:
        """One arm's run as it is now."""
        evalset = self._evalset
        versions = _versions(evalset, self._scorers)
        return EvalRun(
            name=evalset.name,
            version=evalset.version,
            set_sha256=evalset.sha256,
            format=evalset.format,
            rows=tuple(self.rows[name]),
            asked=evalset.asked.to_json(),
            scorers=versions,
            about=self._about(name, versions),
            planned=len(evalset.items) * evalset.asked.samples,
            requests=self.requests[name],
            judging=self._judging(name, versions),
            stopped=self.stopped,
            started_at=started_at,
            elapsed_s=elapsed_s,
        )

    def _about(self, name: str, versions: Mapping[str, str]) -> Mapping[str, str]:
        asking = self._options.asking.get(name)
        judge = asking.judge_identity if asking is not None and _judged(versions, self._scorers) else ""
        return {**self._arms[name].about, **({"judge": judge} if judge else {})}

    def _judging(self, name: str, versions: Mapping[str, str]) -> Mapping[str, int]:
        asking = self._options.asking.get(name)
        return asdict(asking.spent) if asking is not None and _judged(versions, self._scorers) else {}

    def work(self) -> Iterator[tuple[str, Item, int]]:
        """What is still to be asked, in order; both arms of an item stand together, in alternating order."""
        done = {name: {(row.item, row.sample) for row in rows} for name, rows in self.rows.items()}
        names = list(self._arms)
        for sample in range(self._evalset.asked.samples):
            for place, item in enumerate(self._evalset.items):
                for name in names if (place + sample) % 2 == 0 else reversed(names):
                    if (item.id, sample) not in done[name]:
                        yield name, item, sample

    async def drain(self, work: Iterator[tuple[str, Item, int]]) -> None:
        """Take work until there is none or the run is stopped."""
        for arm, item, sample in work:
            if self.stopped:
                return
            try:
                self._keep(arm, await self._one(arm, item, sample))
            except BudgetExceededError as error:
                self.stopped = error.detail
            except DeliveryError as error:  # a full disk ends the run; what was answered is told all the same
                self.stopped = str(error)

    async def _one(self, arm: str, item: Item, sample: int) -> Row:
        journal = self._options.journal
        key = (arm, item.id, sample)
        held = journal.held.pop(key, None) if journal is not None else None
        given, retried, cached = held or await self._answer(arm, item, sample)
        if journal is not None and held is None and not given.failure and any(map(self._takes_long, item.scorers)):
            journal.hold(key, (given, retried, cached))
        try:
            return await row_of(
                item, sample, given, self._scorers, self._options.asking.get(arm), retried=retried, cached=cached,
                keep_answer=self._options.keep_answers,
            )  # fmt: skip
        except BudgetExceededError as error:  # of the judge: the answer is there all the same
            self.stopped = self.stopped or error.detail
            failed = replace(given, failure=f"not judged: {error.detail}")
            row = await row_of(item, sample, failed, self._scorers, None, retried=retried, cached=cached)
            return replace(row, unjudged=True)

    def _takes_long(self, use: ScorerUse) -> bool:
        scorer = self._scorers[use.scorer]
        return isinstance(scorer, AskingScorer) or scorer.runs_commands

    async def _answer(self, arm: str, item: Item, sample: int) -> tuple[Given, tuple[str, ...], bool]:
        endpoint, options = self._arms[arm], self._options
        body = body_of(item, self._evalset.asked, endpoint.model, sample)
        key = ""
        if options.cache is not None:
            key = options.cache.key(endpoint.identity, body, sample)
            known = options.cache.get(key)
            if known is not None:
                return known, (), True
        retried: list[str] = []
        while True:
            self.requests[arm] += 1
            try:
                given = await ask_once(endpoint, body, self._clock, timeout_s=options.timeout_s)
            except BudgetExceededError:
                self.requests[arm] -= 1  # it was not sent
                raise
            if not _may_pass(given) or len(retried) >= options.retries or self.stopped:
                break
            await self._clock.sleep(wait_s(len(retried), options.backoff_s, given.retry_after_s))
            retried.append(given.failure)
        if options.cache is not None:
            try:
                options.cache.put(key, given)
            except DeliveryError as error:  # this answer is told; the next one is not asked for
                self.stopped = self.stopped or str(error)
        return given, tuple(retried), False

    def _keep(self, arm: str, row: Row) -> None:
        options = self._options
        self.rows[arm].append(row)
        gone = bool(row.reason)  # a failure of the endpoint, not of the item
        if options.journal is not None and not (row.error and (gone or row.unjudged)):
            options.journal.add(arm, row)  # what failed is not kept there, so that a resumed run asks again
        self._dead[arm] = self._dead[arm] + 1 if gone else 0
        self._unjudged = self._unjudged + 1 if row.unjudged else self._unjudged if gone else 0
        if self._dead[arm] >= DEAD_AFTER and not self.stopped:
            self.stopped = f"{arm}: {self._dead[arm]} requests in a row failed, the last with: {row.error}"
        if self._unjudged >= DEAD_AFTER and not self.stopped:
            self.stopped = f"{self._unjudged} answers in a row could not be judged, the last: {row.error}"
        if options.on_row is not None:
            options.on_row(arm, row)
        if options.stop_when is not None and not self.stopped:
            self.stopped = options.stop_when()


def _of_today(row: Row, item: Item) -> Row:
    """A journaled row in the slices and clusters that its item has now: they are no part of what was asked."""
    return replace(row, fields=item.fields, cluster=item.cluster)


def _may_pass(given: Given) -> bool:
    return bool(given.failure) and (may_pass(given.status) or given.reason in RETRIED_REASONS)
