"""Check the sentence of a piece of evidence: its fields are signals, and their formats fit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from sickbay.engine.load.cel_words import unknown_name
from sickbay.engine.load.codes import Code
from sickbay.engine.load.yaml_node import Node
from sickbay.engine.model.problem import Problem
from sickbay.engine.model.signal import SignalType

__all__ = ["FORMAT_WORDS", "check_because"]

FORMAT_WORDS: Final = frozenset({"duration", "bytes", "times"})
"""Formats in words, beside Python's format specifications; `engine.diagnose.sentences` writes them."""

_WORDS: Final = {SignalType.NUMBER: "a number", SignalType.BOOL: "true or false", SignalType.TEXT: "text"}
_FORMAT_LENGTH_MAX = 6
_FIELD = re.compile(r"\{([A-Za-z_][\w.]*)(?::([^{}]*))?\}")
_SAMPLES: Final[Mapping[SignalType, float | bool | str]] = {
    SignalType.NUMBER: 1.5,
    SignalType.BOOL: "yes",
    SignalType.TEXT: "text",
}


def check_because(node: Node, names: Mapping[str, SignalType], problems: list[Problem]) -> None:
    """Append what is wrong with a template."""
    text = node.data
    if not isinstance(text, str):
        return
    for match in _FIELD.finditer(text):
        _check_field(node, match, names, problems)
    for match in re.finditer(r"[{}]", _FIELD.sub(lambda found: " " * len(found.group()), text)):
        message = f"a {match.group()!r} that belongs to no field"
        at = node.inside(match.start())
        problems.append(
            Problem(at, Code.BECAUSE, message, "wanted {signal} or {signal:format}, e.g. {host.cpu_busy_ratio:.0%}")
        )


def _check_field(node: Node, match: re.Match[str], names: Mapping[str, SignalType], problems: list[Problem]) -> None:
    name, spec = match[1], match[2] or ""
    kind = names.get(name)
    if kind is None:
        if not name.startswith(("inputs.", "answer.")):
            problems.append(Problem(node.inside(match.start(1)), *unknown_name(name, names)))
        return
    if spec in FORMAT_WORDS and kind is SignalType.NUMBER:
        return
    if not _fits(spec, kind):
        at = node.inside(match.start(1))
        message = f"{name} is {_WORDS[kind]} and cannot be written as {spec[:20]!r}"
        problems.append(Problem(at, Code.BECAUSE, message, "e.g. .1f, .0%, duration, bytes, times; no format for text"))


def _fits(spec: str, kind: SignalType) -> bool:
    if len(spec) > _FORMAT_LENGTH_MAX:  # a width of a billion would be carried out
        return False
    try:
        format(_SAMPLES[kind], spec)
    except ValueError:
        return False
    return True
