"""A step's `with:` against its check's JSON Schema, with `inputs.NAME` and `item` in place of values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import jsonschema_rs

from sickbay.engine.errors import PluginError
from sickbay.engine.load.codes import Code
from sickbay.engine.load.did_you_mean import did_you_mean
from sickbay.engine.load.schema_check import check_against
from sickbay.engine.load.yaml_node import Node
from sickbay.engine.model.check import Check
from sickbay.engine.model.problem import Position, Problem
from sickbay.engine.model.runbook import Input

__all__ = ["Parameters", "check_parameters", "input_of"]

_REFERENCE = re.compile(r"inputs\.([A-Za-z_]\w*)")
_TRIES_MAX = 10
_TYPES = {"number": "a number", "text": "text", "bool": "true or false"}


@dataclass(frozen=True, slots=True)
class Parameters:
    """A step's parameters.

    Attributes:
        written: as the author wrote them, references included.
        sample: complete parameters under the inputs' defaults; None when they are not valid or an input has none.
        inputs: the names of the inputs they read.
    """

    written: Mapping[str, Any]
    sample: Mapping[str, Any] | None
    inputs: frozenset[str]


def input_of(text: Any) -> str:
    """The input a value refers to; "" when it is no reference."""
    match = _REFERENCE.fullmatch(text) if isinstance(text, str) else None
    return match[1] if match else ""


def check_parameters(
    check: Check, node: Node, inputs: Mapping[str, Input], problems: list[Problem], *, has_item: bool = False
) -> Parameters:
    """Check the mapping `node` for `check`; what is wrong is appended. `item` is a value only with `has_item`."""
    return _ParameterCheck(check, node, inputs, has_item=has_item).answer(problems)


class _ParameterCheck:
    """One step's parameters, tried with the defaults of the inputs they read and with the ends of their ranges."""

    def __init__(self, check: Check, node: Node, inputs: Mapping[str, Input], *, has_item: bool) -> None:
        self._check = check
        self._node = node
        self._inputs = inputs
        references = list(_references(node))
        self._unknown = {at: name for name, at in references if name not in inputs}
        self._known = {at: name for name, at in references if name in inputs}
        # The value of these places is not known before the run: only a wrong type can be told.
        self._free = {at for at, name in self._known.items() if inputs[name].default is None}
        self._items = set(_item_places(node)) if has_item else set()

    def answer(self, problems: list[Problem]) -> Parameters:
        for at, name in self._unknown.items():
            hint = did_you_mean(name, self._inputs, "declare it under inputs:")
            problems.append(Problem(at, Code.UNKNOWN_INPUT, f"no input {name!r}", hint))
        names = frozenset(self._known.values())
        values = {name: _sample(self._inputs[name]) for name in names}
        wrong = self._tried(values)
        problems += wrong
        if not wrong:
            for name in sorted(names):
                problems += self._tried_at_the_ends(values, self._inputs[name])
        complete = not (wrong or self._free or self._unknown or self._items)
        sample = _completed(self._check, _substituted(self._node, values).data) if complete else None
        return Parameters(self._node.data if isinstance(self._node.data, dict) else {}, sample, names)

    def _tried(self, values: Mapping[str, Any]) -> list[Problem]:
        """What the check's schema says when the inputs have these values."""
        found: list[Problem] = []
        check_against(_substituted(self._node, values), self._check.params, _validator(type(self._check)), found)
        told: list[Problem] = []
        for one in found:
            name = self._known.get(one.at)
            if (
                one.at in self._unknown
                or one.at in self._items
                or (one.at in self._free and one.code != Code.WRONG_TYPE)
            ):
                continue
            if name is None:
                told.append(one)
            else:
                value = _TYPES[self._inputs[name].type] if one.at in self._free else _shown(values[name])
                message = f"inputs.{name} ({value}) does not fit here: {one.message.partition(', found ')[0]}"
                told.append(replace(one, code=Code.PARAMETER, message=message, hint=""))
        return told

    def _tried_at_the_ends(self, values: Mapping[str, Any], item: Input) -> Iterator[Problem]:
        """A warning where the check refuses a value that the input allows."""
        for end in (item.minimum, item.maximum, *item.choices[:_TRIES_MAX]):
            found = self._tried({**values, item.name: end}) if end is not None else []
            if found:
                wanted = found[0].message.partition(" does not fit here: ")[2]
                message = f"inputs.{item.name} may be {_shown(end)}, which {self._check.name} does not take: {wanted}"
                yield replace(found[0], message=message, hint="narrow the input's range", severity="warning")
                return


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)


def _sample(item: Input) -> Any:
    if item.default is not None:
        return item.default
    if item.type == "number":
        return item.minimum if item.minimum is not None else item.maximum if item.maximum is not None else 1.0
    return True if item.type == "bool" else item.choices[0] if item.choices else "text"


def _references(node: Node) -> Iterator[tuple[str, Position]]:
    name = input_of(node.data)
    if name:
        yield name, node.at
    for below in (*(node.items or ()), *(node.entries or {}).values()):
        yield from _references(below)


def _item_places(node: Node) -> Iterator[Position]:
    if node.data == "item":
        yield node.at
    for below in (*(node.items or ()), *(node.entries or {}).values()):
        yield from _item_places(below)


def _substituted(node: Node, values: Mapping[str, Any]) -> Node:
    """The same nodes with values in place of references."""
    if node.entries is not None:
        entries = {key: _substituted(one, values) for key, one in node.entries.items()}
        return replace(node, entries=entries, data={key: one.data for key, one in entries.items()})
    if node.items is not None:
        items = [_substituted(one, values) for one in node.items]
        return replace(node, items=items, data=[one.data for one in items])
    return replace(node, data=values.get(input_of(node.data), node.data))


def _completed(check: Check, data: Mapping[str, Any]) -> dict[str, Any]:
    properties: Mapping[str, Any] = check.params.get("properties", {})
    found = {name: spec["default"] for name, spec in properties.items() if "default" in spec}
    for name, value in data.items():
        whole = properties.get(name, {}).get("type") == "integer" and isinstance(value, float) and value.is_integer()
        found[name] = int(value) if whole else value
    return found


@lru_cache(maxsize=512)
def _validator(check: type[Check]) -> Any:
    try:
        return jsonschema_rs.Draft202012Validator(dict(check.params))
    except ValueError as error:  # jsonschema_rs.ValidationError is a ValueError
        raise PluginError(f"check {check.name!r}: its params are no JSON Schema: {str(error)[:200]}") from error
