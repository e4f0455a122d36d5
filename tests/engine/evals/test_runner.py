"""The runner against a real HTTP server: budget, retries, crash, resume, cache, samples, endpoints that fail midway."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sickbay.engine.errors import BudgetExceededError, ConfigError, DeliveryError, ProbeError
from sickbay.engine.evals.cache import AnswerCache
from sickbay.engine.evals.item import Asked, EvalSet, Item, ScorerUse
from sickbay.engine.evals.journal import EvalJournal
from sickbay.engine.evals.row import EvalRun, Row
from sickbay.engine.evals.runner import Options, run_evals, run_key
from sickbay.engine.evals.scorer import Asking, Given, Post, Scorer
from sickbay.engine.evals.scoring import self_test
from sickbay.engine.evals.show import to_text
from sickbay.engine.evals.summary import summary_of
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.run.clock import SystemClock
from tests.engine.evals.stub import Answer, Stub, endpoint_at, serving


def echo_set(n: int, *, samples: int = 1, scorer: str = "exact") -> EvalSet:
    items = []
    for number in range(n):
        item = Item(
            id=str(number), messages=({"role": "user", "content": f"say {number}"},), expected=str(number),
            scorers=(ScorerUse(scorer=scorer),), fields={"parity": "odd" if number % 2 else "even"},
        )  # fmt: skip
        items.append(replace(item, sha256=item.content_digest()))
    made = EvalSet(name="echo", items=tuple(items), asked=Asked(samples=samples), slices=("parity",))
    return replace(made, sha256=made.content_digest())


def with_scorer(evalset: EvalSet, use: ScorerUse) -> EvalSet:
    return replace(evalset, items=tuple(replace(item, scorers=(use,)) for item in evalset.items))


def said(body: Mapping[str, Any], _: int) -> str:
    return str(body["messages"][-1]["content"]).removeprefix("say ")


async def run_one(
    evalset: EvalSet, answer: Answer, scorers: Mapping[str, Scorer], *, requests: int = 10_000, **options: Any
) -> tuple[EvalRun, Stub]:
    stub = Stub(answer)
    async with serving(stub) as url, endpoint_at(url, requests=requests) as endpoint:
        done = await run_evals(
            evalset, {"it": endpoint}, scorers, clock=SystemClock(), options=Options(backoff_s=0.0, **options)
        )
    return done["it"], stub


def test_every_item_is_asked_once_and_scored(scorers: Mapping[str, Scorer]) -> None:
    wrong = {"say 3", "say 5"}

    def answer(body: dict[str, Any], nth: int) -> str:
        return "no" if body["messages"][-1]["content"] in wrong else said(body, nth)

    run, stub = asyncio.run(run_one(echo_set(40), answer, scorers))
    found = summary_of(run, ("parity",))
    assert set(stub.asked.values()) == {1}
    assert (found.score.items, found.score.passed) == (40, 0.95)
    assert found.slices["parity"]["odd"].passed == 0.9
    assert found.prompt_tokens == 400
    assert {row.why for row in run.rows if not row.passed} == {"found 'no', wanted '3'", "found 'no', wanted '5'"}
    again = EvalRun.from_json(json.loads("".join(run.lines())))
    assert again.rows[0].item == run.rows[0].item
    assert again.to_json() == run.to_json()


def test_a_retry_is_made_and_told(scorers: Mapping[str, Scorer]) -> None:
    def answer(body: dict[str, Any], nth: int) -> Any:
        return (503, '{"error": {"message": "busy"}}') if nth == 1 and said(body, nth) == "4" else said(body, nth)

    run, stub = asyncio.run(run_one(echo_set(6), answer, scorers))
    (row,) = [row for row in run.rows if row.retried]
    assert (row.item, row.retried, row.passed) == ("4", ("HTTP 503: busy",), True)
    assert stub.total == run.requests == 7
    assert summary_of(run).retried == 1


class Waits(SystemClock):
    """Writes down how long it should have slept."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.mark.parametrize(
    ("header", "waited"),
    [
        ({}, [0.5, 1.0]), ({"Retry-After": "7"}, [7.0, 7.0]), ({"Retry-After": "0"}, [0.5, 1.0]),
        ({"Retry-After": "100000"}, [30.0, 30.0]), ({"Retry-After": "Wed, 21 Oct 2099 07:28:00 GMT"}, [30.0, 30.0]),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, [0.5, 1.0]), ({"Retry-After": "soon"}, [0.5, 1.0]),
        ({"Retry-After": "nan"}, [0.5, 1.0]), ({"Retry-After": "-3"}, [0.5, 1.0]),
        ({"Retry-After": "3", "retry-after-ms": "2500"}, [2.5, 2.5]), ({"retry-after-ms": "soon"}, [0.5, 1.0]),
    ],
)  # fmt: skip
def test_a_server_that_says_when_to_come_back_is_kept_to(
    header: dict[str, str], waited: list[float], scorers: Mapping[str, Scorer]
) -> None:
    async def run() -> tuple[EvalRun, list[float]]:
        clock = Waits()
        stub = Stub(lambda _, nth: web.Response(status=429, text="slow down", headers=header) if nth < 3 else "0")
        async with serving(stub) as url, endpoint_at(url) as endpoint:
            done = await run_evals(echo_set(1), {"it": endpoint}, scorers, clock=clock, options=Options())
        return done["it"], clock.slept

    run_, slept = asyncio.run(run())
    assert (run_.rows[0].passed, slept) == (True, waited)
    assert run_.rows[0].retried == ("HTTP 429: slow down",) * 2


