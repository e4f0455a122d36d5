"""What a run would do: order, resolved parameters, effects, cost, and what cannot run here and why.

Making a plan touches neither the target nor the network.
"""

from __future__ import annotations

import difflib
import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sickbay.engine.errors import UsageError
from sickbay.engine.later import Later
from sickbay.engine.model.cause import Cause
from sickbay.engine.model.check import Check, Cost, Effect
from sickbay.engine.model.runbook import Runbook, Step
from sickbay.engine.model.signal import SignalSpec, UnknownReason
from sickbay.engine.model.target import Target
from sickbay.engine.run.inputs import complete_inputs, complete_params, library_missing, substituted
from sickbay.engine.run.values import Value, values_of

__all__ = ["Obstacle", "Plan", "PlannedStep", "PlanningKnowledge", "make_plan"]


class PlanningKnowledge(Protocol):
    """The part of `engine.load`'s knowledge that a plan needs."""

    @property
    def checks(self) -> Mapping[str, Check]:
        """Every check by name."""
        ...

    @property
    def vocabulary(self) -> Mapping[str, SignalSpec]:
        """Every signal by name."""
        ...

    @property
    def causes(self) -> Any:
        """The catalogue; `get(id)` gives a `Cause` or None."""
        ...


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a step cannot run here.

    `code` is the step report's reason: "not-configured", "past", "effect", "budget", "missing-library", "not-selected".
    `reason` is what its signals are unknown for.
    """

    code: str
    why: str
    reason: UnknownReason


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """One use of a check, resolved. `id` is the step's, with "[item]" behind it for `for_each`.

    `called_for`: False where the inputs alone decide that its `when` or `unless` leaves it out.
    """

    id: str
    step: Step
    check: Check | None  # None: a question to the person
    params: Mapping[str, Any]
    effect: Effect
    cost: Cost
    deadline_s: float
    item: str = ""
    obstacle: Obstacle | None = None
    called_for: bool = True

    @property
    def runs(self) -> bool:
        """Whether it would run (what is measured by then and its parents still have a say)."""
        return self.obstacle is None and self.called_for

    @property
    def name(self) -> str:
        """The check's name; "ask" for a question."""
        return self.check.name if self.check is not None else "ask"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A run before it begins. `groups` run one after the other; the steps of one overlap."""

    runbook: Runbook
    target: Target
    inputs: Mapping[str, Value]
    groups: tuple[tuple[PlannedStep, ...], ...]
    effect_ceiling: Effect
    vocabulary: Mapping[str, SignalSpec]
    causes: tuple[Cause, ...] = ()
    emitters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    runbook_sha256: str = ""
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()

    @property
    def steps(self) -> tuple[PlannedStep, ...]:
        """All steps in order."""
        return tuple(step for group in self.groups for step in group)

    @property
    def requests(self) -> int:
        """Generating requests at most, if every step ran once."""
        return sum(step.cost.requests for step in self.steps if step.runs)

    @property
    def seconds(self) -> float:
        """Seconds at most by the checks' own account, overlapping steps counted once; the deadline cuts it."""
        return sum(max((step.cost.seconds for step in group if step.runs), default=0.0) for group in self.groups)

    @property
    def usual_s(self) -> float:
        """Seconds on a service that answers as it should, counted as `seconds` are."""
        return sum(max((step.cost.likely_s for step in group if step.runs), default=0.0) for group in self.groups)

    @property
    def over_budget(self) -> str:
        """A sentence if the steps together may ask for more requests than the budget; else ""."""
        limit = self.runbook.budget.requests
        if self.requests <= limit:
            return ""
        return f"the steps may need {self.requests} requests, the budget is {limit}: the last ones may be left out"


