"""Simulated releases with known truth: how often a good one is blocked, and how often a bad one gets through.

    python -m benchmarks.gate_simulation [--releases 1000] [--seed 1]

Every release is drawn, given to the gate's own judging and settling (not to a copy of its arithmetic), and ends in
its exit code. Anything but 0 and 1 stops a release, so an inconclusive gate counts as a block. Items are as many as
`sickbay gate --plan` says for the margin and the discordance. Wanted: false block at most 5 %, a true regression of
the stated margin caught at least 95 %.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date

from sickbay.engine.evals.item import EvalSet, Item
from sickbay.engine.evals.row import EvalRun, Row
from sickbay.engine.evals.stats.proportions import wilson
from sickbay.engine.evals.stats.sequential import Canary, CanaryState
from sickbay.engine.gate.judge import judge_eval, planned_items
from sickbay.engine.gate.judge_latency import judge_latency
from sickbay.engine.gate.latency import Measured, TimedPair
from sickbay.engine.gate.model import EvalRule, LatencyRule, Rule, SliceRule
from sickbay.engine.gate.scorecard import Finding, decide, settle
from sickbay.engine.gate.watch import EvalWatch, LatencyWatch

MARGIN = 0.03
TODAY = date(2026, 1, 1)
EMPTY = EvalSet(name="s", items=())


def exit_code(findings: list[Finding], rules: Sequence[Rule]) -> int:
    settled, _, errors = settle(findings, rules, (), today=TODAY, inconclusive="block")
    outcome, _ = decide(settled, errors)
    return {"pass": 0, "warn": 1, "block": 2, "inconclusive": 3}[outcome.value]


def draw(
    generator: random.Random, n: int, discordance: float, drop: float, *, clusters: int = 0, slices: int = 0,
    samples: int = 1, bad_slice: bool = False, fail: float = 0.0,
) -> tuple[EvalRun, EvalRun]:  # fmt: skip
    """Baseline and candidate on the same items; `drop` is the true fall of the score, `fail` lacks an answer."""
    old: list[Row] = []
    new: list[Row] = []
    shift = [generator.choice((-1.0, 1.0)) for _ in range(max(1, clusters))]
    for number in range(n):
        item, cluster = str(number), number % clusters if clusters else -1
        name = f"l{number % slices}" if slices else ""
        fall = 0.0 if bad_slice and name != "l0" else drop
        # Clusters lean together to one side: half of all discordance is shared by a cluster.
        lean = 0.5 * discordance * shift[cluster] if clusters else 0.0
        worse = max((discordance + fall + lean) / 2, fall + lean)  # a fall beyond the discordance makes more differ
        better = max(0.0, worse - fall - lean)
        for sample in range(samples):
            u = generator.random()
            before, after = (True, False) if u < worse else (False, True) if u < worse + better else (True, True)
            more = {"cluster": f"c{cluster}" if clusters else "", "fields": {"lang": name} if slices else {}}
            for rows, passed in ((old, before), (new, after)):
                row = Row(item=item, sample=sample, passed=passed, value=float(passed), **more)  # type: ignore[arg-type]
                lost = fail and generator.random() < fail
                rows.append(replace(row, passed=None, value=None, error="x", reason="absent") if lost else row)
    return EvalRun(name="s", rows=tuple(old), planned=len(old)), EvalRun(name="s", rows=tuple(new), planned=len(new))


def fixed(
    discordance: float, *, clusters: int = 0, slices: int = 0, samples: int = 1, bad_slice: bool = False,
    fail: float = 0.0,
) -> Callable[[random.Random, float], int]:  # fmt: skip
    by = (SliceRule(by="lang", items_min=20, critical=("l0",) if bad_slice else ()),) if slices else ()
    rule = EvalRule(id="e", evalset=EMPTY, margin=MARGIN, slices=by)
    # A critical slice must have the planned size of its own; a cluster's items share half of what varies.
    n = planned_items(rule, discordance) * (slices if bad_slice else 1)
    if clusters:
        n = round(n * 1.15)  # the design effect of clusters of six with a correlation of 0.025
        clusters = n // 6

    def release(generator: random.Random, drop: float) -> int:
        old, new = draw(
            generator, n, discordance, drop, clusters=clusters, slices=slices, samples=samples, bad_slice=bad_slice,
            fail=fail,
        )  # fmt: skip
        return exit_code(judge_eval(rule, new, old), [rule])

    release.n = n  # type: ignore[attr-defined]
    return release


def sequential(discordance: float) -> Callable[[random.Random, float], int]:
    rule = EvalRule(id="e", evalset=EMPTY, margin=MARGIN, sequential=True)
    most = 4 * planned_items(rule, discordance)
    used: list[int] = []

    def release(generator: random.Random, drop: float) -> int:
        canary = Canary(MARGIN, 1 - rule.confidence)
        for _ in range(most):
            u = generator.random()
            worse = max((discordance + drop) / 2, drop)
            difference = -1.0 if u < worse else 1.0 if u < 2 * worse - drop else 0.0
            if canary.add(difference) is not CanaryState.GO_ON:
                break
        used.append(canary.n)
        return {CanaryState.NOT_INFERIOR: 0, CanaryState.INFERIOR: 2, CanaryState.GO_ON: 3}[canary.state]

    release.n = most  # type: ignore[attr-defined]
    release.used = used  # type: ignore[attr-defined]
    return release


def several(discordance: float, rules: int) -> Callable[[random.Random, float], int]:
    """A gate of several sets, each of the size that `--plan` asks for; a bad release is worse in one of them."""
    made = [EvalRule(id=f"e{number}", evalset=EMPTY, margin=MARGIN) for number in range(rules)]
    n = planned_items(made[0], discordance, rules=rules)

    def release(generator: random.Random, drop: float) -> int:
        findings = []
        for number, rule in enumerate(made):
            old, new = draw(generator, n, discordance, drop if number == 0 else 0.0)
            findings += judge_eval(rule, new, old)
        return exit_code(findings, made)

    release.n = n  # type: ignore[attr-defined]
    return release


def canary(discordance: float, noise: float) -> Callable[[random.Random, float], int]:
    """`--canary` with a set and a latency rule over up to 200 rounds of 25 items and 3 pairs; bad: either of them."""
    rule, timing = EvalRule(id="e", evalset=EMPTY, margin=MARGIN), LatencyRule(id="l", ratio_max=1.10)
    used: list[int] = []

    def release(generator: random.Random, drop: float) -> int:
        score, speed = EvalWatch(rule, None, rules=2), LatencyWatch(timing, rules=2)
        slow = 1.25 if drop and generator.random() < 0.5 else 1.0
        drop = 0.0 if slow > 1.0 else drop
        worse = max((discordance + drop) / 2, drop)
        for _ in range(200):
            for _ in range(25):
                if score.canary.state is CanaryState.GO_ON:
                    u = generator.random()
                    score.canary.add(-1.0 if u < worse else 1.0 if u < 2 * worse - drop else 0.0)
            if speed.state is CanaryState.GO_ON:
                times: list[TimedPair] = [
                    (generator.lognormvariate(0, noise), slow * generator.lognormvariate(0, noise)) for _ in "123"
                ]
                speed.add(Measured(pairs=times))
            states = {score.canary.state, speed.state}
            if CanaryState.INFERIOR in states or CanaryState.GO_ON not in states:
                break
        used.append(score.canary.n)
        return 2 if CanaryState.INFERIOR in states else 3 if CanaryState.GO_ON in states else 0

    release.n = 5000  # type: ignore[attr-defined]
    release.used = used  # type: ignore[attr-defined]
    return release


def canary_sliced(discordance: float, fail: float) -> Callable[[random.Random, float], int]:
    """`--canary` over three critical slices, while some requests fail on either side; bad: one slice is worse."""
    most = 15_000
    used: list[int] = []
    items = tuple(Item(id=str(i), messages=(), fields={"lang": f"l{i % 3}"}) for i in range(most))
    evalset = EvalSet(name="s", items=items)
    rule = EvalRule(id="e", evalset=evalset, margin=MARGIN, slices=(SliceRule(by="lang", critical=("*",)),))

    def release(generator: random.Random, drop: float) -> int:
        watch = EvalWatch(rule, None)
        for number, item in enumerate(items):
            fall = drop if number % 3 == 0 else 0.0
            worse = max((discordance + fall) / 2, fall)
            u = generator.random()
            right = (True, False) if u < worse else (False, True) if u < 2 * worse - fall else (True, True)
            for side, passed in zip(("baseline", "candidate"), right, strict=True):
                failed = generator.random() < fail
                reason = "absent" if failed else ""
                watch.add(side, Row(item=item.id, passed=None if failed else passed, error=reason, reason=reason))
            if watch.over:
                break
        used.append(number + 1)
        return 0 if watch.state is CanaryState.NOT_INFERIOR and not watch.shown else 3 if not watch.over else 2

    release.n = most  # type: ignore[attr-defined]
    release.used = used  # type: ignore[attr-defined]
    return release


def latency(pairs: int, noise: float) -> Callable[[random.Random, float], int]:
    """Times to first token with log-normal noise and common drift; `drop` above 0 is the candidate at the ratio."""
    rule = LatencyRule(id="l", ratio_max=1.10, pairs=pairs)

    def release(generator: random.Random, drop: float) -> int:
        rows: list[TimedPair] = []
        drift = 1.0
        for _ in range(pairs):
            drift *= generator.lognormvariate(0.0, 0.05)
            slow = rule.ratio_max if drop else 1.0
            rows.append(
                (
                    0.2 * drift * generator.lognormvariate(0, noise),
                    0.2 * drift * slow * generator.lognormvariate(0, noise),
                )
            )
        return exit_code([judge_latency(rule, Measured(pairs=rows))], [rule])

    release.n = pairs  # type: ignore[attr-defined]
    return release


def latency_alike(pairs: int) -> Callable[[random.Random, float], int]:
    """Noise of its own on either side whose neighbours are alike (correlation 0.5), beside what is new each time."""
    rule = LatencyRule(id="l", ratio_max=1.10, pairs=pairs)

    def release(generator: random.Random, drop: float) -> int:
        rows: list[TimedPair] = []
        slow = rule.ratio_max if drop else 1.0
        old, new = generator.gauss(0, 0.06), generator.gauss(0, 0.06)
        for _ in range(pairs):
            old, new = (0.5 * each + generator.gauss(0, 0.052) for each in (old, new))
            rows.append((math.exp(old + generator.gauss(0, 0.05)), slow * math.exp(new + generator.gauss(0, 0.05))))
        return exit_code([judge_latency(rule, Measured(pairs=rows))], [rule])

    release.n = pairs  # type: ignore[attr-defined]
    return release


def canary_by_rounds() -> Callable[[random.Random, float], int]:
    """`--canary` with a latency rule over up to 60 rounds of 5 pairs that share their round's noise."""
    rule = LatencyRule(id="l", ratio_max=1.10)

    def release(generator: random.Random, drop: float) -> int:
        watch, slow = LatencyWatch(rule), 1.25 if drop else 1.0
        for _ in range(60):
            old, new = (generator.lognormvariate(0, 0.08) for _ in "12")
            noise = [(generator.lognormvariate(0, 0.03), generator.lognormvariate(0, 0.03)) for _ in range(5)]
            watch.add(Measured(pairs=[(old * a, slow * new * b) for a, b in noise]))
            if watch.state is not CanaryState.GO_ON:
                break
        return {CanaryState.NOT_INFERIOR: 0, CanaryState.INFERIOR: 2, CanaryState.GO_ON: 3}[watch.state]

    release.n = 300  # type: ignore[attr-defined]
    return release


