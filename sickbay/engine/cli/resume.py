"""`sickbay resume RUN`: finish a run that was killed; what was measured is not measured again."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sickbay.engine.cli.delivery import add_output_flags, deliver, wanted_outputs
from sickbay.engine.cli.planning import read_baseline
from sickbay.engine.cli.setting import find_runbook
from sickbay.engine.cli.showing import shown
from sickbay.engine.cli.targeting import add_target_flags, choose_target
from sickbay.engine.cli.tools import Tools
from sickbay.engine.errors import UsageError
from sickbay.engine.model.check import Effect
from sickbay.engine.report.units import Units
from sickbay.engine.run.journal import default_folder, load_journal
from sickbay.engine.run.plan import make_plan
from sickbay.engine.run.resume import resume

__all__ = ["arguments", "call"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which run; the target again, if flags described it."""
    parser.add_argument("run", nargs="?", metavar="RUN", help="a run id or journal file (default: the last run)")
    add_target_flags(parser)
    add_output_flags(parser)
    parser.add_argument("--no-progress", action="store_true", help="nothing on stderr while it runs")


def call(args: argparse.Namespace, tools: Tools) -> int:
    """The verdict's exit code, as `run` would have given it."""
    outputs = wanted_outputs(args)
    content = load_journal(args.run or _last())
    if content.ended:
        raise UsageError(f"resume: run {content.run_id} ended ({content.ended}); nothing is left to do")
    if not args.url and not args.target:
        args.url = content.url  # the journal keeps the address, never the key
    target, _ = choose_target(args)
    book, _ = find_runbook(content.runbook_path if Path(content.runbook_path).is_file() else content.runbook, tools)
    plan = make_plan(
        book,
        target,
        content.inputs,
        tools.knowledge,
        effect_ceiling=Effect(content.effect_ceiling),
        only=content.only,
        skip=content.skip,
    )
    sys.stderr.write(f"sickbay: {len(content.finished)} of {len(plan.steps)} steps are taken over\n")
    with shown(quiet=args.no_progress) as show:
        report = resume(
            content, plan, environment=tools.environment(), on_event=show, baseline=read_baseline(target, tools)
        )
    return deliver(report, args, outputs, Units(tools.knowledge.vocabulary))


def _last() -> Path:
    journals = sorted(default_folder().glob("*.jsonl"), key=lambda path: path.stat().st_mtime)
    if not journals:
        raise UsageError(f"resume: no run in {default_folder()}")
    return journals[-1]
