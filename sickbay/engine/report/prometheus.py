"""A report as Prometheus metrics: for a scrape, a node-exporter textfile or a Pushgateway.

State is told in gauges. Labels are bounded (runbook, target, step, check, signal, cause and closed words) and never
hold a message or a URL. A signal without a value has no sample: absent, not 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sickbay.engine.model.outcome import Outcome, VerdictState
from sickbay.engine.model.report import Report
from sickbay.engine.report.plain_text import plain

__all__ = ["RUN_METRICS", "MetricSpec", "ReportCollector", "registry_of"]

LABEL_MAX = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """One metric sickbay exports: an interface with semantic versions (`docs/metrics.md`)."""

    name: str
    kind: str  # "gauge" or "counter"
    labels: tuple[str, ...]
    help: str


_RUN = ("runbook", "target")
RUN_METRICS = (
    MetricSpec(
        name="sickbay_run_verdict",
        kind="gauge",
        labels=(*_RUN, "verdict"),
        help="1 for the verdict of the last run, 0 for the other three.",
    ),
    MetricSpec(
        name="sickbay_run_duration_seconds",
        kind="gauge",
        labels=_RUN,
        help="Seconds the last run took.",
    ),
    MetricSpec(
        name="sickbay_last_run_timestamp_seconds",
        kind="gauge",
        labels=_RUN,
        help="Unix time at which the last run ended.",
    ),
    MetricSpec(
        name="sickbay_run_partial",
        kind="gauge",
        labels=_RUN,
        help="1 when the last run was cut short by its deadline or interrupted.",
    ),
    MetricSpec(
        name="sickbay_run_requests",
        kind="gauge",
        labels=_RUN,
        help="Requests that made the engine work, sent by the last run.",
    ),
    MetricSpec(
        name="sickbay_run_tokens",
        kind="gauge",
        labels=_RUN,
        help="Tokens the last run's requests cost.",
    ),
    MetricSpec(
        name="sickbay_run_coverage_ratio",
        kind="gauge",
        labels=_RUN,
        help="Share of the candidate causes' evidence weight that the last run could look at.",
    ),
    MetricSpec(
        name="sickbay_step_outcome",
        kind="gauge",
        labels=(*_RUN, "step", "check", "outcome"),
        help="1 for the outcome of this step in the last run, 0 for the other four.",
    ),
    MetricSpec(
        name="sickbay_step_duration_seconds",
        kind="gauge",
        labels=(*_RUN, "step", "check"),
        help="Seconds this step took in the last run; absent for a step that was skipped.",
    ),
    MetricSpec(
        name="sickbay_signal",
        kind="gauge",
        labels=(*_RUN, "signal"),
        help="Value of a signal in its base unit (yes is 1); absent when it could not be measured or is text.",
    ),
    MetricSpec(
        name="sickbay_signals_unknown",
        kind="gauge",
        labels=(*_RUN, "reason"),
        help="Signals of the last run without a value, by reason.",
    ),
    MetricSpec(
        name="sickbay_cause_probability",
        kind="gauge",
        labels=(*_RUN, "cause", "layer"),
        help="Probability of a cause among the candidates and something else; absent when it cannot be assessed.",
    ),
    MetricSpec(
        name="sickbay_cause_band",
        kind="gauge",
        labels=(*_RUN, "cause", "band"),
        help="1 for the band of this cause: confirmed, likely, possible, ruled out, cannot be assessed.",
    ),
)


class ReportCollector(Collector):
    """Collects the last reports it is given; at each scrape `reports` is called once."""

    def __init__(self, reports: Callable[[], Iterable[Report]]) -> None:
        self._reports = reports

    def describe(self) -> Iterable[Metric]:
        """The names, so that a registry can refuse a clash without running `collect`."""
        return [_family(spec) for spec in RUN_METRICS]

    def collect(self) -> Iterator[Metric]:
        """Every family, also one without samples."""
        families = {spec.name: _family(spec) for spec in RUN_METRICS}
        for report in self._reports():
            run = (_label(report.runbook), _label(report.target))
            for name, labels, value in _samples(report):
                families[name].add_metric([*run, *map(_label, labels)], value)
        yield from families.values()


def registry_of(report: Report) -> CollectorRegistry:
    """A fresh registry that holds this one report."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ReportCollector(lambda: (report,)))
    return registry


def _family(spec: MetricSpec) -> GaugeMetricFamily:
    return GaugeMetricFamily(spec.name, spec.help, labels=spec.labels)


def _label(text: str) -> str:
    return plain(text, LABEL_MAX)


def _samples(report: Report) -> Iterator[tuple[str, tuple[str, ...], float]]:
    """Name, further labels and value of every sample of one report."""
    for state in VerdictState:
        yield "sickbay_run_verdict", (state.value,), float(state is report.verdict.state)
    yield "sickbay_run_duration_seconds", (), report.elapsed_s
    yield "sickbay_last_run_timestamp_seconds", (), report.started_at + report.elapsed_s
    yield "sickbay_run_partial", (), float(report.partial or report.interrupted)
    yield "sickbay_run_requests", (), float(report.requests_made)
    yield "sickbay_run_tokens", (), float(report.tokens_used)
    yield from _step_samples(report)
    yield from _signal_samples(report)
    if report.verdict.diagnosis is None:
        return
    yield "sickbay_run_coverage_ratio", (), report.verdict.diagnosis.coverage
    for finding in report.verdict.diagnosis.causes:
        if finding.requires_holds is not None:
            yield "sickbay_cause_probability", (finding.cause, finding.layer.value), finding.probability
        yield "sickbay_cause_band", (finding.cause, finding.band.value), 1.0


def _step_samples(report: Report) -> Iterator[tuple[str, tuple[str, ...], float]]:
    for step in report.steps:
        for outcome in Outcome:
            labels = (step.id, step.check, outcome.value)
            yield "sickbay_step_outcome", labels, float(outcome is step.outcome)
        if step.outcome is not Outcome.SKIP:
            yield "sickbay_step_duration_seconds", (step.id, step.check), step.elapsed_s


def _signal_samples(report: Report) -> Iterator[tuple[str, tuple[str, ...], float]]:
    unknown: Counter[str] = Counter()
    for name, reading in report.signals.items():
        if reading.reason is not None:
            unknown[reading.reason.value] += 1
        elif isinstance(reading.value, (bool, float, int)):
            yield "sickbay_signal", (name,), float(reading.value)
    for reason, count in sorted(unknown.items()):
        yield "sickbay_signals_unknown", (reason,), float(count)
