"""Our statistics against second sources: scipy, statsmodels, brute force, and the levels they promise."""

from __future__ import annotations

import math
import random

import pytest
from scipy import optimize, stats
from statsmodels import api
from statsmodels.stats import contingency_tables as tables
from statsmodels.stats import multitest as multi
from statsmodels.stats import proportion

from sickbay.engine.evals.compare import Finding, Pair, compare, compare_slices
from sickbay.engine.evals.stats.many import holm
from sickbay.engine.evals.stats.means import bca_bounds, clustered_mean, sign_flip_p, skewness
from sickbay.engine.evals.stats.power import (
    items_needed,
    items_needed_exactly,
    margin_resolved,
    margin_resolved_exactly,
    pass_chance,
)
from sickbay.engine.evals.stats.proportions import binomial_tail, mcnemar_exact, tango_interval, tango_p_below, wilson
from sickbay.engine.evals.stats.ranks import hodges_lehmann
from sickbay.engine.evals.stats.rare import rare_bounds
from sickbay.engine.evals.stats.sequential import Bet, Canary, CanaryState
from sickbay.engine.evals.stats.serial import counted_as, widened
from sickbay.engine.evals.stats.student import t_cdf, t_quantile


@pytest.mark.parametrize("df", [1, 2.5, 7, 29, 1000])
@pytest.mark.parametrize("x", [-8.0, -1.3, 0.0, 0.4, 2.2, 12.0])
def test_student(df: float, x: float) -> None:
    assert t_cdf(x, df) == pytest.approx(stats.t.cdf(x, df), rel=1e-9, abs=1e-14)
    assert t_quantile(0.975, df) == pytest.approx(stats.t.ppf(0.975, df), rel=1e-9)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (10, 10), (0, 1), (480, 1000)])
def test_wilson(k: int, n: int) -> None:
    low, high = proportion.proportion_confint(k, n, method="wilson")
    found = wilson(k, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.parametrize(("worse", "better"), [(0, 0), (5, 0), (3, 9), (12, 30), (700, 650), (1, 0)])
def test_mcnemar(worse: int, better: int) -> None:
    wanted = tables.mcnemar([[50, worse], [better, 50]], exact=True).pvalue
    assert mcnemar_exact(worse, better) == pytest.approx(wanted, rel=1e-9)
    if worse + better:
        one = stats.binomtest(worse, worse + better, 0.5, alternative="greater").pvalue
        assert mcnemar_exact(worse, better, one_sided=True) == pytest.approx(one, rel=1e-9)


def test_binomial_tail_far_out_keeps_its_digits() -> None:
    assert binomial_tail(1300, 2000) == pytest.approx(stats.binom.sf(1299, 2000, 0.5), rel=1e-8)


@pytest.mark.parametrize(("better", "worse", "n"), [(2, 5, 40), (0, 3, 50), (9, 4, 100), (1, 1, 12), (30, 55, 400)])
def test_tango_is_the_score_test_of_the_profile_likelihood(better: int, worse: int, n: int) -> None:
    """The ends are where the score statistic, with the other share at its constrained maximum, is the quantile."""
    found = tango_interval(better, worse, n, 0.95)

    def statistic(d: float) -> float:
        def loss(q: float) -> float:  # q = P(worse); P(better) = q + d
            up, rest = q + d, 1 - 2 * q - d
            if min(q, up, rest) <= 0:
                return 1e9
            return -(better * math.log(up) + worse * math.log(q) + (n - better - worse) * math.log(rest))

        low, high = max(0.0, -d), (1 - d) / 2
        q = optimize.minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
        return float((better - worse - n * d) / math.sqrt(n * (2 * q + d - d * d)))

    assert statistic(found.low) == pytest.approx(1.959964, abs=2e-3)
    assert statistic(found.high) == pytest.approx(-1.959964, abs=2e-3)


def test_tango_without_a_difference_still_says_how_little_is_known() -> None:
    z = 1.6448536
    assert tango_interval(0, 0, 50).low == pytest.approx(-z * z / (50 + z * z), abs=1e-6)
    assert tango_interval(0, 0, 0).low == -1.0
    assert tango_p_below(0, 0, 50, -0.10) < 0.05 < tango_p_below(0, 0, 50, -0.05)


def test_clustered_error_is_statsmodels_cluster_robust() -> None:
    generator = random.Random(3)
    clusters = [f"c{generator.randrange(17)}" for _ in range(300)]
    shift = {name: generator.gauss(0, 1) for name in sorted(set(clusters))}
    values = [shift[name] + generator.gauss(0, 1) for name in clusters]
    groups = [sorted(shift).index(name) for name in clusters]
    fit = api.OLS(values, [1.0] * 300).fit(cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False})
    found = clustered_mean(values, clusters)
    assert found.error == pytest.approx(fit.bse[0] * math.sqrt(17 / 16), rel=1e-9)
    assert found.df == 16


