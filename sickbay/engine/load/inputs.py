"""The inputs of a runbook: how they are declared, and the values they take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sickbay.engine.errors import UsageError
from sickbay.engine.load.codes import Code
from sickbay.engine.load.did_you_mean import did_you_mean, listed
from sickbay.engine.load.fields import Fields, as_value
from sickbay.engine.load.schema_words import described
from sickbay.engine.model.problem import Problem
from sickbay.engine.model.runbook import Input, Runbook

__all__ = ["misfit", "read_inputs", "resolve_inputs"]

Value = float | bool | str

_WANTED = {"number": "a number", "text": "text", "bool": "true or false"}
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def read_inputs(book: Fields, problems: list[Problem]) -> tuple[Input, ...]:
    """The declared inputs; a wrong declaration is a problem, and still declares its name."""
    return tuple(_input(name, Fields(node), problems) for name, node in book.below("inputs"))


def _input(name: str, fields: Fields, problems: list[Problem]) -> Input:
    kind = fields.text("type", "number")
    found = Input(
        name=name,
        type=kind if kind in _WANTED else "number",
        default=as_value(fields.get("default")),
        minimum=fields.number("minimum"),
        maximum=fields.number("maximum"),
        choices=fields.texts("choices"),
        describe=fields.text("describe"),
        source=fields.text("source"),
        position=fields.at,
    )
    for key, wanted in (("minimum", "number"), ("maximum", "number"), ("choices", "text")):
        if key in fields and found.type != wanted:
            message = f"{key} belongs to inputs of type {wanted}, and {name!r} has type {found.type}"
            problems.append(Problem(fields.key_at(key), Code.INPUT_DEFAULT, message, f"take {key} out"))
    if found.minimum is not None and found.maximum is not None and found.minimum > found.maximum:
        message = f"the minimum {found.minimum:g} is above the maximum {found.maximum:g}"
        problems.append(Problem(fields.value_at("minimum"), Code.INPUT_DEFAULT, message))
    elif "default" in fields and (wrong := misfit(found, found.default)):
        problems.append(Problem(fields.value_at("default"), Code.INPUT_DEFAULT, f"the default of {name!r}: {wrong}"))
    return found


def misfit(item: Input, value: Any) -> str:
    """Why a typed value is not allowed; "" when it is."""
    kinds: dict[str, type] = {"number": float, "text": str, "bool": bool}
    if not isinstance(value, kinds[item.type]):
        return f"wanted {_WANTED[item.type]}, found {described(value)}"
    if isinstance(value, float) and item.type == "number":
        if item.minimum is not None and value < item.minimum:
            return f"{value:g} is below the minimum {item.minimum:g}"
        if item.maximum is not None and value > item.maximum:
            return f"{value:g} is above the maximum {item.maximum:g}"
    if item.choices and value not in item.choices:
        near = did_you_mean(str(value), item.choices)
        return f"{value!r} is not one of {', '.join(item.choices)}" + (f"; {near}" if near else "")
    return ""


def resolve_inputs(runbook: Runbook, given: Mapping[str, Any]) -> Mapping[str, Value]:
    """Every input with its value: what was given (text is read as the input's type), else the default.

    Raises:
        UsageError: unknown names, missing values and values the inputs do not allow; all of them at once.
    """
    known = {item.name: item for item in runbook.inputs}
    wrong = [
        f"--set {name}: runbook {runbook.name!r} has no input {name!r}; "
        + did_you_mean(name, known, f"it has: {listed(known)}")
        for name in given
        if name not in known
    ]
    values: dict[str, Value] = {}
    for item in runbook.inputs:
        value = _typed(item, given[item.name]) if item.name in given else item.default
        if value is None:
            wrong.append(
                f"runbook {runbook.name!r} must be given {item.name!r} ({item.describe or _WANTED[item.type]}): "
                f"--set {item.name}=VALUE"
            )
        elif item.name in given and (why := misfit(item, value)):
            wrong.append(f"--set {item.name}: {why}")
        else:
            values[item.name] = value
    if wrong:
        raise UsageError("\n".join(wrong))
    return values


def _typed(item: Input, value: Any) -> Any:
    """Text and integers as the input's type where they can be read so; otherwise as they are."""
    if item.type == "bool" and isinstance(value, str):
        return _TRUTHS.get(value.strip().lower(), value)
    if item.type == "number" and isinstance(value, (str, int)) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            return value
        return number if math.isfinite(number) else value
    return value
