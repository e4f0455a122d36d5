"""`sickbay engines`: the inference engines sickbay can read."""

from __future__ import annotations

import argparse

from sickbay.engine.cli.table import Row, add_format, print_rows
from sickbay.engine.cli.tools import Tools

__all__ = ["arguments", "call"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Filter and format."""
    add_format(parser)


def call(args: argparse.Namespace, tools: Tools) -> int:
    """One line an engine: what of it can be read."""
    rows: list[Row] = [
        {
            "engine": spec.name,
            "title": spec.title,
            "port": spec.default_port,
            "metrics": len(spec.metrics),
            "absent": len(spec.absent),
            "line": f"{spec.title}, usually on port {spec.default_port}; {len(spec.metrics)} quantities from its "
            f"{'metrics page' if spec.metrics_format == 'prometheus' else spec.metrics_format + ' metrics'}",
        }
        for spec in tools.plugins.engines.values()
    ]
    return print_rows(rows, args, name="engine", text="line")
