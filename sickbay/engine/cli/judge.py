"""`sickbay judge LABELS --judge-url URL`: is this model fit to judge? Its verdicts against people's."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path

from sickbay.engine.cli.tools import Tools
from sickbay.engine.errors import ProblemsError, UsageError
from sickbay.engine.evals.item import EvalSet
from sickbay.engine.evals.judge_check import ITEMS_MIN, JudgeCheck, check_judge, label_problems
from sickbay.engine.evals.load import load_eval_set
from sickbay.engine.evals.read.same_problems import without_repeats
from sickbay.engine.evals.read.scorer_uses import named_uses
from sickbay.engine.model.outcome import ExitCode
from sickbay.engine.model.problem import Problem
from sickbay.engine.report.plain_text import plain

__all__ = ["arguments", "call"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """The graded answers and the judge."""
    parser.add_argument(
        "set", type=Path, metavar="LABELS", help="an eval set whose items have the fields given and human (pass, fail)"
    )
    parser.add_argument("--score", action="append", default=[], metavar="'judge: RUBRIC'",
                        help="the scorer of items that name none")  # fmt: skip
    parser.add_argument("--judge-url", metavar="URL", required=True, help="OpenAI-compatible endpoint of the judge")
    parser.add_argument("--judge-model", default="", metavar="NAME")
    parser.add_argument("--concurrency", type=int, default=4, metavar="N")
    parser.add_argument("--requests", type=int, default=20_000, metavar="N")
    parser.add_argument("--format", choices=("terminal", "json"), default="terminal")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write the result as JSON: a gate's judge.agreement"
    )


def call(args: argparse.Namespace, tools: Tools) -> int:
    """0 fit to judge, 2 not, 3 too few graded answers to say."""
    scorers = tools.plugins.scorers
    if args.concurrency < 1:
        raise UsageError(f"--concurrency: wanted at least 1, found {args.concurrency}")
    problems: list[Problem] = []
    uses = named_uses(args.score, scorers, problems, "--score")
    if problems:
        raise ProblemsError(problems)
    loaded = load_eval_set(args.set, scorers, uses)
    for warning in loaded.warnings:
        sys.stderr.write(f"{warning}\n")
    evalset = loaded.evalset
    problems = without_repeats(label_problems(evalset, scorers))
    if problems:
        raise ProblemsError(problems)
    found = asyncio.run(_checked(args, tools, evalset))
    text = json.dumps(found.to_json(), indent=1, ensure_ascii=False) + "\n"
    if args.output:
        from sickbay.engine.report.delivery import write_file

        write_file(args.output, text)
    sys.stdout.write(text if args.format == "json" else to_text(found, evalset))
    if not found.unfit:
        return ExitCode.HEALTHY
    few = found.items < ITEMS_MIN and "too few" in found.unfit
    return ExitCode.INCONCLUSIVE if few else ExitCode.FAILING


async def _checked(args: argparse.Namespace, tools: Tools, evalset: EvalSet) -> JudgeCheck:
    from sickbay.engine.gate.asking import open_judge
    from sickbay.engine.run.run_id import new_run_id

    environment, scorers = tools.environment(), tools.plugins.scorers
    async with open_judge(
        args.judge_url, args.judge_model, environment, requests=args.requests, run_id=new_run_id(time.time())
    ) as asking:
        return await check_judge(evalset, scorers, asking, concurrency=args.concurrency)


def to_text(found: JudgeCheck, evalset: EvalSet) -> str:
    """The answer first."""
    fit = f"NOT FIT to judge: {found.unfit}" if found.unfit else "fit to judge"
    interval = f"95 % interval {found.kappa_low:.2f} to {found.kappa_high:.2f}"
    of = f"{found.items} of {len(evalset.items)} answers; {found.agreement:.1%} agree"
    good, bad = f"{found.sensitivity:.1%}", f"{found.specificity:.1%}"
    lines = [
        f"{plain(found.judge_model) or 'the judge'} on {plain(evalset.name)}: {fit}",
        f"  kappa {found.kappa:.2f} ({interval}) on {of}",
        f"  of what people passed it passes {good}; of what they failed it fails {bad}",
        f"  no verdict in {found.failures:.1%} of its replies; {found.flips:.1%} changed with the order of the answers",
        *(f"  - {plain(each, 150)}" for each in found.disagreements),
    ]
    return "\n".join(lines) + "\n"
