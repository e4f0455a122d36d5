"""An item's reference answers as texts."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from sickbay.engine.evals.item import Item

__all__ = ["needs_references", "references", "structure"]


def references(item: Item, params: Mapping[str, Any]) -> tuple[str, ...]:
    """The texts of the parameter `value`, else of `expected`. Numbers and booleans as JSON writes them."""
    wanted = params.get("value", item.expected)
    values = wanted if isinstance(wanted, list) else [] if wanted is None else [wanted]
    return tuple(value if isinstance(value, str) else json.dumps(value) for value in values)


def structure(item: Item) -> Any:
    """The expected answer; where it is the text of a JSON object or list, as a table writes it, that one."""
    wanted = item.expected
    if isinstance(wanted, str) and wanted.lstrip()[:1] in {"{", "["}:
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(wanted)
    return wanted


def needs_references(item: Item, params: Mapping[str, Any]) -> str:
    """The misfit of scorers that compare with a reference."""
    found = references(item, params)
    if not found:
        return "it has no expected answer"
    wanted = params.get("value", item.expected)
    if any(isinstance(each, (dict, list)) for each in (wanted if isinstance(wanted, list) else [wanted])):
        return "its expected answer is a structure, not a text; compare that with json-schema or tool-call"
    return "its expected answer is empty" if not all(text.strip() for text in found) else ""