def test_plain_error_and_p() -> None:
    values = [0.1, -0.4, 0.3, 0.0, 0.9, 0.2, -0.1]
    found = clustered_mean(values)
    wanted = stats.ttest_1samp(values, -0.2, alternative="greater")
    assert found.error == pytest.approx(stats.sem(values))
    assert found.p_at_or_below(-0.2) == pytest.approx(wanted.pvalue, rel=1e-9)


def test_bca_against_scipy() -> None:
    generator = random.Random(5)
    values = [generator.expovariate(1.0) for _ in range(60)]
    low, high = bca_bounds(values, alpha=0.05, draws=8000)
    mean = lambda data, axis: data.mean(axis=axis)  # noqa: E731
    wanted = stats.bootstrap((values,), mean, confidence_level=0.9, n_resamples=9999, method="BCa", random_state=1)
    assert low == pytest.approx(wanted.confidence_interval.low, abs=0.02)
    assert high == pytest.approx(wanted.confidence_interval.high, abs=0.02)


def test_sign_flips_exact() -> None:
    values = [-0.5, 0.2, -0.3, -0.9, 0.1, -0.4, -0.2, 0.3]
    mean = lambda data, axis: data.mean(axis=axis)  # noqa: E731
    wanted = stats.permutation_test((values,), mean, permutation_type="samples", alternative="less", n_resamples=2**9)
    assert sign_flip_p(values) == pytest.approx(wanted.pvalue)
    assert sign_flip_p([0.0, 0.0]) == 1.0
    assert sign_flip_p(values, ["a"] * 8) == 0.5  # one cluster can only be flipped whole


def test_holm() -> None:
    p = [0.01, 0.04, 0.03, 0.2, 0.005, 1.0]
    assert holm(p) == pytest.approx(list(multi.multipletests(p, method="holm")[1]))
    assert holm([]) == []


def test_signed_rank_bounds_are_exact() -> None:
    """At n = 10 and alpha 0.05 the critical value is 10 (any table of the signed-rank test)."""
    values = [0.3, 1.1, -0.4, 0.8, 0.9, 1.7, 0.2, -0.1, 0.6, 1.3]
    found = hodges_lehmann(values, alpha=0.05)
    walsh = sorted((a + b) / 2 for i, a in enumerate(values) for b in values[i:])
    assert found.low == walsh[10]
    assert found.high == walsh[-11]
    assert math.isinf(hodges_lehmann([0.1, 0.2, 0.3, 0.4], alpha=0.05).low)  # 1/16 is more than 0.05
    assert not math.isinf(hodges_lehmann([0.1, 0.2, 0.3, 0.4, 0.5], alpha=0.05).low)


def test_power_tables() -> None:
    """The sizes of the usual table at 80 % power: 10 % discordance and 2 points want 1,546 items."""
    assert items_needed(0.02, 0.10, power=0.8) == 1546
    assert items_needed(0.05, 0.20, power=0.8) == 495
    assert margin_resolved(1546, 0.10, power=0.8) == pytest.approx(0.02, abs=1e-5)
    assert margin_resolved(0) == 1.0
    with pytest.raises(ValueError, match="a margin is above 0"):
        items_needed(0.0)


def test_a_margin_of_a_millionth_is_answered_at_once() -> None:
    assert items_needed_exactly(1e-6, 0.1, alpha=0.025, power=0.98) == items_needed(1e-6, 0.1, alpha=0.025, power=0.98)


def test_rare_large_losses_reach_further_than_t_says() -> None:
    losses = [-0.5] * 24 + [0.0] * 376
    found, mirrored = clustered_mean(losses), clustered_mean([-each for each in losses])
    assert skewness(losses) == pytest.approx(-3.7, abs=0.05)
    low, t_low = found.bound(0.025, skewness(losses)), found.bound(0.025)
    assert low == pytest.approx(t_low - 0.0016, abs=1e-4)
    assert mirrored.bound(0.975, -skewness(losses)) == pytest.approx(-low)
    assert found.bound(0.975, skewness(losses)) == found.bound(0.975)  # never narrower than t


@pytest.mark.parametrize("items", [150, 700])
def test_what_so_many_items_can_show_is_what_needs_so_many(items: int) -> None:
    margin = margin_resolved_exactly(items, 0.1, alpha=0.025, power=0.98)
    # One more or less is rounding: the search for the number of items goes on in steps of two in a hundred.
    assert items <= items_needed_exactly(margin * 0.999, 0.1, alpha=0.025, power=0.98) <= items * 1.04
    assert pass_chance(items, margin, 0.1, alpha=0.025) == pytest.approx(0.98, abs=0.01)
    assert margin_resolved_exactly(1, 0.1, alpha=0.025, power=0.98) == 1.0


