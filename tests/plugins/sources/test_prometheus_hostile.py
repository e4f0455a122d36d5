"""A real Prometheus with what on-call engineers find in one.

Copies that are none, pods that were replaced, slow scrapes, renamed series, pages of two models, restarts that no
counter shows, and a baseline of another shape.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from sickbay.checks.gpu.dcgm import GpuDcgm
from sickbay.checks.serving.baseline import ServingBaseline
from sickbay.checks.serving.history import ServingHistory
from sickbay.checks.serving.window import ServingWindow
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import PrometheusSource, Target
from tests.checks.gpu.dcgm_pages import page as gpus
from tests.plugins.sources.conftest import RunCheck
from tests.plugins.sources.prometheus_store import STEP_S, Store, running, small, steady

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(
        not (shutil.which("prometheus") and shutil.which("promtool")),
        reason="needs prometheus and promtool (Debian package prometheus)",
    ),
]

DAY_S = 86400.0


def bucket(page: str, edge: str, count: float) -> str:
    """The page with one more bucket of its time to first token."""
    name = 'vllm:time_to_first_token_seconds_bucket{model_name="m",engine="0",le='
    return page.replace(f'{name}"0.5"', f'{name}"{edge}"}} {count}\n{name}"0.5"')


def fill(store: Store) -> None:
    # An orchestrator's label `replica`: two engines behind one address, and no copies of one scrape.
    store.scrapes("twins", steady(8), instance="gw:80", more=',replica="0"')
    store.scrapes(
        "twins", [small(tokens=90000 + 150 * i, finished=900 + i) for i in range(8)], instance="gw:80",
        more=',replica="1"',
    )  # fmt: skip
    # A pod that was replaced within the window.
    store.scrapes("pods", steady(8, rate=5), instance="10.0.0.3:8000", until=8 * STEP_S)
    store.scrapes("pods", steady(8, rate=20), instance="10.0.0.9:8000")
    # The target's own scrape fails; another replica is well.
    store.scrapes("fleet", [""] * 8, instance="mine:8000")
    store.scrapes("fleet", steady(8), instance="other:8000")
    # One scrape in five minutes.
    for index, page in enumerate(steady(9)):
        store.page(page, store.at_s - 300 * (8 - index), 'job="slow",instance="slow:8000"')
        store.lines.append(f'up{{job="slow",instance="slow:8000"}} 1 {store.at_s - 300 * (8 - index):.3f}')
    # Two models whose instance label was dropped: every series is steady, and their sum is nobody's.
    both = [page + "\n" + page.replace('model_name="m"', 'model_name="n"') for page in steady(8)]
    store.scrapes("models", both)
    # A restart that no counter shows: they had overtaken their old values before the next scrape.
    started = [
        f"{page}\nprocess_start_time_seconds {1000 if index < 4 else 2000}"
        for index, page in enumerate(steady(8, rate=100))
    ]
    store.scrapes("hidden", started)
    # Only a recording rule and a collector's own spelling are kept.
    for index in range(8):
        at_s = store.at_s - STEP_S * (7 - index)
        store.lines.append(f'job:vllm_num_requests_running:sum{{job="rules"}} 3 {at_s:.3f}')
        store.lines.append(f'vllm_num_requests_waiting{{job="rules"}} 9 {at_s:.3f}')
    # Each line has a time of its own, some hundred milliseconds apart.
    for index, page in enumerate(steady(8, waiting=6)):
        for at, row in enumerate(page.splitlines()):
            store.page(row, store.at_s - 1 - STEP_S * (7 - index) + 0.1 * at, 'job="stamped",instance="stamped:8000"')
    # Other programs share the namespace, and the families that every program has.
    store.scrapes("crowd", [f"{page}\nprocess_start_time_seconds 1000" for page in steady(8)], more=',ns="prod"')
    store.scrapes(
        "sidecar", ["process_start_time_seconds 7\nhttp_requests_total 5"] * 8, instance="side:1", more=',ns="prod"'
    )
    # A gauge that was NaN.
    store.scrapes("nan", steady(8, running=float("nan")))
    # Today's baselines: other buckets, a hole, another model.
    store.scrapes("edges", [bucket(page, "0.25", 5) for page in steady(21, waiting=7)])
    store.scrapes("edges", steady(21), until=DAY_S)
    store.scrapes("hole", steady(21, waiting=7))
    store.scrapes("hole", [page if not 8 <= i <= 12 else "" for i, page in enumerate(steady(21))], until=DAY_S)
    store.scrapes("model", steady(21, waiting=7))
    store.scrapes("model", [page.replace('model_name="m"', 'model_name="old"') for page in steady(21)], until=DAY_S)
    # The exporter of a GPU host: the second device runs hot for half of the time. Scraped twice a collection.
    for index in range(21):
        hot = gpus(
            THERMAL_VIOLATION=1e6 + 7.5e6 * (index // 2), TOTAL_ENERGY_CONSUMPTION=9e12 + index // 2, SM_CLOCK=900
        )
        store.scrapes("dcgm", [hot], instance="gpu-7:9400", until=STEP_S * (20 - index))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    made = Store()
    fill(made)
    with running(made, tmp_path_factory.mktemp("hostile")):
        yield made


def target(store: Store, selector: str, **more: Any) -> Target:
    return Target(
        name="t", prometheus=PrometheusSource(url=store.url, selector=selector, at_s=store.at_s + 1), **more
    )  # fmt: skip


def why(result: Any) -> tuple[UnknownReason | None, str]:
    reading = result.signals["serving.requests_running"]
    return reading.reason, reading.detail


@pytest.mark.parametrize(
    ("selector", "more", "told"),
    [
        pytest.param(
            'job="twins"', {}, (UnknownReason.INCONSISTENT, (
            r'2 replicas match the selector \(replica="0"; replica="1"\), and no copies: vllm:\w+ of the two does not '
            "fit into one order")), id="a-label-replica-of-two-engines",
        ),
        pytest.param(
            'job="fleet"', {"url": "http://mine:8000"}, (UnknownReason.ABSENT, (
            r"Prometheus scrapes mine:8000, the target's own address, and has none of its series here \(8 of 8 scrapes "
            r'failed\); what it has is of instance="other:8000",job="fleet", which is not read in its place')),
            id="another-replica-stands-in",
        ),
        pytest.param(
            'job="models"', {}, (UnknownReason.INCONSISTENT,
            r"the page speaks of 2 models \(m, n\), and a sum over them is nobody's number; name one with --model"),
            id="two-models",
        ),
        pytest.param(
            'job="rules"', {}, (UnknownReason.ABSENT, (
            "under the engine's own names, but there are job:vllm_num_requests_running:sum, vllm_num_requests_waiting: "
            "recording rules, or a collector")), id="recording-rules-and-renames",
        ),
    ],
)  # fmt: skip
def test_named_never_guessed(
    store: Store, run_check: RunCheck, selector: str, more: dict[str, Any], told: tuple[UnknownReason, str]
) -> None:
    _, result = run_check(ServingHistory(), target(store, selector, **more))
    assert result.outcome is Outcome.UNKNOWN
    reason, said = why(result)
    assert (reason, bool(re.search(told[1], said))) == (told[0], True), said


def test_a_pod_that_was_replaced_is_read_from_its_begin(store: Store, run_check: RunCheck) -> None:
    raw, result = run_check(ServingHistory(), target(store, 'job="pods"'))
    assert raw["replica"] == 'instance="10.0.0.9:8000",job="pods"'
    assert re.search(
        r'replaced: instance="10.0.0.3:8000" ended at \S+Z; instance="10.0.0.9:8000" is read', result.summary
    )
    assert result.signals["serving.generation_tokens_rate"].value == pytest.approx(20.0)


def test_scrapes_further_apart_than_the_window(store: Store, run_check: RunCheck) -> None:
    raw, result = run_check(ServingWindow(), target(store, 'job="slow"'))
    assert raw["interval_s"] == 300.0
    assert result.signals["serving.requests_running"].value == 3.0
    assert result.signals["serving.generation_tokens_rate"].value == pytest.approx(0.5)


def test_one_model_of_two_is_read_when_it_is_named(store: Store, run_check: RunCheck) -> None:
    _, result = run_check(ServingHistory(), target(store, 'job="models"', model="n"))
    assert result.signals["serving.requests_running"].value == 3.0
    assert "left out: series of m; the page speaks of 2 models and n is the one asked for" in result.summary


def test_a_restart_that_no_counter_shows(store: Store, run_check: RunCheck) -> None:
    _, result = run_check(ServingHistory(), target(store, 'job="hidden"'))
    assert result.signals["serving.counters_reset"].value is True
    assert result.signals["serving.generation_tokens_rate"].reason is UnknownReason.RESET
    assert "process_start_time_seconds changed: a restart" in result.summary


def test_lines_with_times_of_their_own_are_one_scrape(store: Store, run_check: RunCheck) -> None:
    raw, result = run_check(ServingHistory(), target(store, 'job="stamped"'))
    assert (len(raw["reads"]), raw["interval_s"], raw["gaps"]) == (8, STEP_S, [])
    assert result.signals["serving.requests_waiting"].value == 6.0
    assert result.signals["serving.ttft_s_mean"].value == pytest.approx(0.2)
    assert result.signals["serving.ttft_s_p50"].known


def test_other_programs_of_the_selector_are_no_replicas(store: Store, run_check: RunCheck) -> None:
    raw, result = run_check(ServingHistory(), target(store, 'ns="prod"'))
    assert raw["replica"] == 'instance="crowd:8000",job="crowd",ns="prod"'
    assert result.signals["serving.requests_running"].value == 3.0


def test_a_label_of_the_engines_own_selects(store: Store, run_check: RunCheck) -> None:
    raw, _ = run_check(ServingHistory(), target(store, 'job="pods",instance="10.0.0.9:8000",model_name="m"'))
    assert raw["replica"] == 'instance="10.0.0.9:8000",job="pods"'


def test_a_gauge_that_is_no_number_is_unknown(store: Store, run_check: RunCheck) -> None:
    _, result = run_check(ServingHistory(), target(store, 'job="nan"'))
    assert not result.signals["serving.requests_running"].known
    assert "odd: vllm:num_requests_running is NaN" in result.signals["serving.metrics_readable"].source


def test_quantiles_of_other_buckets_are_no_baseline(store: Store, run_check: RunCheck) -> None:
    _, result = run_check(ServingBaseline(), target(store, 'job="edges"'), also_s=[])
    found = result.signals["baseline.serving.ttft_s_p50"]
    assert found.reason is UnknownReason.INCONSISTENT
    assert found.detail == (
        "1 day before: vllm:time_to_first_token_seconds had 2 buckets then and vllm:time_to_first_token_seconds has 3 "
        "now, with other edges: their quantiles do not compare; the means do"
    )
    assert result.signals["baseline.serving.ttft_s_mean"].value == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("job", "words"),
    [
        pytest.param("hole", r"1 day before: gap: no sample for 90 s after \S+Z \(a scrape each 15 s\)", id="gap"),
        pytest.param("model", "1 day before: another model then: old, now m", id="another-model"),
    ],
)
def test_what_was_odd_about_the_baseline_is_told(store: Store, run_check: RunCheck, job: str, words: str) -> None:
    _, result = run_check(ServingBaseline(), target(store, f'job="{job}"'), also_s=[])
    assert re.search(words, result.summary), result.summary
    assert result.signals["baseline.serving.generation_tokens_rate"].known


def dcgm_target(store: Store, selector: str) -> Target:
    source = PrometheusSource(url=store.url, gpu_selector=selector, at_s=store.at_s + 1)
    return Target(name="t", prometheus=source)


def test_the_gpus_of_that_time(store: Store, run_check: RunCheck) -> None:
    raw, result = run_check(GpuDcgm(), dcgm_target(store, 'Hostname="node-7"'))
    assert result.signals["gpu.throttle_thermal_ratio"].value == pytest.approx(0.25)  # 7.5 s of each 30 s
    assert result.signals["gpu.sm_clock_ratio"].by == {"node-7/0": 1.0, "node-7/1": pytest.approx(900 / 1980)}
    assert result.signals["gpu.sm_clock_ratio"].at_s == pytest.approx(store.at_s)
    assert len(raw["reads"]) == 11
    assert raw["query"].endswith(',Hostname="node-7"}[300s]')


def test_no_gpus_of_that_time(store: Store, run_check: RunCheck) -> None:
    with pytest.raises(ProbeError, match=r'no series of a DCGM exporter fits Hostname="node-9" from \S+Z to \S+Z'):
        run_check(GpuDcgm(), dcgm_target(store, 'Hostname="node-9"'))
    with pytest.raises(ProbeError, match="the GPUs of that time are known to Prometheus alone: give the labels"):
        run_check(GpuDcgm(), dcgm_target(store, ""))


def test_no_baseline_of_a_time_that_has_not_come(store: Store, run_check: RunCheck) -> None:
    ahead = Target(name="t", prometheus=PrometheusSource(url=store.url, at_s=store.at_s + 7200 + DAY_S))
    with pytest.raises(ProbeError, match=r"the time asked for, \S+Z, lies \d+ s ahead of now"):
        run_check(ServingBaseline(), ahead)
