"""`sickbay doctor`: what this host and this user can look at, what not, and what it would take."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sickbay.engine.cli.targeting import find_config
from sickbay.engine.cli.tools import Tools
from sickbay.engine.errors import UsageError
from sickbay.engine.load.targets import load_config
from sickbay.engine.model.outcome import ExitCode
from sickbay.engine.model.target import Target
from sickbay.engine.report.plain_text import plain

__all__ = ["arguments", "call"]

_HEADINGS = (
    ("no", "CANNOT BE LOOKED AT"),
    ("partly", "ONLY IN PART"),
    ("yes", "CAN BE LOOKED AT"),
    ("not-here", "NOTHING OF THE KIND HERE"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which configuration, and which form."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="sickbay.yaml; its targets are looked at as well")
    parser.add_argument("--target", metavar="NAME", help="only this target of it")
    parser.add_argument("--format", choices=("terminal", "json"), default="terminal")


def call(args: argparse.Namespace, tools: Tools) -> int:
    """Exit 0 when all that is here can be looked at, 1 when a part cannot, 3 when one the configuration names."""
    found = tools.doctor(_targets(args))
    if args.format == "json":
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write("\n".join(_lines(found)) + "\n")
    blind = [row for row in found["abilities"] if row["can"] in {"no", "partly"}]
    if any(row["asked"] and row["can"] == "no" for row in blind):
        return ExitCode.INCONCLUSIVE
    return ExitCode.DEGRADED if blind else ExitCode.HEALTHY


def _targets(args: argparse.Namespace) -> Sequence[Target]:
    try:
        path = find_config(args.config)
    except UsageError:
        if args.config is not None or args.target:
            raise
        return ()  # a host without a configuration can be looked at, too
    targets = load_config(path.read_text(encoding="utf-8", errors="surrogateescape"), str(path)).targets
    if args.target is None:
        return tuple(targets.values())
    if args.target not in targets:
        raise UsageError(f"--target: {path} has no target {args.target!r}; it has: {', '.join(sorted(targets))}")
    return (targets[args.target],)


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    width = max(shutil.get_terminal_size((80, 24)).columns, 60)
    place = f", in a container ({found['container']})" if found["container"] else ""
    yield from _wrapped(
        f"sickbay {found['sickbay']} on {found['host']} as {found['user']}, Python {found['python']}, "
        f"Linux {found['kernel']}{place}", 0, width,
    )  # fmt: skip
    rows = found["abilities"]
    for can, heading in _HEADINGS:
        chosen = [row for row in rows if row["can"] == can]
        if not chosen:
            continue
        yield ""
        yield heading
        if can == "not-here":
            yield from _wrapped("; ".join(f"{row['name']} ({row['detail']})" for row in chosen), 2, width)
            continue
        for row in chosen:
            yield from _row(row, width)
    yield ""
    yield _last_line(rows)


def _row(row: Mapping[str, Any], width: int) -> Iterator[str]:
    yield from _wrapped(f"{row['name']}: {row['detail']}", 2, width)
    if row["can"] == "yes":
        return
    if row["needs"]:
        yield from _wrapped(f"needs {row['needs']}", 6, width)
    if row["checks"]:
        yield from _wrapped(f"says less without it: {', '.join(row['checks'])}", 6, width)


def _last_line(rows: Sequence[Mapping[str, Any]]) -> str:
    here = [row for row in rows if row["can"] != "not-here"]
    good = sum(row["can"] == "yes" for row in here)
    return f"{good} of {len(here)} can be looked at in full"


def _wrapped(text: str, indent: int, width: int) -> list[str]:
    pad = " " * indent
    return textwrap.wrap(
        plain(text, 2_000), width, initial_indent=pad, subsequent_indent=f"{pad}  ", break_on_hyphens=False
    )
