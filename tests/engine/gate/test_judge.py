# ruff: noqa: E501 - one case a line, whole messages
"""Rules to findings, findings to the answer: edges, waivers, policies. No server."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date

import pytest

from sickbay.engine.evals.item import EvalSet
from sickbay.engine.evals.row import EvalRun, Row
from sickbay.engine.gate.judge import judge_eval, planned_items
from sickbay.engine.gate.judge_latency import judge_latency, judge_latency_watch
from sickbay.engine.gate.latency import Measured
from sickbay.engine.gate.model import EvalRule, LatencyRule, Outcome, SliceRule, Waiver
from sickbay.engine.gate.scorecard import Finding, decide, settle
from sickbay.engine.gate.watch import EvalWatch, LatencyWatch

RULE = EvalRule(id="facts", evalset=EvalSet(name="facts", items=()), margin=0.05)
DAY = date(2026, 6, 15)


def run(n: int, wrong: int, *, first: int = 0, slices: int = 0, **more: object) -> EvalRun:
    rows = tuple(
        Row(
            item=str(i), passed=not first <= i < first + wrong, why="found 'x', wanted 'y'",
            fields={"lang": f"l{i % slices}"} if slices else {},
        )
        for i in range(n)
    )  # fmt: skip
    return EvalRun(name="facts", rows=rows, planned=n, **more)  # type: ignore[arg-type]


def one(rule: EvalRule, candidate: EvalRun, baseline: EvalRun | None) -> Finding:
    return judge_eval(rule, candidate, baseline)[0]


@pytest.mark.parametrize(
    ("n", "wrong", "outcome", "words"),
    [
        (400, 0, Outcome.PASS, "100.0% -> 100.0% on 400 items, +0.0 points (at worst -1.0): no drop of 5 points or more"),
        (400, 40, Outcome.BLOCK, "100.0% -> 90.0% on 400 items, -10.0 points (at worst -13.3): worse (p 9.1e-13), and a drop of 5 points is not excluded"),
        (2000, 20, Outcome.WARN, "100.0% -> 99.0% on 2000 items, -1.0 points (at worst -1.5): worse (p 9.5e-07), but by less than 5 points"),
        (30, 0, Outcome.INCONCLUSIVE, "100.0% -> 100.0% on 30 items, +0.0 points (at worst -11.4): too few items to say (30 items can show 23 points; this margin needs about 645 items)"),
    ],
)  # fmt: skip
def test_what_the_numbers_mean(n: int, wrong: int, outcome: Outcome, words: str) -> None:
    found = one(RULE, run(n, wrong), run(n, 0))
    assert found.found is outcome
    assert found.summary == words


@pytest.mark.parametrize(
    ("flaky", "outcome", "words"),
    [
        (0, Outcome.PASS, "the samples of 0 of 40 items disagree (0.0%): allowed 5.0%"),
        (4, Outcome.INCONCLUSIVE, "the samples of 4 of 40 items disagree (10.0%): too few items to say whether it is more than 5.0%"),
        (12, Outcome.BLOCK, "the samples of 12 of 40 items disagree (30.0%): more than 5.0%"),
    ],
)  # fmt: skip
def test_flaky_items(flaky: int, outcome: Outcome, words: str) -> None:
    rows = [Row(item=str(i), sample=s, passed=s == 0 or i >= flaky, value=1.0) for i in range(40) for s in range(2)]
    found = judge_eval(replace(RULE, flaky_max=0.05), EvalRun(name="facts", rows=tuple(rows), planned=80), None)[0]
    assert (found.rule, found.found, found.summary) == ("facts/flaky", outcome, words)


def test_lost_items_are_shown() -> None:
    assert one(RULE, run(400, 40, first=7), run(400, 0)).examples[0] == "7: found 'x', wanted 'y'"


@pytest.mark.parametrize(
    ("candidate", "baseline", "outcome", "words"),
    [
        pytest.param(run(100, 0), None, Outcome.INCONCLUSIVE, "no baseline holds this set, and the rule has no minimum", id="no-baseline"),
        pytest.param(replace(run(100, 0), planned=200, stopped="budget"), run(100, 0), Outcome.INCONCLUSIVE, "budget; 100 of 200 answers of the candidate were never asked for", id="stopped"),
        pytest.param(run(100, 0), run(50, 0), Outcome.INCONCLUSIVE, "only 50% of the items pair, wanted 95%: 50 are only in the candidate's run, 0 only before", id="overlap"),
        pytest.param(run(100, 0, scorers={"exact": "2"}), run(100, 0, scorers={"exact": "1"}), Outcome.INCONCLUSIVE, "the baseline was scored by exact version 1, the candidate by version 2", id="scorer"),
        pytest.param(run(100, 0, asked={"temperature": 0.0}), run(100, 0, asked={"temperature": 1.0}), Outcome.INCONCLUSIVE, "the baseline was asked in another way: temperature 1.0 then, 0.0 now", id="asked"),
        pytest.param(run(100, 0, asked={"extra": {"top_k": 1}}), run(100, 0, asked={"extra": {}}), Outcome.INCONCLUSIVE, "the baseline was asked in another way: extra {} then, {'top_k': 1} now", id="asked-with-more"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_inconclusive(
    candidate: EvalRun, baseline: EvalRun | None, outcome: Outcome, words: str
) -> None:
    found = one(RULE, candidate, baseline)
    assert (found.found, found.summary) == (outcome, words)


def test_changed_items_do_not_pair() -> None:
    new = replace(run(100, 0), rows=tuple(replace(row, sha256="b") for row in run(100, 0).rows))
    old = replace(run(100, 0), rows=tuple(replace(row, sha256="a") for row in run(100, 0).rows))
    assert one(RULE, new, old).summary == "only 0% of the items pair, wanted 95%: 100 items changed their content"


def failing(n: int, failed: int) -> EvalRun:
    rows = tuple(Row(item=str(i), error="HTTP 500: dead", reason="absent") for i in range(failed))
    return EvalRun(name="facts", rows=(*rows, *run(n, 0).rows[failed:]), planned=n)


def test_a_candidate_that_does_not_answer_is_blocked_and_a_baseline_is_not_its_fault() -> None:
    found = one(RULE, failing(100, 5), run(100, 0))
    assert (found.found, found.summary) == (
        Outcome.BLOCK,
        "5.0% of the candidate's answers have no score, allowed 2.0%: HTTP 500: dead",
    )
    assert one(RULE, run(100, 0), failing(100, 5)).found is Outcome.INCONCLUSIVE
    assert one(RULE, failing(400, 4), run(400, 0)).found is Outcome.PASS


def test_a_pass_rests_on_no_item_without_an_answer() -> None:
    """1.5 % of the answers never come, allowed are 2 %, and the margin is one point: nobody may call that a pass."""
    rule = replace(RULE, margin=0.01)
    found = one(rule, failing(2000, 30), run(2000, 0))
    assert found.found is Outcome.INCONCLUSIVE
    assert found.summary.endswith(
        "no drop of 1 points or more; but 30 answers have no score, and counted as wrong they make it -1.5 points "
        "(at worst -2.1)"
    )
    assert (
        one(rule, failing(2000, 30), failing(2000, 30)).found is Outcome.PASS
    )  # what fails on both speaks for neither
    assert one(replace(rule, margin=0.03), failing(2000, 30), run(2000, 0)).found is Outcome.PASS


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        (200, "none of its 200 answers could be compared: no score on one of the two sides"),
        (20, "100.0% -> 100.0% on 180 items, +0.0 points (at worst -2.1): no drop of 5 points or more; but 20 answers have no score, and counted as wrong they make it -10.0 points (at worst -14.9)"),
    ],
)  # fmt: skip
def test_a_critical_slice_passes_by_no_answer_that_never_came(lost: int, words: str) -> None:
    """Of the whole set it is 2 %, which is allowed."""

    def fields(rows: tuple[Row, ...]) -> tuple[Row, ...]:
        return tuple(replace(row, fields={"lang": "de" if int(row.item) < 200 else "en"}) for row in rows)

    rule = replace(RULE, slices=(SliceRule(by="lang", critical=("de",)),))
    new, old = (replace(each, rows=fields(each.rows)) for each in (failing(10_000, lost), run(10_000, 0)))
    found = {each.rule: each for each in judge_eval(rule, new, old)}
    assert found["facts"].found is Outcome.PASS
    assert (found["facts/lang=de"].found, found["facts/lang=de"].summary) == (Outcome.INCONCLUSIVE, words)
    settled, _, _ = settle(tuple(found.values()), [rule], (), today=DAY, inconclusive="block")
    assert decide(settled, ())[0] is Outcome.INCONCLUSIVE


def test_a_minimum_is_not_met_by_the_few_answers_that_came() -> None:
    found = judge_eval(replace(RULE, minimum=0.9), failing(400, 200), None)
    assert [each.found for each in found] == [Outcome.PASS, Outcome.BLOCK]
    assert found[1].summary.startswith("50.0% of the candidate's answers have no score")
    cut = replace(run(400, 0), rows=run(200, 0).rows, stopped="the budget is spent")
    assert judge_eval(replace(RULE, minimum=0.9), cut, None)[1].found is Outcome.INCONCLUSIVE


def test_who_dies_midway_decides_what_it_means() -> None:
    def dead(answered: int) -> EvalRun:
        gone = tuple(Row(item=str(i), error="refused", reason="refused") for i in range(answered, answered + 10))
        return replace(run(100, 0), rows=(*run(answered, 0).rows, *gone), stopped="10 requests in a row failed")

    cut = replace(run(100, 0), rows=run(50, 0).rows, stopped="10 requests in a row failed")
    assert one(RULE, dead(40), cut).found is Outcome.BLOCK
    assert one(RULE, cut, dead(40)).found is Outcome.INCONCLUSIVE
    assert one(RULE, dead(40), dead(40)).found is Outcome.INCONCLUSIVE  # the road to both


@pytest.mark.parametrize(("wrong", "outcome"), [(0, Outcome.PASS), (10, Outcome.INCONCLUSIVE), (40, Outcome.BLOCK)])
def test_minimum(wrong: int, outcome: Outcome) -> None:
    found = one(replace(RULE, minimum=0.9), run(100, wrong), None)
    assert (found.rule, found.found) == ("facts/minimum", outcome)


def test_slices_critical_and_not() -> None:
    rule = replace(RULE, slices=(SliceRule(by="lang", critical=("l0",), items_min=20),))
    by_name = {found.rule: found for found in judge_eval(rule, run(120, 0, slices=3), run(120, 0, slices=3))}
    assert by_name["facts/lang=l0"].found is Outcome.INCONCLUSIVE  # 40 items cannot show 5 points
    assert not by_name["facts/lang=l0"].shadow
    assert by_name["facts/lang=l1"].found is Outcome.INCONCLUSIVE
    assert by_name["facts/lang=l1"].shadow  # told, and not counted


def finding(outcome: Outcome, rule: str = "facts") -> Finding:
    return Finding(rule=rule, kind="eval", found=outcome, summary="s")


def waiver(**more: object) -> Waiver:
    given = {"rule": "facts", "owner": "ann", "approver": "bob", "reason": "known and accepted", "expires": DAY, **more}
    return Waiver(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "rule", "waivers", "policy", "outcome"),
    [
        pytest.param(Outcome.BLOCK, RULE, (), "block", Outcome.BLOCK, id="plain"),
        pytest.param(Outcome.BLOCK, replace(RULE, critical=False), (), "block", Outcome.WARN, id="not-critical"),
        pytest.param(Outcome.BLOCK, replace(RULE, shadow=True), (), "block", Outcome.PASS, id="shadow"),
        pytest.param(Outcome.INCONCLUSIVE, RULE, (), "block", Outcome.INCONCLUSIVE, id="inconclusive-blocks"),
        pytest.param(Outcome.INCONCLUSIVE, RULE, (), "warn", Outcome.WARN, id="policy-warn"),
        pytest.param(Outcome.BLOCK, RULE, (), "warn", Outcome.BLOCK, id="policy-warn-is-not-for-blocks"),
        pytest.param(Outcome.INCONCLUSIVE, RULE, (waiver(),), "block", Outcome.WARN, id="waived-on-its-last-day"),
        pytest.param(Outcome.BLOCK, RULE, (waiver(),), "block", Outcome.BLOCK, id="covers-only-inconclusive"),
        pytest.param(Outcome.BLOCK, RULE, (waiver(covers=("block",)),), "block", Outcome.WARN, id="covers-block"),
        pytest.param(Outcome.INCONCLUSIVE, RULE, (waiver(rule="facts/lang=de"),), "block", Outcome.INCONCLUSIVE, id="another-slice"),
        pytest.param(Outcome.INCONCLUSIVE, RULE, (waiver(expires=date(2026, 6, 14)),), "block", Outcome.BLOCK, id="expired"),
        pytest.param(Outcome.PASS, RULE, (waiver(expires=date(2026, 6, 14)),), "block", Outcome.BLOCK, id="expired-blocks-a-pass-too"),
    ],
)  # fmt: skip
def test_policies(found: Outcome, rule: EvalRule, waivers: tuple[Waiver, ...], policy: str, outcome: Outcome) -> None:
    settled, states, errors = settle([finding(found)], [rule], waivers, today=DAY, inconclusive=policy)
    assert decide(settled, errors)[0] is outcome
    assert [state.state for state in states if state.state == "expired"] == (["expired"] if errors else [])


def test_a_waived_finding_names_who_answers_for_it() -> None:
    settled, states, _ = settle([finding(Outcome.INCONCLUSIVE)], [RULE], (waiver(),), today=DAY, inconclusive="block")
    assert settled[0].waived_by == "ann, approved by bob"
    assert states[0].state == "used"


def test_a_pass_says_what_only_watches_and_would_block() -> None:
    watched = replace(finding(Outcome.BLOCK, "beta"), shadow=True)
    assert decide([finding(Outcome.PASS), watched], []) == (
        Outcome.PASS,
        "facts passes; only watched, and would block: beta",
    )


def test_nothing_looked_at_is_no_pass() -> None:
    assert decide([], [])[0] is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("metric", "ratio", "noise", "pairs", "outcome"),
    [
        ("ttft", 1.0, 0.01, 20, Outcome.PASS),
        ("ttft", 1.05, 0.01, 20, Outcome.WARN),
        ("ttft", 1.3, 0.01, 20, Outcome.BLOCK),
        ("ttft", 1.0, 0.4, 8, Outcome.INCONCLUSIVE),
        ("ttft", 1.0, 0.0, 4, Outcome.INCONCLUSIVE),
        ("throughput", 1.3, 0.01, 20, Outcome.PASS),
        ("throughput", 0.7, 0.01, 20, Outcome.BLOCK),
    ],
)
def test_latency(metric: str, ratio: float, noise: float, pairs: int, outcome: Outcome) -> None:
    rows: list[tuple[float | None, float | None]] = [
        (0.1 * (1 + 0.5 * i), 0.1 * (1 + 0.5 * i) * ratio * (1 + noise * ((i * 7) % 5 - 2))) for i in range(pairs)
    ]
    rule = LatencyRule(id=metric, metric=metric, ratio_max=1.1, pairs=pairs)
    assert judge_latency(rule, Measured(pairs=rows)).found is outcome


def test_probes_that_fail() -> None:
    rule = LatencyRule(id="ttft", ratio_max=1.1)
    rows: list[tuple[float | None, float | None]] = [(0.1, None), (0.1, 0.1)]
    found = judge_latency(rule, Measured(pairs=rows, failures={"baseline": [], "candidate": ["HTTP 500"]}))
    assert (found.found, found.summary) == (Outcome.BLOCK, "1 of 2 requests to the candidate failed: HTTP 500")
    found = judge_latency(rule, Measured(failures={"baseline": ["gone"], "candidate": []}))
    assert found.found is Outcome.INCONCLUSIVE
    spent = "the candidate has had the requests that the gate allows; raise requests:"
    found = judge_latency(replace(rule, pairs=20), Measured(pairs=[(0.1, 0.1)] * 6, stopped=spent))
    assert (found.found, found.summary) == (Outcome.INCONCLUSIVE, f"6 of 20 pairs were measured: {spent}")


@pytest.mark.parametrize(
    ("rule", "ratio", "tokens", "outcome", "words"),
    [
        (LatencyRule(id="e2e", metric="e2e"), 0.3, (8, 1), Outcome.INCONCLUSIVE, "e2e is 0.30 times the baseline's over 20 pairs (at worst 0.30): the candidate wrote 1 tokens where the baseline wrote 8, so its time is of less work; use itl"),
        (LatencyRule(id="e2e", metric="e2e"), 0.9, (8, 0), Outcome.INCONCLUSIVE, "e2e is 0.90 times the baseline's over 20 pairs (at worst 0.90): the candidate wrote 0 tokens where the baseline wrote 8, so its time is of less work; use itl"),
        (LatencyRule(id="e2e", metric="e2e"), 1.3, (8, 1), Outcome.BLOCK, "e2e is 1.30 times the baseline's over 20 pairs (at worst 1.30): slower, and beyond 1.1 is not excluded"),
        (LatencyRule(id="ttft"), 0.02, (8, 8), Outcome.WARN, "ttft is 0.02 times the baseline's over 20 pairs (at worst 0.02): so much faster that it may be a cache, or not the model, that answers"),
        (LatencyRule(id="t", metric="throughput", concurrency=8), 0.5, (8, 8), Outcome.BLOCK, "throughput is 0.50 times the baseline's over 20 pairs, 8 at a time (at worst 0.50): slower, and beyond 0.909 is not excluded"),
        (LatencyRule(id="t", metric="throughput"), 1.0, (8, 8), Outcome.PASS, "throughput is 1.00 times the baseline's over 20 pairs (at worst 1.00): within 0.909"),
    ],
)  # fmt: skip
def test_what_latencies_say(
    rule: LatencyRule, ratio: float, tokens: tuple[int, int], outcome: Outcome, words: str
) -> None:
    found = judge_latency(rule, Measured(pairs=[(0.1, 0.1 * ratio)] * 20, tokens=[tokens] * 20))
    assert (found.found, found.summary) == (outcome, words)


def test_too_few_pairs_for_a_bound_are_told_without_one() -> None:
    found = judge_latency(LatencyRule(id="ttft"), Measured(pairs=[(0.1, 0.1)] * 5))
    assert found.summary == (
        "ttft is 1.00 times the baseline's over 5 pairs (too few for a bound): too few pairs to say whether it is within 1.1"
    )
    assert "high" not in found.numbers


def test_one_request_that_fails_stops_no_canary() -> None:
    watch = LatencyWatch(LatencyRule(id="ttft"), rules=2)
    watch.add(Measured(pairs=[(0.1, None)], failures={"baseline": [], "candidate": ["HTTP 503"]}))
    found = judge_latency_watch(LatencyRule(id="ttft"), watch)
    assert (found.found, found.summary) == (
        Outcome.INCONCLUSIVE,
        "1 of 1 requests to the candidate failed: HTTP 503; too few to say whether it fails more often than the baseline",
    )
    watch.add(Measured(pairs=[(0.1, None)] * 25, failures={"baseline": [], "candidate": ["HTTP 503"] * 25}))
    assert judge_latency_watch(LatencyRule(id="ttft"), watch).found is Outcome.BLOCK


def test_one_answer_that_fails_stops_no_canary() -> None:
    watch = EvalWatch(RULE, None)
    old, new = run(20, 0), failing(20, 1)
    for before, after in zip(old.rows, new.rows, strict=True):
        watch.add("baseline", before)
        watch.add("candidate", after)
    found = judge_eval(replace(RULE, sequential=True), new, old, watch)[0]
    assert found.found is Outcome.INCONCLUSIVE
    assert found.summary.endswith("HTTP 500: dead; too few to say whether it fails more often than the baseline")
    for item in range(20, 60):
        watch.add("baseline", Row(item=str(item), passed=True))
        watch.add("candidate", Row(item=str(item), error="HTTP 500: dead", reason="absent"))
    assert judge_eval(replace(RULE, sequential=True), new, old, watch)[0].found is Outcome.BLOCK


def test_the_plan_is_exact_where_few_items_differ() -> None:
    rule = replace(RULE, margin=0.03)
    assert planned_items(rule, 0.02) == 497  # the closed form says 358
    assert planned_items(rule, 0.20) == 3653


def test_a_ratio_that_changes_along_the_run_is_no_difference_of_the_release() -> None:
    """A neighbour makes the candidate twice as slow for a quarter of the pairs, and then is gone."""
    generator = random.Random(5)
    pairs = [
        (
            0.1 * generator.lognormvariate(0, 0.05),
            0.1 * (2.0 if 20 <= n < 35 else 1.0) * generator.lognormvariate(0, 0.05),
        )
        for n in range(60)
    ]
    found = judge_latency(LatencyRule(id="ttft", pairs=60), Measured(pairs=list(pairs)))
    assert found.found is Outcome.INCONCLUSIVE
    assert "it changed along the run, so they count as" in found.summary
    generator.shuffle(pairs)
    assert judge_latency(LatencyRule(id="ttft", pairs=60), Measured(pairs=list(pairs))).found is Outcome.BLOCK
