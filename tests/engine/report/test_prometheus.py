from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from sickbay.engine.model.outcome import Outcome, VerdictState
from sickbay.engine.model.report import Report
from sickbay.engine.report.formats import render
from sickbay.engine.report.prometheus import RUN_METRICS, ReportCollector, registry_of

RUN = {"runbook": "high-ttft", "target": "chat-prod"}


def value(report: Report, name: str, **labels: str) -> float | None:
    return registry_of(report).get_sample_value(name, {**RUN, **labels})


def test_all_four_verdicts_are_exported(any_report: Report) -> None:
    found = {state: value(any_report, "sickbay_run_verdict", verdict=state.value) for state in VerdictState}
    assert found == {state: float(state is any_report.verdict.state) for state in VerdictState}


def test_each_step_has_all_five_outcomes(any_report: Report) -> None:
    for step in any_report.steps:
        labels = {"step": step.id, "check": step.check}
        found = [value(any_report, "sickbay_step_outcome", **labels, outcome=outcome.value) for outcome in Outcome]
        assert found == [float(outcome is step.outcome) for outcome in Outcome]


def test_an_unknown_signal_is_absent_and_counted(admission_limit: Report) -> None:
    assert value(admission_limit, "sickbay_signal", signal="serving.requests_waiting") == 6.0
    assert value(admission_limit, "sickbay_signal", signal="probe.prefix_reused") == 1.0
    assert value(admission_limit, "sickbay_signal", signal="path.buffered") == 0.0
    assert value(admission_limit, "sickbay_signal", signal="serving.kv_usage_ratio") is None
    assert value(admission_limit, "sickbay_signal", signal="serving.saturation") is None  # text
    assert value(admission_limit, "sickbay_signals_unknown", reason="unsupported") == 4.0
    assert value(admission_limit, "sickbay_signals_unknown", reason="absent") == 1.0


def test_a_skipped_step_has_no_duration(admission_limit: Report) -> None:
    labels = {"step": "accelerator.visible", "check": "accelerator.visible"}
    assert value(admission_limit, "sickbay_step_duration_seconds", **labels) is None


def test_causes(admission_limit: Report) -> None:
    probability = "sickbay_cause_probability"
    assert value(admission_limit, probability, cause="admission-limit", layer="serving") == 0.968
    assert value(admission_limit, probability, cause="gpu-throttle", layer="hardware") is None  # cannot be assessed
    assert value(admission_limit, "sickbay_cause_band", cause="gpu-throttle", band="cannot be assessed") == 1.0
    assert value(admission_limit, "sickbay_run_coverage_ratio") == 0.74


def test_run_numbers(partial: Report) -> None:
    assert value(partial, "sickbay_run_duration_seconds") == 25.0
    assert value(partial, "sickbay_last_run_timestamp_seconds") == partial.started_at + 25.0
    assert value(partial, "sickbay_run_partial") == 1.0
    assert value(partial, "sickbay_run_requests") == 2.0
    assert value(partial, "sickbay_run_tokens") == 64.0


def test_without_a_diagnosis_there_is_no_coverage(healthy: Report) -> None:
    assert value(healthy, "sickbay_run_coverage_ratio") is None


def test_only_declared_metrics_and_labels(any_report: Report) -> None:
    declared = {spec.name: set(spec.labels) for spec in RUN_METRICS}
    for family in text_string_to_metric_families(render(any_report, "prometheus")):
        assert family.documentation
        for sample in family.samples:
            assert set(sample.labels) == declared[sample.name]


def test_several_reports_in_one_registry(healthy: Report, refused: Report) -> None:
    registry = CollectorRegistry()
    registry.register(ReportCollector(lambda: (healthy, replace(refused, target="other"))))
    assert registry.get_sample_value("sickbay_run_verdict", {**RUN, "verdict": "healthy"}) == 1.0
    labels = {**RUN, "target": "other", "verdict": "inconclusive"}
    assert registry.get_sample_value("sickbay_run_verdict", labels) == 1.0


def test_a_registry_refuses_a_second_collector(healthy: Report) -> None:
    registry = registry_of(healthy)
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        registry.register(ReportCollector(list))
