"""`sickbay eval SET`: ask an eval set, print the score with its interval; compare with an earlier run."""

from __future__ import annotations

import argparse
import asyncio
import math
import shutil
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sickbay.engine.cli.eval_flags import check_flags, check_written
from sickbay.engine.cli.eval_verdict import judged
from sickbay.engine.cli.targeting import add_target_flags, choose_target
from sickbay.engine.cli.tools import Tools
from sickbay.engine.errors import ProblemsError, UsageError
from sickbay.engine.evals.judge_check import uses_judge
from sickbay.engine.evals.load import load_eval_set
from sickbay.engine.evals.overlap import training_problems
from sickbay.engine.evals.read.results import read_results
from sickbay.engine.evals.read.same_problems import without_repeats
from sickbay.engine.evals.read.scorer_uses import named_uses
from sickbay.engine.evals.row import EvalRun, Row
from sickbay.engine.evals.runner import INTERRUPTED, refuse_commands
from sickbay.engine.evals.scoring import self_test
from sickbay.engine.evals.show import to_text
from sickbay.engine.evals.stats.means import CLUSTERS_MIN
from sickbay.engine.evals.stats.power import margin_resolved_exactly
from sickbay.engine.evals.summary import summary_of
from sickbay.engine.model.outcome import ExitCode
from sickbay.engine.model.problem import Problem

if TYPE_CHECKING:
    from sickbay.engine.evals.item import EvalSet
    from sickbay.engine.model.target import Target

