"""A gate: what a release must show, and who may waive what. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any

from sickbay.engine.evals.item import EvalSet
from sickbay.engine.model.problem import Position

__all__ = [
    "CanaryPlan",
    "CheckRule",
    "Compare",
    "EvalRule",
    "Gate",
    "JudgeUse",
    "LatencyRule",
    "Outcome",
    "Rule",
    "RunbookRule",
    "SliceRule",
    "Waiver",
]


class Outcome(StrEnum):
    """How one rule ended."""

    PASS = "pass"
    WARN = "warn"
    BLOCK = "block"
    INCONCLUSIVE = "inconclusive"  # too few items, no baseline, an endpoint that failed: never a pass


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceRule:
    """A field whose values are compared apart. `critical` values must each be shown not inferior; "*" is every one."""

    by: str
    critical: tuple[str, ...] = ()
    items_min: int = 20
    margin: float | None = None

    def is_critical(self, value: str) -> bool:
        """Whether the slice of this value must be shown not inferior itself."""
        return value in self.critical or "*" in self.critical


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What every rule has.

    Attributes:
        critical: False: what would block only warns.
        shadow: reported, and in no way part of the answer.
    """

    id: str
    critical: bool = True
    shadow: bool = False
    position: Position = Position("")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalRule(Rule):
    """An eval set: the candidate's score may be at most `margin` below the baseline's.

    Attributes:
        minimum: the candidate's own score must be at least this (lower 95 % bound), whatever the baseline does.
        items_min: fewer paired items are inconclusive.
        errors_max: share of answers without a score, in either run.
        overlap_min: share of items that must pair.
        flaky_max: share of the candidate's items whose samples may disagree (needs two samples).
        sequential: stop asking when a sequential test has its answer.
    """

    evalset: EvalSet
    margin: float
    metric: str = "passed"
    confidence: float = 0.975
    minimum: float | None = None
    items_min: int = 1
    errors_max: float = 0.02
    overlap_min: float = 0.95
    slices: tuple[SliceRule, ...] = ()
    sequential: bool = False
    flaky_max: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyRule(Rule):
    """Paired probes, candidate and baseline in turn: the median ratio may be at most `ratio_max`.

    `metric` is "ttft", "itl", "e2e" (seconds) or "throughput" (tokens per second, where lower is worse).
    `concurrency`: requests at once; a pair is then one such burst to either side, and its value their median (of
    throughput their sum).
    """

    metric: str = "ttft"
    ratio_max: float = 1.10
    pairs: int = 20
    prompt_tokens: int = 256
    output_tokens: int = 32
    concurrency: int = 1
    confidence: float = 0.975
    errors_max: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunbookRule(Rule):
    """Any runbook, against the candidate: healthy passes, degraded warns, failing blocks."""

    runbook: str
    set: Mapping[str, str] = field(default_factory=dict)
    effect: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare:
    """A signal of a check on both sides: equal, or at most `ratio_max` times the baseline's."""

    signal: str
    ratio_max: float | None = None  # None: must be equal


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRule(Rule):
    """Any check, against the candidate: pass, warn, fail. `compare` looks at the baseline as well."""

    check: str
    params: Mapping[str, Any] = field(default_factory=dict)
    compare: tuple[Compare, ...] = ()
    effect: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeUse:
    """The model that judges, and the result of `sickbay judge` that shows it fit to; without one it decides nothing."""

    url: str
    model: str = ""
    agreement: str = ""  # path
    position: Position = Position("")


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryPlan:
    """How `--canary` repeats: each round asks some items and latency pairs of both sides, until the answer is clear.

    `rounds_min`: it passes no earlier, however clear the answer: what fills up or leaks needs its time.
    """

    rounds: int = 30
    rounds_min: int = 2
    every_s: float = 60.0
    items: int = 20
    pairs: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """Somebody answers for letting a finding pass, until a day. The approver is not the owner.

    `rule` is a rule's id, or `id/field=value` for one slice; `covers` are outcomes: "inconclusive", "block".
    """

    rule: str
    owner: str
    reason: str
    approver: str
    expires: date
    covers: tuple[str, ...] = ("inconclusive",)
    position: Position = Position("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A gate file, read."""

    name: str
    rules: tuple[Rule, ...]
    title: str = ""
    why: str = ""
    owner: str = ""
    waivers: tuple[Waiver, ...] = ()
    judge: JudgeUse | None = None
    canary: CanaryPlan = CanaryPlan()
    canary_given: bool = False  # the file says how
    requests: int = 20_000
    concurrency: int = 4
    retries: int = 2
    inconclusive: str = "block"  # or "warn"
    baseline_days_max: float | None = None  # a read baseline that is older compares with nothing
    path: str = ""
    sha256: str = ""
