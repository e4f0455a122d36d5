"""promptfoo assertions to our scorers. What runs code, or means something else here, is told and never run.

Formats: promptfoo.dev/docs/configuration/expected-outputs and .../test-cases (the CSV mini-language).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from sickbay.engine.evals.item import ScorerUse
from sickbay.engine.evals.read.context import Context
from sickbay.engine.load.codes import Code
from sickbay.engine.load.yaml_node import Node
from sickbay.engine.model.problem import Position, Problem

__all__ = ["use_of", "use_of_text"]

_Params = Callable[[Any], dict[str, Any]]


def _several(value: Any) -> list[str]:
    return (
        [str(each) for each in value] if isinstance(value, list) else [part.strip() for part in str(value).split(",")]
    )


KNOWN: dict[str, tuple[str, _Params]] = {
    "equals": (
        "exact",
        lambda value: {"value": value if isinstance(value, str) else json.dumps(value), "strip": False},
    ),
    "contains": ("contains", lambda value: {"value": [str(value)]}),
    "icontains": ("contains", lambda value: {"value": [str(value)], "ignore_case": True}),
    "contains-any": ("contains", lambda value: {"value": _several(value), "any": True}),
    "icontains-any": ("contains", lambda value: {"value": _several(value), "any": True, "ignore_case": True}),
    "contains-all": ("contains", lambda value: {"value": _several(value)}),
    "icontains-all": ("contains", lambda value: {"value": _several(value), "ignore_case": True}),
    "starts-with": ("regex", lambda value: {"value": "^" + re.escape(str(value))}),
    "regex": ("regex", lambda value: {"value": str(value)}),
    "is-json": ("json-schema", lambda value: {"value": value if isinstance(value, dict) else {}}),
    "contains-json": ("json-schema", lambda value: {"value": value if isinstance(value, dict) else {}, "inside": True}),
    "is-refusal": ("refusal", lambda _: {}),
    "llm-rubric": ("judge", lambda value: {"value": str(value)}),
}
RUNS_CODE = ("javascript", "python", "ruby", "webhook", "perplexity", "cost", "latency", "similar")


def use_of(node: Node, context: Context) -> ScorerUse | None:
    """One entry of `assert:`; None with a problem when it cannot be scored here."""
    data = node.data if isinstance(node.data, dict) else {}
    if "transform" in data or data.get("weight") == 0:
        what = "transform" if "transform" in data else "weight 0"
        message = f"the promptfoo assertion {data.get('type', '')!r} with {what} is not scored here; "
        context.problems.append(
            Problem(node.at, Code.NOT_SUPPORTED, message + "the test is left out", severity="warning")
        )
        return None
    return _use(str(data.get("type", "")), data.get("value"), node.at, context)


def use_of_text(cell: str, at: Position, context: Context) -> ScorerUse | None:
    """One CSV cell: `TYPE: value`, `TYPE` alone, or a text that the answer must equal."""
    kind, separator, value = cell.partition(":")
    plain = kind.strip().removeprefix("not-")
    if plain in KNOWN or plain in RUNS_CODE or kind.strip() in {"fn", "eval", "file", "grade"}:
        kind = "llm-rubric" if kind.strip() == "grade" else kind.strip()
        return _use(kind, value.strip() if separator else "", at, context)
    return _use("equals", cell.strip(), at, context)


def _use(kind: str, value: Any, at: Position, context: Context) -> ScorerUse | None:
    negate = kind.startswith("not-")
    plain = kind.removeprefix("not-")
    if isinstance(value, str) and value.startswith("file://"):
        plain = f"{plain} with a file"
    if plain not in KNOWN or KNOWN[plain][0] not in context.scorers:
        message = f"the promptfoo assertion {kind!r} is not scored here; the test is left out"
        hint = f"scored are: {', '.join(KNOWN)}, each also with 'not-'"
        context.problems.append(Problem(at, Code.NOT_SUPPORTED, message, hint, severity="warning"))
        return None
    scorer, params = KNOWN[plain]
    return ScorerUse(scorer=scorer, params=_complete(context, scorer, params(value)), negate=negate, position=at)


def _complete(context: Context, scorer: str, params: dict[str, Any]) -> dict[str, Any]:
    properties = context.scorers[scorer].params.get("properties", {})
    return {**{name: spec["default"] for name, spec in properties.items() if "default" in spec}, **params}
