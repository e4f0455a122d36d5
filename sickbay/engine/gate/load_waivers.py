"""The waivers of a gate file: of something it has, by two people, until a day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from sickbay.engine.evals.judge_check import uses_judge
from sickbay.engine.evals.scorer import Scorer
from sickbay.engine.gate.model import CheckRule, EvalRule, Rule, Waiver
from sickbay.engine.load.codes import Code
from sickbay.engine.load.did_you_mean import did_you_mean, listed
from sickbay.engine.load.fields import Fields
from sickbay.engine.load.yaml_node import Node
from sickbay.engine.model.problem import Position, Problem

__all__ = ["read_waivers"]


def read_waivers(
    nodes: Sequence[Node], rules: Sequence[Rule], scorers: Mapping[str, Scorer], problems: list[Problem], *, whole: bool
) -> tuple[Waiver, ...]:
    """All of them; what is wrong is appended. `whole`: every rule could be read, so that a missing one is missing."""
    waivers = tuple(_waiver(each, rules, scorers, problems, whole=whole) for each in nodes)
    _check_waived_once(waivers, problems)
    return waivers


def _waiver(
    node: Node, rules: Sequence[Rule], scorers: Mapping[str, Scorer], problems: list[Problem], *, whole: bool
) -> Waiver:
    data = dict(node.data)
    at = node.child("rule")
    ids = [rule.id for rule in rules]
    if whole and data["rule"].partition("/")[0] not in ids:
        message = f"the waiver is for the rule {data['rule']!r}, which this gate does not have"
        hint = did_you_mean(data["rule"].partition("/")[0], ids, f"there are: {listed(ids)}")
        problems.append(Problem(at.at if at else node.at, Code.WAIVER, message, hint))
    part = data["rule"].partition("/")[2]
    rule = next((each for each in rules if each.id == data["rule"].partition("/")[0]), None)
    if part and rule is not None and part not in _parts(rule, scorers):
        message = f"the waiver is for {part!r} of the rule {rule.id!r}, which has no such part"
        hint = did_you_mean(part, _parts(rule, scorers), _there(rule, scorers))
        problems.append(Problem(at.at if at else node.at, Code.WAIVER, message, hint))
    at_value = Fields(node).value_at
    problems += [
        Problem(at_value(name), Code.EMPTY, f"{name}: nothing but blanks", hint)
        for name, hint in (("owner", "name somebody"), ("approver", "name somebody"), ("reason", "say why"))
        if not data[name].strip()
    ]
    if _person(data["approver"]) == _person(data["owner"]):
        approver = node.child("approver")
        message = f"{data['owner']!r} both owns and approves this waiver"
        where = approver.at if approver else node.at
        problems.append(Problem(where, Code.WAIVER, message, "somebody else must approve it"))
    try:
        expires = date.fromisoformat(data.pop("expires"))
    except ValueError:
        day = node.child("expires")
        shown = day.data if day else ""
        where = day.at if day else Position("")
        problems.append(Problem(where, Code.WRONG_VALUE, f"wanted a day such as 2026-12-31, found {shown!r}"))
        expires = date.min
    covers = tuple(data.pop("covers", ("inconclusive",)))
    return Waiver(expires=expires, covers=covers, position=node.at, **data)


def _check_waived_once(waivers: tuple[Waiver, ...], problems: list[Problem]) -> None:
    """Two waivers for one thing: nobody could say whose word holds, and until when."""
    seen: dict[tuple[str, str], Waiver] = {}
    for each in waivers:
        twice = [word for word in each.covers if (each.rule, word) in seen]
        if twice:
            first = seen[each.rule, twice[0]]
            message = f"a second waiver of {each.rule!r} for {listed(twice)}; first on line {first.position.line}"
            problems.append(Problem(each.position, Code.WAIVER, message, "keep one of them"))
        seen |= {(each.rule, word): each for word in each.covers}


def _parts(rule: Rule, scorers: Mapping[str, Scorer]) -> list[str]:
    """What stands behind the slash in the findings of a rule."""
    if isinstance(rule, CheckRule):
        return [each.signal for each in rule.compare]
    if not isinstance(rule, EvalRule):
        return []
    values = {f"{each.by}={item.fields.get(each.by, '(none)')}" for each in rule.slices for item in rule.evalset.items}
    more = {
        "judge": uses_judge(rule.evalset, scorers), "flaky": rule.flaky_max is not None,
        "minimum": rule.minimum is not None,
    }  # fmt: skip
    return [*sorted(values), *(name for name, there in more.items() if there)]


def _there(rule: Rule, scorers: Mapping[str, Scorer]) -> str:
    parts = _parts(rule, scorers)
    return f"there are: {listed(parts)}" if parts else f"waive {rule.id!r} itself"


def _person(name: str) -> str:
    """One spelling of a name: `@ann`, ` Ann ` and `ANN` are one."""
    return " ".join(name.casefold().split()).lstrip("@")