def test_what_failed_is_no_wrong_answer(scorers: Mapping[str, Scorer]) -> None:
    def answer(body: dict[str, Any], nth: int) -> Any:
        return {"0": (400, "too long"), "1": (200, "<html>")}.get(said(body, nth), said(body, nth))

    run, _ = asyncio.run(run_one(echo_set(30), answer, scorers))
    found = summary_of(run)
    assert (found.score.items, found.score.passed) == (28, 1.0)
    assert found.errors == {"HTTP 400": 1, "malformed": 1}


def test_a_scorer_with_a_bug_is_an_error_of_its_items(scorers: Mapping[str, Scorer]) -> None:
    class Broken(Scorer):
        name = "exact"
        title = "broken"

        def score(self, item: Any, given: Any, params: Any) -> Any:
            raise KeyError("x")

    run, _ = asyncio.run(run_one(echo_set(2), said, {**scorers, "exact": Broken()}))
    assert {row.error for row in run.rows} == {"exact raised KeyError: 'x'"}


def test_the_budget_is_never_exceeded(scorers: Mapping[str, Scorer]) -> None:
    run, stub = asyncio.run(run_one(echo_set(50), said, scorers, requests=20))
    assert stub.total == 20
    assert (len(run.rows), run.requests) == (20, 20)
    assert "the budget of 20 generating requests is spent" in run.stopped
    assert summary_of(run).missing == 30


def test_an_endpoint_that_dies_midway_is_left_alone(scorers: Mapping[str, Scorer]) -> None:
    def answer(body: dict[str, Any], nth: int) -> Any:
        return (500, "dead") if int(said(body, nth)) >= 20 else said(body, nth)

    run, stub = asyncio.run(run_one(echo_set(500), answer, scorers, concurrency=2, retries=0))
    assert run.stopped == "it: 10 requests in a row failed, the last with: HTTP 500: dead"
    assert stub.total <= 20 + 10 + 2
    assert sum(row.passed is True for row in run.rows) == 20


def test_samples_have_their_own_seeds_and_flaky_items_are_named(scorers: Mapping[str, Scorer]) -> None:
    seeds: list[int] = []

    def answer(body: dict[str, Any], nth: int) -> Any:
        seeds.append(body["seed"])
        return "?" if said(body, nth) == "2" and nth >= 2 else said(body, nth)

    run, _ = asyncio.run(run_one(echo_set(4, samples=3), answer, scorers))
    found = summary_of(run)
    assert sorted(seeds) == [0] * 4 + [1] * 4 + [2] * 4
    assert found.flaky == ("2",)
    assert found.all_passed == 0.75
    assert found.score.passed == pytest.approx(10 / 12)
    assert to_text(run, found).count("wrong: 2:") == 1


