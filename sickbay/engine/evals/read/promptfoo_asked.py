"""How a promptfoo configuration asks: the settings of its provider, and how often.

promptfoo asks OpenAI's providers at temperature 0 for at most 1,024 tokens where nothing else is said
(`OPENAI_TEMPERATURE`, `OPENAI_MAX_TOKENS`; source of version 0.123.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sickbay.engine.evals.item import Asked
from sickbay.engine.evals.read.context import Context
from sickbay.engine.load.codes import Code
from sickbay.engine.load.fields import Fields
from sickbay.engine.model.problem import Problem

__all__ = ["asked_by"]

MAX_TOKENS = 1024
_BOUNDS: Mapping[str, tuple[type | tuple[type, ...], float, float]] = {
    "temperature": ((int, float), 0, 5), "top_p": ((int, float), 0, 1), "max_tokens": (int, 1, 131_072),
    "seed": (int, -(2**63), 2**63),
}  # fmt: skip
"""What is taken from a provider's `config`, and what it may be: as in an eval set of our own."""
_NOT_SENT = ("tools", "functions", "tool_choice", "function_call", "response_format", "stop", "passthrough")


def asked_by(fields: Fields, context: Context) -> Asked:
    """The settings that its providers share. What they do not share, or is not sent here, is told."""
    configs = list(_configs(fields))
    taken: dict[str, Any] = {"max_tokens": MAX_TOKENS}
    for name, (kinds, low, high) in _BOUNDS.items():
        found = [config.get(name) for config in configs]
        value: Any = found[0] if found else None
        if any(each != value for each in found):
            _tell(f"its providers differ in {name!r}; the default is sent here", fields, context)
        elif isinstance(value, bool) or (value is not None and not (_is(value, kinds) and low <= value <= high)):
            _tell(f"{name} {str(value)[:40]!r} of its provider is not sent here", fields, context)
        elif value is not None:
            taken[name] = value
    left = [name for name in _NOT_SENT if any(config.get(name) is not None for config in configs)]
    if left:
        _tell(f"{', '.join(map(repr, left))} of its providers are not sent here", fields, context)
    repeat = fields.below("evaluateOptions").number("repeat")
    return Asked(**taken, samples=int(repeat) if repeat is not None and 1 <= repeat <= 1000 else 1)


def _is(value: Any, kinds: type | tuple[type, ...]) -> bool:
    return isinstance(value, kinds)


def _configs(fields: Fields) -> Iterator[Mapping[str, Any]]:
    """The `config` of each provider: `NAME`, `{id: NAME, config: ...}` or `{NAME: {config: ...}}`."""
    node = fields.get("providers") or fields.get("targets")
    listed = node.data if node is not None and isinstance(node.data, list) else [node.data] if node is not None else []
    for each in listed:
        whole = each if isinstance(each, dict) else {}
        if len(whole) == 1 and isinstance(inner := next(iter(whole.values())), dict):
            whole = inner
        config = whole.get("config")
        yield config if isinstance(config, dict) else {}


def _tell(message: str, fields: Fields, context: Context) -> None:
    at = fields.key_at("providers" if "providers" in fields else "targets")
    context.problems.append(Problem(at, Code.NOT_SUPPORTED, message, severity="warning"))
