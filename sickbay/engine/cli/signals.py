"""`sickbay signals`: the vocabulary between looking and knowing."""

from __future__ import annotations

import argparse

from sickbay.engine.cli.table import add_format, print_rows
from sickbay.engine.cli.tools import Tools

__all__ = ["arguments", "call"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Filter and format."""
    add_format(parser)


def call(args: argparse.Namespace, tools: Tools) -> int:
    """One line a signal: its name, unit and meaning."""
    rows = [
        {
            "signal": spec.name,
            "type": spec.type.value,
            "unit": spec.unit,
            "kind": spec.kind.value,
            "meaning": spec.meaning,
            "otel": spec.otel,
            "line": f"{spec.meaning} [{spec.unit if spec.unit != 'none' else spec.type}]",
        }
        for spec in tools.knowledge.vocabulary.values()
    ]
    return print_rows(rows, args, name="signal", text="line")
