"""`sickbay causes`: the catalogue of causes."""

from __future__ import annotations

import argparse

from sickbay.engine.cli.table import add_format, print_rows
from sickbay.engine.cli.tools import Tools

__all__ = ["arguments", "call"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Filter and format."""
    add_format(parser)


def call(args: argparse.Namespace, tools: Tools) -> int:
    """One line a cause: its id, layer and meaning."""
    catalogue = tools.knowledge.causes
    found = [catalogue.get(name) for name in sorted(catalogue.ids)]
    rows = [
        {"cause": cause.id, "layer": cause.layer.value, "means": cause.means, "line": f"[{cause.layer}] {cause.means}"}
        for cause in found
    ]
    return print_rows(rows, args, name="cause", text="line")