def graded(items: int) -> Callable[[random.Random, float], int]:
    """Graded answers, one in seventeen of a bad release worth half as much: few and large losses."""
    rule = EvalRule(id="e", evalset=EMPTY, margin=MARGIN, metric="score")

    def release(generator: random.Random, drop: float) -> int:
        old: list[Row] = []
        new: list[Row] = []
        for item in range(items):
            before = 1.0 if generator.random() < 0.9 else 0.5
            after = before - 0.5 if generator.random() < 2 * drop / 0.97 else before
            if generator.random() < 0.03 and generator.random() < 0.5:
                before, after = after, before
            for rows, value in ((old, before), (new, after)):
                rows.append(Row(item=str(item), passed=value >= 1.0, value=value))
        kept = EvalRun(name="s", rows=tuple(old), planned=items)
        return exit_code(judge_eval(rule, EvalRun(name="s", rows=tuple(new), planned=items), kept), [rule])

    release.n = items  # type: ignore[attr-defined]
    return release


SCENARIOS: dict[str, Callable[[], Callable[[random.Random, float], int]]] = {
    "2 % differ (same weights)": lambda: fixed(0.02),
    "5 % differ (quantised)": lambda: fixed(0.05),
    "10 % differ (new prompt)": lambda: fixed(0.10),
    "20 % differ (fine-tune)": lambda: fixed(0.20),
    "10 %, six slices": lambda: fixed(0.10, slices=6),
    "5 %, one of three slices": lambda: fixed(0.05, slices=3, bad_slice=True),
    "10 %, clusters of six": lambda: fixed(0.10, clusters=1),
    "10 %, three samples": lambda: fixed(0.10, samples=3),
    "10 %, 1 % of requests fail": lambda: fixed(0.10, fail=0.01),
    "10 %, sequential": lambda: sequential(0.10),
    "5 %, three sets": lambda: several(0.05, 3),
    "canary: 10 %, and latency": lambda: canary(0.10, 0.10),
    "canary: 5 %, critical slices, 1 % fail": lambda: canary_sliced(0.05, 0.01),
    "latency, 60 pairs, 15 % noise": lambda: latency(60, 0.10),
    "latency, neighbours alike": lambda: latency_alike(60),
    "canary: latency, noise by rounds": canary_by_rounds,
    "graded, few large losses": lambda: graded(600),
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--releases", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    args = parser.parse_args(argv)
    print(f"{args.releases} releases a cell, seed {args.seed}, margin {MARGIN * 100:g} points, latency ratio 1.10")
    print(
        f"{'releases that':<40}{'items':>7}{'false block':>14}{'(95 %)':>16}{'caught':>9}{'(95 %)':>16}{'blocked':>9}"
    )
    missed = []
    for name, make in SCENARIOS.items():
        if args.only not in name:
            continue
        release = make()
        good = [release(random.Random(f"{args.seed} {name} good {i}"), 0.0) for i in range(args.releases)]
        bad = [release(random.Random(f"{args.seed} {name} bad {i}"), MARGIN) for i in range(args.releases)]
        blocked, caught = sum(code > 1 for code in good), sum(code > 1 for code in bad)
        low, high = wilson(blocked, len(good)), wilson(caught, len(bad))
        share = sum(code == 2 for code in bad) / len(bad)
        line = (
            f"{name:<40}{release.n:>7}{blocked / len(good):>14.1%}{low.low:>9.1%}-{low.high:<6.1%}"  # type: ignore[attr-defined]
            f"{caught / len(bad):>9.1%}{high.low:>9.1%}-{high.high:<6.1%}{share:>9.1%}"
        )
        used = getattr(release, "used", [])
        print(line + (f"  {sum(used) / len(used):.0f} items on average" if used else ""), flush=True)
        if blocked / len(good) > 0.05 or caught / len(bad) < 0.95:
            missed.append(name)
    print("targets (false block <= 5 %, caught >= 95 %): " + (f"MISSED by {', '.join(missed)}" if missed else "met"))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
