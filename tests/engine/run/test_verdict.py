from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sickbay.engine.model.expression import Expression
from sickbay.engine.model.outcome import Layer, Outcome, VerdictState
from sickbay.engine.model.report import ExpectationReport, RequestRecord, StepReport
from sickbay.engine.model.runbook import Expectation, Group, Runbook, Step
from sickbay.engine.model.verdict import Band, CauseFinding, Diagnosis, Doubt
from sickbay.engine.run.verdict import decide

LIMIT = Expression(source="> 1", names=(), program=lambda _: None)
DIAGNOSIS = Diagnosis(
    causes=(
        CauseFinding(
            cause="admission-limit", layer=Layer.SERVING, means="", band=Band.LIKELY, probability=0.93, log_odds=3.0,
            coverage=1.0,
        ),
    ),
    coverage=0.5, fits=True, summary="",
)  # fmt: skip


def book(*steps: Step, **more: Any) -> Runbook:
    return Runbook(name="b", title="", why="", causes=(), groups=tuple(Group((step,)) for step in steps), **more)


def expecting(id_: str = "w") -> Step:
    return Step(id=id_, check="c", expect=(Expectation(signal="x.y", fail=LIMIT),))


def report(id_: str, outcome: str, expectation: str = "", **more: Any) -> StepReport:
    expectations: tuple[ExpectationReport, ...] = ()
    if expectation:
        expectations = (ExpectationReport(signal="x.y", outcome=Outcome(expectation), value=2.0, detail="2 s > 1 s"),)
    return StepReport(
        id=id_, check="c", outcome=Outcome(outcome), summary=f"{id_} said so", started_s=0, elapsed_s=0,
        expectations=expectations, **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("expectation", "state", "summary"),
    [
        ("fail", VerdictState.FAILING, "x.y 2 s > 1 s. Likely cause: admission-limit (serving)"),
        ("warn", VerdictState.DEGRADED, "x.y 2 s > 1 s. Likely cause: admission-limit (serving)"),
        ("pass", VerdictState.HEALTHY, "all that was promised holds: x.y 2 s > 1 s"),
        (
            "unknown", VerdictState.INCONCLUSIVE,
            "cannot be said: x.y 2 s > 1 s. Likely cause: admission-limit (serving)",
        ),
    ],
)  # fmt: skip
def test_expectations_decide(expectation: str, state: VerdictState, summary: str) -> None:
    verdict = decide(book(expecting()), [report("w", expectation, expectation)], DIAGNOSIS)
    assert (verdict.state, verdict.summary) == (state, summary)


def test_nobody_is_blamed_for_a_healthy_service() -> None:
    verdict = decide(book(expecting()), [report("w", "pass", "pass")], DIAGNOSIS)
    assert verdict.diagnosis is None
    assert verdict.top is None


def test_a_check_that_fails_by_itself_is_evidence_only() -> None:
    """The processor is full and every promise is kept: healthy."""
    runbook = book(expecting(), Step(id="cpu", check="c"))
    assert decide(runbook, [report("w", "pass", "pass"), report("cpu", "fail")], None).state is VerdictState.HEALTHY


@pytest.mark.parametrize(
    ("outcome", "reason", "state"),
    [
        ("fail", "", VerdictState.FAILING),
        ("warn", "", VerdictState.DEGRADED),
        ("pass", "", VerdictState.HEALTHY),
        ("unknown", "timeout", VerdictState.INCONCLUSIVE),
        ("skip", "parent", VerdictState.INCONCLUSIVE),
        ("skip", "not-configured", VerdictState.INCONCLUSIVE),
        ("skip", "when", VerdictState.HEALTHY),
        ("skip", "not-selected", VerdictState.HEALTHY),
    ],
)
def test_critical_steps_decide(outcome: str, reason: str, state: VerdictState) -> None:
    runbook = book(Step(id="alive", check="c", critical=True), expecting())
    steps = [report("alive", outcome, critical=True, reason=reason), report("w", "pass", "pass")]
    assert decide(runbook, steps, None).state is state


