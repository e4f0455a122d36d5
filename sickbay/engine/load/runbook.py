"""One YAML file to a `Runbook`, with every problem at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Protocol

from sickbay.engine.errors import ProblemsError
from sickbay.engine.load.assess import Catalogue, assess_problems, read_causes
from sickbay.engine.load.bands import domains_of
from sickbay.engine.load.codes import Code
from sickbay.engine.load.expressions import ExpressionCompiler, names_of_vocabulary
from sickbay.engine.load.fields import Fields
from sickbay.engine.load.inputs import read_inputs, resolve_inputs
from sickbay.engine.load.parameters import input_of
from sickbay.engine.load.reach import budget_problems, measured_by, order_problems, step_problems
from sickbay.engine.load.schema_check import check_schema
from sickbay.engine.load.steps import ReadStep, StepReader, read_answers
from sickbay.engine.load.yaml_source import read_yaml
from sickbay.engine.model.cause import Cause
from sickbay.engine.model.check import Check, Effect
from sickbay.engine.model.problem import Position, Problem
from sickbay.engine.model.runbook import Budget, Group, Input, Runbook
from sickbay.engine.model.signal import SignalSpec, SignalType

__all__ = ["RunbookKnowledge", "load_runbook", "read_runbook", "resolve_inputs"]


class RunbookKnowledge(Protocol):
    """What a runbook is read against."""

    @property
    def vocabulary(self) -> Mapping[str, SignalSpec]:
        """Every signal by name."""
        ...

    @property
    def checks(self) -> Mapping[str, Check]:
        """Every check by name."""
        ...

    @property
    def causes(self) -> Catalogue:
        """The catalogue."""
        ...


def load_runbook(text: str, path: str, knowledge: RunbookKnowledge) -> Runbook:
    """The runbook of one file. Warnings are left to `lint`.

    Raises:
        ProblemsError: everything that is wrong with it, in the order of its lines.
    """
    problems: list[Problem] = []
    runbook = read_runbook(text, path, knowledge, problems)
    errors = sorted(problem for problem in problems if problem.severity == "error")
    if errors or runbook is None:
        raise ProblemsError(errors)
    return runbook


def read_runbook(text: str, path: str, knowledge: RunbookKnowledge, problems: list[Problem]) -> Runbook | None:
    """The runbook; None when it is no YAML mapping. Errors and warnings are appended."""
    node = read_yaml(text, path, problems)
    if node is None:
        return None
    check_schema(node, "runbook.v1", problems)
    book = Fields(node)
    inputs = {item.name: item for item in read_inputs(book, problems)}
    names: dict[str, SignalType] = names_of_vocabulary(knowledge.vocabulary)
    names.update({f"inputs.{name}": SignalType(item.type) for name, item in inputs.items()})
    names.update(read_answers(book))
    compiler = ExpressionCompiler(names, vocabulary=knowledge.vocabulary)
    reader = StepReader(compiler, knowledge.checks, knowledge.vocabulary, inputs, problems)
    groups = reader.read(book)
    causes = read_causes(book, knowledge.causes, problems)
    runbook = _runbook(book, path, groups, inputs)
    if not any(problem.at == book.value_at("runbook") for problem in problems):
        problems += _check_name(book, path)
    problems += _check_steps(book, runbook, reader.steps, inputs, knowledge)
    if all(one.check is not None or one.step.ask is not None for one in reader.steps):
        available = measured_by(reader.steps) | {f"inputs.{name}" for name in inputs}
        problems += assess_problems(causes, available, knowledge.checks)
    if not any(problem.code == Code.UNKNOWN_INPUT for problem in problems):  # one misspelling is told once
        problems += _unused_inputs(book, inputs, reader.steps, [cause for cause, _ in causes])
    return runbook


def _runbook(book: Fields, path: str, groups: tuple[Group, ...], inputs: Mapping[str, Input]) -> Runbook:
    return Runbook(
        name=book.text("runbook", PurePath(path).stem),
        title=book.text("title"),
        why=book.text("why"),
        groups=groups,
        causes=book.texts("causes"),
        inputs=tuple(inputs.values()),
        budget=_budget(book.below("budget")),
        owner=book.text("owner"),
        alerts=book.texts("alerts"),
        min_coverage=book.number("min_coverage") or 0.0,
        position=Position(path, book.at.line, book.at.column),
    )


def _budget(fields: Fields) -> Budget:
    usual = Budget()
    effect = fields.text("effect")
    deadline_s, requests = fields.number("deadline_s"), fields.number("requests")
    return Budget(
        deadline_s=deadline_s if deadline_s is not None else usual.deadline_s,
        effect=Effect(effect) if effect in set(Effect) else usual.effect,
        requests=int(requests) if requests is not None else usual.requests,
    )


def _check_name(book: Fields, path: str) -> Iterator[Problem]:
    name, stem = book.text("runbook"), PurePath(path).stem
    if name and stem not in {name, "stdin", "<text>"}:
        message = f"the runbook is called {name!r} and its file {PurePath(path).name!r}"
        hint = f"call the file {name}.yaml, so that `sickbay run {name}` finds it"
        yield Problem(book.value_at("runbook"), Code.NAME_AND_FILE, message, hint, "warning")


def _check_steps(
    book: Fields,
    runbook: Runbook,
    steps: list[ReadStep],
    inputs: Mapping[str, Input],
    knowledge: RunbookKnowledge,
) -> Iterator[Problem]:
    domains = domains_of(inputs, knowledge.vocabulary)
    yield from order_problems(steps)
    yield from step_problems(steps, inputs, domains, knowledge.checks, runbook.budget)
    at = book.key_at("budget") if "budget" in book else book.key_at("steps")
    yield from budget_problems(steps, runbook.budget, at)
    if steps and not any("expect" in one.fields or "critical" in one.fields for one in steps):
        message = "the runbook can never fail: no step has 'expect' or is 'critical'"
        yield Problem(
            book.key_at("steps"),
            Code.CANNOT_FAIL,
            message,
            "say what is too much, e.g. expect: {SIGNAL: {fail: '> 1'}}",
        )


def _unused_inputs(
    book: Fields, inputs: Mapping[str, Input], steps: Iterable[ReadStep], causes: Iterable[Cause]
) -> Iterator[Problem]:
    used: set[str] = set()
    for one in steps:
        step = one.step
        used |= one.parameters.inputs if one.parameters is not None else set()
        used |= {input_of(item) for item in step.for_each}
        bands = [band for item in step.expect for band in (item.warn, item.fail)]
        used |= _inputs_of([step.when, step.unless, *bands])
    for cause in causes:
        used |= _inputs_of([cause.requires, *(rule.when for rule in cause.evidence)])
    declared = book.below("inputs")
    written = book.node.source.text if book.node is not None else ""
    for name in inputs:
        # A use inside something that could not be read is a use as well: one mistake is told once.
        if name not in used and f"inputs.{name}" not in written:
            message = f"the input {name!r} is never used"
            yield Problem(
                declared.key_at(name),
                Code.UNUSED_INPUT,
                message,
                f"read it as inputs.{name}, or take it out",
                "warning",
            )


def _inputs_of(conditions: Iterable[object]) -> set[str]:
    names = (name for condition in conditions for name in getattr(condition, "names", ()))
    return {name.removeprefix("inputs.") for name in names if name.startswith("inputs.")}