def test_cache_answers_by_content_and_says_so(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    async def twice() -> tuple[EvalRun, Stub]:
        stub = Stub(said)
        async with serving(stub) as url, endpoint_at(url) as endpoint:
            for _ in range(2):
                cache = AnswerCache(tmp_path / "answers.sqlite")
                done = await run_evals(
                    echo_set(5, samples=2), {"it": endpoint}, scorers, clock=SystemClock(), options=Options(cache=cache)
                )
                cache.close()
        return done["it"], stub

    run, stub = asyncio.run(twice())
    assert stub.total == 10  # both samples were asked, and the second run asked nothing
    assert all(row.cached and row.passed for row in run.rows)
    assert run.requests == 0


def test_two_arms_are_asked_side_by_side(scorers: Mapping[str, Scorer]) -> None:
    order: list[str] = []

    def arm(name: str) -> Answer:
        def answer(body: dict[str, Any], nth: int) -> str:
            order.append(name)
            return said(body, nth)

        return answer

    async def both() -> None:
        async with (
            serving(Stub(arm("a"))) as a, serving(Stub(arm("b"))) as b, endpoint_at(a) as one, endpoint_at(b) as two,
        ):  # fmt: skip
            await run_evals(
                echo_set(8), {"a": one, "b": two}, scorers, clock=SystemClock(), options=Options(concurrency=1)
            )

    asyncio.run(both())
    assert "".join(order) == "abba" * 4


KILLED = """
import asyncio, sys
sys.path.insert(0, {folder!r})
from pathlib import Path
from tests.engine.evals.test_runner import echo_set
from tests.engine.evals.stub import endpoint_at
from sickbay.checks.evals import plugin
from sickbay.engine.evals.journal import EvalJournal
from sickbay.engine.evals.runner import Options, run_evals, run_key
from sickbay.engine.run.clock import SystemClock
from tests.engine.evals.stub import Answer, Stub, endpoint_at, serving

async def main():
    scorers = {{s.name: s for s in plugin.sickbay_scorers()}}
    evalset = echo_set(400)
    async with endpoint_at({url!r}) as endpoint:
        arms = {{"it": endpoint}}
        with EvalJournal(Path({journal!r}), run_key(evalset, arms, scorers)) as journal:
            options = Options(concurrency=1, journal=journal)
            done = await run_evals(evalset, arms, scorers, clock=SystemClock(), options=options)
    print(len(done["it"].rows), sum(bool(r.passed) for r in done["it"].rows))
asyncio.run(main())
"""


@pytest.mark.parametrize("kill_at", [1, 137, 399])
def test_killed_at_any_item_nothing_is_repeated_and_nothing_lost(tmp_path: Path, kill_at: int) -> None:
    """SIGKILL comes from the server, before it answers: that one item is the only one asked twice."""
    victim: list[int] = []

    def answer(body: dict[str, Any], nth: int) -> str:
        if stub.total == kill_at and victim:
            os.kill(victim.pop(), signal.SIGKILL)
        return said(body, nth)

    stub = Stub(answer)
    journal = tmp_path / "run.jsonl"

    async def scenario() -> tuple[int, str]:
        async with serving(stub) as url:
            code = KILLED.format(folder=str(Path(__file__).parents[3]), url=url, journal=str(journal))
            first = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
            victim.append(first.pid)
            killed = await first.wait()
            with journal.open("ab") as file:
                file.write(b'{"arm": "it", "item": "torn')  # as after a power cut
            second = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=subprocess.PIPE)
            out, _ = await second.communicate()
            return killed, out.decode()

    killed, out = asyncio.run(scenario())
    assert killed == -signal.SIGKILL
    assert out == "400 400\n"
    assert stub.total == 401
    assert sum(count - 1 for count in stub.asked.values()) == 1
    lines = journal.read_text().splitlines()
    assert len(lines) == 401
    assert len({json.loads(line)["item"] for line in lines[1:]}) == 400


