from __future__ import annotations

import gzip
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from sickbay.engine.model.outcome import VerdictState
from sickbay.engine.report.prometheus import RUN_METRICS
from sickbay.engine.serve.exposition import JOB_METRICS, Exposition
from sickbay.engine.serve.jobs import JobState


def samples(page: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def value(page: bytes, name: str, **labels: str) -> float | None:
    return samples(page).get((name, frozenset({"runbook": "a", "target": "t", **labels}.items())))


def ran(kit: Any, *, every_s: float = 60.0) -> JobState:
    job = kit.job("a", "t", every_s=every_s)
    state = JobState(job)
    state.report = kit.report_of(job, VerdictState.FAILING)
    state.ended, state.ended_at_s = kit.clock.monotonic(), kit.clock.wall()
    state.runs["failing"] += 1
    return state


def test_before_the_first_run(kit: Any) -> None:
    page = Exposition((JobState(kit.job("a", "t")),), kit.clock).page(zipped=False)
    assert value(page, "sickbay_job_stale") == 1.0
    assert value(page, "sickbay_job_last_run_timestamp_seconds") is None
    assert value(page, "sickbay_job_runs_total", verdict="healthy") == 0.0
    assert value(page, "sickbay_run_verdict", verdict="healthy") is None
    assert b"# HELP sickbay_run_verdict 1 for the verdict" in page


def test_a_stale_run_keeps_no_value_but_its_time(kit: Any) -> None:
    state = ran(kit)
    exposition = Exposition((state,), kit.clock)
    page = exposition.page(zipped=False)
    assert value(page, "sickbay_signal", signal="probe.ttft_s_p50") == 0.4
    assert value(page, "sickbay_run_verdict", verdict="failing") == 1.0
    kit.clock.jump(179.9)
    assert exposition.page(zipped=False) == page
    kit.clock.jump(0.1)  # 3 intervals
    stale = exposition.page(zipped=False)
    assert {name for name, _ in samples(stale)} == {spec.name for spec in JOB_METRICS}
    assert value(stale, "sickbay_job_stale") == 1.0
    assert value(stale, "sickbay_job_last_run_timestamp_seconds") == state.ended_at_s
    assert value(stale, "sickbay_job_runs_total", verdict="failing") == 1.0


def test_one_job_going_stale_leaves_the_other(kit: Any) -> None:
    slow, quick = ran(kit, every_s=600), ran(kit)
    slow.job = kit.job("slow", "t", every_s=600)
    slow.report = kit.report_of(slow.job)
    exposition = Exposition((slow, quick), kit.clock)
    exposition.page(zipped=False)
    kit.clock.jump(200)
    page = exposition.page(zipped=False)
    assert value(page, "sickbay_signal", signal="probe.ttft_s_p50") is None
    assert value(page, "sickbay_signal", runbook="slow", signal="probe.ttft_s_p50") == 0.4


def test_scrapes_cost_nothing_between_changes(kit: Any) -> None:
    exposition = Exposition((ran(kit),), kit.clock)
    for _ in range(100):
        exposition.page(zipped=False)
        exposition.page(zipped=True)
    assert exposition.renderings == 1
    assert exposition.page(zipped=True) is exposition.page(zipped=True)
    assert gzip.decompress(exposition.page(zipped=True)) == exposition.page(zipped=False)
    exposition.changed()
    exposition.page(zipped=False)
    assert exposition.renderings == 2


def test_only_declared_metrics_and_labels(kit: Any) -> None:
    declared = {spec.name: set(spec.labels) for spec in (*RUN_METRICS, *JOB_METRICS)}
    for name, labels in samples(Exposition((ran(kit),), kit.clock).page(zipped=False)):
        assert {label for label, _ in labels} == declared[name]
