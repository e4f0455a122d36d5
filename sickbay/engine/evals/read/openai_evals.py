"""OpenAI-evals samples: JSON Lines with `input` (text or chat messages) and `ideal` (text or texts).

Format: openai/evals, docs/build-eval.md. What else stands on a line becomes a field.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sickbay.engine.evals.item import Item, ScorerUse
from sickbay.engine.evals.read.context import Context
from sickbay.engine.evals.read.json_lines import Line, read_lines
from sickbay.engine.load.codes import Code
from sickbay.engine.load.schema_words import described
from sickbay.engine.load.yaml_node import Node
from sickbay.engine.model.problem import Problem

__all__ = ["read_openai_lines", "registry_samples"]

_OWN = frozenset({"input", "ideal", "id", "sample_id", "metadata"})


def read_openai_lines(lines: Iterable[Line], context: Context) -> list[Item]:
    """The samples; a sample without a name is called by its place."""
    found = read_lines(lines, context.problems, lambda node, told: _item(node, replace(context, problems=told)))
    return [item for item in found if item is not None]


def registry_samples(node: Node) -> list[str] | None:
    """The files of samples that a registry entry of OpenAI evals names; None for anything but a registry.

    Entries are `NAME: {class: evals...}` or `NAME: {id: ...}`; a model-graded spec holds `choice_strings`.
    """
    below = [each.data for each in (node.entries or {}).values()]
    entries = [each for each in below if isinstance(each, dict)]
    known = [each for each in entries if str(each.get("class", "")).startswith("evals.") or "choice_strings" in each]
    if not known or len(entries) < len(below):
        return None
    args = [each.get("args") for each in known]
    return [str(each["samples_jsonl"]) for each in args if isinstance(each, dict) and "samples_jsonl" in each]


def _item(node: Node, context: Context) -> Item | None:
    data: dict[str, Any] = node.data
    asked = data.get("input")
    if isinstance(asked, str) and asked:
        messages: tuple[dict[str, Any], ...] = ({"role": "user", "content": asked},)
    elif isinstance(asked, list) and asked and all(isinstance(each, dict) and "role" in each for each in asked):
        messages = tuple(asked)
    else:
        message = f"input: wanted a text or chat messages, found {described(asked)}"
        context.problems.append(Problem(node.at, Code.WRONG_TYPE, message))
        return None
    if "ideal" not in data:
        hint = "samples that a model grades have none: write them as items of your own with the scorer judge"
        message = "the key 'ideal' is missing: the reference answer"
        context.problems.append(Problem(node.at, Code.MISSING_KEY, message, hint))
        return None
    metadata = data.get("metadata")
    rest = {**(metadata if isinstance(metadata, dict) else {}), **{k: v for k, v in data.items() if k not in _OWN}}
    fallback = (ScorerUse(scorer="exact", params={"prefix": True}),) if "exact" in context.scorers else ()
    return context.item(
        item_id=str(data.get("id") or data.get("sample_id") or context.name_of(node.at)),
        messages=messages,
        expected=data["ideal"],
        scorers=() if context.default_scorers else fallback,
        fields={key: str(value) for key, value in rest.items() if isinstance(value, (str, int, float, bool))},
        position=node.at,
    )