@pytest.mark.parametrize("concurrency", [1, 5])
def test_after_any_cut_of_the_journal_only_the_missing_items_are_asked(
    tmp_path: Path, scorers: Mapping[str, Scorer], concurrency: int
) -> None:
    """A killed process leaves a prefix of its journal: every one is tried that ends in a line, and many within one."""
    evalset, path = echo_set(16, samples=2), tmp_path / "run.jsonl"

    async def asked(url: str) -> tuple[EvalRun, int]:
        async with endpoint_at(url) as endpoint:
            arms = {"it": endpoint}
            with EvalJournal(path, run_key(evalset, arms, scorers)) as journal:
                before = journal.resumed
                options = Options(concurrency=concurrency, journal=journal)
                done = await run_evals(evalset, arms, scorers, clock=SystemClock(), options=options)
        return done["it"], before

    async def all_cuts() -> None:
        stub = Stub(said)
        async with serving(stub) as url:
            await asked(url)
            whole = path.read_bytes()
            ends = [place + 1 for place, byte in enumerate(whole) if byte == 10]
            cuts = sorted({cut for end in ends for cut in (end, end - 1, end - 23)})
            for cut in cuts:
                path.write_bytes(whole[:cut])
                kept = max(0, sum(end <= cut for end in ends) - 1)
                stub.total = 0
                run, before = await asked(url)
                assert (before, stub.total, len(run.rows)) == (kept, 32 - kept, 32), cut
                assert len({(row.item, row.sample) for row in run.rows}) == 32
                assert all(row.passed for row in run.rows)

    asyncio.run(all_cuts())


def test_killed_again_and_again_it_still_ends_whole(tmp_path: Path) -> None:
    """Five kills, each at another item, five requests under way; then it ends, and no scored answer was asked twice."""
    victim: list[int] = []
    journal, kill_at = tmp_path / "run.jsonl", [3, 30, 31, 200, 333]

    def answer(body: dict[str, Any], nth: int) -> str:
        if victim and kill_at and stub.total >= kill_at[0]:
            kill_at.pop(0)
            os.kill(victim.pop(), signal.SIGKILL)
        return said(body, nth)

    stub = Stub(answer)

    async def scenario() -> str:
        async with serving(stub) as url:
            code = KILLED.format(folder=str(Path(__file__).parents[3]), url=url, journal=str(journal))
            code = code.replace("concurrency=1", "concurrency=5")
            while True:
                child = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=subprocess.PIPE)
                victim[:] = [child.pid]
                out, _ = await child.communicate()
                if child.returncode == 0:
                    return out.decode()
                assert child.returncode == -signal.SIGKILL
                lines = journal.read_text().splitlines()[1:]
                assert len(lines) == len(set(lines)) == len({json.loads(line)["item"] for line in lines})

    assert asyncio.run(scenario()) == "400 400\n"
    assert kill_at == []
    repeated = sum(count - 1 for count in stub.asked.values())
    assert repeated <= 5 * 5  # at most what was under way at each kill


def test_a_damaged_or_shared_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with EvalJournal(path, "k") as journal:
        for number in range(3):
            journal.add("it", Row(item=str(number), passed=True))
        with pytest.raises(ConfigError, match="another process writes this journal"):
            EvalJournal(path, "k")
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(whole[0] + whole[1] + b"\0\0 damaged\n" + whole[3])
    with pytest.raises(ConfigError, match=":3: a damaged line with whole ones behind it; take it out to go on"):
        EvalJournal(path, "k")
    assert len(path.read_bytes().splitlines()) == 4
    path.write_bytes(b"".join(whole[:2]) + b"\0\0 damaged\n")
    with EvalJournal(path, "k") as journal:
        assert journal.resumed == 1


def test_a_journal_is_no_device() -> None:
    with pytest.raises(ConfigError, match="/dev/full: a journal is a file, and this is none; name another"):
        EvalJournal(Path("/dev/full"), "k")


