"""A runbook: a symptom's inputs, ordered steps and candidate causes. Data only; `engine.load` makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sickbay.engine.model.check import Effect
from sickbay.engine.model.expression import Expression
from sickbay.engine.model.problem import Position

__all__ = ["Ask", "Budget", "Expectation", "Group", "Input", "OnFail", "Runbook", "Step"]


class OnFail(StrEnum):
    """What a step's fail (or unknown, when critical) does to the steps after it."""

    STOP = "stop"  # they are skipped, named after this one
    CONTINUE = "continue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A typed parameter of the runbook, set by `--set NAME=VALUE`."""

    name: str
    type: str  # "number", "text", "bool"
    default: float | str | bool | None = None  # None: must be given
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    describe: str = ""
    source: str = ""  # where the default comes from
    position: Position = Position("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Never more than this on a sick service."""

    deadline_s: float = 60.0
    effect: Effect = Effect.LIGHT
    requests: int = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """When a signal is a warning and when a failure. No data is UNKNOWN, never pass."""

    signal: str
    warn: Expression | None = None
    fail: Expression | None = None
    position: Position = Position("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A question to the person at the terminal; unanswered is UNKNOWN. The answer is the signal `answer.<id>`."""

    question: str
    type: str = "bool"  # "bool", "text", "number"
    default: float | str | bool | None = None
    choices: tuple[str, ...] = ()
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One ordered use of a check (or one question).

    Attributes:
        id: unique in the runbook; the check's name unless given ("probe.ttft", "probe.ttft#2").
        needs: ids of the parent steps; if one did not end in pass or warn, this step is SKIP, named after it.
        when: run only if true; false is SKIP, unknown is SKIP with the missing signals named.
        unless: SKIP only if true, for what earlier steps already decided; unknown runs.
        critical: its fail makes the run failing, its unknown inconclusive.
        for_each: a list input or entity list; the step runs once per item as `item`.
        deadline_s: None: the check's own cost, with slack, inside the run's deadline.
    """

    id: str
    check: str = ""
    ask: Ask | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    when: Expression | None = None
    unless: Expression | None = None
    needs: tuple[str, ...] = ()
    on_fail: OnFail = OnFail.CONTINUE
    critical: bool = False
    expect: tuple[Expectation, ...] = ()
    for_each: tuple[str, ...] = ()
    retries: int = 0
    deadline_s: float | None = None
    position: Position = Position("")


@dataclass(frozen=True, slots=True)
class Group:
    """Steps that run at the same time; a single step is a group of one."""

    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runbook:
    """A symptom: what to ask, in which order, and what it could be."""

    name: str
    title: str
    why: str
    groups: tuple[Group, ...]
    causes: tuple[str, ...]
    inputs: tuple[Input, ...] = ()
    budget: Budget = Budget()
    owner: str = ""
    alerts: tuple[str, ...] = ()
    min_coverage: float = 0.0
    position: Position = Position("")

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps in order, groups flattened."""
        return tuple(step for group in self.groups for step in group.steps)
