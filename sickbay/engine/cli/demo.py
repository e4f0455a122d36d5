"""`sickbay demo`: a real server, a real fault, the verdict."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sickbay.engine.cli.delivery import Output, deliver
from sickbay.engine.cli.planning import read_baseline
from sickbay.engine.cli.setting import find_runbook
from sickbay.engine.cli.showing import shown
from sickbay.engine.cli.tools import Tools
from sickbay.engine.load.runbook import resolve_inputs
from sickbay.engine.model.outcome import ExitCode
from sickbay.engine.model.target import LogSource, Secret, Target
from sickbay.engine.report.formats import FORMATS
from sickbay.engine.report.units import Units
from sickbay.engine.run.plan import make_plan

__all__ = ["arguments", "call"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which fault, and where the HTML goes."""
    parser.add_argument("--fault", default=None, metavar="NAME", help="which fault (default: slots-too-few), or a file")
    parser.add_argument("--list", action="store_true", help="the faults there are")
    parser.add_argument("--html", type=Path, default=Path("sickbay-report.html"), metavar="FILE", help="HTML report")
    parser.add_argument("--seed", type=int, default=0, help="another order of the users' requests")
    # Refused before a server is started, not when its report is there.
    parser.add_argument(
        "--format", choices=tuple(FORMATS), default="terminal", metavar="FORMAT", help="what stdout gets"
    )


def call(args: argparse.Namespace, tools: Tools) -> int:
    """The run's exit code; everything that was started is stopped, also on Ctrl-C."""
    lab = tools.demo()
    if args.list:
        for fault in lab.list_faults():
            sys.stdout.write(f"{fault.name:<20} {fault.title}\n")
        return ExitCode.HEALTHY

    def run_runbook(target_fields: Mapping[str, Any], runbook: str, inputs: Mapping[str, Any]) -> int:
        return _run(dict(target_fields), runbook, inputs, args, tools)

    return int(lab.run_demo(args.fault or lab.DEFAULT_FAULT, run=run_runbook, out=sys.stderr, seed=args.seed))


def _run(
    fields: dict[str, Any], runbook: str, inputs: Mapping[str, Any], args: argparse.Namespace, tools: Tools
) -> int:
    from sickbay.engine.run.executor import run  # late: `demo --list` needs no event loop

    if fields.get("api_key"):
        fields["api_key"] = Secret(value=fields["api_key"])
    fields["logs"] = tuple(LogSource(kind="file", where=str(path)) for path in fields.get("logs", ()))
    target = Target(**{"name": "demo", **fields})
    book, _ = find_runbook(runbook, tools)
    values = resolve_inputs(book, {name: str(value) for name, value in inputs.items()})
    plan = make_plan(book, target, values, tools.knowledge)
    with shown(quiet=False) as show:
        report = run(plan, environment=tools.environment(), on_event=show, baseline=read_baseline(target, tools))
    args.metrics_file = args.push_gateway = None
    return deliver(report, args, [Output("html", args.html)], Units(tools.knowledge.vocabulary))
