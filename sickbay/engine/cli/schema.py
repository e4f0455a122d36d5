"""`sickbay schema NAME`: print a JSON Schema, for the YAML language server of your editor."""

from __future__ import annotations

import argparse
import difflib
import sys
from importlib.resources import files

from sickbay.engine.cli.tools import Tools
from sickbay.engine.errors import UsageError
from sickbay.engine.model.outcome import ExitCode

__all__ = ["arguments", "call"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which schema."""
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="runbook, cause, config, report ...; without one: the list"
    )


def call(args: argparse.Namespace, tools: Tools) -> int:  # noqa: ARG001 - every verb has these two
    """Print the newest version of that schema, or the names there are."""
    found = {
        path.name.partition(".")[0]: path
        for path in files("sickbay").joinpath("schemas").iterdir()
        if _is_schema(path.name)
    }
    if args.name is None:
        sys.stdout.write("\n".join(sorted(found)) + "\n")
        return ExitCode.HEALTHY
    wanted = args.name.partition(".")[0]
    if wanted not in found:
        close = difflib.get_close_matches(wanted, found, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(sorted(found))}"
        raise UsageError(f"schema: no schema {args.name!r}; {hint}")
    sys.stdout.write(found[wanted].read_text(encoding="utf-8"))
    return ExitCode.HEALTHY


def _is_schema(name: str) -> bool:
    return name.endswith(".json")
