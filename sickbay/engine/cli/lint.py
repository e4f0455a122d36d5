"""`sickbay lint`: every problem of the files, at once."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from sickbay.engine.cli.linting import lint_any
from sickbay.engine.cli.tools import Tools
from sickbay.engine.errors import UsageError
from sickbay.engine.model.outcome import ExitCode

__all__ = ["arguments", "call"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Files and format."""
    kinds = "runbook, cause, gate, eval set, target or signal file"
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help=kinds)
    parser.add_argument("--strict", action="store_true", help="warnings fail too")
    parser.add_argument("--format", choices=("text", "json"), default="text")


def call(args: argparse.Namespace, tools: Tools) -> int:
    """Exit 0 when nothing is wrong, 65 when something is."""
    files = _expanded(args.files)
    problems = [problem for file in files for problem in lint_any(file, tools)]
    if args.format == "json":
        rows = [
            {
                "path": problem.at.path,
                "line": problem.at.line,
                "column": problem.at.column,
                "code": problem.code,
                "severity": problem.severity,
                "message": problem.message,
                "hint": problem.hint,
            }
            for problem in problems
        ]
        sys.stdout.write(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    else:
        for problem in problems:
            sys.stdout.write(f"{problem}\n")
    errors = [problem for problem in problems if problem.severity == "error" or args.strict]
    many = "s" if len(files) != 1 else ""
    sys.stderr.write(f"{len(files)} file{many}, {len(problems)} problem{'s' if len(problems) != 1 else ''}\n")
    return ExitCode.INVALID if errors else ExitCode.HEALTHY


def _expanded(paths: list[Path]) -> list[Path]:
    """Folders stand for the YAML files below them."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix in {".yaml", ".yml"} and file.is_file())
            if not inside:
                raise UsageError(f"lint: no .yaml or .yml file below {str(path)!r}")
            files.extend(inside)
        else:
            files.append(path)
    return files
