"""One file of the catalogue to a `Cause`."""

from __future__ import annotations

from pathlib import PurePath

from sickbay.engine.load.because import check_because
from sickbay.engine.load.codes import Code
from sickbay.engine.load.expressions import ExpressionCompiler
from sickbay.engine.load.fields import Fields
from sickbay.engine.load.schema_check import check_schema
from sickbay.engine.load.schema_words import shortened
from sickbay.engine.load.yaml_node import Node
from sickbay.engine.load.yaml_source import read_yaml
from sickbay.engine.model.cause import Cause, EvidenceRule, Fix, Prior, Seen, Weight
from sickbay.engine.model.expression import Expression
from sickbay.engine.model.outcome import Layer
from sickbay.engine.model.problem import Position, Problem

__all__ = ["read_cause"]


def read_cause(
    text: str, path: str, compiler: ExpressionCompiler, problems: list[Problem], *, place_matters: bool = True
) -> Cause | None:
    """The cause of one file; None when something in it is wrong (every problem is appended).

    Args:
        text: what the file holds.
        path: its path.
        compiler: knows every signal, and takes `inputs.…` as they come.
        problems: what is wrong is appended here.
        place_matters: the file lies in a catalogue, where `<layer>/<id>.yaml` says the same as the file.
    """
    before = _errors(problems)
    node = read_yaml(text, path, problems)
    if node is None:
        return None
    check_schema(node, "cause.v1", problems)
    fields = Fields(node)
    if place_matters:
        _check_place(fields, PurePath(path), problems)
    rules = [_rule(item, compiler, problems) for item in fields.items("evidence")]
    _check_rule_ids(fields, problems)
    requires = _condition(fields, "requires", compiler, problems)
    if _errors(problems) > before:
        return None
    return Cause(
        id=fields.text("cause"),
        layer=Layer(fields.text("layer")),
        means=fields.text("means"),
        prior={symptom: Prior(prior) for symptom, prior in fields.pairs("prior").items()},
        requires=requires,
        evidence=tuple(rule for rule in rules if rule is not None),
        explains=fields.texts("explains"),
        fix=tuple(_fix(item) for item in fields.items("fix")),
        seen_in=fields.texts("seen_in"),
        position=Position(path, node.line, node.column),
    )


def _errors(problems: list[Problem]) -> int:
    return sum(problem.severity == "error" for problem in problems)


def _check_place(fields: Fields, path: PurePath, problems: list[Problem]) -> None:
    name, layer = fields.text("cause"), fields.text("layer")
    if name and name != path.stem:
        message = f"the cause is called {name!r} and its file {path.name!r}"
        hint = f"call the file {name}.yaml, or the cause {path.stem}"
        problems.append(Problem(fields.value_at("cause"), Code.NAME_AND_FILE, message, hint))
    if layer and layer != path.parent.name:
        message = f"the layer is {layer!r} and the folder {path.parent.name!r}"
        problems.append(
            Problem(fields.value_at("layer"), Code.NAME_AND_FILE, message, "move the file or change the layer")
        )


def _check_rule_ids(fields: Fields, problems: list[Problem]) -> None:
    seen: dict[str, Position] = {}
    for item in fields.items("evidence"):
        rule = Fields(item)
        name = rule.text("id")
        if name in seen:
            message = f"two pieces of evidence are called {name!r}; the first is on line {seen[name].line}"
            problems.append(Problem(rule.value_at("id"), Code.DUPLICATE_NAME, message, "give it another id"))
        elif name:
            seen[name] = rule.value_at("id")


def _rule(item: Node, compiler: ExpressionCompiler, problems: list[Problem]) -> EvidenceRule | None:
    fields = Fields(item)
    when = _condition(fields, "when", compiler, problems)
    because = fields.get("because")
    if because is not None and not compiler.proved:
        check_because(because, compiler.names, problems)
    weight = fields.text("weight")
    if when is None or weight not in set(Weight):
        return None
    if not compiler.proved:
        _check_constant(when, problems)
    return EvidenceRule(
        id=fields.text("id"),
        when=when,
        weight=Weight(weight),
        because=fields.text("because"),
        group=fields.text("group"),
        seen=Seen(seen) if (seen := fields.text("seen")) in set(Seen) else None,
        shared=fields.flag("shared"),
        position=item.at,
    )


def _check_constant(when: Expression, problems: list[Problem]) -> None:
    if when.names and "&&" not in when.source and "||" not in when.source:
        return  # nothing beside the signal can decide it
    answer = when.truth({})
    if answer is not None:
        message = f"{shortened(when.source)!r} is always {str(answer).lower()}, whatever is measured"
        problems.append(Problem(when.position, Code.CONSTANT_CONDITION, message, "wanted a condition over signals"))


def _condition(fields: Fields, key: str, compiler: ExpressionCompiler, problems: list[Problem]) -> Expression | None:
    node = fields.get(key)
    return compiler.compile_node(node, problems) if node is not None else None


def _fix(item: Node) -> Fix:
    fields = Fields(item)
    return Fix(
        do=fields.text("do"),
        how=fields.pairs("how"),
        risk=fields.text("risk"),
        undo=fields.text("undo"),
        verify=fields.text("verify"),
    )
