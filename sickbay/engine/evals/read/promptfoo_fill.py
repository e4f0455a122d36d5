"""`{{name}}` filled in, in prompts and in the values of assertions. Of Nunjucks only plain names are done."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["UnfilledError", "fill", "fill_prompt", "has_template"]

_NAME = re.compile(r"\{\{\s*([A-Za-z_][\w.]*)\s*\}\}")
_OTHER = re.compile(r"\{%|\{\{|\{#")


class UnfilledError(ValueError):
    """The text wants a variable that is not there, or more of Nunjucks than names."""


def has_template(text: str) -> bool:
    """Whether anything of it is to be filled in."""
    return bool(_OTHER.search(text))


def fill(text: str, variables: Mapping[str, str]) -> str:
    """The text with every name's value.

    Raises:
        UnfilledError: with the reason in a few words.
    """
    missing = next((name for name in _NAME.findall(text) if name not in variables), None)
    if missing is not None:
        raise UnfilledError(f"no variable {missing!r}")
    if _OTHER.search(_NAME.sub("", text)):
        raise UnfilledError("Nunjucks blocks or filters")
    return _NAME.sub(lambda hit: variables[hit.group(1)], text)


def fill_prompt(template: str, variables: Mapping[str, str]) -> str:
    """A prompt. One that is JSON is filled value by value, as promptfoo does it: quotes in a variable break nothing.

    Raises:
        UnfilledError: see `fill`.
    """
    try:
        data = json.loads(template) if template.lstrip()[:1] in {"[", "{"} else None
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, (list, dict)):
        return fill(template, variables)
    try:
        return json.dumps(_filled(data, variables), ensure_ascii=False, indent=2)
    except RecursionError as error:
        raise UnfilledError("more levels than can be filled in") from error


def _filled(data: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(data, str):
        return fill(data, variables)
    if isinstance(data, list):
        return [_filled(each, variables) for each in data]
    if isinstance(data, dict):
        return {key: _filled(each, variables) for key, each in data.items()}
    return data
