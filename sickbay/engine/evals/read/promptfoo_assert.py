"""promptfoo assertions to our scorers. What runs code, or means something else here, is told and never run.

Formats: promptfoo.dev/docs/configuration/expected-outputs and .../test-cases (the CSV mini-language), version 0.123.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sickbay.engine.evals.item import ScorerUse
from sickbay.engine.evals.read.context import Context
from sickbay.engine.evals.read.promptfoo_files import FILE, as_text, data_of_file
from sickbay.engine.evals.read.promptfoo_fill import UnfilledError, fill
from sickbay.engine.load.codes import Code
from sickbay.engine.load.yaml_node import Node
from sickbay.engine.load.yaml_source import read_yaml
from sickbay.engine.model.problem import Position, Problem

__all__ = ["use_of_text", "uses_of"]

_Params = Callable[[Any], dict[str, Any]]


def _several(value: Any) -> list[str]:
    """A list; or a text parted by commas, in which quotes hold a comma together."""
    if isinstance(value, list):
        return [as_text(each) for each in value]
    text = " ".join(as_text(value).splitlines())
    try:
        row: list[str] = next(csv.reader([text], skipinitialspace=True), [])
    except csv.Error:  # a field beyond the limit of `csv`
        row = text.split(",")
    return [part.strip() for part in row if part.strip()]


def _schema(value: Any) -> Any:
    """The JSON Schema of `is-json`: in place, or as YAML in a text. None when the text is none."""
    if not isinstance(value, str) or not value.strip():
        return value or {}
    node = read_yaml(value, "", [])
    return node.data if node is not None and isinstance(node.data, (dict, bool)) else None


def _pattern(value: Any) -> str:
    """JavaScript's named groups in Python's spelling."""
    return re.sub(r"\(\?<(?![=!])", "(?P<", as_text(value))


KNOWN: dict[str, tuple[str, _Params]] = {
    "equals": ("exact", lambda value: {"value": as_text(value), "strip": False}),
    "contains": ("contains", lambda value: {"value": [as_text(value)]}),
    "icontains": ("contains", lambda value: {"value": [as_text(value)], "ignore_case": True}),
    "contains-any": ("contains", lambda value: {"value": _several(value), "any": True}),
    "icontains-any": ("contains", lambda value: {"value": _several(value), "any": True, "ignore_case": True}),
    "contains-all": ("contains", lambda value: {"value": _several(value)}),
    "icontains-all": ("contains", lambda value: {"value": _several(value), "ignore_case": True}),
    "starts-with": ("regex", lambda value: {"value": "^" + re.escape(as_text(value))}),
    "regex": ("regex", lambda value: {"value": _pattern(value)}),
    "is-json": ("json-schema", lambda value: {"value": _schema(value), "fenced": False}),
    "contains-json": ("json-schema", lambda value: {"value": _schema(value), "inside": True}),
    "is-refusal": ("refusal", lambda _: {}),
    "llm-rubric": ("judge", lambda value: {"value": as_text(value)}),
}
_OTHER_KINDS = """
agent-rubric answer-relevance bleu classifier contains-html contains-sql contains-xml context-faithfulness
context-recall context-relevance conversation-relevance cost factuality finish-reason g-eval gleu guardrails human
is-html is-sql is-valid-function-call is-valid-openai-function-call is-valid-openai-tools-call is-xml
javascript latency levenshtein
max-score meteor model-graded-closedqa model-graded-factuality moderation perplexity perplexity-score pi python rouge-n
ruby search-rubric select-best similar similar:cosine similar:dot similar:euclidean skill-used tool-call-f1
trace-error-spans trace-span-count trace-span-duration trajectory:goal-success trajectory:step-count
trajectory:tool-args-match trajectory:tool-sequence trajectory:tool-used webhook word-count
"""
"""promptfoo's `BaseAssertionTypesSchema`, without those above: a CSV cell that begins so is no text to equal."""
_CELL = re.compile(
    rf"(?:not-)?(?:{'|'.join(sorted(map(re.escape, (*KNOWN, *_OTHER_KINDS.split())), key=len, reverse=True))})"
    r"(?P<threshold>\([^)]*\))?(?::|\Z)"
)
_CODE_CELL = re.compile(r"(?:fn|eval):|file://")
_CHANGING = ("transform", "contextTransform", "threshold", "rubricPrompt", "config")
"""Settings of an assertion that change what it says."""


