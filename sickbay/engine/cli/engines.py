"""`sickbay engines`: the inference engines sickbay can read; `engines compare A B`: two servers side by side."""

from __future__ import annotations

import argparse

from sickbay.engine.cli.table import Row, add_format, print_rows
from sickbay.engine.cli.tools import Tools
from sickbay.engine.errors import UsageError

__all__ = ["arguments", "call"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Filter and format; or two addresses after the word `compare`."""
    add_format(parser)
    parser.add_argument("urls", nargs="*", metavar="URL", help="after `compare`: the addresses of two servers")
    parser.add_argument("--pairs", type=int, default=5, metavar="N", help="compare: probes in turns (default 5)")
    parser.add_argument("--api-key-env", metavar="VARIABLE", help="compare: environment variable with the API key")


def call(args: argparse.Namespace, tools: Tools) -> int:
    """One line an engine: what of it can be read. Or the comparison."""
    if args.filter == "compare":
        from sickbay.engine.cli.compare import compare  # late: a list needs no run

        return compare(args, tools)
    if args.urls:
        raise UsageError(f"engines: one filter, or `compare A B`; found {' '.join([args.filter, *args.urls])!r}")
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
