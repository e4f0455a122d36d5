from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from typing import Any

import pytest

from sickbay.engine.errors import ProbeError, UsageError
from sickbay.engine.model.check import Cost, Effect, Result
from sickbay.engine.model.outcome import Outcome, VerdictState
from sickbay.engine.model.runbook import Ask, Budget, Expectation, Input, OnFail, Step
from sickbay.engine.model.signal import UnknownReason, measured, unknown
from sickbay.engine.model.target import Secret, Target
from sickbay.engine.run.events import Event, EventKind
from sickbay.engine.run.executor import Environment, run, run_runbook

KEY = Environment(redaction_key=b"k" * 16)


def returning(**raw: Any) -> Any:
    return lambda look, params: dict(raw)


def outcomes(report: Any) -> dict[str, str]:
    return {step.id: step.outcome.value for step in report.steps}


def test_steps_run_in_order_and_groups_overlap(bench: Any) -> None:
    """The two of a group wait for each other: alone, neither could end."""
    order: list[str] = []
    barrier = threading.Barrier(2, timeout=60)

    def note(name: str, *, meet: bool = False) -> Any:
        def look(_: Any, __: Any) -> dict[str, Any]:
            if meet:
                barrier.wait()
            order.append(name)
            return {}

        return look

    for name in ("a.a", "d.d"):
        bench.check(name, note(name))
    for name in ("b.b", "c.c"):
        bench.check(name, note(name, meet=True), costs=Cost(seconds=60.0))
    report = bench.run(
        Step(id="a", check="a.a"), (Step(id="b", check="b.b"), Step(id="c", check="c.c")), Step(id="d", check="d.d")
    )
    assert set(outcomes(report).values()) == {"pass"}
    assert order[0] == "a.a"
    assert order[-1] == "d.d"


def test_signals_carry_their_passport(bench: Any) -> None:
    bench.check("a.a", returning(value=2), emits=("x.one", "x.two"))
    bench.checks["a.a"]._judge = lambda raw, params: Result(
        outcome=Outcome.PASS, summary="", signals={"x.one": measured(raw["value"], "raw")}
    )
    report = bench.run(Step(id="a", check="a.a"))
    one, two = report.signals["x.one"], report.signals["x.two"]
    assert (one.value, one.step, one.source) == (2.0, "a", "raw")
    assert one.at_s is not None
    assert (two.reason, two.detail) == (UnknownReason.ABSENT, "a.a looked and said nothing of it")


def test_a_known_reading_is_never_replaced_by_an_unknown_one(bench: Any) -> None:
    answers = {
        "1": measured(1.0),
        "2": unknown(UnknownReason.TIMEOUT),
        "3": measured(3.0),
        "4": unknown(UnknownReason.AUTH),
    }
    for name, reading in answers.items():
        check = bench.check(f"c.{name}", emits=("x.y",))
        check._judge = lambda raw, params, reading=reading: Result(
            outcome=Outcome.PASS, summary="", signals={"x.y": reading}
        )
    steps = [Step(id=name, check=f"c.{name}") for name in answers]
    assert bench.run(*steps[:2]).signals["x.y"].value == 1.0
    assert bench.run(*steps).signals["x.y"].value == 3.0
    assert bench.run(steps[3], steps[1]).signals["x.y"].reason is UnknownReason.TIMEOUT


def test_when(bench: Any, expression: Any) -> None:
    bench.check("a.a", returning(value=5.0), emits=("x.y",))
    bench.check("b.b")
    over = expression("x.y > 9", "x.y")
    dark = expression("x.z > 9", "x.z")
    report = bench.run(
        Step(id="a", check="a.a"),
        Step(id="holds", check="b.b", when=expression("x.y < 9", "x.y")),
        Step(id="false", check="b.b", when=over),
        Step(id="unknown", check="b.b", when=dark),
    )
    assert outcomes(report) == {"a": "pass", "holds": "pass", "false": "skip", "unknown": "skip"}
    _, _, false, missing = report.steps
    assert (false.reason, false.summary) == ("when", "its condition is false: x.y > 9 (x.y = 5)")
    assert (missing.reason, missing.summary) == ("when", "its condition cannot be said without x.z: x.z > 9")