def test_one_measured_expectation_is_enough_unless_the_run_was_cut() -> None:
    runbook = book(expecting("v"), expecting("w"))
    steps = [report("v", "pass", "pass"), report("w", "unknown", "unknown")]
    assert decide(runbook, steps, None).state is VerdictState.HEALTHY
    cut = decide(runbook, steps, None, partial=True)
    assert cut.state is VerdictState.INCONCLUSIVE
    assert cut.summary == "cannot be said: the deadline cut the run short; x.y 2 s > 1 s"
    assert decide(runbook, steps, None, interrupted=True).summary.startswith(
        "cannot be said: the run was interrupted; "
    )


def test_a_failure_stands_even_if_the_run_was_cut() -> None:
    assert decide(book(expecting()), [report("w", "fail", "fail")], None, partial=True).state is VerdictState.FAILING


def test_a_skipped_expectation_is_unknown() -> None:
    verdict = decide(book(expecting()), [report("w", "skip", reason="deadline")], None)
    assert (verdict.state, verdict.summary) == (VerdictState.INCONCLUSIVE, "cannot be said: w said so")


def test_min_coverage() -> None:
    runbook = book(expecting(), min_coverage=0.6)
    verdict = decide(runbook, [report("w", "pass", "pass")], DIAGNOSIS)
    assert verdict.state is VerdictState.INCONCLUSIVE
    assert verdict.summary.startswith(
        "cannot be said: only 50% of the evidence could be measured; the runbook wants 60%"
    )


def test_without_anything_that_decides_every_step_does() -> None:
    runbook = book(Step(id="a", check="c"), Step(id="b", check="c"))
    assert decide(runbook, [report("a", "pass"), report("b", "fail")], None).state is VerdictState.FAILING
    assert decide(runbook, [report("a", "pass"), report("b", "unknown")], None).state is VerdictState.HEALTHY
    assert decide(runbook, [report("a", "unknown"), report("b", "skip")], None).state is VerdictState.INCONCLUSIVE
    assert decide(runbook, [], None).summary == "cannot be said: nothing that decides was looked at"


def test_no_cause_fits() -> None:
    empty = Diagnosis(causes=DIAGNOSIS.causes, coverage=1.0, fits=False, summary="")
    verdict = decide(book(expecting()), [report("w", "fail", "fail")], empty)
    assert verdict.summary == "x.y 2 s > 1 s. No known cause fits what was measured"


def test_a_service_that_is_there_but_kept_no_promise_is_inconclusive() -> None:
    runbook = book(Step(id="alive", check="c", critical=True), expecting())
    steps = [report("alive", "pass", critical=True), report("w", "unknown", "unknown")]
    assert decide(runbook, steps, None).state is VerdictState.INCONCLUSIVE


@pytest.mark.parametrize("why", ["not-selected", "when", "past"])
def test_a_run_whose_promises_were_all_left_out_is_never_healthy(why: str) -> None:
    """`--only serving.alive` of a latency runbook says nothing about latency."""
    runbook = book(Step(id="alive", check="c", critical=True), expecting())
    steps = [report("alive", "pass", critical=True), report("w", "skip", reason=why)]
    verdict = decide(runbook, steps, None)
    assert verdict.state is VerdictState.INCONCLUSIVE
    assert verdict.summary == "cannot be said: nothing that decides was looked at (left out: w)"


def test_what_can_only_warn_does_not_vouch_for_the_rest() -> None:
    beside = Step(id="b", check="c", expect=(Expectation(signal="x.beside", warn=LIMIT),))
    kept = replace(
        report("b", "pass"),
        expectations=(ExpectationReport(signal="x.beside", outcome=Outcome.PASS, value=0.0, detail="0 holds"),),
    )
    steps = [report("w", "unknown", "unknown"), kept]
    assert decide(book(expecting(), beside), steps, None).state is VerdictState.INCONCLUSIVE
    assert decide(book(expecting(), beside), [report("w", "pass", "pass"), kept], None).state is VerdictState.HEALTHY
    assert decide(book(beside), [kept], None).state is VerdictState.HEALTHY  # nothing here could ever fail


def test_healthy_names_what_was_not_measured() -> None:
    runbook = book(expecting("w"), expecting("v"))
    verdict = decide(runbook, [report("w", "pass", "pass"), report("v", "unknown", "unknown")], None)
    assert verdict.state is VerdictState.HEALTHY
    assert verdict.summary == "all that could be measured holds: x.y 2 s > 1 s. Not measured: x.y"