def pairs(better: int, worse: int, n: int, clusters: int = 0) -> list[Pair]:
    values = [(0.0, 1.0)] * better + [(1.0, 0.0)] * worse + [(1.0, 1.0)] * (n - better - worse)
    return [Pair(str(i), a, b, f"c{i % clusters}" if clusters else "") for i, (a, b) in enumerate(values)]


@pytest.mark.parametrize(
    ("better", "worse", "n", "margin", "finding"),
    [
        (0, 0, 200, 0.02, Finding.NOT_INFERIOR),
        (0, 0, 100, 0.02, Finding.TOO_FEW),
        (0, 0, 1, 0.5, Finding.TOO_FEW),
        (5, 5, 1000, 0.02, Finding.NOT_INFERIOR),
        (2, 40, 400, 0.02, Finding.INFERIOR),
        (0, 4, 40, 0.02, Finding.TOO_FEW),
        (0, 5, 40, 0.02, Finding.INFERIOR),
        (0, 0, 0, 0.02, Finding.TOO_FEW),
    ],
)
def test_findings(better: int, worse: int, n: int, margin: float, finding: Finding) -> None:
    found = compare(pairs(better, worse, n), margin)
    assert found.finding is finding
    if finding is Finding.TOO_FEW and n:
        assert found.resolvable > margin or found.needed > n


def test_few_clusters_decide_nothing() -> None:
    found = compare(pairs(0, 100, 1000, clusters=4), 0.02)
    assert found.finding is Finding.TOO_FEW
    assert found.note == "4 clusters; wanted at least 10"


@pytest.mark.parametrize(
    ("values", "clusters", "low"),
    [
        pytest.param([0.0] * 30, [], 1 - 0.05 ** (1 / 30), id="thirty-items-without-a-difference"),
        pytest.param([0.0] * 48, [f"c{i % 12}" for i in range(48)], 1 - 0.05 ** (1 / 12), id="twelve-clusters"),
        pytest.param([0.0], [], 0.95, id="one-item"),
        pytest.param([], [], 1.0, id="none"),
        pytest.param([-0.5, *[0.0] * 99], [], -tango_interval(0, 1, 100, 0.9).low, id="one-of-a-hundred"),
        pytest.param([-1.0, *[0.0] * 159], [f"c{i % 40}" for i in range(160)],
                     -tango_interval(0, 1, 40, 0.9).low / 4, id="one-item-of-one-cluster-of-forty"),
        pytest.param([-0.1] * 10 + [0.0] * 20, [], -1.0, id="ten-differ-and-the-mean-may-be-taken-for-normal"),
    ],
)  # fmt: skip
def test_where_hardly_anything_differs_the_bound_counts_units(
    values: list[float], clusters: list[str], low: float
) -> None:
    assert rare_bounds(values, clusters)[0] == pytest.approx(-low)


@pytest.mark.parametrize("graded", [True, False])
@pytest.mark.parametrize("clusters", [12, 40])
def test_a_release_that_breaks_whole_clusters_hardly_ever_passes(clusters: int, graded: bool) -> None:
    """Exactly the margin worse, in one piece: at most the promised share passes, however few clusters there are."""
    passed, margin = 0, 0.05
    before = 0.9 if graded else 1.0
    for seed in range(60):
        generator = random.Random(seed)
        rows = []
        for cluster in range(clusters):
            after = 0.0 if generator.random() < margin else before
            rows += [Pair(f"{cluster}-{item}", before, after, f"c{cluster}") for item in range(4)]
        passed += compare(rows, margin * before, confidence=0.975).finding is Finding.NOT_INFERIOR
    assert passed <= 4


@pytest.mark.parametrize("n", [10, 15, 24])
def test_a_loss_that_few_graded_items_may_miss_hardly_ever_passes(n: int) -> None:
    """Mostly small gains, seldom a large loss: on average exactly the margin worse."""
    generator, margin, passed = random.Random(3), 0.05, 0
    gain = (-margin + 0.15 * 0.6) / 0.85
    for _ in range(60):
        after = [0.0 if generator.random() < 0.15 else 0.6 + gain + generator.gauss(0, 0.02) for _ in range(n)]
        pairs = [Pair(str(place), 0.6, each, "") for place, each in enumerate(after)]
        passed += compare(pairs, margin).finding is Finding.NOT_INFERIOR
    assert passed <= 6


