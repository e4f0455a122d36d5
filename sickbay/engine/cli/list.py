"""`sickbay list`: the runbooks."""

from __future__ import annotations

import argparse

from sickbay.engine.cli.table import add_format, print_rows
from sickbay.engine.cli.tools import Tools

__all__ = ["arguments", "call"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Filter and format."""
    add_format(parser)


def call(args: argparse.Namespace, tools: Tools) -> int:
    """One line a runbook: its name and the question it answers."""
    rows = [
        {"runbook": book.name, "title": book.title, "why": book.why, "effect": book.budget.effect.value}
        for book in tools.knowledge.all_runbooks()
    ]
    return print_rows(rows, args, name="runbook", text="title")
