"""`sickbay gate GATE.yaml --candidate URL --baseline URL|FILE|history`: may this release go out?"""

from __future__ import annotations

import argparse
import math
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sickbay.engine.cli.delivery import Output
from sickbay.engine.cli.gate_plan import plan_as_text, plan_gate
from sickbay.engine.cli.gate_run import Wanted, carry_out_gate, without_baseline
from sickbay.engine.cli.gate_runbooks import runbook_problems
from sickbay.engine.cli.targeting import find_config, read_config_file
from sickbay.engine.cli.tools import Tools
from sickbay.engine.errors import DeliveryError, ProblemsError, UsageError
from sickbay.engine.evals.runner import refuse_commands
from sickbay.engine.gate.history import NonePassedError
from sickbay.engine.gate.load import load_gate
from sickbay.engine.gate.model import EvalRule, Gate
from sickbay.engine.gate.render import FORMATS, form_of_path, render
from sickbay.engine.model.base_url import base_url
from sickbay.engine.model.outcome import ExitCode
from sickbay.engine.model.shown_url import shown_url
from sickbay.engine.model.target import Secret, Target

if TYPE_CHECKING:
    from sickbay.engine.evals.row import EvalRun
    from sickbay.engine.gate.scorecard import Scorecard

__all__ = ["arguments", "call"]

RESULT_SUFFIXES = frozenset({".json", ".jsonl", ".eval"})
"""What results are called; no host's name ends so."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The gate, the two sides, the answer."""
    parser.add_argument("gate", type=Path, metavar="GATE.yaml", help="the gate's file")
    parser.add_argument("--candidate", metavar="URL|TARGET", help="the release: a URL, or a target of sickbay.yaml")
    parser.add_argument(
        "--baseline", metavar="URL|TARGET|FILE|history",
        help="what it is compared with: a URL or target (asked side by side), a result file, or the last pass here",
    )  # fmt: skip
    parser.add_argument("--candidate-model", default="", metavar="NAME")
    parser.add_argument("--baseline-model", default="", metavar="NAME")
    parser.add_argument("--baseline-score", default="", metavar="NAME",
                        help="which of several there: METRIC,FILTER of lm-eval, a scorer of Inspect")  # fmt: skip
    parser.add_argument("--api-key-env", metavar="VARIABLE", help="environment variable with the key of both sides")
    parser.add_argument("--config", type=Path, metavar="FILE", help="sickbay.yaml")
    parser.add_argument("--discordance", type=float, default=0.10, metavar="SHARE",
                        help="for --plan: share of items on which the two sides differ (default 0.10)")  # fmt: skip
    parser.add_argument("--canary", action="store_true",
                        help="repeat in rounds over time (canary: of the gate) until the answer is clear")  # fmt: skip
    parser.add_argument("--allow-commands", action="store_true", help="let the scorer `command` run programs")
    parser.add_argument("--allow-same", action="store_true",
                        help="let candidate and baseline be one server: what does the gate make of noise?")  # fmt: skip
    parser.add_argument("--plan", action="store_true", help="read everything, ask nothing, tell what it would cost")
    parser.add_argument(
        "--journal", type=Path, metavar="FOLDER", help="keep answers as they come; the same command goes on"
    )
    parser.add_argument("--deadline", type=_seconds, metavar="SECONDS",
                        help="end after so long with what is known by then (exit code 75)")  # fmt: skip
    parser.add_argument("--no-history", action="store_true", help="do not keep the scorecard on this host")
    parser.add_argument("--no-progress", action="store_true")
    group = parser.add_argument_group("answer")
    group.add_argument("--format", choices=tuple(FORMATS), default="terminal")
    group.add_argument("--output", action="append", default=[], metavar="[FORMAT=]FILE",
                       help="also write this file; repeatable; known by .md .json .xml .html .prom")  # fmt: skip
    group.add_argument("--metrics-file", type=Path, metavar="FILE", help="write a node-exporter textfile, atomically")


def call(args: argparse.Namespace, tools: Tools) -> int:
    """0 pass, 1 pass with warnings, 2 block, 3 inconclusive."""
    outputs = [_output(each) for each in args.output]
    gate, warnings = load_gate(args.gate, tools.plugins.scorers, tools.knowledge.checks)
    wrong = runbook_problems(gate, tools)
    if wrong:
        raise ProblemsError(sorted(set(wrong)))
    for warning in warnings:
        sys.stderr.write(f"{warning}\n")
    if args.plan:
        sys.stdout.write(plan_as_text(plan_gate(gate, tools, args.discordance)))
        return ExitCode.HEALTHY
    if not args.allow_commands:
        for rule in gate.rules:
            if isinstance(rule, EvalRule):
                refuse_commands(rule.evalset, tools.plugins.scorers)
    if args.canary and args.journal:
        raise UsageError("--canary looks at a release over time; it cannot go on from a --journal")
    if args.journal and not args.journal.is_dir():
        raise UsageError(f"--journal: no folder {str(args.journal)!r}; make it first")
    if not args.candidate:
        raise UsageError("gate: no candidate; name one with --candidate http://host:8000")
    candidate = _target(args.candidate, args.candidate_model, args, "candidate")
    try:
        baseline, kept, said = _baseline(args, gate)
    except NonePassedError as error:
        return _deliver(without_baseline(gate, candidate, str(error)), args, outputs)
    wanted = Wanted(
        candidate=candidate, baseline=baseline, kept=kept, kept_from=said, canary=args.canary, journal=args.journal,
        deadline_s=args.deadline, allow_commands=args.allow_commands, same=args.allow_same,
        quiet=args.no_progress,
    )  # fmt: skip
    return _deliver(carry_out_gate(gate, tools, wanted), args, outputs)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"wanted more than 0 seconds, found {text}")
    return value


