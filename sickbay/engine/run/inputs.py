"""A runbook's inputs and a step's parameters, complete and valid."""

from __future__ import annotations

import difflib
import importlib.util
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sickbay.engine.errors import UsageError
from sickbay.engine.model.check import Check
from sickbay.engine.model.runbook import Input, Runbook
from sickbay.engine.run.values import Value

__all__ = ["complete_inputs", "complete_params", "library_missing", "substituted"]


def complete_inputs(runbook: Runbook, given: Mapping[str, Any]) -> dict[str, Value]:
    """Every input with its value; text is read as the input's type.

    Raises:
        UsageError: an unknown name, a missing value, or a value the input does not allow.
    """
    known = {item.name: item for item in runbook.inputs}
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it has: {', '.join(known) or 'none'}"
            raise UsageError(f"--set {name}: runbook {runbook.name!r} has no input {name!r}; {hint}")
    values: dict[str, Value] = {}
    for item in runbook.inputs:
        value = given.get(item.name, item.default)
        if value is None:
            raise UsageError(
                f"runbook {runbook.name!r} must be given {item.name!r} ({item.describe or item.type}): "
                f"--set {item.name}=VALUE"
            )
        values[item.name] = _checked(item, value)
    return values


def _checked(item: Input, value: Any) -> Value:
    typed = _typed(item, value)
    if isinstance(typed, float):
        if item.minimum is not None and typed < item.minimum:
            raise UsageError(f"--set {item.name}: {typed:g} is below the minimum {item.minimum:g}")
        if item.maximum is not None and typed > item.maximum:
            raise UsageError(f"--set {item.name}: {typed:g} is above the maximum {item.maximum:g}")
    if item.choices and typed not in item.choices:
        raise UsageError(f"--set {item.name}: {typed!r} is not one of {', '.join(item.choices)}")
    return typed


def _typed(item: Input, value: Any) -> Value:
    if item.type == "number" and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            return number
    elif item.type == "bool":
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        found = words.get(str(value).strip().lower())
        if found is not None:
            return found
    elif item.type == "text" and isinstance(value, (str, int, float)):
        return str(value)
    raise UsageError(f"--set {item.name}: wanted a {item.type}, found {value!r}")


def substituted(value: Any, inputs: Mapping[str, Value], item: str | None) -> Any:
    """The parameter value with `inputs.NAME` and `item` replaced, at any depth; only whole strings are."""
    if isinstance(value, str):
        if value == "item" and item is not None:
            return item
        name = value.removeprefix("inputs.")
        return inputs[name] if name != value and name in inputs else value
    if isinstance(value, Mapping):
        return {key: substituted(each, inputs, item) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [substituted(each, inputs, item) for each in value]
    return value


def complete_params(check: Check, params: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """The parameters with the schema's defaults filled in, valid under the schema.

    Raises:
        UsageError: the schema refuses them; every reason is told.
    """
    schema = check.params
    properties: Mapping[str, Any] = schema.get("properties", {})
    found = {name: spec["default"] for name, spec in properties.items() if "default" in spec}
    for name, value in params.items():
        wanted = properties.get(name, {}).get("type")
        whole = wanted == "integer" and isinstance(value, float) and value.is_integer()
        found[name] = int(value) if whole else value
    if found or schema.get("required"):
        problems = [f"{where}: {problem}" for problem in _problems(check, found)]
        if problems:
            raise UsageError("\n".join(problems))
    return found


def _problems(check: Check, params: Mapping[str, Any]) -> list[str]:
    return [
        f"with.{'.'.join(map(str, error.instance_path))}: {error.message}" if error.instance_path else error.message
        for error in _validator(check).iter_errors(dict(params))
    ]


@lru_cache(maxsize=512)
def _validator(check: Check) -> Any:
    import jsonschema_rs  # late: listing and running checks without parameters needs none

    return jsonschema_rs.Draft202012Validator(dict(check.params))


def library_missing(need: str) -> str:
    """The library that a need "library:NAME" names and that is not installed; "" when it is there."""
    name = need.removeprefix("library:")
    try:
        return "" if importlib.util.find_spec(name) is not None else name
    except (ImportError, ValueError):
        return name
