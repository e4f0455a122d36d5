"""Sequential tests fed as answers come: what counts once, and that clusters keep the error rate."""

from __future__ import annotations

import random

from sickbay.engine.evals.item import Asked, EvalSet, Item
from sickbay.engine.evals.row import Row
from sickbay.engine.evals.stats.sequential import CanaryState
from sickbay.engine.gate.model import EvalRule
from sickbay.engine.gate.watch import EvalWatch


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
