"""Answers to `ask` steps: from `--answer`, or from the person at the terminal."""

from __future__ import annotations

import argparse
import select
import sys
from collections.abc import Callable, Mapping

from sickbay.engine.cli.setting import pairs
from sickbay.engine.errors import UsageError
from sickbay.engine.model.runbook import Ask

__all__ = ["asker"]

Answer = float | str | bool | None

_YES = {"y": True, "yes": True, "true": True, "n": False, "no": False, "false": False}


def asker(args: argparse.Namespace) -> Callable[[str, Ask], Answer]:
    """A function (step id, question) -> answer, or None when nobody answers in time."""
    given: Mapping[str, str] = pairs(args.answer, "--answer")

    def ask(step: str, question: Ask) -> Answer:
        if step in given:
            return _typed(given[step], question, step)
        if not sys.stdin.isatty() or not sys.stderr.isatty():
            return None
        return _at_terminal(step, question)

    return ask


def _at_terminal(step: str, question: Ask) -> Answer:
    hint = "/".join(question.choices) or {"bool": "y/n", "number": "a number"}.get(question.type, "text")
    sys.stderr.write(f"{question.question} [{hint}] ({question.timeout_s:g} s) ")
    sys.stderr.flush()
    ready, _, _ = select.select([sys.stdin], [], [], question.timeout_s)
    line = sys.stdin.readline().strip() if ready else ""
    if not line:
        return question.default
    try:
        return _typed(line, question, step)
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return None


def _typed(text: str, question: Ask, step: str) -> Answer:
    """The answer in the question's type.

    Raises:
        UsageError: it is no such value.
    """
    if question.choices and text not in question.choices:
        raise UsageError(f"answer to {step!r}: {text!r} is none of {', '.join(question.choices)}")
    if question.type == "bool":
        if text.lower() not in _YES:
            raise UsageError(f"answer to {step!r}: {text!r}; wanted yes or no")
        return _YES[text.lower()]
    if question.type == "number":
        try:
            return float(text)
        except ValueError as error:
            raise UsageError(f"answer to {step!r}: {text!r} is no number") from error
    return text