def _output(item: str) -> Output:
    form, separator, file = item.partition("=")
    if not separator:
        form, file = form_of_path(item), item
    if form not in FORMATS or not file:
        raise UsageError(f"--output: {item!r}: wanted FILE or FORMAT=FILE with a format of {', '.join(FORMATS)}")
    if not Path(file).resolve().parent.is_dir():
        raise UsageError(f"--output: no folder {str(Path(file).parent)!r} to write {Path(file).name!r} into")
    return Output(form, Path(file))


def _target(text: str, model: str, args: argparse.Namespace, side: str) -> Target:
    """A URL, or a target of sickbay.yaml by its name."""
    key = Secret(env=args.api_key_env) if args.api_key_env else None
    if key is None and os.environ.get("SICKBAY_API_KEY"):
        key = Secret(env="SICKBAY_API_KEY")
    if "://" in text or ":" in text or "." in text:
        url = text if "://" in text else f"http://{text}"
        if not re.match(r"https?://[^/]", url):
            raise UsageError(f"--{side}: {shown_url(text)!r}: wanted http://host:port or https://host")
        return Target(name=side, url=base_url(url), model=model, api_key=key)
    try:
        path = find_config(args.config)
    except UsageError as error:
        raise UsageError(f"--{side}: {text!r} is no URL (http://host:port), and no target: {error}") from error
    targets = read_config_file(path).targets
    if text not in targets:
        raise UsageError(f"--{side}: {path} has no target {text!r}; it has: {', '.join(sorted(targets)) or 'none'}")
    from dataclasses import replace

    found = targets[text]
    return replace(found, model=model or found.model, api_key=found.api_key or key)


def _refuse_path(text: str) -> None:
    """A folder, or what is plainly the name of a file that is not there, is no host to look for."""
    path = Path(text)
    wanted = "wanted a URL, a target of sickbay.yaml, a result file, or history"
    if path.is_dir():
        raise UsageError(f"--baseline: {text!r} is a folder; {wanted}")
    named = "://" not in text and (path.suffix in RESULT_SUFFIXES or os.sep in text)
    if named and not path.exists():
        raise UsageError(f"--baseline: no file {text!r}; {wanted}")


def _baseline(args: argparse.Namespace, gate: Gate) -> tuple[Target | None, Mapping[str, EvalRun], str]:
    """A live baseline, or kept runs by set name with where they come from; neither without --baseline."""
    if args.baseline is None:
        return None, {}, ""
    if not args.baseline.strip():
        raise UsageError("--baseline: it is empty; is the variable that it comes from set?")
    if args.baseline == "history":
        from sickbay.engine.gate.history import last_passed

        said, runs = last_passed(gate.name, {rule.evalset.name for rule in gate.rules if isinstance(rule, EvalRule)})
        return None, runs, said
    _refuse_path(args.baseline)
    if Path(args.baseline).is_file():
        from sickbay.engine.evals.read.results import read_results

        found = {run.name: run for run in read_results(Path(args.baseline), args.baseline_score)}
        only = [rule for rule in gate.rules if isinstance(rule, EvalRule)]
        if len(found) == 1 and len(only) == 1:  # another tool's name for the same set
            found = {only[0].evalset.name: next(iter(found.values()))}
        return None, found, f"{args.baseline}{_ended(Path(args.baseline))}"
    return _target(args.baseline, args.baseline_model, args, "baseline"), {}, ""


def _ended(path: Path) -> str:
    """What is to be known of a scorecard that did not pass, and is taken for a baseline all the same."""
    import json

    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # another tool's form, which has no outcome
        return ""
    outcome = data.get("outcome") if isinstance(data, dict) else None
    return f" (the candidate of a run that ended in {outcome})" if outcome in {"block", "inconclusive"} else ""


def _deliver(card: Scorecard, args: argparse.Namespace, outputs: list[Output]) -> int:
    from sickbay.engine.gate.history import keep
    from sickbay.engine.report.delivery import write_file

    failures = []
    wanted = [(output.path, output.format) for output in outputs]
    if args.metrics_file:
        wanted.append((args.metrics_file, "prometheus"))
    for path, form in wanted:
        try:
            write_file(path, render(card, form))
        except DeliveryError as error:
            failures.append(str(error))
    if not (args.no_history or args.allow_same):  # of a release compared with itself nothing was shown
        try:
            keep(card)
        except DeliveryError as error:
            sys.stderr.write(f"sickbay: {error}\n")
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    width = max(60, shutil.get_terminal_size((80, 24)).columns)
    sys.stdout.write(render(card, args.format, colour=colour, width=width))
    sys.stdout.flush()
    for failure in failures:
        sys.stderr.write(f"sickbay: not delivered: {failure}\n")
    # A release that is blocked stays blocked: what could not be written must not hide it.
    return int(ExitCode.NOT_DELIVERED) if failures and card.exit_code in {0, 1} else card.exit_code