def test_unless(bench: Any, expression: Any) -> None:
    """What earlier steps decided is not looked at again; what cannot be said keeps no step from running."""
    bench.check("a.a", returning(value=5.0), emits=("x.y",))
    bench.check("b.b")
    report = bench.run(
        Step(id="a", check="a.a"),
        Step(id="decided", check="b.b", unless=expression("x.y > 4", "x.y")),
        Step(id="open", check="b.b", unless=expression("x.y > 9", "x.y")),
        Step(id="unknown", check="b.b", unless=expression("x.z > 9", "x.z")),
    )
    assert outcomes(report) == {"a": "pass", "decided": "skip", "open": "pass", "unknown": "pass"}
    assert (report.steps[1].reason, report.steps[1].summary) == (
        "when", "not needed, earlier steps decided: x.y > 4",
    )  # fmt: skip


def test_needs_and_the_name_of_the_parent(bench: Any) -> None:
    bench.check("bad.one", returning(outcome="fail"), emits=("x.y",))
    bench.check("a.a", emits=("x.z",))
    report = bench.run(
        Step(id="root", check="bad.one"),
        Step(id="child", check="a.a", needs=("root",)),
        Step(id="grandchild", check="a.a", needs=("child",)),
        Step(id="free", check="a.a"),
    )
    assert outcomes(report) == {"root": "fail", "child": "skip", "grandchild": "skip", "free": "pass"}
    _, child, grandchild, _ = report.steps
    assert (child.reason, child.skipped_after, child.summary) == ("parent", "root", "not run, because root failed")
    assert grandchild.skipped_after == "root"
    assert child.signals["x.z"].reason is UnknownReason.NOT_ASKED


@pytest.mark.parametrize(
    ("raw", "critical", "stops"),
    [
        ({"outcome": "fail"}, False, True),
        ({"outcome": "unknown"}, True, True),
        ({"outcome": "unknown"}, False, False),
        ({"outcome": "warn"}, True, False),
        ({"outcome": "skip"}, False, False),
    ],
)
def test_on_fail_stop(bench: Any, raw: dict[str, Any], critical: bool, stops: bool) -> None:
    bench.check("gate.one", returning(**raw))
    bench.check("a.a")
    report = bench.run(
        Step(id="gate", check="gate.one", on_fail=OnFail.STOP, critical=critical), Step(id="after", check="a.a")
    )
    after = report.steps[1]
    assert (after.outcome is Outcome.SKIP) is stops
    assert after.skipped_after == ("gate" if stops else "")


def test_a_retry_is_shown(bench: Any) -> None:
    tries = iter(["fail", "unknown", "pass"])
    bench.check("a.a", lambda look, params: {"outcome": next(tries), "value": 1})
    step = bench.run(Step(id="a", check="a.a", retries=2)).steps[0]
    assert (step.outcome, step.attempts) == (Outcome.PASS, 3)
    assert step.summary == "value 1 (attempt 3 of 3; attempt 1: fail, value 1; attempt 2: unknown, value 1)"


def test_retries_end(bench: Any) -> None:
    bench.check("a.a", returning(outcome="fail"))
    step = bench.run(Step(id="a", check="a.a", retries=1)).steps[0]
    assert (step.outcome, step.attempts) == (Outcome.FAIL, 2)


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_bug_is_that_steps_unknown(bench: Any, kind: str) -> None:
    async def later(look: Any, params: Any) -> Any:
        return dict[str, int]()["no"]

    look: Any = (lambda look, params: dict[str, int]()["no"]) if kind == "plain" else later
    bench.check("bug.one", look, emits=("x.y",))
    bench.check("a.a")
    report = bench.run(Step(id="bug", check="bug.one"), Step(id="after", check="a.a"))
    bug, after = report.steps
    assert (bug.outcome, bug.reason, bug.summary) == (Outcome.UNKNOWN, "crashed", "the check crashed: KeyError: 'no'")
    assert "test_executor.py" in bug.trace
    assert bug.signals["x.y"].reason is UnknownReason.CRASHED
    assert after.outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("look", "words"),
    [
        (lambda look, params: [1], "look() of 'a.a' returned a list; wanted a mapping"),
        (lambda look, params: {"x": {"y": {1, 2}}}, "raw['x']['y'] is a set ({1, 2}); wanted JSON data"),
        (lambda look, params: {1: 2}, "raw has the key 1; wanted text"),
    ],
)
def test_a_raw_that_is_no_json(bench: Any, look: Any, words: str) -> None:
    bench.check("a.a", look)
    assert bench.run(Step(id="a", check="a.a")).steps[0].summary == f"the check crashed: TypeError: {words}"