def test_degenerate_scores_decide_nothing() -> None:
    same = [Pair(str(i), 0.5, 0.5, f"c{i % 12}") for i in range(48)]
    assert compare(same, 0.03, confidence=0.975).finding is Finding.TOO_FEW
    assert compare([Pair("a", 0.5, 0.4, "")], 0.03).finding is Finding.TOO_FEW
    lower = [Pair(str(i), 0.5, 0.4, "") for i in range(30)]
    assert compare(lower, 0.03).finding is Finding.INFERIOR
    assert compare(lower, 0.2).finding is Finding.NOT_INFERIOR
    assert mcnemar_exact(0, 0) == mcnemar_exact(0, 0, one_sided=True) == 1.0
    assert holm([0.02, 0.02, 0.02]) == pytest.approx([0.06, 0.06, 0.06])
    assert bca_bounds([0.5] * 10) == (0.5, 0.5)


def test_random_cases_agree_with_scipy_and_statsmodels() -> None:
    generator = random.Random(11)
    for case in range(60):
        worse, better = generator.randrange(40), generator.randrange(40)
        if worse + better:
            wanted = stats.binomtest(worse, worse + better, 0.5, alternative="greater").pvalue
            assert mcnemar_exact(worse, better, one_sided=True) == pytest.approx(wanted, rel=1e-9)
        if case >= 6:  # statsmodels takes its time
            continue
        p = [round(generator.random(), 1) for _ in range(generator.randrange(1, 9))]  # rounded: many ties
        assert holm(p) == pytest.approx(list(multi.multipletests(p, method="holm")[1]))
        values = [generator.choice((-1.0, 0.0, 0.0, 0.5, 1.0)) for _ in range(generator.randrange(12, 60))]
        groups = [generator.randrange(6) for _ in values]
        if len(set(groups)) > 1:
            fit = api.OLS(values, [1.0] * len(values)).fit(
                cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
            )
            count = len(set(groups))
            found = clustered_mean(values, [f"c{group}" for group in groups])
            assert found.error == pytest.approx(fit.bse[0] * math.sqrt(count / (count - 1)), rel=1e-9, abs=1e-12)


def test_slices_are_corrected() -> None:
    """Five of five wrong is p = 0.031 alone, and no finding among ten slices."""
    rows = []
    for number in range(10):
        for item in range(40):
            worse = number == 0 and item < 5
            rows.append(Pair(f"{number}-{item}", 1.0, 0.0 if worse else 1.0, "", (("lang", f"l{number}"),)))
    found = compare_slices(rows, "lang", 0.02, items_min=20)
    assert found["l0"].finding is Finding.TOO_FEW
    assert found["l0"].p_worse == pytest.approx(0.3125)
    assert compare_slices(rows, "lang", 0.02, items_min=41)["l3"].note == "40 items; wanted at least 41"


def test_canary_holds_its_error_at_every_look_and_ends_early() -> None:
    def ends(p_better: float, p_worse: float, seed: int) -> tuple[CanaryState, int]:
        generator = random.Random(seed)
        canary = Canary(margin=0.05)
        for _ in range(3000):
            u = generator.random()
            state = canary.add(1.0 if u < p_better else -1.0 if u < p_better + p_worse else 0.0)
            if state is not CanaryState.GO_ON:
                break
        return canary.state, canary.n

    same = [ends(0.05, 0.05, seed) for seed in range(200)]
    bad = [ends(0.03, 0.13, seed) for seed in range(200)]
    assert sum(state is CanaryState.INFERIOR for state, _ in same) <= 10
    assert sum(state is CanaryState.NOT_INFERIOR for state, _ in bad) <= 10
    assert sum(state is CanaryState.NOT_INFERIOR for state, _ in same) >= 180
    assert sum(state is CanaryState.INFERIOR for state, _ in bad) >= 180
    assert sum(n for _, n in bad) / 200 < 600


def test_a_bet_cannot_be_ruined() -> None:
    bet = Bet(0.0)
    for _ in range(50):
        bet.add(1.0)
    for _ in range(500):
        bet.add(-1.0)
    assert math.isfinite(bet.log_wealth)


def test_neighbours_that_are_alike_count_as_fewer() -> None:
    generator = random.Random(3)
    alone = [generator.gauss(0, 1) for _ in range(200)]
    assert counted_as(alone) == 200.0
    assert counted_as([1.0] * 50) == 50.0
    alike, value = [], 0.0
    for _ in range(2000):
        value = 0.8 * value + generator.gauss(0, 1)
        alike.append(value)
    assert counted_as(alike) == pytest.approx(2000 * (1 - 0.8) / (1 + 0.8), rel=0.3)
    one = hodges_lehmann(alike[:100], alpha=0.025)
    wide = widened(one, 25.0, alpha=0.025)
    assert wide.high - wide.shift == pytest.approx((one.high - one.shift) * 2 * 2.064 / 1.960, rel=1e-3)
    assert widened(one, 100.0, alpha=0.025) is one
