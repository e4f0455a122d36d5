"""Sequential tests fed as answers come: what counts once, and that clusters keep the error rate."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sickbay.engine.evals.item import Asked, EvalSet, Item
from sickbay.engine.evals.row import EvalRun, Row
from sickbay.engine.evals.stats.sequential import CanaryState
from sickbay.engine.gate.judge import judge_eval
from sickbay.engine.gate.judge_latency import judge_latency_watch
from sickbay.engine.gate.latency import Measured
from sickbay.engine.gate.later import Later
from sickbay.engine.gate.model import EvalRule, LatencyRule, Outcome, SliceRule
from sickbay.engine.gate.watch import EvalWatch, LatencyWatch


def rule_of(items: int, clusters: int = 0, *, samples: int = 1, metric: str = "passed") -> EvalRule:
    made = tuple(
        Item(id=str(i), messages=(), cluster=f"c{i * clusters // items}" if clusters else "") for i in range(items)
    )
    evalset = EvalSet(name="s", items=made, asked=Asked(samples=samples))
    return EvalRule(id="s", evalset=evalset, margin=0.05, metric=metric)


def row(item: int, *, passed: bool = True, sample: int = 0, value: float = 1.0, error: str = "") -> Row:
    return Row(item=str(item), sample=sample, passed=None if error else passed, value=value, error=error)


def test_a_cluster_counts_once_when_it_is_whole() -> None:
    watch = EvalWatch(rule_of(6, 2), None)
    for item in range(3):
        watch.add("candidate", row(item, passed=item != 1))
        assert watch.canary.n == 0
    for item in (0, 2, 1):
        watch.add("baseline", row(item))
    assert watch.canary.n == 1
    for item in range(3, 6):
        watch.add("baseline", row(item, error="gone"))
        watch.add("candidate", row(item))
    assert watch.canary.n == 1  # nothing of the second cluster has a score on both sides


def test_all_samples_of_an_item_come_first_and_graded_scores_are_graded() -> None:
    watch = EvalWatch(rule_of(2, samples=2, metric="score"), None)
    for sample in (0, 1):
        watch.add("candidate", row(0, sample=sample, value=0.5))
        assert watch.canary.n == 0
        watch.add("baseline", row(0, sample=sample, value=0.5))
    assert watch.canary.n == 1
    assert watch.canary.path[0] == (0.0, 0.0)


def test_not_worse_is_shown_by_no_answer_that_never_came() -> None:
    """4 % of the candidate's answers never come, and 5 % may; the margin is three points."""
    rule = replace(rule_of(4000), margin=0.03, errors_max=0.05)
    watch = EvalWatch(rule, None)
    for item in range(4000):
        watch.add("baseline", row(item))
        watch.add("candidate", row(item, error="gone" if item % 25 == 0 else ""))
    assert (watch.state, watch.shown) == (CanaryState.GO_ON, set())


def test_clusters_keep_the_error_rate() -> None:
    """Clusters of five that change as one. Item by item a fifth of all sound releases would be called worse."""
    wrong = 0
    for seed in range(40):
        generator, watch = random.Random(seed), EvalWatch(rule_of(500, 100), None)
        for cluster in range(100):
            u = generator.random()
            before, after = (True, False) if u < 0.05 else (False, True) if u < 0.10 else (True, True)
            for item in range(cluster * 5, cluster * 5 + 5):
                watch.add("baseline", row(item, passed=before))
                watch.add("candidate", row(item, passed=after))
        wrong += watch.canary.state is CanaryState.INFERIOR
    assert wrong <= 3


def sliced(items: int, **more: Any) -> EvalRule:
    made = tuple(Item(id=str(i), messages=(), fields={"lang": "de" if i % 5 == 0 else "en"}) for i in range(items))
    slices = (SliceRule(by="lang", critical=("de",)),)
    return EvalRule(id="s", evalset=EvalSet(name="s", items=made), margin=0.1, slices=slices, **more)


def asked(watch: EvalWatch, rule: EvalRule, wrong: Callable[[Item], bool]) -> tuple[EvalRun, EvalRun]:
    """All items until the watch has its answer; (candidate, baseline)."""
    ours, theirs = [], []
    for item in rule.evalset.items:
        fields = dict(item.fields)
        theirs.append(Row(item=item.id, passed=True, value=1.0, fields=fields))
        ours.append(Row(item=item.id, passed=not wrong(item), value=float(not wrong(item)), fields=fields))
        watch.add("baseline", theirs[-1])
        watch.add("candidate", ours[-1])
        if watch.over:
            break
    return tuple(EvalRun(name="s", rows=tuple(rows), planned=len(rows)) for rows in (ours, theirs))  # type: ignore[return-value]


def test_a_critical_slice_has_a_test_of_its_own() -> None:
    """A fifth of the items, wrong in a half: of the whole set that is the margin, of the slice far beyond it."""
    rule = sliced(1500)
    watch = EvalWatch(rule, None)
    ours, theirs = asked(watch, rule, lambda item: item.fields["lang"] == "de" and int(item.id) % 2 == 0)
    found = {each.rule: each.found for each in judge_eval(replace(rule, sequential=True), ours, theirs, watch)}
    assert found["s/lang=de"] is Outcome.BLOCK
    assert len(ours.rows) < 500
    assert set(found) == {"s", "s/lang=de"}