def test_a_probe_error_is_unknown_with_its_reason(bench: Any) -> None:
    def look(_: Any, __: Any) -> Any:
        raise ProbeError(UnknownReason.PERMISSION, "/dev/kmsg: permission denied")

    bench.check("a.a", look, emits=("x.y",))
    report = bench.run(Step(id="a", check="a.a"))
    step = report.steps[0]
    assert (step.outcome, step.reason, step.summary) == (Outcome.UNKNOWN, "permission", "/dev/kmsg: permission denied")
    assert report.signals["x.y"].reason is UnknownReason.PERMISSION
    assert step.trace == ""


def test_a_hung_thread_is_abandoned(bench: Any) -> None:
    never = threading.Event()
    bench.check("hung.one", lambda look, params: never.wait(60) and {})
    bench.check("a.a")
    report = bench.run(Step(id="hung", check="hung.one", deadline_s=0.2), Step(id="after", check="a.a"))
    never.set()
    hung, after = report.steps
    assert hung.outcome is Outcome.UNKNOWN
    assert hung.reason == "hung"
    assert hung.summary == "no result within 0.2 s and the look does not react; it was abandoned"
    assert after.outcome is Outcome.PASS


def test_an_async_look_is_cancelled_at_its_deadline(bench: Any) -> None:
    cleaned: list[str] = []

    async def look(_: Any, __: Any) -> Any:
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.append("yes")

    bench.check("slow.one", look)
    step = bench.run(Step(id="slow", check="slow.one", deadline_s=0.1)).steps[0]
    assert (step.outcome, step.reason) == (Outcome.UNKNOWN, "timeout")
    assert step.summary == "no result within 0.1 s; the look was given up"
    assert cleaned == ["yes"]


def test_a_look_that_ignores_cancellation_is_abandoned(bench: Any) -> None:
    async def stubborn(_: Any, __: Any) -> Any:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                stubbornness.append(1)
                if len(stubbornness) > 1:  # the sweep at the end of the run
                    raise

    stubbornness: list[int] = []
    bench.check("bad.one", stubborn)
    step = bench.run(Step(id="s", check="bad.one", deadline_s=0.1)).steps[0]
    assert (step.outcome, step.reason) == (Outcome.UNKNOWN, "hung")


def test_the_runs_deadline_gives_a_partial_report(bench: Any) -> None:
    async def slow(look: Any, params: Any) -> Any:
        await asyncio.sleep(60)

    bench.check("a.a")
    bench.check("slow.one", slow)
    report = bench.run(
        Step(id="first", check="a.a"),
        Step(id="slow", check="slow.one", critical=True),
        Step(id="never", check="a.a"),
        budget=Budget(deadline_s=0.3),
    )
    assert report.partial
    assert outcomes(report) == {"first": "pass", "slow": "unknown", "never": "skip"}
    assert report.steps[1].summary == "the run's deadline came; the look was given up"
    assert (report.steps[2].reason, report.steps[2].summary) == (
        "deadline", "the run's deadline of 0.3 s came first",
    )  # fmt: skip
    assert report.verdict.state is VerdictState.INCONCLUSIVE
    assert report.verdict.summary.startswith("cannot be said: the deadline cut the run short; slow: ")


def test_for_each_runs_once_an_item(bench: Any) -> None:
    bench.check("a.a", lambda look, params: {"value": float(params["n"])}, emits=("x.y",),
                params={"type": "object", "properties": {"n": {"type": "string"}}})  # fmt: skip
    report = bench.run(
        Step(id="a", check="a.a", params={"n": "item"}, for_each=("1", "2")),
        Step(id="b", check="a.a", params={"n": "3"}, needs=("a",)),
    )
    assert outcomes(report) == {"a[1]": "pass", "a[2]": "pass", "b": "pass"}
    assert report.signals["x.y"].by == {"1": 1.0, "2": 2.0}