__all__ = ["arguments", "call"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which set, how to ask, what to compare with."""
    parser.add_argument("set", type=Path, metavar="SET", help="eval set: .yaml, .jsonl, .csv; promptfoo, OpenAI-evals")
    add_target_flags(parser)
    group = parser.add_argument_group("asking")
    group.add_argument(
        "--score",
        action="append",
        default=[],
        metavar="SCORER",
        help="scorer of items that name none: exact, 'judge: RUBRIC', 'numeric: {tolerance: 0.1}', ...",
    )
    group.add_argument("--only", action="append", default=[], metavar="FIELD=VALUE", help="only these items")
    group.add_argument("--slice", action="append", default=[], metavar="FIELD", help="report its values apart")
    group.add_argument("--samples", type=int, metavar="N", help="answers asked of each item")
    group.add_argument("--temperature", type=float, metavar="T", help="in place of the set's")
    group.add_argument("--max-tokens", type=int, metavar="N", help="longest answer, in place of the set's")
    group.add_argument("--server-sampling", action="store_true", help="send no temperature: the server's default")
    group.add_argument("--concurrency", type=int, default=8, metavar="N", help="requests at the same time (default 8)")
    group.add_argument(
        "--requests", type=int, default=20_000, metavar="N", help="most requests, retries included (default 20000)"
    )
    group.add_argument("--retries", type=int, default=2, metavar="N", help="of a request that failed (default 2); told")
    group.add_argument("--timeout", type=float, default=120.0, metavar="SECONDS", help="of one request (default 120)")
    group.add_argument(
        "--journal", type=Path, metavar="FILE", help="keep answers as they come; the same command goes on"
    )
    group.add_argument("--cache", type=Path, metavar="FILE", help="answers by content; not for gates")
    group.add_argument("--keep-answers", action="store_true", help="keep the texts, which may hold what users said")
    group = parser.add_argument_group("judging")
    group.add_argument("--allow-commands", action="store_true", help="let the scorer `command` run the set's programs")
    group.add_argument("--judge-url", metavar="URL", help="OpenAI-compatible endpoint of the model that judges")
    group.add_argument("--judge-model", default="", metavar="NAME", help="when it serves several")
    group.add_argument("--against", type=Path, metavar="FILE",
                       help="compare by item with a result of ours, lm-eval, Inspect or promptfoo")  # fmt: skip
    group.add_argument("--against-score", default="", metavar="NAME",
                       help="which of several there: METRIC,FILTER of lm-eval, a scorer of Inspect")  # fmt: skip
    group.add_argument(
        "--margin", type=float, default=0.02, metavar="SHARE", help="largest drop that is accepted (default 0.02)"
    )
    group.add_argument("--minimum", type=float, metavar="SHARE", help="least score; below it the exit code is 2")
    group.add_argument("--train", type=Path, metavar="FILE", help="refuse items that this training file holds")
    group.add_argument("--plan", action="store_true", help="read everything, ask nothing, tell what the size can show")
    group = parser.add_argument_group("answer")
    group.add_argument("--format", choices=("terminal", "json"), default="terminal")
    group.add_argument("--output", type=Path, metavar="FILE", help="write every row as JSON: the next run's --against")
    group.add_argument("--price", metavar="IN,OUT", help="money for a million prompt and output tokens")
    group.add_argument("--no-progress", action="store_true", help="no line that counts on stderr")
    parser.epilog = (
        "exit codes: 0 fine, 1 worse but within the margin, 2 worse or below --minimum, 3 it cannot be said "
        "(too few items, a run that was stopped, answers without a score)"
    )


def call(args: argparse.Namespace, tools: Tools) -> int:
    """0 fine, 1 worse within the margin, 2 worse or below the minimum, 3 cannot be said."""
    check_flags(args)
    prices = _prices(args.price)
    evalset = _evalset(args, tools)
    unsound = self_test(evalset.items, tools.plugins.scorers)
    for problem in unsound[:20]:
        sys.stderr.write(f"sickbay: the set cannot judge: {problem}\n")
    if args.plan:
        return _plan(evalset, unsound)
    _refuse_without_judge(args, evalset, tools)
    if not args.allow_commands:
        refuse_commands(evalset, tools.plugins.scorers)
    earlier = _earlier(args, evalset.name) if args.against else None
    check_written(args, {item.position.path for item in evalset.items})
    target, _ = choose_target(args)
    run = asyncio.run(_asked(args, tools, evalset, target))
    code, compared = judged(run, earlier, margin=args.margin, minimum=args.minimum)
    summary = summary_of(run, evalset.slices)
    if args.format == "json":
        more = {"summary": {**asdict(summary), "compared": compared, "exit_code": _exit_code(code, run, unsound)}}
        sys.stdout.write("".join(run.lines(more)))
    else:
        width = max(60, shutil.get_terminal_size((80, 24)).columns)
        sys.stdout.write(to_text(run, summary, compared, prices=prices, width=width))
    if args.output:
        sys.stdout.flush()
        _write(args.output, run)
    return _exit_code(code, run, unsound)


def _exit_code(code: int, run: EvalRun, unsound: list[str]) -> int:
    if run.stopped == INTERRUPTED:
        return int(ExitCode.INTERRUPTED)
    return int(ExitCode.INCONCLUSIVE) if unsound and code == 0 else code


def _evalset(args: argparse.Namespace, tools: Tools) -> EvalSet:
    problems: list[Problem] = []
    uses = named_uses(args.score, tools.plugins.scorers, problems, "--score")
    if problems:
        raise ProblemsError(problems)
    loaded = load_eval_set(args.set, tools.plugins.scorers, uses, slices=args.slice, only=args.only)
    for warning in loaded.warnings:
        sys.stderr.write(f"{warning}\n")
    evalset = loaded.evalset
    if args.train:
        problems = without_repeats(training_problems(evalset, args.train))
        if problems:
            raise ProblemsError(problems)
    changed: dict[str, object] = {}
    if args.samples is not None:
        changed["samples"] = args.samples
    if args.max_tokens is not None:
        changed["max_tokens"] = args.max_tokens
    if args.temperature is not None or args.server_sampling:
        changed["temperature"] = None if args.server_sampling else args.temperature
    asked = replace(evalset.asked, **changed)  # type: ignore[arg-type]
    evalset = replace(evalset, asked=asked)
    return replace(evalset, sha256=evalset.content_digest())


def _refuse_without_judge(args: argparse.Namespace, evalset: EvalSet, tools: Tools) -> None:
    """Raise UsageError when items want a judge and none is named: every answer would be asked for in vain."""
    for item in evalset.items:
        if not args.judge_url and uses_judge(replace(evalset, items=(item,)), tools.plugins.scorers):
            raise UsageError(f"{item.position}: the item {item.id!r} is scored by a judge; name one with --judge-url")


def _plan(evalset: EvalSet, unsound: list[str]) -> int:
    n = len(evalset.items)
    called = f"{evalset.name} {evalset.version}".strip()
    sys.stdout.write(f"{called}: {n} items, {n * evalset.asked.samples} requests\n")
    sys.stdout.write(f"sha256 {evalset.sha256}\n")
    for words, discordance in (("same weights, other kernel", 0.02), ("light quantisation", 0.05),
                               ("new prompt", 0.10), ("new fine-tune", 0.20)):  # fmt: skip
        margin = margin_resolved_exactly(n, discordance, alpha=0.025, power=0.97)
        shown = f"can show a margin of {margin * 100:5.1f} points" if margin < 1 else "cannot show any margin"
        sys.stdout.write(f"  {shown} where {discordance:.0%} differ ({words})\n")
    clusters = len({item.cluster or item.id for item in evalset.items})
    if clusters < n:
        few = f"; fewer than {CLUSTERS_MIN} decide nothing" if clusters < CLUSTERS_MIN else ""
        sys.stdout.write(f"  in {clusters} clusters: items of one that fall together count as one{few}\n")
    return ExitCode.INVALID if unsound else ExitCode.HEALTHY


async def _asked(args: argparse.Namespace, tools: Tools, evalset: EvalSet, target: Target) -> EvalRun:
    from sickbay.engine.evals.cache import AnswerCache
    from sickbay.engine.evals.journal import EvalJournal
    from sickbay.engine.evals.runner import Options, run_evals, run_key
    from sickbay.engine.gate.arm import open_arm
    from sickbay.engine.gate.asking import asking_for
    from sickbay.engine.run.interrupt import listen
    from sickbay.engine.run.run_id import new_run_id

    environment = tools.environment()
    run_id = new_run_id(time.time())
    scorers = tools.plugins.scorers
    async with (
        open_arm(target, environment, requests=args.requests, run_id=run_id) as arm,
        asking_for(arm, args.judge_url or "", args.judge_model, environment, args.requests) as asking,
    ):
        arms = {"target": arm.endpoint}
        with ExitStack() as stack:
            journal = cache = progress = None
            if args.journal:
                key = run_key(evalset, arms, scorers, {"target": asking})
                journal = stack.enter_context(EvalJournal(args.journal, key, {"set": evalset.name}))
            if args.cache:
                cache = stack.enter_context(closing(AnswerCache(args.cache)))
            resumed = journal.resumed if journal is not None else 0
            if resumed:
                sys.stderr.write(f"sickbay: {resumed} answers from {args.journal}\n")
            if journal is not None and journal.held:
                sys.stderr.write(f"sickbay: {len(journal.held)} more are there, and are still to be scored\n")
            interrupt = asyncio.Event()
            stack.callback(listen(asyncio.get_running_loop(), interrupt))
            if not args.no_progress:
                progress = Progress(len(evalset.items) * evalset.asked.samples, resumed)
                stack.callback(progress.end)
            options = Options(
                concurrency=args.concurrency, retries=args.retries, timeout_s=args.timeout, journal=journal,
                cache=cache, keep_answers=args.keep_answers,
                allow_commands=args.allow_commands, on_row=progress, asking={"target": asking}, interrupt=interrupt,
            )  # fmt: skip
            done = await run_evals(evalset, arms, scorers, clock=environment.clock, options=options)
        return done["target"]


class Progress:
    """One line on stderr, at most ten times a second; nothing when it is no terminal but the end.

    Args:
        total: answers in all.
        resumed: of them, those that a journal held.
    """

    def __init__(self, total: int, resumed: int = 0) -> None:
        self._total, self._done, self._right, self._errors, self._told_at = total - resumed, 0, 0, 0, 0.0

    def __call__(self, _: str, row: Row) -> None:
        """One more row."""
        self._done += 1
        self._right += bool(row.passed)
        self._errors += bool(row.error)
        if sys.stderr.isatty() and time.monotonic() - self._told_at > 0.1:
            self._told_at = time.monotonic()
            sys.stderr.write(f"\r{self._words()}\x1b[K")

    def _words(self) -> str:
        return f"{self._done} of {self._total} asked, {self._right} pass, {self._errors} errors"

    def end(self) -> None:
        """The last word."""
        sys.stderr.write(f"\r{self._words()}\x1b[K\n" if sys.stderr.isatty() else f"{self._words()}\n")


def _earlier(args: argparse.Namespace, name: str) -> EvalRun:
    """The run of the file to compare with; of it those items that `--only` leaves."""
    runs = read_results(args.against, args.against_score)
    same = [run for run in runs if run.name == name] or (runs if len(runs) == 1 else [])
    if not same:
        names = ", ".join(run.name for run in runs) or "no run"
        raise UsageError(f"--against: {args.against} holds {names}, not {name!r}")
    only = [each.partition("=") for each in args.only]
    rows = [row for row in same[0].rows if all(row.fields.get(key, value) == value for key, _, value in only)]
    return replace(same[0], rows=tuple(rows))


def _prices(text: str | None) -> tuple[float, float] | None:
    if not text:
        return None
    try:
        first, second = (float(part) for part in text.split(","))
    except ValueError:
        first = second = math.nan
    if not (0 <= first < math.inf and 0 <= second < math.inf):
        raise UsageError(f"--price: {text!r}: wanted two prices, e.g. 0.15,0.60")
    return first, second


def _write(path: Path, run: EvalRun) -> None:
    from sickbay.engine.report.delivery import write_file

    write_file(path, "".join(run.lines()))
