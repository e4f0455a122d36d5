"""The report: the verdict with everything behind it. JSON is the truth; other forms are rendered from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sickbay.engine.model.check import Effect, Raw
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading
from sickbay.engine.model.verdict import Verdict

__all__ = ["ExpectationReport", "Report", "RequestRecord", "StepReport"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One request a step made: for the timeline and the cost. The URL carries no secrets."""

    method: str
    url: str
    status: int | None  # None: no answer
    started_s: float  # seconds since the run began
    elapsed_s: float
    bytes: int
    generates: bool
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectationReport:
    """One judged expectation: what was measured against what was allowed."""

    signal: str
    outcome: Outcome
    value: float | bool | str | None
    warn: str = ""
    fail: str = ""
    detail: str = ""  # e.g. "4.73 s > 1 s (inputs.slo_ttft_s)"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """How one step went. `raw` is what its look found, redacted and bounded: `judge(raw)` gives `signals` again."""

    id: str
    check: str
    outcome: Outcome
    summary: str
    started_s: float  # seconds since the run began
    elapsed_s: float
    effect: Effect = Effect.PASSIVE
    critical: bool = False
    params: Mapping[str, object] = field(default_factory=dict)
    signals: Mapping[str, Reading] = field(default_factory=dict)
    expectations: tuple[ExpectationReport, ...] = ()
    reason: str = ""  # an UnknownReason, or "when", "parent", "effect", "deadline" … for skip
    skipped_after: str = ""  # id of the parent step that stopped it
    attempts: int = 1
    next_step: str = ""
    raw: Raw | None = None
    requests: tuple[RequestRecord, ...] = ()
    trace: str = ""  # traceback of a check's bug


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run, whole. Times are Unix seconds; durations seconds."""

    run_id: str
    runbook: str
    title: str
    target: str
    url: str
    engine: str
    engine_version: str
    model: str
    started_at: float
    elapsed_s: float
    inputs: Mapping[str, float | str | bool]
    steps: tuple[StepReport, ...]
    signals: Mapping[str, Reading]
    verdict: Verdict
    requests_made: int = 0
    requests_budget: int = 0
    tokens_used: int = 0
    partial: bool = False  # the deadline cut the run short
    interrupted: bool = False
    baseline: Mapping[str, Reading] = field(default_factory=dict)
    sickbay_version: str = ""
    runbook_sha256: str = ""
    redactions: Mapping[str, str] = field(default_factory=dict)
    host: str = ""
    schema: str = "sickbay.report.v1"
