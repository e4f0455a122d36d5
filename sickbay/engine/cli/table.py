"""Two-column lists for the catalogue verbs: plain text that greps well, or JSON."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping

__all__ = ["Row", "add_format", "print_rows"]

Row = Mapping[str, str | float | bool | None]


def add_format(parser: argparse.ArgumentParser) -> None:
    """`--format text|json` and an optional filter."""
    parser.add_argument("filter", nargs="?", default="", help="only names or texts that contain this")
    parser.add_argument("--format", choices=("text", "json"), default="text")


def print_rows(rows: Iterable[Row], args: argparse.Namespace, *, name: str, text: str) -> int:
    """Print rows that match the filter; name and text are the keys of the two columns."""
    wanted = [row for row in rows if args.filter.lower() in f"{row[name]} {row[text]}".lower()]
    if not wanted:
        sys.stderr.write(f"sickbay: nothing contains {args.filter!r}\n")
    if args.format == "json":
        sys.stdout.write(json.dumps(wanted, indent=2, ensure_ascii=False) + "\n")
        return 0
    width = min(max((len(str(row[name])) for row in wanted), default=0), 34)
    room = max(shutil.get_terminal_size((80, 24)).columns, 60) - width - 3
    for row in wanted:
        lines = textwrap.wrap(str(row[text]), room) or [""]
        label = str(row[name])
        if len(label) > width:  # a long name has a line of its own
            sys.stdout.write(f"{label}\n")
            label = ""
        sys.stdout.write(f"{label:<{width}}  {lines[0]}\n")
        for line in lines[1:]:
            sys.stdout.write(f"{'':<{width}}  {line}\n")
    return 0
