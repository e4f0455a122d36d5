"""The same run with less evidence: which signals each kind of look brought, diagnosed again. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sickbay.engine.diagnose.diagnosis import diagnose
from sickbay.engine.model.cause import Cause
from sickbay.engine.model.report import Report
from sickbay.engine.model.signal import Reading
from sickbay.engine.model.verdict import Diagnosis

__all__ = ["ABLATION", "kind_of", "with_less"]

ABLATION: Mapping[str, frozenset[str]] = {
    "metrics only": frozenset({"metrics"}),
    "+ logs": frozenset({"metrics", "logs"}),
    "+ configuration": frozenset({"metrics", "logs", "configuration"}),
    "+ probes": frozenset({"metrics", "logs", "configuration", "probes"}),
}
LOGS = ("logs.", "host.kernel", "gpu.xid")
METRICS = (
    "serving.window",
    "serving.history",
    "serving.baseline",
    "triage.",
    "host.",
    "process.",
    "gpu.",
    "accelerator.",
)
CONFIGURATION = ("serving.config", "model.", "client.", "training.", "retrieval.", "agent.")


def kind_of(check: str) -> str:
    """What sort of look a check is: metrics, logs, configuration or probes (everything that asks the engine)."""
    if check.startswith(LOGS):
        return "logs"
    if check.startswith(CONFIGURATION):
        return "configuration"
    return "metrics" if check.startswith(METRICS) else "probes"


def with_less(
    report: Report,
    kinds: frozenset[str],
    *,
    causes: Sequence[Cause],
    emitters: Mapping[str, Sequence[str]],
) -> Diagnosis:
    """The diagnosis of this report's readings that such looks brought."""
    checks = {step.id: step.check for step in report.steps}
    readings: dict[str, Reading] = {
        name: reading for name, reading in report.signals.items() if kind_of(checks.get(reading.step, "")) in kinds
    }
    named = {finding.cause for finding in report.verdict.diagnosis.causes} if report.verdict.diagnosis else set()
    return diagnose(
        [cause for cause in causes if cause.id in named],
        readings,
        symptom=report.runbook,
        inputs=report.inputs,
        baseline=report.baseline,
        emitters=emitters,
    )