def make_plan(
    runbook: Runbook,
    target: Target,
    inputs: Mapping[str, Any],
    knowledge: PlanningKnowledge,
    *,
    effect_ceiling: Effect | None = None,
    only: Iterable[str] = (),
    skip: Iterable[str] = (),
    runbook_sha256: str = "",
) -> Plan:
    """Resolve a runbook against a target.

    Args:
        runbook: what to do.
        target: what to look at; it is not touched.
        inputs: values of the runbook's inputs; the others take their defaults.
        knowledge: checks, vocabulary and causes.
        effect_ceiling: most that may be done to the target; None is light. The runbook's own budget holds as well.
        only: step ids or check names; all others are left out.
        skip: step ids or check names to leave out.
        runbook_sha256: the hash of the runbook's text; taken from its file when not given.

    Raises:
        UsageError: an input, a parameter or a name in `only` or `skip` is wrong.
    """
    chosen = _Choice(runbook, tuple(only), tuple(skip))
    ceiling = effect_ceiling or Effect.LIGHT
    values = complete_inputs(runbook, inputs)
    planner = _Planner(runbook, target, values, knowledge, ceiling, chosen)
    groups = tuple(
        tuple(planner.planned(step, item) for step in group.steps for item in _items(step, values, target))
        for group in runbook.groups
    )
    return Plan(
        runbook=runbook,
        target=target,
        inputs=values,
        groups=groups,
        effect_ceiling=ceiling,
        vocabulary=knowledge.vocabulary,
        causes=tuple(cause for name in runbook.causes if (cause := knowledge.causes.get(name)) is not None),
        emitters=Later(lambda: _emitters(knowledge.checks)),
        runbook_sha256=runbook_sha256 or _sha256_of(runbook),
        only=chosen.only,
        skip=chosen.skip,
    )


@dataclass(frozen=True, slots=True)
class _Planner:
    """Everything a step is resolved against."""

    runbook: Runbook
    target: Target
    inputs: Mapping[str, Value]
    knowledge: PlanningKnowledge
    ceiling: Effect
    chosen: _Choice

    def planned(self, step: Step, item: str | None) -> PlannedStep:
        """One step (for one item), resolved."""
        name = step.id if item is None else f"{step.id}[{item}]"
        if step.ask is not None:
            return self._question(name, step, item)
        check = _check_of(step, self.knowledge)
        params = complete_params(check, substituted(step.params, self.inputs, item), where=f"step {name!r}")
        cost = check.cost(params)
        return PlannedStep(
            id=name,
            step=step,
            check=check,
            params=params,
            effect=check.effect,
            cost=cost,
            deadline_s=step.deadline_s or cost.seconds * 1.5 + 2.0,
            item=item or "",
            obstacle=self.chosen.against(step) or _obstacle(check, cost, self.runbook, self.target, self.ceiling),
            called_for=_called_for(step, self.inputs),
        )

    def _question(self, name: str, step: Step, item: str | None) -> PlannedStep:
        assert step.ask is not None
        timeout_s = step.deadline_s or step.ask.timeout_s
        return PlannedStep(
            id=name,
            step=step,
            check=None,
            params={},
            effect=Effect.PASSIVE,
            cost=Cost(seconds=timeout_s),
            deadline_s=timeout_s,
            item=item or "",
            obstacle=self.chosen.against(step),
            called_for=_called_for(step, self.inputs),
        )


def _called_for(step: Step, inputs: Mapping[str, Value]) -> bool:
    """Whether the step's conditions leave room for it, as far as the inputs alone can say."""
    known = values_of({}, inputs, {})
    ruled_out = (step.when is not None and step.when.truth(known) is False) or (
        step.unless is not None and step.unless.truth(known) is True
    )
    return not ruled_out


def _check_of(step: Step, knowledge: PlanningKnowledge) -> Check:
    check = knowledge.checks.get(step.check)
    if check is None:
        close = difflib.get_close_matches(step.check, knowledge.checks, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "see `sickbay checks`"
        raise UsageError(f"{step.position}: step {step.id!r}: no check named {step.check!r}; {hint}")
    return check


def _obstacle(check: Check, cost: Cost, runbook: Runbook, target: Target, ceiling: Effect) -> Obstacle | None:
    """What stands in the way of this check, the most lasting thing first."""
    at_s = target.prometheus.at_s if target.prometheus is not None else None
    if at_s is not None and not check.past:
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))
        return Obstacle("past", f"it looks at now, and this run asks about {when}", UnknownReason.UNSUPPORTED)
    for need in check.needs:
        if need == "url" and at_s is not None:
            continue  # the time is past: what is asked is who recorded it
        if need.startswith("library:"):
            missing = library_missing(need)
            if missing:
                return Obstacle(
                    "missing-library", f"needs the Python library {missing!r}, which is not installed",
                    UnknownReason.MISSING_LIBRARY,
                )  # fmt: skip
        elif not _has(target, need, check):
            return Obstacle("not-configured", _needs_words(need, target), UnknownReason.NOT_CONFIGURED)
    allowed = runbook.budget.effect
    if check.effect.exceeds(allowed):
        return Obstacle(
            "effect",
            f"its effect is {check.effect}, the runbook's budget allows {allowed} at most",
            UnknownReason.BUDGET,
        )
    if check.effect.exceeds(ceiling):
        return Obstacle(
            "effect",
            f"its effect is {check.effect}, this run allows {ceiling} at most; --effect {check.effect} allows it",
            UnknownReason.BUDGET,
        )
    if cost.requests > runbook.budget.requests:
        return Obstacle(
            "budget",
            f"needs up to {cost.requests} requests, the budget is {runbook.budget.requests}; --requests raises it",
            UnknownReason.BUDGET,
        )
    return None


