"""json-schema: the answer is JSON of a given shape."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import jsonschema_rs

from sickbay.engine.evals.item import Item, digest
from sickbay.engine.evals.scorer import Given, Score, Scorer

__all__ = ["JsonAnswer", "json_of"]

_FENCE = re.compile(r"\A\s*```(?:json|JSON)?[ \t]*\n(.*?)\n?```\s*\Z", re.DOTALL)
_VALIDATORS: dict[str, Any] = {}


class JsonAnswer(Scorer):
    """The answer parses, fits the schema, and, where the item expects a structure, equals it."""

    name = "json-schema"
    title = "the answer is JSON that fits a schema, and equals the expected value where there is one"
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "value": {"type": ["object", "boolean"], "default": True, "description": "The JSON Schema"},
            "fenced": {"type": "boolean", "default": True, "description": "A Markdown code fence around it is allowed"},
            "inside": {"type": "boolean", "default": False, "description": "JSON somewhere in the answer is enough"},
        },
    }

    def misfit(self, item: Item, params: Mapping[str, Any]) -> str:
        """A schema that is none, or an expected value that does not fit it."""
        try:
            validator = _validator(params.get("value", True))
        except ValueError as error:
            return f"the schema is none: {str(error)[:120]}"
        if isinstance(item.expected, (dict, list)) and not validator.is_valid(item.expected):
            return "its expected value does not fit the schema"
        return ""

    def good_answer(self, item: Item, params: Mapping[str, Any]) -> Given | None:
        """The expected value, written as JSON."""
        return Given(text=json.dumps(item.expected)) if isinstance(item.expected, (dict, list)) else None

    def score(self, item: Item, given: Given, params: Mapping[str, Any]) -> Score:
        """Parse, then validate, then compare."""
        found, why = json_of(given.text, fenced=params.get("fenced", True), inside=params.get("inside", False))
        if why:
            return Score.of(False, why)
        errors = next(iter(_validator(params.get("value", True)).iter_errors(found)), None)
        if errors is not None:
            return Score.of(False, f"does not fit the schema: {errors.message[:120]}")
        if isinstance(item.expected, (dict, list)) and found != item.expected:
            return Score.of(False, f"found {json.dumps(found)[:80]}, wanted {json.dumps(item.expected)[:80]}")
        return Score.of(True)


def json_of(text: str, *, fenced: bool, inside: bool) -> tuple[Any, str]:
    """The JSON of an answer and "", or None and why there is none."""
    body = text.strip()
    fence = _FENCE.match(text) if fenced else None
    if fence:
        body = fence.group(1)
    try:
        return json.loads(body), ""
    except (ValueError, RecursionError) as error:
        if inside:
            for start in [place for place, letter in enumerate(body[:100_000]) if letter in "{["][:200]:
                try:
                    return json.JSONDecoder().raw_decode(body, start)[0], ""
                except (ValueError, RecursionError):
                    continue
        return None, f"not JSON ({getattr(error, 'msg', 'too deep')}): {body[:60]!r}"


def _validator(schema: Any) -> Any:
    key = digest(schema)
    if key not in _VALIDATORS:
        if len(_VALIDATORS) > 1024:
            _VALIDATORS.clear()
        _VALIDATORS[key] = jsonschema_rs.Draft202012Validator(schema)
    return _VALIDATORS[key]