def test_a_check_that_fails_where_something_is_expected_of_it_decides() -> None:
    verdict = decide(
        book(expecting("w"), expecting("v")), [report("w", "pass", "pass"), report("v", "fail", "unknown")], None
    )
    assert (verdict.state, verdict.summary) == (VerdictState.FAILING, "v said so")


def request(
    error: str = "", *, status: int | None = 200, elapsed_s: float = 8.0, generates: bool = True
) -> RequestRecord:
    return RequestRecord(
        method="POST", url="http://e/v1/chat/completions", status=status, started_s=0.0, elapsed_s=elapsed_s, bytes=0,
        generates=generates, error=error,
    )  # fmt: skip


SILENT = request("e took the request and sent no answer within 8 s", status=None)


@pytest.mark.parametrize(
    ("requests", "state"),
    [
        ((SILENT, SILENT, request()), VerdictState.DEGRADED),
        ((SILENT, request(status=503, elapsed_s=0.1)), VerdictState.DEGRADED),
        ((SILENT, request(), request()), VerdictState.HEALTHY),  # one may be bad luck
        ((SILENT, SILENT, *(request() for _ in range(7))), VerdictState.HEALTHY),
        ((request("given up (CancelledError)"), request("given up (CancelledError)")), VerdictState.HEALTHY),
        ((request("x", elapsed_s=0.2), request("x", elapsed_s=0.2)), VerdictState.HEALTHY),
        ((request("x", generates=False), request("x", generates=False)), VerdictState.HEALTHY),
    ],
)
def test_a_service_that_leaves_our_own_requests_unanswered_is_not_healthy(
    requests: tuple[RequestRecord, ...], state: VerdictState
) -> None:
    steps = [report("w", "pass", "pass"), report("probe", "unknown", requests=requests)]
    verdict = decide(book(expecting(), Step(id="probe", check="c")), steps, DIAGNOSIS)
    assert verdict.state is state
    if state is VerdictState.DEGRADED:
        assert "requests for tokens that this run sent were not answered: " in verdict.summary
        assert verdict.diagnosis is not None


@pytest.mark.parametrize("measured", ["fail", "warn", "pass"])
def test_a_promise_about_a_value_that_is_not_believed_is_neither_kept_nor_broken(measured: str) -> None:
    lie = replace(DIAGNOSIS, doubts=(Doubt(id="lie", says="another server's page", signals=("x.y",)),))
    verdict = decide(book(expecting()), [report("w", measured, measured)], lie)
    assert verdict.state is VerdictState.INCONCLUSIVE
    assert verdict.summary.startswith("cannot be said: x.y is not believed: another server's page")


def test_a_healthy_service_is_told_what_is_not_believed() -> None:
    lie = replace(DIAGNOSIS, doubts=(Doubt(id="lie", says="another server's page", signals=("serving.other",)),))
    verdict = decide(book(expecting()), [report("w", "pass", "pass")], lie)
    assert verdict.state is VerdictState.HEALTHY
    assert verdict.summary.endswith(". Not believed: another server's page")


def test_a_promise_that_contradictions_hide_forbids_healthy() -> None:
    """Another promise is kept, but the page that was to tell of this one is two servers'."""
    lie = replace(DIAGNOSIS, doubts=(Doubt(id="lie", says="two pages in one", signals=("x.y",)),))
    kept = ExpectationReport(signal="x.z", outcome=Outcome.PASS, value=1.0, detail="1 s")
    steps = [report("w", "unknown", "unknown"), replace(report("v", "pass"), expectations=(kept,))]
    runbook = book(expecting(), Step(id="v", check="c", expect=(Expectation(signal="x.z", fail=LIMIT),)))
    assert decide(runbook, steps, DIAGNOSIS).state is VerdictState.HEALTHY
    verdict = decide(runbook, steps, lie)
    assert verdict.state is VerdictState.INCONCLUSIVE
    assert verdict.summary.startswith("cannot be said: x.y cannot be believed: two pages in one. ")