def test_expectations(bench: Any, expression: Any) -> None:
    bench.check("a.a", returning(value=4.73), emits=("x.y",))
    fail = expression("x.y > 1", "x.y", shown="> 1")
    warn = expression("x.y > 4", "x.y", shown="> 4")
    dark = expression("x.y > base", "x.y", "base", shown="> base")
    expect = (
        Expectation(signal="x.y", fail=fail),
        Expectation(signal="x.y", warn=warn),
        Expectation(signal="x.y", fail=expression("x.y > 9", "x.y", shown="> 9")),
        Expectation(signal="x.y", fail=dark),
        Expectation(signal="x.z", fail=fail),
    )
    step = bench.run(Step(id="a", check="a.a", expect=expect)).steps[0]
    assert [(each.outcome.value, each.detail) for each in step.expectations] == [
        ("fail", "4.73 s > 1 s"),
        ("warn", "4.73 s > 4 s"),
        ("pass", "4.73 s; fails at > 9 s"),
        ("unknown", "4.73 s; whether '> base' holds cannot be said without base"),
        ("unknown", "was not measured by any step"),
    ]
    assert step.outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("slo", "said"),
    [
        (1.0, "4.73 s > 1 s (inputs.slo)"),
        (5.0, "4.73 s > 4 s (0.8 * inputs.slo)"),
        (9.0, "4.73 s; fails at > 9 s (inputs.slo)"),
    ],
)
def test_a_limit_from_an_input_is_told_with_its_number(bench: Any, expression: Any, slo: float, said: str) -> None:
    bench.check("a.a", returning(value=4.73), emits=("x.y",))
    warn = expression("x.y > 0.8 * inputs.slo", "x.y", "inputs.slo", shown="> 0.8 * inputs.slo")
    fail = expression("x.y > inputs.slo", "x.y", "inputs.slo", shown="> inputs.slo")
    step = Step(id="a", check="a.a", expect=(Expectation(signal="x.y", warn=warn, fail=fail),))
    report = bench.run(step, inputs={"slo": slo}, declared=(Input(name="slo", type="number"),))
    assert report.steps[0].expectations[0].detail == said


def test_ask(bench: Any) -> None:
    step = Step(id="q", ask=Ask(question="Was there a release?"))
    silent = bench.run(step).steps[0]
    assert (silent.outcome, silent.reason, silent.summary) == (
        Outcome.UNKNOWN, "not-asked", "nobody to ask: Was there a release?",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "outcome", "value"),
    [(True, "pass", True), ("no", "pass", False), (None, "unknown", None), ("perhaps", "unknown", None)],
)
def test_answers(bench: Any, answer: Any, outcome: str, value: Any) -> None:
    environment = Environment(ask=lambda _, __: answer, redaction_key=b"k" * 16)
    report = bench.run(Step(id="q", ask=Ask(question="Was there a release?")), environment=environment)
    assert report.steps[0].outcome == outcome
    assert report.signals["answer.q"].value is value


def test_budget_of_requests_leaves_later_steps_out(bench: Any) -> None:
    bench.check("a.a", costs=Cost(requests=3), effect=Effect.LIGHT)
    report = bench.run(Step(id="a", check="a.a"), budget=Budget(requests=3, effect=Effect.LIGHT))
    assert outcomes(report) == {"a": "pass"}

    async def take(look: Any, params: Any) -> Any:
        look.http.client.budget.take("one")
        return {}

    bench.check("taker.one", take, effect=Effect.LIGHT)
    report = bench.run(
        Step(id="t", check="taker.one"), Step(id="a", check="a.a"), budget=Budget(requests=3, effect=Effect.LIGHT)
    )
    assert outcomes(report) == {"t": "pass", "a": "skip"}
    assert (report.steps[1].reason, report.requests_made) == ("budget", 1)
    assert report.steps[1].summary == "needs up to 3 requests, 2 of the budget of 3 are left; --requests raises it"


def test_measure_once(bench: Any) -> None:
    made: list[int] = []

    async def make() -> int:
        made.append(1)
        await asyncio.sleep(0)
        return 42

    async def look(look: Any, params: Any) -> Any:
        return {"value": await look.share("k", make)}

    bench.check("a.a", look)
    bench.run((Step(id="1", check="a.a"), Step(id="2", check="a.a")), Step(id="3", check="a.a"))
    assert made == [1]


def test_a_shared_measurement_outlives_the_step_that_began_it(bench: Any) -> None:
    started: list[int] = []
    release = asyncio.Event()

    async def make() -> int:
        started.append(1)
        await release.wait()
        return 42

    def ended(event: Event) -> None:
        if event.kind is EventKind.STEP_ENDED and event.step == "short":
            release.set()

    async def look(look: Any, params: Any) -> Any:
        return {"value": await look.share("k", make)}

    bench.check("a.a", look)
    plan = bench.plan((Step(id="short", check="a.a", deadline_s=0.1), Step(id="long", check="a.a", deadline_s=60)))
    report = run(plan, environment=Environment(redaction_key=b"k" * 16), on_event=ended)
    short, long = report.steps
    assert (short.reason, long.outcome, long.raw) == ("timeout", Outcome.PASS, {"value": 42})
    assert started == [1]