def uses_of(node: Node, variables: Mapping[str, str], context: Context) -> list[ScorerUse] | None:
    """One entry of `assert:`; None with a problem when it cannot be scored here.

    An `assert-set` without a threshold is its own assertions, all of which must hold.
    """
    data = node.data if isinstance(node.data, dict) else {}
    if "type" not in data:
        what = "by '$ref'" if "$ref" in data else "without a type"
        return _left_out(f"a promptfoo assertion {what} is not scored here; the test is left out", node.at, context)
    kind = str(data["type"])
    changing = [name for name in _CHANGING if data.get(name) is not None] + ["weight 0"] * (data.get("weight") == 0)
    if changing:
        what = f"the promptfoo assertion {kind!r} with {changing[0]}"
        return _left_out(f"{what} is not scored here; the test is left out", node.at, context)
    inner = node.child("assert")
    if kind == "assert-set" and inner is not None and inner.items:
        found = [uses_of(each, variables, context) for each in inner.items]
        return None if any(uses is None for uses in found) else [use for uses in found for use in uses or ()]
    return _use(kind, data.get("value"), node.at, context, variables)


def use_of_text(cell: str, at: Position, context: Context, variables: Mapping[str, str]) -> list[ScorerUse] | None:
    """One CSV cell: `TYPE: value`, `TYPE(threshold): value`, `TYPE` alone, or a text that the answer must equal."""
    cell = cell.strip()
    if cell.startswith("grade:"):
        cell = f"llm-rubric:{cell.removeprefix('grade:')}"
    found = _CELL.match(cell)
    if found is None and not _CODE_CELL.match(cell):
        return _use("equals", cell, at, context, variables)
    head = found.group().removesuffix(":") if found is not None else cell.partition(":")[0]
    if found is not None and not found.group("threshold"):
        return _use(head, cell[found.end() :].strip(), at, context, variables)
    return _left_out(f"the promptfoo assertion {head!r} is not scored here; the test is left out", at, context, _hint())


def _use(kind: str, value: Any, at: Position, context: Context, variables: Mapping[str, str]) -> list[ScorerUse] | None:
    negate = kind.startswith("not-")
    plain = kind.removeprefix("not-")
    code = False
    if plain in KNOWN and isinstance(value, str) and value.startswith(FILE):
        before = len(context.problems)
        value, read = data_of_file(value, Path(context.path).parent, at, context.problems)
        code = not read
        if len(context.problems) > before:
            return None
    elif plain in KNOWN:
        try:
            value = _filled(value, variables)
        except UnfilledError as error:
            message = f"the value of the promptfoo assertion {kind!r} has {error}; the test is left out"
            return _left_out(message.replace("has no variable", "names no variable"), at, context)
    if plain not in KNOWN or KNOWN[plain][0] not in context.scorers or code:
        shown = f"{kind} with a file" if code else kind
        message = f"the promptfoo assertion {shown!r} is not scored here; the test is left out"
        return _left_out(message, at, context, _hint())
    scorer, params = KNOWN[plain]
    made = params(value)
    if plain == "equals" and isinstance(value, (dict, list)):  # promptfoo compares what the answer says as JSON
        scorer, made = "json-schema", {"value": {"const": value}, "fenced": False}
    if made.get("value", "") is None:
        return _left_out(f"the value of {kind!r} is no JSON Schema; the test is left out", at, context)
    return [ScorerUse(scorer=scorer, params=_complete(context, scorer, made), negate=negate, position=at)]


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    """As promptfoo does: texts, and the texts of a list, but nothing inside a mapping."""
    if isinstance(value, str):
        return fill(value, variables)
    if isinstance(value, list):
        return [fill(each, variables) if isinstance(each, str) else each for each in value]
    return value


def _left_out(message: str, at: Position, context: Context, hint: str = "") -> list[ScorerUse] | None:
    """Tell it; nothing is scored by it."""
    if any(each.hint == hint for each in context.problems):
        hint = ""  # the list of what is scored, once
    context.problems.append(Problem(at, Code.NOT_SUPPORTED, message, hint, severity="warning"))
    return None


def _hint() -> str:
    return f"scored are: {', '.join(KNOWN)}, each also with 'not-'"


def _complete(context: Context, scorer: str, params: dict[str, Any]) -> dict[str, Any]:
    properties = context.scorers[scorer].params.get("properties", {})
    return {**{name: spec["default"] for name, spec in properties.items() if "default" in spec}, **params}