def test_a_journal_of_another_run_is_refused(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    path = tmp_path / "run.jsonl"
    EvalJournal(path, run_key(echo_set(3), {}, scorers)).close()
    with pytest.raises(ConfigError, match="the journal of another run"):
        EvalJournal(path, run_key(echo_set(4), {}, scorers))
    other = tmp_path / "notes.txt"
    other.write_text("hello\n")
    with pytest.raises(ConfigError, match="no eval journal; name another file"):
        EvalJournal(other, "k")
    assert other.read_text() == "hello\n"


def test_rows_of_the_journal_come_back_whole(tmp_path: Path) -> None:
    row = Row(item="ä", passed=False, value=0.0, retried=("x",), fields={"a": "b"}, why="w", elapsed_s=0.25, sample=2)
    with EvalJournal(tmp_path / "j", "k") as journal:
        journal.add("it", row)
    with EvalJournal(tmp_path / "j", "k") as journal:
        assert journal.rows == {"it": [row]}


def test_self_test_finds_a_golden_set_that_does_not_fit_its_scorers(scorers: Mapping[str, Scorer]) -> None:
    assert self_test(echo_set(5).items, scorers) == []
    wrong = Item(id="w", messages=(), expected="a+b", scorers=(ScorerUse(scorer="regex"), ScorerUse(scorer="exact")))
    upper = replace(wrong, id="u", scorers=(ScorerUse(scorer="contains", params={"value": [""]}),))
    assert self_test((wrong,), scorers) == []
    assert self_test((upper,), scorers) == ["contains passes an empty answer to item 'u'"]


def test_a_filter_before_the_model_has_declined(scorers: Mapping[str, Scorer]) -> None:
    filtered = '{"error": {"code": "content_filter", "message": "The prompt was filtered", "status": 400}}'
    run, _ = asyncio.run(run_one(echo_set(12, scorer="refusal"), lambda *_: (400, filtered), scorers))
    assert [(row.passed, row.finish, row.error) for row in run.rows] == [(True, "content_filter", "")] * 12
    other, _ = asyncio.run(run_one(echo_set(2), lambda *_: (400, '{"error": {"code": "too_long"}}'), scorers))
    assert summary_of(other).errors == {"HTTP 400": 2}


def test_two_runs_may_use_one_cache_and_a_killed_one_loses_nothing(tmp_path: Path) -> None:
    first, second = AnswerCache(tmp_path / "a.sqlite"), AnswerCache(tmp_path / "a.sqlite")
    first.put("one", Given(text="1"))  # not closed: a killed process closes nothing
    second.put("two", Given(text="2"))
    assert [cache.get(key) for cache in (first, second) for key in ("one", "two")] == [
        Given(text="1"),
        Given(text="2"),
    ] * 2
    first.close()
    second.close()


@pytest.mark.parametrize("kept", ["{", "[]", '{"tool_calls": 3}', '{"text": "a", "of_tomorrow": 1}'])
def test_an_answer_in_the_cache_that_cannot_be_read_is_asked_for_again(kept: str, tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path / "a.sqlite")
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as other, other:
        other.execute("INSERT INTO answers VALUES ('k', ?)", (kept,))
    found = cache.get("k")
    cache.close()
    assert found == (Given(text="a") if "tomorrow" in kept else None)


def test_a_disk_that_is_full_ends_the_run_and_loses_no_answer(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    class Full(EvalJournal):
        def add(self, arm: str, row: Row) -> None:
            if row.item == "3":
                raise DeliveryError("the journal cannot be written: No space left on device")
            super().add(arm, row)

    with Full(tmp_path / "j", "k") as journal:
        run, stub = asyncio.run(run_one(echo_set(9), said, scorers, concurrency=1, journal=journal))
    assert run.stopped == "the journal cannot be written: No space left on device"
    assert [row.item for row in run.rows] == ["0", "1", "2", "3"]
    assert stub.total == 4


def test_a_cache_that_is_full_ends_the_run_too(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    cache = AnswerCache(tmp_path / "a.sqlite")
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as other, other:
        other.execute("CREATE TRIGGER full BEFORE INSERT ON answers BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    run, stub = asyncio.run(run_one(echo_set(9), said, scorers, concurrency=1, cache=cache))
    cache.close()
    assert run.stopped.endswith("cannot be written: disk is full")
    assert (len(run.rows), stub.total) == (1, 1)


def test_a_resumed_run_has_the_slices_of_today(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    """Slices and clusters are no part of a set's digest, so a journal may be older than they are."""
    evalset = echo_set(6)
    with EvalJournal(tmp_path / "j", "k") as journal:
        asyncio.run(run_one(replace(evalset, items=evalset.items[:4]), said, scorers, journal=journal))
    items = tuple(replace(item, fields={"parity": "other"}, cluster="c") for item in evalset.items)
    with EvalJournal(tmp_path / "j", "k") as journal:
        run, stub = asyncio.run(run_one(replace(evalset, items=items), said, scorers, journal=journal))
    assert stub.total == 2
    assert {(row.fields["parity"], row.cluster) for row in run.rows} == {("other", "c")}


async def judged(
    evalset: EvalSet, answer: Answer, scorers: Mapping[str, Scorer], judge: Post, **options: Any
) -> tuple[EvalRun, Stub]:
    asking = Asking(target=judge, target_model="m", judge=judge, judge_model="j", judge_identity="j")
    return await run_one(evalset, answer, scorers, asking={"it": asking}, **options)


def test_what_a_dead_judge_left_is_judged_later_and_not_asked_again(
    tmp_path: Path, scorers: Mapping[str, Scorer]
) -> None:
    evalset = with_scorer(echo_set(40), ScorerUse(scorer="judge", params={"value": "right?"}))

    async def dead(_: str, __: Mapping[str, Any]) -> Any:
        raise ProbeError(UnknownReason.ABSENT, "HTTP 503: no judge")

    async def alive(_: str, __: Mapping[str, Any]) -> Any:
        return {"choices": [{"message": {"content": '{"reason": "ok", "pass": true}'}}]}

    with EvalJournal(tmp_path / "j", "k") as journal:
        first, stub = asyncio.run(judged(evalset, said, scorers, dead, journal=journal, concurrency=1))
    assert first.stopped == "10 answers in a row could not be judged, the last: judge: HTTP 503: no judge"
    assert (stub.total, summary_of(first).unjudged) == (10, 10)
    assert "10 answers are there and were not judged" in to_text(first, summary_of(first))
    with EvalJournal(tmp_path / "j", "k") as journal:
        assert (len(journal.held), journal.resumed) == (10, 0)
        second, stub = asyncio.run(judged(evalset, said, scorers, alive, journal=journal))
    assert (stub.total, len(second.rows), summary_of(second).score.passed) == (30, 40, 1.0)
    with EvalJournal(tmp_path / "j", "k") as journal:
        assert (len(journal.held), journal.resumed) == (0, 40)


def test_a_judge_whose_budget_is_spent_leaves_answers_that_wait(tmp_path: Path, scorers: Mapping[str, Scorer]) -> None:
    evalset = with_scorer(echo_set(20), ScorerUse(scorer="judge", params={"value": "right?"}))
    left = 5

    async def spent(_: str, __: Mapping[str, Any]) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise BudgetExceededError(UnknownReason.BUDGET, "the budget of 5 generating requests is spent")
        return {"choices": [{"message": {"content": '{"pass": true}'}}]}

    with EvalJournal(tmp_path / "j", "k") as journal:
        run, stub = asyncio.run(judged(evalset, said, scorers, spent, journal=journal, concurrency=1))
    assert (run.stopped, stub.total) == ("the budget of 5 generating requests is spent", 6)
    found = summary_of(run)
    assert (found.score.items, found.unjudged, found.missing) == (5, 1, 14)
    left = 99
    with EvalJournal(tmp_path / "j", "k") as journal:
        run, stub = asyncio.run(judged(evalset, said, scorers, spent, journal=journal))
    assert (stub.total, summary_of(run).score.items) == (14, 20)


def test_an_answer_that_was_killed_with_its_judge_is_not_asked_again(
    tmp_path: Path, scorers: Mapping[str, Scorer]
) -> None:
    evalset = with_scorer(echo_set(3), ScorerUse(scorer="judge", params={"value": "right?"}))
    stop = asyncio.Event()

    async def slow(_: str, __: Mapping[str, Any]) -> Any:
        stop.set()
        await asyncio.Event().wait()

    async def prose(_: str, __: Mapping[str, Any]) -> Any:
        return {"choices": [{"message": {"content": "Looks right to me."}}]}

    with EvalJournal(tmp_path / "j", "k") as journal:
        run, stub = asyncio.run(judged(evalset, said, scorers, slow, journal=journal, concurrency=1, interrupt=stop))
    assert (run.stopped, stub.total, run.rows) == ("interrupted", 1, ())
    for asked in (2, 0):  # what a judge says in prose is its word: kept, and an error
        with EvalJournal(tmp_path / "j", "k") as journal:
            run, stub = asyncio.run(judged(evalset, said, scorers, prose, journal=journal))
        assert (stub.total, {row.error for row in run.rows}) == (
            asked, {"judge: no verdict in its reply: 'Looks right to me.'"},
        )  # fmt: skip


def test_another_judge_is_another_run(scorers: Mapping[str, Scorer]) -> None:
    async def post(_: str, __: Mapping[str, Any]) -> Any:
        return {}

    def key(scorer: str, judge: str) -> str:
        asking = Asking(target=post, target_model="m", judge=post, judge_model=judge, judge_identity=judge)
        return run_key(echo_set(2, scorer=scorer), {}, scorers, {"target": asking})

    assert key("judge", "a") != key("judge", "b")
    assert key("exact", "a") == key("exact", "b") == run_key(echo_set(2), {}, scorers)


@pytest.mark.parametrize(
    ("passed", "clusters", "low", "high"),
    [
        ([True] * 40, ["a"] * 40, 0.206, 1.0),  # one document says as much as one item
        ([True] * 40, ["a", "b"] * 20, 0.342, 1.0),
        ([True, False] * 20, ["a", "a", "b", "b"] * 10, 0.095, 0.905),
        ([True] * 39 + [False], [str(n) for n in range(40)], 0.871, 1.0),
    ],
)
def test_items_of_few_clusters_say_less(passed: list[bool], clusters: list[str], low: float, high: float) -> None:
    rows = tuple(
        Row(item=str(n), passed=right, value=float(right), cluster=cluster)
        for n, (right, cluster) in enumerate(zip(passed, clusters, strict=True))
    )
    score = summary_of(EvalRun(name="s", rows=rows)).score
    assert score.interval.low == pytest.approx(low, abs=2e-3)
    assert score.interval.high == pytest.approx(high, abs=2e-3)
    assert score.too_few is (len(set(clusters)) < 10)


def test_an_interrupted_run_tells_what_it_has(scorers: Mapping[str, Scorer]) -> None:
    async def scenario() -> tuple[EvalRun, int]:
        interrupt, stub = asyncio.Event(), Stub(said)

        def told(_: str, row: Row) -> None:
            if row.item == "4":
                interrupt.set()

        async with serving(stub) as url, endpoint_at(url) as endpoint:
            options = Options(concurrency=1, interrupt=interrupt, on_row=told)
            done = await run_evals(echo_set(500), {"it": endpoint}, scorers, clock=SystemClock(), options=options)
        return done["it"], stub.total

    run, asked = asyncio.run(scenario())
    assert run.stopped == "interrupted"
    assert 5 <= len(run.rows) <= asked < 20
    assert summary_of(run).missing == 500 - len(run.rows)


def test_tokens_that_nobody_counted_are_no_nought(scorers: Mapping[str, Scorer]) -> None:
    bare = {"choices": [{"message": {"content": "0"}, "finish_reason": "stop"}]}
    run, _ = asyncio.run(run_one(echo_set(1), lambda *_: web.json_response(bare), scorers))
    found = summary_of(run)
    assert found.uncounted == 1
    assert "at least 0 + 0 tokens (1 answers without a count), at least 0.0000 money" in to_text(
        run, found, prices=(1.0, 2.0), width=200
    )
