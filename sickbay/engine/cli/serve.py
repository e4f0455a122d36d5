"""`sickbay serve`: the runbooks named in sickbay.yaml on their intervals, and /metrics."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
from collections.abc import Mapping
from pathlib import Path

from sickbay.engine.cli.planning import read_baseline, refuse_unknown_engine
from sickbay.engine.cli.setting import find_runbook
from sickbay.engine.cli.targeting import find_config, read_config_file
from sickbay.engine.cli.tools import Tools
from sickbay.engine.errors import UsageError
from sickbay.engine.load.runbook import resolve_inputs
from sickbay.engine.model.config import Config, Job
from sickbay.engine.model.report import Report
from sickbay.engine.model.signal import Reading
from sickbay.engine.run.clock import SystemClock
from sickbay.engine.run.executor import run_runbook
from sickbay.engine.run.nursery import Nursery
from sickbay.engine.run.plan import Plan, make_plan
from sickbay.engine.run.threads import DaemonExecutor
from sickbay.engine.serve.server import serve

__all__ = ["arguments", "call"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which config, and where to listen."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="sickbay.yaml (default: here, then the user's)")
    parser.add_argument("--listen", metavar="HOST:PORT", help="overrides serve.listen; port 0 takes a free one")


def call(args: argparse.Namespace, tools: Tools) -> int:
    """Runs until SIGTERM or Ctrl-C; every job is planned before the first one starts."""
    path = find_config(args.config)
    config = read_config_file(path)
    if config.serve is None:
        raise UsageError(f"{path}: no serve: section; wanted serve: {{listen, jobs: [{{runbook, target, every}}]}}")
    if config.folders:
        tools.extra_folders = tuple(Path(folder) for folder in config.folders)
    planned = {_key(job): _planned(job, config, tools) for job in config.serve.jobs}
    nursery = Nursery()
    environment = dataclasses.replace(tools.environment(), nursery=nursery)

    async def run_job(job: Job) -> Report:
        plan, baseline = planned[_key(job)]
        return await run_runbook(plan, environment=environment, baseline=baseline)

    settings = dataclasses.replace(config.serve, listen=args.listen) if args.listen else config.serve

    async def serve_on_daemon_threads() -> int:
        asyncio.get_running_loop().set_default_executor(DaemonExecutor())
        return await serve(settings, run_job, clock=SystemClock())

    try:
        return asyncio.run(serve_on_daemon_threads())
    finally:
        nursery.close()


def _key(job: Job) -> tuple[str, str]:
    return (job.runbook, job.target)


def _planned(job: Job, config: Config, tools: Tools) -> tuple[Plan, Mapping[str, Reading]]:
    """The job's plan and baseline.

    Raises:
        UsageError, ProblemsError: the job names no such runbook or target, or an input is wrong.
    """
    book, _ = find_runbook(job.runbook, tools)
    target = config.targets[job.target]
    refuse_unknown_engine(target, tools, f"target {target.name!r}")
    inputs = resolve_inputs(book, {name: str(value) for name, value in job.set.items()})
    return make_plan(book, target, inputs, tools.knowledge), read_baseline(target, tools)