def _has(target: Target, need: str, check: Check) -> bool:
    try:
        return target.has(need)
    except KeyError:
        raise UsageError(f"check {check.name!r} needs {need!r}, which is no part of a target") from None


def _needs_words(need: str, target: Target) -> str:
    advice = {
        "url": "a URL: --url, or url: in sickbay.yaml",
        "host": "to run on the target's host; --local if this is it",
        "gpu": "to run on the target's host with its GPUs; --local if this is it",
        "model_files": "the weights on this host: --model-path",
        "logs": "the engine's log: --log FILE, or logs: in sickbay.yaml",
        "gateway": "the engine's own address behind a gateway of this host: --direct-url URL",
        "prometheus": "a Prometheus: --prometheus URL",
        "replicas": "the replicas' addresses: --replica URL",
        "baseline": "a baseline: --baseline FILE",
        "dcgm": "a DCGM exporter: --dcgm-url URL, or --prometheus URL with --gpu-selector",
        "reference": "the model's own files: --reference PATH, or --model-path",
    }.get(need, need)
    return f"needs {advice}; the target {target.name!r} does not say"


class _Choice:
    """What `only` and `skip` leave of the runbook."""

    def __init__(self, runbook: Runbook, only: tuple[str, ...], skip: tuple[str, ...]) -> None:
        names = {name for step in runbook.steps for name in (step.id, step.check) if name}
        for flag, given in (("--only", only), ("--skip", skip)):
            for name in given:
                if name not in names:
                    close = difflib.get_close_matches(name, names, n=1)
                    hint = f"did you mean {close[0]!r}?" if close else f"it has: {', '.join(sorted(names))}"
                    raise UsageError(f"{flag} {name}: runbook {runbook.name!r} has no step {name!r}; {hint}")
        self.only = only
        self.skip = skip

    def against(self, step: Step) -> Obstacle | None:
        """The obstacle if the step is not chosen."""
        mine = {step.id, step.check}
        if self.only and not mine & set(self.only):
            return Obstacle("not-selected", "not among the steps of --only", UnknownReason.NOT_ASKED)
        if mine & set(self.skip):
            return Obstacle("not-selected", "left out by --skip", UnknownReason.NOT_ASKED)
        return None


def _items(step: Step, inputs: Mapping[str, Value], target: Target) -> tuple[str | None, ...]:
    """The items of `for_each`: literal ones, `inputs.NAME` (comma separated) or `target.replicas`; (None,) without."""
    if not step.for_each:
        return (None,)
    items: list[str] = []
    for each in step.for_each:
        if each == "target.replicas":
            items += target.replicas
        elif each.startswith("inputs.") and each.removeprefix("inputs.") in inputs:
            items += [part.strip() for part in str(inputs[each.removeprefix("inputs.")]).split(",") if part.strip()]
        else:
            items.append(each)
    return tuple(dict.fromkeys(items))


def _emitters(checks: Mapping[str, Check]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for check in checks.values():
        for signal in check.emits:
            found.setdefault(signal, []).append(check.name)
    return {signal: tuple(names) for signal, names in found.items()}


def _sha256_of(runbook: Runbook) -> str:
    """The hash of the runbook's file; of what it says when it was not read from a file."""
    try:
        path = Path(runbook.position.path)
        text = path.read_bytes() if path.is_file() else b""  # a pipe was read to its end and gives no second time
    except OSError:
        text = b""
    if not text:
        text = repr([(step.id, step.check, dict(step.params)) for step in runbook.steps]).encode()
    return hashlib.sha256(text).hexdigest()