def test_a_failed_measurement_is_tried_again(bench: Any) -> None:
    tries: list[int] = []

    async def make() -> int:
        tries.append(1)
        if len(tries) == 1:
            raise ProbeError(UnknownReason.REFUSED, "not yet")
        return 1

    async def look(look: Any, params: Any) -> Any:
        return {"value": await look.share("k", make)}

    bench.check("a.a", look)
    assert outcomes(bench.run(Step(id="1", check="a.a"), Step(id="2", check="a.a"))) == {"1": "unknown", "2": "pass"}


def test_no_engine_plugin(bench: Any) -> None:
    async def look(look: Any, params: Any) -> Any:
        await look.engine()

    bench.check("a.a", look)
    step = bench.run(Step(id="a", check="a.a")).steps[0]
    assert (step.reason, step.summary) == (
        "unsupported", "no engine can be recognised in this run: no engine plugin is loaded",
    )  # fmt: skip


def test_secrets_stay_out_of_the_report(bench: Any) -> None:
    bench.check("a.a", lambda look, params: {"line": "Authorization: Bearer abcdef123456", "again": "key very-secret!"})
    target = Target(name="t", api_key=Secret(value="very-secret!"))
    report = bench.run(Step(id="a", check="a.a"), target=target)
    text = repr(report)
    assert "very-secret!" not in text
    assert "abcdef123456" not in text
    assert len(report.redactions) == 2


def test_events(bench: Any) -> None:
    bench.check("a.a")
    events: list[Event] = []
    plan = bench.plan(Step(id="a", check="a.a"), Step(id="b", check="a.a"))
    run(plan, environment=KEY, on_event=events.append)
    assert [(event.kind.value, event.step, event.done) for event in events] == [
        ("run-started", "", 0),
        ("step-started", "a", 0), ("step-ended", "a", 1), ("progress", "", 1),
        ("step-started", "b", 1), ("step-ended", "b", 2), ("progress", "", 2),
        ("run-ended", "", 2),
    ]  # fmt: skip
    assert events[-1].report is not None


def test_a_broken_progress_line_costs_no_verdict(bench: Any) -> None:
    def broken(_: Event) -> None:
        raise BrokenPipeError

    bench.check("a.a")
    assert run(bench.plan(Step(id="a", check="a.a")), environment=KEY, on_event=broken).steps[0].outcome is Outcome.PASS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_gives_the_report_so_far(bench: Any, number: signal.Signals) -> None:
    cleaned: list[str] = []

    async def look(_: Any, __: Any) -> Any:
        os.kill(os.getpid(), number)
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.append("yes")

    bench.check("a.a")
    bench.check("slow.one", look)
    before = signal.getsignal(number)
    report = bench.run(Step(id="first", check="a.a"), Step(id="slow", check="slow.one"), Step(id="last", check="a.a"))
    assert report.interrupted
    assert outcomes(report) == {"first": "pass", "slow": "unknown", "last": "skip"}
    assert [step.reason for step in report.steps] == ["", "interrupted", "interrupted"]
    assert cleaned == ["yes"]
    assert signal.getsignal(number) is before


def test_cancelling_leaves_no_task(bench: Any) -> None:
    started = threading.Event()

    async def look(_: Any, __: Any) -> Any:
        started.set()
        await asyncio.sleep(60)

    bench.check("slow.one", look)
    plan = bench.plan((Step(id="1", check="slow.one"), Step(id="2", check="slow.one")))

    async def main() -> None:
        task = asyncio.create_task(run_runbook(plan, environment=KEY))
        await asyncio.to_thread(started.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_no_thread_is_left(bench: Any) -> None:
    bench.check("a.a")
    bench.run((Step(id="1", check="a.a"), Step(id="2", check="a.a")))
    end = time.monotonic() + 10
    while any(thread.name == "sickbay-look" and thread.is_alive() for thread in _ours()):
        assert time.monotonic() < end
        time.sleep(0.01)


def _ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "sickbay-look"]


def test_run_refuses_a_running_loop(bench: Any) -> None:
    bench.check("a.a")
    plan = bench.plan(Step(id="a", check="a.a"))

    async def main() -> None:
        with pytest.raises(UsageError, match="cannot be called from a running event loop"):
            run(plan, environment=KEY)

    asyncio.run(main())


def test_the_reports_own_facts(bench: Any) -> None:
    bench.check("a.a", returning(tokens_used=7))
    target = Target(name="prod", url="http://me:pw@127.0.0.1:1/x", model="m")
    report = bench.run(Step(id="a", check="a.a"), target=target)
    assert (report.target, report.url, report.model) == ("prod", "http://127.0.0.1:1/x", "m")
    assert report.tokens_used == 7
    assert report.requests_budget == 12
    assert len(report.runbook_sha256) == 64
    assert EventKind("note")
