"""`--set NAME=VALUE` and friends: small parsers shared by run, plan, diagnose and resume."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path

from sickbay.engine.cli.tools import Tools
from sickbay.engine.errors import UsageError
from sickbay.engine.load.runbook import load_runbook
from sickbay.engine.load.text_file import read_named
from sickbay.engine.model.check import Effect
from sickbay.engine.model.runbook import Runbook

__all__ = ["add_run_flags", "find_runbook", "pairs"]


def add_run_flags(parser: argparse.ArgumentParser) -> None:
    """What to run, and how far it may go."""
    parser.add_argument("runbook", metavar="RUNBOOK", help="a runbook's name (see `sickbay list`) or a YAML file")
    group = parser.add_argument_group("run")
    group.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="an input of the runbook; repeatable"
    )
    group.add_argument(
        "--effect",
        choices=[effect.value for effect in Effect],
        help="most that may be done to the target (default: the runbook's, at most light)",
    )
    group.add_argument("--deadline", type=float, metavar="SECONDS", help="give a partial report after this time")
    group.add_argument("--requests", type=int, metavar="N", help="most requests that make the engine work")
    group.add_argument("--only", action="append", default=[], metavar="STEP", help="run only these steps; repeatable")
    group.add_argument("--skip", action="append", default=[], metavar="STEP", help="leave these steps out; repeatable")


def pairs(items: Iterable[str], flag: str) -> Mapping[str, str]:
    """NAME=VALUE items as a mapping.

    Raises:
        UsageError: an item without "=", or a name given twice.
    """
    found: dict[str, str] = {}
    for item in items:
        name, separator, value = item.partition("=")
        if not separator or not name:
            raise UsageError(f"{flag}: {item!r}: wanted NAME=VALUE")
        if name in found:
            raise UsageError(f"{flag}: {name!r} is given twice, as {found[name]!r} and {value!r}")
        found[name] = value
    return found


def find_runbook(name: str, tools: Tools) -> tuple[Runbook, str]:
    """The runbook of that name or file, and its text.

    Raises:
        UsageError: no such name or file.
        ProblemsError: the file is wrong.
    """
    knowledge = tools.knowledge
    known = knowledge.runbook_paths
    path = known.get(name)
    if path is None:
        path = Path(name)
        if path.suffix not in {".yaml", ".yml"} and not path.exists():
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else "see `sickbay list`, or give a YAML file"
            raise UsageError(f"no runbook {name!r}; {hint}")
    text = read_named(path, "runbook")
    return load_runbook(text, str(path), knowledge), text
