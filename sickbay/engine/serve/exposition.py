"""The /metrics page: rendered when something changed, handed out as it is at every scrape."""

from __future__ import annotations

import gzip
import platform
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sickbay._version import __version__
from sickbay.engine.model.look import Clock
from sickbay.engine.model.outcome import VerdictState
from sickbay.engine.model.report import Report
from sickbay.engine.report.plain_text import plain
from sickbay.engine.report.prometheus import LABEL_MAX, MetricSpec, ReportCollector
from sickbay.engine.serve.jobs import JobState

__all__ = ["JOB_METRICS", "Exposition"]

_JOB = ("runbook", "target")
JOB_METRICS = (
    MetricSpec(
        name="sickbay_job_last_run_timestamp_seconds",
        kind="gauge",
        labels=_JOB,
        help="Unix time at which this job's last run ended; absent before the first one.",
    ),
    MetricSpec(
        name="sickbay_job_runs_total",
        kind="counter",
        labels=(*_JOB, "verdict"),
        help="Runs of this job that ended with this verdict.",
    ),
    MetricSpec(
        name="sickbay_job_errors_total",
        kind="counter",
        labels=_JOB,
        help="Runs of this job that could not be made at all.",
    ),
    MetricSpec(
        name="sickbay_job_missed_total",
        kind="counter",
        labels=_JOB,
        help="Starts that were left out because a run on the same target was still going on.",
    ),
    MetricSpec(
        name="sickbay_job_interval_seconds",
        kind="gauge",
        labels=_JOB,
        help="Seconds from one start of this job to the next.",
    ),
    MetricSpec(
        name="sickbay_job_running",
        kind="gauge",
        labels=_JOB,
        help="1 while a run of this job is under way.",
    ),
    MetricSpec(
        name="sickbay_job_stale",
        kind="gauge",
        labels=_JOB,
        help="1 when the last run ended more than 3 intervals ago, or none has: its values are not shown.",
    ),
    MetricSpec(
        name="sickbay_build_info",
        kind="gauge",
        labels=("version", "python"),
        help="1, with the versions as labels.",
    ),
)


class Exposition:
    """Renders the metrics of all jobs, at most once a change. A scrape never touches a target."""

    def __init__(self, states: Sequence[JobState], clock: Clock) -> None:
        self._states = states
        self._clock = clock
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(ReportCollector(self._fresh_reports))
        self._registry.register(_JobCollector(states, clock))
        self._plain = b""
        self._zipped = b""
        self._good_until = float("-inf")
        self.renderings = 0

    def changed(self) -> None:
        """Something a scrape could show is different: render again when asked."""
        self._good_until = float("-inf")

    def page(self, *, zipped: bool) -> bytes:
        """The exposition text, gzipped if asked."""
        now = self._clock.monotonic()
        if now >= self._good_until:
            self._render(now)
        if not zipped:
            return self._plain
        if not self._zipped:
            self._zipped = gzip.compress(self._plain, compresslevel=5, mtime=0)
        return self._zipped

    def _render(self, now: float) -> None:
        self._plain = generate_latest(self._registry)
        self._zipped = b""
        self.renderings += 1
        # Values go stale without anybody doing anything: the page is good until the next such moment.
        moments = (state.stale_from for state in self._states)
        self._good_until = min((at for at in moments if at is not None and at > now), default=float("inf"))

    def _fresh_reports(self) -> Iterator[Report]:
        now = self._clock.monotonic()
        return (state.report for state in self._states if state.report is not None and state.fresh(now))


class _JobCollector(Collector):
    """What serve itself knows of its jobs: shown always, also when the values of a run are stale."""

    def __init__(self, states: Sequence[JobState], clock: Clock) -> None:
        self._states = states
        self._clock = clock

    def describe(self) -> Iterable[Metric]:
        """The names, without a look at any job."""
        return [_family(spec) for spec in JOB_METRICS]

    def collect(self) -> Iterator[Metric]:
        """Every family."""
        families = {spec.name: _family(spec) for spec in JOB_METRICS}
        families["sickbay_build_info"].add_metric([__version__, platform.python_version()], 1.0)
        for state in self._states:
            labels = [plain(state.job.runbook, LABEL_MAX), plain(state.job.target, LABEL_MAX)]
            for name, value in self._values(state).items():
                families[name].add_metric(labels, value)
            for verdict in VerdictState:
                families["sickbay_job_runs_total"].add_metric(
                    [*labels, verdict.value], float(state.runs[verdict.value])
                )
        yield from families.values()

    def _values(self, state: JobState) -> dict[str, float]:
        values = {
            "sickbay_job_errors_total": float(state.errors),
            "sickbay_job_missed_total": float(state.missed),
            "sickbay_job_interval_seconds": state.job.every_s,
            "sickbay_job_running": float(state.running),
            "sickbay_job_stale": float(not state.fresh(self._clock.monotonic())),
        }
        if state.ended_at_s is not None:
            values["sickbay_job_last_run_timestamp_seconds"] = state.ended_at_s
        return values


def _family(spec: MetricSpec) -> GaugeMetricFamily | CounterMetricFamily:
    kind = CounterMetricFamily if spec.kind == "counter" else GaugeMetricFamily
    return kind(spec.name, spec.help, labels=spec.labels)
