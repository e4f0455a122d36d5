"""A real Prometheus with a real past: recorded vLLM pages as scrapes, an hour to a week ago, and every trap."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.serving.baseline import ServingBaseline
from sickbay.checks.serving.history import ServingHistory
from sickbay.checks.serving.window import ServingWindow
from sickbay.engine.measure.metric_json import metrics_to_json
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason, measured
from sickbay.engine.model.target import PrometheusSource, Target
from sickbay.plugins.engines.plugin import sickbay_engines
from tests.plugins.sources.conftest import RunCheck
from tests.plugins.sources.prometheus_store import STEP_S, Store, running, small, steady

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(
        not (shutil.which("prometheus") and shutil.which("promtool")),
        reason="needs prometheus and promtool (Debian package prometheus)",
    ),
]

PAGES = Path(__file__).parents[2] / "data" / "captures" / "vllm"


def fill(store: Store) -> None:
    recorded = [(PAGES / f"kv_pressure_metrics_{part}.txt").read_text() for part in ("before", "during", "after")]
    store.scrapes("recorded", recorded)
    store.scrapes("pair", steady(5), instance="a:8000")
    store.scrapes("pair", steady(5), instance="b:8000")
    store.scrapes("copies", steady(5), more=',prometheus_replica="0"')
    store.scrapes("copies", steady(4), more=',prometheus_replica="1"')
    store.scrapes("gap", [page if not 8 <= i <= 12 else "" for i, page in enumerate(steady(20))])
    store.scrapes("holes", [page if i in {0, 1, 2, 18, 19} else "" for i, page in enumerate(steady(20))])
    store.scrapes("stopped", [*steady(10), *[""] * 9])
    swing = steady(12)
    swing[3::2] = [small(tokens=5, finished=1)] * len(swing[3::2])
    store.scrapes("swing", swing)
    store.scrapes("restart", [*steady(6), *steady(6)])
    store.scrapes("down", [""] * 20)
    store.scrapes("one", steady(1))
    store.scrapes("mixed", steady(5), instance="x:8000")
    store.scrapes(
        "mixed", [f"sglang:num_running_reqs 1\nsglang:generation_tokens_total {i}" for i in range(5)], instance="y:1"
    )
    routed = [page.replace('model_name="m"', 'model_name="m",server="http://e1:8000"') for page in steady(5)]
    store.scrapes("router", routed)
    moved = [page.replace('model_name="m"', 'model_name="m",exported_instance="e1:8000"') for page in steady(5)]
    store.scrapes("moved", moved)
    older = [page.replace("kv_cache_usage_perc", "gpu_cache_usage_perc") for page in steady(5)]
    store.scrapes("older", older)
    for ago_s, rate, waiting in ((0, 10.0, 7.0), (3600, 50.0, 0.0), (86400, 60.0, 0.0), (604800, 70.0, 0.0)):
        store.scrapes("daily", steady(21, rate=rate, waiting=waiting), until=ago_s)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    made = Store()
    fill(made)
    with running(made, tmp_path_factory.mktemp("prometheus")):
        yield made


def target(store: Store, selector: str, *, at_s: float | None = None, **more: Any) -> Target:
    source = PrometheusSource(url=store.url, selector=selector, at_s=store.at_s + 1 if at_s is None else at_s)
    return Target(name="t", prometheus=source, **more)


def detail(result: Any) -> tuple[UnknownReason | None, str]:
    reading = result.signals["serving.requests_running"]
    assert not reading.known
    return reading.reason, reading.detail


def test_the_same_numbers_as_if_somebody_had_been_there(store: Store, run_check: RunCheck) -> None:
    raw, result = run_check(ServingHistory(), target(store, 'job="recorded"'), window_s=60)
    spec = next(spec for spec in sickbay_engines() if spec.name == "vllm")
    live = {
        "engine": "vllm", "metrics": metrics_to_json(spec.metrics), "absent": dict(spec.absent),
        "mirrors": list(spec.mirror_labels), "settings": {},
        "reads": [
            {"at_s": index * STEP_S, "took_s": 0.0, "full": part != "during",
             "lines": [row for row in (PAGES / f"kv_pressure_metrics_{part}.txt").read_text().splitlines()
                       if row.startswith("vllm:")]}
            for index, part in enumerate(("before", "during", "after"))
        ],
    }  # fmt: skip
    expected = ServingWindow().judge(live, {"window_s": 10}).signals
    known = {name for name, reading in expected.items() if reading.known}
    assert len(known) > 40
    for name in sorted(known):
        value, want = result.signals[name].value, expected[name].value
        assert value == (pytest.approx(want, rel=1e-9) if isinstance(want, float) else want), name
    assert result.signals["serving.engine"].value == "vllm"
    assert result.signals["serving.requests_running"].at_s == pytest.approx(store.at_s, abs=0.01)
    assert raw["replica"] == 'instance="recorded:8000",job="recorded"'
    assert any('job="recorded"}[60s]' in each["query"] for each in raw["queries"])


@pytest.mark.parametrize(
    ("selector", "reason", "words"),
    [
        pytest.param(
            'job="pair"', UnknownReason.INCONSISTENT,
            '2 replicas match the selector (instance="a:8000"; instance="b:8000"); their series are not summed. Name '
            "one in the selector, or as the target's address", id="two-replicas",
        ),
        pytest.param('job="holes"', UnknownReason.INCONSISTENT, "no mean over them is true", id="more-hole-than-data"),
        pytest.param('job="stopped"', UnknownReason.ABSENT, "9 tries since failed (up is 0)", id="the-scrape-stopped"),
        pytest.param('job="swing"', UnknownReason.INCONSISTENT, "two servers answer under one name", id="two-in-one"),
        pytest.param('job="down"', UnknownReason.ABSENT, "up is 0 in all of 20 tries", id="never-scraped"),
        pytest.param('job="one"', UnknownReason.ABSENT, "one scrape only within 300 s", id="one-scrape"),
        pytest.param('job="mixed"', UnknownReason.INCONSISTENT, "series of SGLang and vLLM", id="two-engines"),
        pytest.param(
            'job="pears"', UnknownReason.ABSENT, 'without it there are job="copies"', id="wrong-label",
        ),
        pytest.param(
            'job="pair"}) or vector(1', UnknownReason.MALFORMED, "refuses the query (400 bad_data)", id="bad-selector",
        ),
    ],
)  # fmt: skip
def test_named_never_guessed(
    store: Store, run_check: RunCheck, selector: str, reason: UnknownReason, words: str
) -> None:
    _, result = run_check(ServingHistory(), target(store, selector))
    assert result.outcome is Outcome.UNKNOWN
    found, said = detail(result)
    assert (found, words in said) == (reason, True), said
    assert result.signals["serving.metrics_readable"].value is None


def test_a_time_that_nobody_kept(store: Store, run_check: RunCheck) -> None:
    _, result = run_check(ServingHistory(), target(store, "", at_s=store.at_s - 40 * 86400))
    reason, said = detail(result)
    assert reason is UnknownReason.ABSENT
    assert said.endswith("Prometheus did not scrape it then, or no longer keeps that time (retention)")


def test_a_time_that_has_not_come(store: Store, run_check: RunCheck) -> None:
    _, result = run_check(ServingHistory(), target(store, "", at_s=time.time() + 3600))
    reason, said = detail(result)
    assert reason is UnknownReason.NOT_CONFIGURED
    assert re.fullmatch(r"the time asked for, \S+Z, lies 3\d{3} s ahead of now", said)


def test_the_targets_address_chooses_the_replica(store: Store, run_check: RunCheck) -> None:
    raw, result = run_check(ServingHistory(), target(store, 'job="pair"', url="http://b:8000"))
    assert raw["replica"] == 'instance="b:8000",job="pair"'
    assert "1 other replicas match the selector" in result.summary
    assert result.signals["serving.requests_running"].value == 3.0


def test_copies_of_one_scrape_are_one(store: Store, run_check: RunCheck) -> None:
    raw, result = run_check(ServingHistory(), target(store, 'job="copies"'))
    assert "2 copies of the same scrape (high availability); the fullest one was read" in raw["notes"]
    assert result.signals["serving.requests_running"].value == 3.0
    assert result.signals["serving.generation_tokens_rate"].value == pytest.approx(10.0)


def test_a_gap_is_told_and_counters_still_hold(store: Store, run_check: RunCheck) -> None:
    raw, result = run_check(ServingHistory(), target(store, 'job="gap"'))
    assert [round(gap["seconds"]) for gap in raw["gaps"]] == [90]
    assert result.outcome is Outcome.WARN
    assert "gap: no sample for 90 s after " in result.summary
    assert "5 of 20 scrapes failed (up is 0)" in result.summary
    assert result.signals["serving.generation_tokens_rate"].value == pytest.approx(10.0)


def test_a_restart_makes_counters_unknown(store: Store, run_check: RunCheck) -> None:
    _, result = run_check(ServingHistory(), target(store, 'job="restart"'))
    assert result.signals["serving.counters_reset"].value is True
    assert result.signals["serving.generation_tokens_rate"].reason is UnknownReason.RESET
    assert result.signals["serving.requests_running"].value == 3.0


@pytest.mark.parametrize("job", ["router", "moved"])
def test_a_routers_copies_are_no_engine(store: Store, run_check: RunCheck, job: str) -> None:
    _, result = run_check(ServingHistory(), target(store, f'job="{job}"'))
    reason, said = detail(result)
    assert reason is UnknownReason.INCONSISTENT
    assert said.startswith("this page belongs to a router: its series carry the label ")


def test_an_earlier_name_is_read(store: Store, run_check: RunCheck) -> None:
    _, result = run_check(ServingHistory(), target(store, 'job="older"'))
    found = result.signals["serving.kv_usage_ratio"]
    assert found.value == pytest.approx(0.4)
    assert found.source.startswith("vllm:gpu_cache_usage_perc")


def test_baseline_an_hour_a_day_and_a_week_before(store: Store, run_check: RunCheck) -> None:
    _, result = run_check(ServingBaseline(), target(store, 'job="daily"'))
    assert result.outcome is Outcome.PASS
    found = result.signals["baseline.serving.generation_tokens_rate"]
    assert found.value == pytest.approx(60.0)
    assert found.by == {
        "1 day before": pytest.approx(60.0), "1 hour before": pytest.approx(50.0), "1 week before": pytest.approx(70.0),
    }  # fmt: skip
    assert result.signals["baseline.serving.requests_waiting"].value == 0.0


def test_no_baseline_before_the_service_was_there(store: Store, run_check: RunCheck) -> None:
    _, result = run_check(ServingBaseline(), target(store, 'job="pair",instance="a:8000"'))
    assert result.outcome is Outcome.UNKNOWN
    assert result.summary.startswith("no baseline 1 day before: Prometheus does not tell: no series of ")


def test_a_fresh_page_of_the_engine_is_preferred(store: Store, run_check: RunCheck) -> None:
    now = dataclasses.replace(
        target(store, 'job="daily"'), prometheus=PrometheusSource(url=store.url, selector='job="daily"')
    )
    raw, result = run_check(ServingHistory(), now, {"serving.metrics_readable": measured(True)})
    assert list(raw) == ["skipped"]
    assert result.outcome is Outcome.SKIP
    _, asked = run_check(ServingHistory(), now, {"serving.metrics_readable": measured(False)})
    assert detail(asked)[0] is UnknownReason.ABSENT


def test_a_run_about_the_past_end_to_end(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from sickbay.__main__ import main

    book = tmp_path / "past.yaml"
    book.write_text(
        "runbook: past\ntitle: A queue that is over\nwhy: It was there.\n"
        "budget: {deadline_s: 60, effect: light, requests: 2}\nsteps:\n"
        "  - {check: serving.alive, critical: true}\n"
        "  - check: serving.history\n    expect:\n      serving.requests_waiting: {fail: '> 5'}\n"
        "  - check: serving.baseline\ncauses: [admission-limit, capacity-saturated]\n"
    )
    code = main([
        "run", str(book), "--prometheus", store.url, "--selector", 'job="daily"', "--at", f"{store.at_s + 1:.0f}",
        "--format", "json", "--no-progress", "--no-journal",
    ])  # fmt: skip
    report = json.loads(capsys.readouterr().out)
    steps = {step["id"]: step for step in report["steps"]}
    assert code == 2
    assert (steps["serving.alive"]["outcome"], steps["serving.alive"]["reason"]) == ("skip", "past")
    assert report["signals"]["serving.requests_waiting"]["value"] == 7.0
    assert report["baseline"]["serving.requests_waiting"]["value"] == 0.0
    assert not any(name.startswith("baseline.") for name in report["signals"])
    assert report["engine"] == "vllm"
    (tmp_path / "report.json").write_text(json.dumps(report))
    assert main(["replay", str(tmp_path / "report.json")]) == 0


RUNBOOKS = (
    "triage", "high-ttft", "slow-itl", "oom", "queue-buildup", "low-throughput", "cache-pressure", "wrong-output",
    "release-regression",
)  # fmt: skip


@pytest.mark.parametrize("book", RUNBOOKS)
def test_every_shipped_runbook_looks_at_the_time_of_the_incident(
    store: Store, capsys: pytest.CaptureFixture[str], book: str
) -> None:
    from sickbay.__main__ import main

    code = main([
        "run", book, "--prometheus", store.url, "--selector", 'job="daily"', "--at", f"{store.at_s + 1:.0f}",
        "--format", "json", "--no-progress", "--no-journal",
    ])  # fmt: skip
    report = json.loads(capsys.readouterr().out)
    steps = {step["id"]: step for step in report["steps"]}
    assert steps["serving.window"]["outcome"] in {"warn", "fail"}  # seven requests wait in it
    assert report["signals"]["serving.requests_waiting"]["value"] == 7.0
    assert report["baseline"]["serving.generation_tokens_rate"]["value"] == 60.0
    assert report["engine"] == "vllm"
    assert not any(step["trace"] for step in report["steps"])
    assert not any(step["requests"] for step in report["steps"] if step["check"].startswith("probe."))
    if book == "queue-buildup":
        assert (code, report["verdict"]["state"]) == (2, "failing"), report["verdict"]["summary"]
        assert "serving.requests_waiting_min" in report["verdict"]["summary"]


def test_the_window_itself_looks_at_the_time_asked_for(store: Store, run_check: RunCheck) -> None:
    at_s = store.at_s
    _, result = run_check(ServingWindow(), target(store, 'job="daily"', at_s=at_s))
    assert result.signals["serving.requests_waiting"].value == 7.0
    assert result.signals["serving.requests_waiting"].at_s == pytest.approx(at_s, abs=STEP_S)
    assert "Prometheus" in result.signals["serving.requests_waiting"].source
