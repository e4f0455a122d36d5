"""`sickbay replay REPORT`: recompute every number of a report from its recorded evidence."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sickbay.engine.cli.tools import Tools
from sickbay.engine.diagnose.infer import derived_of
from sickbay.engine.errors import UsageError
from sickbay.engine.evidence.bundle import read_bundle
from sickbay.engine.evidence.recompute import recompute
from sickbay.engine.load.text_file import read_named
from sickbay.engine.model.outcome import ExitCode
from sickbay.engine.model.report import Report
from sickbay.engine.report.formats import FORMATS, render
from sickbay.engine.report.json_form import from_json
from sickbay.engine.report.units import Units

__all__ = ["arguments", "call"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which report, and how to show it."""
    parser.add_argument("report", type=Path, metavar="REPORT", help="a report's JSON, or a bundle (.tar.gz)")
    parser.add_argument("--format", choices=tuple(FORMATS), default="terminal", metavar="FORMAT", help="as for `run`")


def call(args: argparse.Namespace, tools: Tools) -> int:
    """Show the report; exit 0 when every number recomputes, 3 when one does not."""
    report = _read(args.report)
    sys.stdout.write(render(report, args.format, units=Units(tools.knowledge.vocabulary)))
    differences = recompute(report, tools.knowledge.checks, lambda one: derived_of(one, tools.knowledge.inferences))
    for difference in differences:
        sys.stderr.write(f"{difference}\n")
    word = "every number recomputes from the recorded evidence"
    sys.stderr.write(f"replay: {word if not differences else f'{len(differences)} do not recompute'}\n")
    return ExitCode.INCONCLUSIVE if differences else ExitCode.HEALTHY


def _read(path: Path) -> Report:
    if path.name.endswith((".tar.gz", ".tgz")):
        if not path.is_file():
            raise UsageError(f"no bundle {str(path)!r}")
        return read_bundle(path)
    return from_json(read_named(path), str(path))
