"""`sickbay checks`: the checks."""

from __future__ import annotations

import argparse

from sickbay.engine.cli.table import add_format, print_rows
from sickbay.engine.cli.tools import Tools

__all__ = ["arguments", "call"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Filter and format."""
    add_format(parser)


def call(args: argparse.Namespace, tools: Tools) -> int:
    """One line a check: its name, effect, and what it answers."""
    rows = [
        {
            "check": check.name,
            "title": check.title,
            "effect": check.effect.value,
            "needs": ", ".join(check.needs),
            "line": f"{check.title} ({check.effect.value})",
        }
        for check in tools.knowledge.checks.values()
    ]
    return print_rows(rows, args, name="check", text="line")
