"""What libyaml could not read, in words an author can act on."""

from __future__ import annotations

from typing import Final

import yaml

from sickbay.engine.load.codes import Code
from sickbay.engine.load.yaml_node import SourceText
from sickbay.engine.model.problem import Position, Problem

__all__ = ["nested_too_deep_for_libyaml", "syntax_problem"]

_HINTS: Final = {
    "mapping values are not allowed in this context": "quote a text that holds ': ', and check the indentation",
    "did not find expected key": "check the indentation: keys of one mapping begin in the same column",
    "did not find expected '-' indicator": "check the indentation: the items of one list begin in the same column",
    "could not find expected ':'": "a key is followed by ': ' and its value",
    "found unexpected end of stream": "a quote or bracket is opened and not closed",
    "did not find expected ',' or '}'": "a '{' is not closed, or a ',' is missing",
    "did not find expected ',' or ']'": "a '[' is not closed, or a ',' is missing",
    "found undefined tag handle": "tags ('!…') are not used here",
    "found unknown escape character": r"in double quotes write '\\' for a backslash, or use single quotes",
    "did not find expected <document start>": "a quoted text has something behind it; quote the whole value",
    "did not find expected whitespace or line break": "put a space behind it",
}


def syntax_problem(error: yaml.YAMLError, source: SourceText) -> Problem:
    """The problem that stands for a YAML syntax error."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    what = getattr(error, "problem", None) or str(error).split("\n", 1)[0]
    at = Position(source.path, mark.line + 1, mark.column + 1) if mark else Position(source.path)
    letter = source.text[mark.index : mark.index + 1] if mark else ""
    if "cannot start any token" in what:
        return Problem(at, Code.YAML_SYNTAX, *_cannot_start(letter))
    context = getattr(error, "context", None)
    message = f"this is not YAML: {what}" + (f" {context}" if context else "")
    return Problem(at, Code.YAML_SYNTAX, message, _HINTS.get(what, ""))


def nested_too_deep_for_libyaml(error: yaml.YAMLError) -> int | None:
    """The character at which libyaml's own bound on nesting was crossed (libyaml 0.2.6: 1,000); None: another error."""
    mark = getattr(error, "problem_mark", None)
    if mark is None or "nesting" not in str(getattr(error, "problem", "")):
        return None
    return int(mark.index)


def _cannot_start(letter: str) -> tuple[str, str]:
    if letter == "\t":
        return "a tab cannot indent YAML", "use spaces"
    return f"{letter!r} cannot begin a value", "quote the text"
