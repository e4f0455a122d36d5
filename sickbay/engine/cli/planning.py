"""From flags to a plan: shared by `run`, `plan` and `resume`."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sickbay.engine.cli.setting import find_runbook, pairs
from sickbay.engine.cli.targeting import choose_target
from sickbay.engine.cli.tools import Tools
from sickbay.engine.errors import UsageError
from sickbay.engine.load.did_you_mean import did_you_mean
from sickbay.engine.load.runbook import resolve_inputs
from sickbay.engine.load.signals_file import load_signals
from sickbay.engine.load.text_file import read_named
from sickbay.engine.model.check import Effect
from sickbay.engine.model.runbook import Runbook
from sickbay.engine.model.signal import Reading
from sickbay.engine.model.target import Target
from sickbay.engine.run.plan import Plan, make_plan

__all__ = ["Planned", "make_plan_from", "read_baseline", "refuse_unknown_engine"]

_DEADLINE_MAX_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan and the readings of the healthy service to compare with."""

    plan: Plan
    baseline: Mapping[str, Reading]


def refuse_unknown_engine(target: Target, tools: Tools, where: str) -> None:
    """Raise UsageError when the target names an engine that nobody brings."""
    if target.engine not in {"", "auto"} and target.engine not in tools.plugins.engines:
        hint = did_you_mean(target.engine, tools.plugins.engines, "see `sickbay engines`")
        raise UsageError(f"{where}: no engine {target.engine!r}; {hint}")


def make_plan_from(args: argparse.Namespace, tools: Tools) -> Planned:
    """Read runbook, target, inputs and baseline; nothing of the target is touched.

    Raises:
        UsageError, ProblemsError: see `find_runbook`, `choose_target`, `resolve_inputs`.
    """
    target, config = choose_target(args)
    if config and config.folders:
        tools.extra_folders = tuple(Path(folder) for folder in config.folders)
    refuse_unknown_engine(target, tools, "--engine" if args.engine else f"target {target.name!r}")
    book, _ = find_runbook(args.runbook, tools)
    book = _with_flags(book, args)
    plan = make_plan(
        book,
        target,
        resolve_inputs(book, pairs(args.set, "--set")),
        tools.knowledge,
        effect_ceiling=Effect(args.effect) if args.effect else None,
        only=tuple(args.only),
        skip=tuple(args.skip),
    )
    return Planned(plan, read_baseline(target, tools))


def _with_flags(book: Runbook, args: argparse.Namespace) -> Runbook:
    """The runbook with its budget as the flags want it."""
    budget = book.budget
    if args.deadline is not None:
        if not 0 < args.deadline <= _DEADLINE_MAX_S:
            raise UsageError(f"--deadline: {args.deadline:g} s; wanted more than 0 and at most {_DEADLINE_MAX_S:g}")
        budget = dataclasses.replace(budget, deadline_s=args.deadline)
    if args.requests is not None:
        if args.requests < 0:
            raise UsageError(f"--requests: {args.requests}; wanted 0 or more")
        budget = dataclasses.replace(budget, requests=args.requests)
    if args.effect:
        budget = dataclasses.replace(budget, effect=Effect(args.effect))
    return dataclasses.replace(book, budget=budget)


def read_baseline(target: Target, tools: Tools) -> Mapping[str, Reading]:
    """The readings of the target's baseline file; empty when it has none.

    Raises:
        UsageError: the file cannot be read.
        ProblemsError: it is neither a report nor a signals file.
    """
    if not target.baseline:
        return {}
    path = Path(target.baseline)
    return load_signals(read_named(path, "--baseline:"), str(path), tools.knowledge.vocabulary).readings
