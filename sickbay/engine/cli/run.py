"""`sickbay run RUNBOOK`: run it against a target, print the verdict."""

from __future__ import annotations

import argparse
import sys
import time

from sickbay.engine.bounded_call import within
from sickbay.engine.cli.asking import asker
from sickbay.engine.cli.delivery import add_output_flags, deliver, wanted_outputs
from sickbay.engine.cli.planning import make_plan_from
from sickbay.engine.cli.setting import add_run_flags
from sickbay.engine.cli.showing import shown
from sickbay.engine.cli.targeting import add_target_flags
from sickbay.engine.cli.tools import Tools
from sickbay.engine.errors import ProbeError, UsageError
from sickbay.engine.model.target import Secret
from sickbay.engine.report.units import Units
from sickbay.engine.run.journal import Journal, new_journal
from sickbay.engine.run.secrets import reveal

__all__ = ["arguments", "call"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """What to run, on what, how far, and how to answer."""
    add_run_flags(parser)
    add_target_flags(parser)
    add_output_flags(parser)
    parser.add_argument("--answer", action="append", default=[], metavar="STEP=VALUE", help="answer an `ask` step")
    parser.add_argument("--no-progress", action="store_true", help="nothing on stderr while it runs")
    parser.add_argument("--no-journal", action="store_true", help="keep no journal; `resume` cannot continue it")


def call(args: argparse.Namespace, tools: Tools) -> int:
    """The verdict's exit code."""
    outputs = wanted_outputs(args)
    planned = make_plan_from(args, tools)
    _check_key(planned.plan.target.api_key)
    environment = tools.environment(ask=asker(args))
    from sickbay.engine.run.executor import new_run_id, run  # late: asyncio, after every wrong flag was told

    run_id = new_run_id(time.time())
    journal = None if args.no_journal else _journal(run_id)
    with shown(quiet=args.no_progress) as show:
        report = run(
            planned.plan,
            environment=environment,
            on_event=show,
            journal=journal,
            baseline=planned.baseline,
            run_id=run_id,
        )
    if journal:
        journal.close()
    if report.interrupted and journal and not journal.given_up:
        sys.stderr.write(f"sickbay: to go on: sickbay resume {report.run_id}\n")
    return deliver(report, args, outputs, Units(tools.knowledge.vocabulary))


def _check_key(secret: Secret | None) -> None:
    """A key that is missing on our side says nothing about the service: it must not become a verdict.

    Raises:
        UsageError: the key cannot be read.
    """
    try:
        if secret is not None:
            reveal(secret, "the API key")
    except ProbeError as error:
        raise UsageError(error.detail) from error


def _journal(run_id: str) -> Journal | None:
    """A new journal; without one the run goes on, and says so."""
    try:
        return within(Journal.wait_s, lambda: new_journal(run_id))
    except OSError as error:
        sys.stderr.write(f"sickbay: no journal ({error.strerror or error}); this run cannot be resumed\n")
        return None
