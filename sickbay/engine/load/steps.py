"""The steps of a runbook: checks with parameters and expectations, questions, and parallel groups."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sickbay.engine.load.codes import Code
from sickbay.engine.load.did_you_mean import did_you_mean
from sickbay.engine.load.expressions import ExpressionCompiler
from sickbay.engine.load.fields import Fields, as_value
from sickbay.engine.load.inputs import misfit
from sickbay.engine.load.parameters import Parameters, check_parameters, input_of
from sickbay.engine.load.yaml_node import Node
from sickbay.engine.model.check import Check
from sickbay.engine.model.expression import Expression
from sickbay.engine.model.problem import Problem
from sickbay.engine.model.runbook import Ask, Expectation, Group, Input, OnFail, Step
from sickbay.engine.model.signal import SignalSpec, SignalType

__all__ = ["ReadStep", "StepReader", "read_answers"]

_COMPARES = re.compile(r"\s*(?:[<>]=?|[=!]=|in\b)")


@dataclass(frozen=True, slots=True)
class ReadStep:
    """A step with what the checks of the whole runbook need to know of it."""

    step: Step
    fields: Fields
    group: int
    check: Check | None
    parameters: Parameters | None


def read_answers(book: Fields) -> dict[str, SignalType]:
    """`answer.<id>` of every question with the type of its answer."""
    found: dict[str, SignalType] = {}
    for item in book.items("steps"):
        for one in (item, *Fields(item).items("parallel")):
            fields = Fields(one)
            if "ask" in fields and fields.text("id"):
                kind = fields.below("ask").text("type", "bool")
                found[f"answer.{fields.text('id')}"] = SignalType(kind) if kind in set(SignalType) else SignalType.BOOL
    return found


class StepReader:
    """Reads the steps of one runbook; what is wrong is appended to `problems`."""

    def __init__(
        self,
        compiler: ExpressionCompiler,
        checks: Mapping[str, Check],
        vocabulary: Mapping[str, SignalSpec],
        inputs: Mapping[str, Input],
        problems: list[Problem],
    ) -> None:
        self._compiler = compiler
        self._item_compiler = ExpressionCompiler({**compiler.names, "item": SignalType.TEXT}, vocabulary=vocabulary)
        self._checks = checks
        self._vocabulary = vocabulary
        self._inputs = inputs
        self._problems = problems
        self._ids: dict[str, int] = {}
        self.steps: list[ReadStep] = []

    def read(self, book: Fields) -> tuple[Group, ...]:
        """All groups in order."""
        groups: list[Group] = []
        for item in book.items("steps"):
            fields = Fields(item)
            members = fields.items("parallel") if "parallel" in fields else (item,)
            group = tuple(self._step(Fields(one), len(groups)) for one in members if one.entries is not None)
            if group:
                groups.append(Group(group))
        return tuple(groups)

    def _step(self, fields: Fields, group: int) -> Step:
        if "ask" in fields:
            step, check, parameters = self._question(fields), None, None
        else:
            step, check, parameters = self._look(fields)
        self.steps.append(ReadStep(step, fields, group, check, parameters))
        return step

    def _look(self, fields: Fields) -> tuple[Step, Check | None, Parameters | None]:
        name = fields.text("check")
        check = self._checks.get(name)
        if check is None and name:
            hint = did_you_mean(name, self._checks, "see `sickbay checks`")
            self._problems.append(Problem(fields.value_at("check"), Code.UNKNOWN_CHECK, f"no check {name!r}", hint))
        for_each = self._for_each(fields)
        compiler = self._item_compiler if for_each else self._compiler
        parameters = self._parameters(fields, check, has_item=bool(for_each))
        on_fail = fields.text("on_fail", "continue")
        step = Step(
            id=self._id(fields, name),
            check=name,
            params=parameters.written if parameters is not None else {},
            when=self._condition(fields, "when", compiler),
            unless=self._condition(fields, "unless", compiler),
            needs=fields.texts("needs"),
            on_fail=OnFail(on_fail) if on_fail in set(OnFail) else OnFail.CONTINUE,
            critical=fields.flag("critical"),
            expect=self._expectations(fields, compiler),
            for_each=for_each,
            retries=int(fields.number("retries") or 0),
            deadline_s=fields.number("deadline_s"),
            position=fields.at,
        )
        return step, check, parameters

    def _parameters(self, fields: Fields, check: Check | None, *, has_item: bool) -> Parameters | None:
        if check is None:
            return None
        node = fields.get("with")
        if node is None:  # nothing given: the check may still require something
            place = fields.get("check")
            node = replace(place, data={}, entries={}) if place is not None else None
        if node is None or node.entries is None:
            return None
        return check_parameters(check, node, self._inputs, self._problems, has_item=has_item)

    def _for_each(self, fields: Fields) -> tuple[str, ...]:
        node = fields.get("for_each")
        if node is None:
            return ()
        nodes = node.items if node.items is not None else [node]
        for one in nodes:
            name = input_of(one.data)
            if name and name not in self._inputs:
                hint = did_you_mean(name, self._inputs, "declare it under inputs:")
                self._problems.append(Problem(one.at, Code.UNKNOWN_INPUT, f"no input {name!r}", hint))
            elif isinstance(one.data, str) and one.data.startswith("target.") and one.data != "target.replicas":
                message = f"{one.data!r} is no list of a target"
                self._problems.append(Problem(one.at, Code.WRONG_VALUE, message, "wanted 'target.replicas'"))
        return tuple(one.data for one in nodes if isinstance(one.data, str))

    def _question(self, fields: Fields) -> Step:
        node = fields.get("ask")
        ask = Fields(node)
        kind = ask.text("type", "bool")
        answer = Input(
            name="answer", type=kind if kind in set(SignalType) else "bool", choices=ask.texts("choices"),
            default=as_value(ask.get("default")),
        )  # fmt: skip
        if "default" in ask and (wrong := misfit(answer, answer.default)):
            self._problems.append(Problem(ask.value_at("default"), Code.INPUT_DEFAULT, f"the default answer: {wrong}"))
        question = node.data if node is not None and isinstance(node.data, str) else ask.text("question")
        return Step(
            id=self._id(fields, "ask"),
            ask=Ask(
                question=question, type=answer.type, default=answer.default, choices=answer.choices,
                timeout_s=ask.number("timeout_s") or 60.0,
            ),
            when=self._condition(fields, "when", self._compiler),
            needs=fields.texts("needs"),
            position=fields.at,
        )  # fmt: skip

    def _id(self, fields: Fields, default: str) -> str:
        """The given id, which must be new, or the check's name, numbered from the second use on."""
        given = fields.text("id")
        name = given or default
        self._ids[name] = self._ids.get(name, 0) + 1
        if self._ids[name] == 1:
            return name
        if given:
            message = f"two steps have the id {given!r}"
            self._problems.append(Problem(fields.value_at("id"), Code.DUPLICATE_NAME, message, "give one another id"))
        return f"{name}#{self._ids[name]}"

    def _condition(self, fields: Fields, key: str, compiler: ExpressionCompiler) -> Expression | None:
        node = fields.get(key)
        return compiler.compile_node(node, self._problems) if node is not None else None

    def _expectations(self, fields: Fields, compiler: ExpressionCompiler) -> tuple[Expectation, ...]:
        found = (self._expectation(signal, node, fields, compiler) for signal, node in fields.below("expect"))
        return tuple(one for one in found if one is not None)

    def _expectation(self, signal: str, node: Node, step: Fields, compiler: ExpressionCompiler) -> Expectation | None:
        at = step.below("expect").key_at(signal)
        if signal not in self._vocabulary:
            hint = did_you_mean(signal, self._vocabulary, "see `sickbay signals`")
            self._problems.append(Problem(at, Code.UNKNOWN_SIGNAL, f"no signal {signal!r}", hint))
            return None
        bands = Fields(node)
        return Expectation(
            signal=signal,
            warn=self._band(bands.get("warn"), signal, compiler),
            fail=self._band(bands.get("fail"), signal, compiler),
            position=at,
        )

    def _band(self, node: Node | None, signal: str, compiler: ExpressionCompiler) -> Expression | None:
        """A band; one that begins with a comparison speaks of the signal itself."""
        if node is None:
            return None
        short = isinstance(node.data, str) and _COMPARES.match(node.data) is not None
        band = compiler.compile_node(node, self._problems, prefix=f"{signal} " if short else "")
        if band is not None and signal not in band.names:
            message = f"the band of {signal} does not read it"
            self._problems.append(
                Problem(node.at, Code.NOT_A_CONDITION, message, "begin with a comparison, e.g. '> 1'")
            )
        return band
