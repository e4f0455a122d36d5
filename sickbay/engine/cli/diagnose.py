"""`sickbay diagnose FILE --symptom S`: a diagnosis from signals alone, no target needed."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sickbay.engine.cli.setting import pairs
from sickbay.engine.cli.tools import Tools
from sickbay.engine.diagnose.diagnosis import diagnose
from sickbay.engine.errors import UsageError
from sickbay.engine.load.knowledge import Knowledge
from sickbay.engine.load.runbook import resolve_inputs
from sickbay.engine.load.signals_file import load_signals
from sickbay.engine.load.text_file import read_named, read_stdin
from sickbay.engine.model.cause import Cause
from sickbay.engine.model.outcome import ExitCode
from sickbay.engine.report.codec import encode
from sickbay.engine.report.terminal import diagnosis_text
from sickbay.engine.report.units import Units

__all__ = ["arguments", "call"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which signals, which symptom."""
    parser.add_argument("file", type=Path, metavar="FILE", help="signals as YAML or JSON, or a report; - for stdin")
    parser.add_argument("--symptom", required=True, metavar="RUNBOOK", help="the symptom: a runbook's name")
    parser.add_argument(
        "--all-causes", action="store_true", help="weigh the whole catalogue, not the runbook's causes only"
    )
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="an input of the runbook")
    parser.add_argument("--format", choices=("terminal", "json"), default="terminal")


def call(args: argparse.Namespace, tools: Tools) -> int:
    """Exit 0 when a cause fits, 3 when none does."""
    knowledge = tools.knowledge
    text, path = _read(args.file)
    signals = load_signals(text, path, knowledge.vocabulary)
    if args.symptom not in knowledge.runbook_paths:
        close = difflib.get_close_matches(args.symptom, knowledge.runbook_paths, n=1)
        known = (
            f"did you mean {close[0]!r}?" if close else f"wanted one of: {', '.join(sorted(knowledge.runbook_paths))}"
        )
        raise UsageError(f"--symptom: no runbook {args.symptom!r}; {known}")
    book = knowledge.runbook(args.symptom)
    ids = sorted(knowledge.causes.ids) if args.all_causes else book.causes
    causes: Sequence[Cause] = [knowledge.causes.get(name) for name in ids]
    result = diagnose(
        causes,
        signals.readings,
        symptom=book.name,
        inputs=resolve_inputs(book, pairs(args.set, "--set")),
        baseline=signals.baseline,
        emitters=emitters_of(knowledge),
        inferences=knowledge.inferences,
    )
    if args.format == "json":
        sys.stdout.write(json.dumps(encode(result), indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(
            diagnosis_text(result, engine=str(_engine(signals.readings)), units=Units(knowledge.vocabulary))
        )
    return ExitCode.HEALTHY if result.fits else ExitCode.INCONCLUSIVE


def emitters_of(knowledge: Knowledge) -> Mapping[str, Sequence[str]]:
    """Signal name to the checks that measure it."""
    found: dict[str, list[str]] = {}
    for check in knowledge.checks.values():
        for signal in check.emits:
            found.setdefault(signal, []).append(check.name)
    return found


def _engine(readings: Mapping[str, object]) -> object:
    reading = readings.get("serving.engine")
    return getattr(reading, "value", None) or ""


def _read(path: Path) -> tuple[str, str]:
    return (read_stdin(), "stdin") if str(path) == "-" else (read_named(path), str(path))
