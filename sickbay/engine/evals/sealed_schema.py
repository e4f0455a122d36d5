"""JSON Schemas that strangers wrote (in eval sets, tool definitions): nothing outside them is ever looked up.

Left to itself the validator fetches a `$ref` of another document over the network or from the disk, which linting a
file must not do.
"""

from __future__ import annotations

from typing import Any, NoReturn

import jsonschema_rs

from sickbay.engine.evals.item import digest

__all__ = ["SchemaError", "sealed_validator"]

_KEPT_MAX = 1024
_VALIDATORS: dict[str, Any] = {}


class SchemaError(ValueError):
    """It is no JSON Schema, or refers to another document. One line."""


def sealed_validator(schema: Any) -> Any:
    """The validator (2020-12) of a schema that stands alone; kept by content.

    Raises:
        SchemaError: see there.
    """
    key = digest(schema)
    if key not in _VALIDATORS:
        if len(_VALIDATORS) >= _KEPT_MAX:
            _VALIDATORS.clear()
        try:
            _VALIDATORS[key] = jsonschema_rs.Draft202012Validator(schema, retriever=_refuse)
        except ValueError as error:  # jsonschema_rs.ValidationError is one
            raise SchemaError(_one_line(error, schema)) from error
    return _VALIDATORS[key]


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"{uri} is another document")


def _one_line(error: ValueError, schema: Any) -> str:
    text = str(error).partition("\n")[0]
    if "is not present in a registry" in text:
        uri = text.split("'")[1] if "'" in text else "a $ref"
        return f"it refers to {uri[:80]!r}, and nothing outside it is looked up; write it out under $defs"
    path = getattr(error, "instance_path", None)
    place = "/".join(str(step) for step in path) if isinstance(path, list) and path else ""
    return f"{place}: {text[:120]}" if place and isinstance(schema, dict) else text[:160]
