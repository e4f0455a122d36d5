"""json-schema: the answer is JSON of a given shape."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from sickbay.checks.evals.scorers.references import structure
from sickbay.engine.evals.item import Item
from sickbay.engine.evals.scorer import Given, Score, Scorer
from sickbay.engine.evals.sealed_schema import SchemaError, sealed_validator

__all__ = ["JsonAnswer", "json_of", "same_json"]

_FENCE = re.compile(r"\A\s*```(?:json|JSON)?[ \t]*\n(.*?)\n?```\s*\Z", re.DOTALL)


class JsonAnswer(Scorer):
    """The answer parses, fits the schema, and, where the item expects a structure, equals it."""

    name = "json-schema"
    version = "2"
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
            validator = sealed_validator(params.get("value", True))
        except SchemaError as error:
            return f"its schema is none: {error}"
        wanted = structure(item)
        if isinstance(wanted, (dict, list)) and not validator.is_valid(wanted):
            return "its expected value does not fit the schema"
        return ""

    def good_answer(self, item: Item, params: Mapping[str, Any]) -> Given | None:
        """The expected value, written as JSON."""
        wanted = structure(item)
        return Given(text=json.dumps(wanted)) if isinstance(wanted, (dict, list)) else None

    def score(self, item: Item, given: Given, params: Mapping[str, Any]) -> Score:
        """Parse, then validate, then compare. With `inside` any JSON of the answer may be the right one."""
        found, why = _jsons_of(given.text, fenced=params.get("fenced", True), inside=params.get("inside", False))
        if why:
            return Score.of(False, why)
        whys = [_misfit(each, item, params) for each in found]
        return Score.of(not all(whys), whys[0] if all(whys) else "")


def _misfit(found: Any, item: Item, params: Mapping[str, Any]) -> str:
    errors = next(iter(sealed_validator(params.get("value", True)).iter_errors(found)), None)
    if errors is not None:
        return f"does not fit the schema: {errors.message[:120]}"
    wanted = structure(item)
    if isinstance(wanted, (dict, list)) and not same_json(found, wanted):
        return f"found {json.dumps(found)[:80]}, wanted {json.dumps(wanted)[:80]}"
    return ""


def json_of(text: str, *, fenced: bool, inside: bool) -> tuple[Any, str]:
    """The JSON of an answer and "", or None and why there is none."""
    found, why = _jsons_of(text, fenced=fenced, inside=inside)
    return (found[0] if found else None), why


def _jsons_of(text: str, *, fenced: bool, inside: bool) -> tuple[list[Any], str]:
    body = text.strip()
    fence = _FENCE.match(text) if fenced else None
    if fence:
        body = fence.group(1)
    try:
        return [json.loads(body, parse_constant=_refuse)], ""
    except (ValueError, RecursionError) as error:
        found = list(_inside(body)) if inside else []
        why = f"not JSON ({getattr(error, 'msg', '') or str(error)[:60]}): {body[:60]!r}"
        return found, "" if found else why


def _inside(body: str) -> Iterator[Any]:
    """Every JSON object and list of a text, from left to right, those inside others left out."""
    end = 0
    for start in [place for place, letter in enumerate(body[:100_000]) if letter in "{["][:200]:
        if start >= end:
            try:
                data, end = _DECODER.raw_decode(body, start)
            except (ValueError, RecursionError):
                continue
            yield data


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")


def same_json(one: Any, other: Any) -> bool:
    """Equal as JSON: true is not 1, and 1 is 1.0."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(each, other[key]) for key, each in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    return bool(one == other)


_DECODER = json.JSONDecoder(parse_constant=_refuse)