def test_a_sound_release_passes_only_when_every_critical_slice_is_shown() -> None:
    rule = sliced(1500)
    watch = EvalWatch(rule, None)
    ours, theirs = asked(watch, rule, lambda _: False)
    found = {each.rule: each.found for each in judge_eval(replace(rule, sequential=True), ours, theirs, watch)}
    assert found == {"s": Outcome.PASS, "s/lang=de": Outcome.PASS}
    assert 200 < len(ours.rows) < 1500  # the slice holds every fifth item, and needs as many as a set of its own


def test_a_minimum_is_settled_before_it_ends_and_a_peek_blocks_nothing() -> None:
    rule = replace(sliced(1500, minimum=0.97), slices=())
    watch = EvalWatch(rule, None)
    ours, theirs = asked(watch, rule, lambda _: False)
    assert [each.found for each in judge_eval(replace(rule, sequential=True), ours, theirs, watch)] == [
        Outcome.PASS,
        Outcome.PASS,
    ]
    assert len(ours.rows) > 120  # the comparison alone ends at fewer

    peeked = EvalWatch(rule, None)
    rows = [Row(item=str(i), passed=i > 1, value=float(i > 1)) for i in range(20)]
    for each in rows:
        peeked.add("baseline", each)
        peeked.add("candidate", each)
    run = EvalRun(name="s", rows=tuple(rows), planned=20)
    found = judge_eval(replace(rule, sequential=True, minimum=0.999), run, run, peeked)[0]
    assert (found.found, found.summary.endswith("below 99.9%, so far")) == (Outcome.INCONCLUSIVE, True)


def test_a_release_far_below_its_minimum_is_shown_to_be() -> None:
    rule = replace(sliced(1500, minimum=0.97), slices=())
    watch = EvalWatch(rule, None)
    for item in range(60):
        watch.add("baseline", row(item, passed=item % 2 == 0))
        watch.add("candidate", row(item, passed=item % 2 == 0))
    assert watch.shown == {"minimum"}
    assert watch.over


def test_what_becomes_worse_later_is_seen_though_it_was_shown_to_be_fine() -> None:
    rule = replace(sliced(2000), slices=())
    watch = EvalWatch(rule, None, soaks=True)
    ours, theirs = [], []
    for item in range(600):
        if item % 20 == 0:
            watch.begin()
        theirs.append(row(item))
        ours.append(row(item, passed=item < 300 or item % 2 == 0))
        watch.add("baseline", theirs[-1])
        watch.add("candidate", ours[-1])
        if item == 299:
            assert (watch.state, watch.canary.state) == (CanaryState.NOT_INFERIOR, CanaryState.NOT_INFERIOR)
        if watch.state is CanaryState.INFERIOR:
            break
    assert 300 < len(ours) < 380
    new, old = (EvalRun(name="s", rows=tuple(rows), planned=len(rows)) for rows in (ours, theirs))
    found = judge_eval(replace(rule, sequential=True), new, old, watch)[0]
    assert (found.found, found.summary.partition(": ")[2]) == (Outcome.BLOCK, "not worse at first, and worse later")


def test_latency_that_grows_later_is_seen() -> None:
    rule = LatencyRule(id="ttft", ratio_max=1.2)
    watch = LatencyWatch(rule, soaks=True)
    for _ in range(12):
        watch.begin()
        watch.add(Measured(pairs=[(0.1, 0.1)] * 5))
    assert judge_latency_watch(rule, watch).found is Outcome.PASS
    for _ in range(22):
        watch.begin()
        watch.add(Measured(pairs=[(0.1, 0.2)] * 5))
    found = judge_latency_watch(rule, watch)
    assert (found.found, found.summary.rpartition(": ")[2]) == (
        Outcome.BLOCK,
        "within 1.2 at first, and beyond it later",
    )


def test_a_round_counts_once() -> None:
    """A neighbour on one machine or the other, for a round: pair by pair every tenth sound release would be stopped."""
    rule = LatencyRule(id="ttft", ratio_max=1.1)
    worse = 0
    for seed in range(60):
        generator, watch = random.Random(seed), LatencyWatch(rule)
        for _ in range(60):
            old, new = (generator.lognormvariate(0, 0.2) for _ in "12")
            noise = [(generator.lognormvariate(0, 0.03), generator.lognormvariate(0, 0.03)) for _ in range(5)]
            watch.add(Measured(pairs=[(old * a, new * b) for a, b in noise]))
        worse += watch.state is CanaryState.INFERIOR
    assert worse <= 1


def test_a_sound_release_that_is_watched_on_is_left_alone() -> None:
    false = 0
    for seed in range(20):
        generator, later = random.Random(seed), Later(0.0, 0.05)
        for _ in range(20):
            later.begin()
            for _ in range(15):
                later.add(generator.choice((-1.0, 1.0, *[0.0] * 8)))
        false += later.shown
    assert false <= 1
