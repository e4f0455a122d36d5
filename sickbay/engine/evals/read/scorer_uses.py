"""`score:` lists to scorer uses: the scorer must exist, its parameters must fit its schema, defaults are filled in."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jsonschema_rs

from sickbay.engine.evals.item import ScorerUse
from sickbay.engine.evals.scorer import Scorer
from sickbay.engine.load.codes import Code
from sickbay.engine.load.did_you_mean import did_you_mean, listed
from sickbay.engine.load.schema_check import check_against
from sickbay.engine.load.yaml_node import Node, SourceText
from sickbay.engine.load.yaml_source import read_yaml
from sickbay.engine.model.problem import Problem

__all__ = ["NEGATION", "named_uses", "read_uses"]

NEGATION = "not-"


def read_uses(nodes: tuple[Node, ...], scorers: Mapping[str, Scorer], problems: list[Problem]) -> tuple[ScorerUse, ...]:
    """The scorers of a `score:` list; each wrong one is a problem and left out."""
    # Another kind of entry is told by the schema.
    found = [_use(node, scorers, problems) for node in nodes if isinstance(node.data, (str, dict)) and node.data]
    return tuple(use for use in found if use is not None)


def named_uses(
    names: list[str], scorers: Mapping[str, Scorer], problems: list[Problem], where: str
) -> tuple[ScorerUse, ...]:
    """The same from a command line: `exact`, `judge: RUBRIC`, `numeric: {tolerance: 0.01}`."""
    source = SourceText(where, "")
    nodes = []
    for text in names:
        name, parted, rest = (part.strip() for part in text.partition(":"))
        node = Node(source, 0, 0, name)
        if parted:
            below = read_yaml(rest, where, problems) if rest.startswith("{") else Node(source, 0, 0, rest or None)
            node.data = {name: None if below is None else below.data}
            node.entries = {name: below or Node(source, 0, 0, None)}
        nodes.append(node)
    return read_uses(tuple(nodes), scorers, problems)


def _use(node: Node, scorers: Mapping[str, Scorer], problems: list[Problem]) -> ScorerUse | None:
    if node.entries is not None and len(node.entries) != 1:
        known = ", ".join(node.entries)
        message = f"one scorer a list entry, found {len(node.entries)} keys: {known}"
        problems.append(Problem(node.at, Code.WRONG_VALUE, message, "write each scorer as its own '- NAME: {...}'"))
        return None
    name, below = next(iter(node.entries.items())) if node.entries else (str(node.data), None)
    at = node.key_at(name) if node.entries else node.at
    plain = name.removeprefix(NEGATION)
    scorer = scorers.get(name) or scorers.get(plain)
    if scorer is None:
        hint = did_you_mean(plain, scorers, f"known here: {listed(scorers)}")
        problems.append(Problem(at, Code.UNKNOWN_SCORER, f"no scorer named {plain!r}", hint))
        return None
    given = _as_params(below)
    holder = below if below is not None and below.entries is not None else Node(node.source, at.line, at.column, given)
    if holder.entries is None:  # the short form: what is wrong with the value is told at the value
        holder.entries = {"value": below} if below is not None and "value" in given else {}
    holder.data = given
    before = len(problems)
    check_against(holder, dict(scorer.params), _validator(type(scorer)), problems)
    if len(problems) > before:
        return None
    params = {**_defaults(scorer.params), **given}
    negate = name not in scorers and name.startswith(NEGATION)
    return ScorerUse(scorer=scorer.name, params=params, negate=negate, position=at)


def _as_params(below: Node | None) -> dict[str, Any]:
    """`contains: Paris` is short for `contains: {value: Paris}` where the scorer has such a parameter."""
    if below is None or below.data is None:
        return {}
    if isinstance(below.data, dict):
        return dict(below.data)
    return {"value": below.data}


def _defaults(schema: Mapping[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties", {})
    return {name: spec["default"] for name, spec in properties.items() if "default" in spec}


@lru_cache(maxsize=128)
def _validator(kind: type[Scorer]) -> Any:
    return jsonschema_rs.Draft202012Validator(dict(kind.params))
