"""What carrying out a gate needs, handed in: the two sides, scorers, clock, ways to run runbooks and checks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sickbay.engine.evals.row import EvalRun
from sickbay.engine.evals.scorer import Asking, Scorer
from sickbay.engine.gate.arm import Arm
from sickbay.engine.gate.cut import Cut
from sickbay.engine.gate.model import Gate, RunbookRule
from sickbay.engine.model.look import Clock
from sickbay.engine.model.report import Report, StepReport
from sickbay.engine.model.target import Target

__all__ = ["Kit", "LookAt", "RunBook", "Sides", "Told"]

RunBook = Callable[[RunbookRule], Awaitable[Report]]
"""Run a runbook against the candidate."""
LookAt = Callable[[str, Mapping[str, Any], Target, str], Awaitable[StepReport]]
"""One check with its parameters at one target, under an effect ceiling ("" for the check's own)."""
Told = Callable[[str, int, int, str], None]
"""Progress: rule, done, whole, a few words."""


@dataclass(frozen=True, kw_only=True)
class Sides:
    """The candidate, and the baseline: live, or the runs of a report, or neither.

    Attributes:
        kept: the baseline's runs by set name, when it is not live.
        baseline_from: where they come from, in words.
        asking: what scorers that ask may use, by side.
        journal_folder: keeps the answers of each eval rule as they come; the same command goes on from them.
    """

    candidate: Arm
    baseline: Arm | None = None
    kept: Mapping[str, EvalRun] = field(default_factory=dict)
    baseline_from: str = ""
    asking: Mapping[str, Asking] = field(default_factory=dict)
    journal_folder: Path | None = None

    @property
    def live(self) -> dict[str, Arm]:
        """The sides that can be asked."""
        return {"candidate": self.candidate} | ({"baseline": self.baseline} if self.baseline else {})


@dataclass(frozen=True, kw_only=True)
class Kit:
    """Everything a rule may use."""

    gate: Gate
    sides: Sides
    scorers: Mapping[str, Scorer]
    clock: Clock
    run_book: RunBook
    look: LookAt
    run_id: str = ""
    allow_commands: bool = False
    told: Told = lambda *_: None
    cut: Cut = field(default_factory=Cut)
