"""`sickbay plan RUNBOOK|GATE.yaml`: what a run or a gate would do, without touching the target."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from sickbay.engine.cli.planning import make_plan_from
from sickbay.engine.cli.setting import add_run_flags
from sickbay.engine.cli.targeting import add_target_flags
from sickbay.engine.cli.tools import Tools
from sickbay.engine.errors import ProblemsError
from sickbay.engine.load.lint import kind_of
from sickbay.engine.load.text_file import read_named
from sickbay.engine.load.yaml_source import read_yaml
from sickbay.engine.model.outcome import ExitCode
from sickbay.engine.model.shown_url import shown_url
from sickbay.engine.run.plan import Plan, PlannedStep

__all__ = ["arguments", "call"]

_WIDTH = 80


def arguments(parser: argparse.ArgumentParser) -> None:
    """The same flags as `run`; a gate wants none of them."""
    add_run_flags(parser)
    add_target_flags(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text")


def call(args: argparse.Namespace, tools: Tools) -> int:
    """Print the plan; always exit 0 when there is one."""
    if _is_gate(args.runbook):
        return _gate(args, tools)
    plan = make_plan_from(args, tools).plan
    if args.format == "json":
        sys.stdout.write(json.dumps(_as_json(plan), indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.writelines(f"{short}\n" for line in _lines(plan) for short in _within(line))
    return ExitCode.HEALTHY


def _is_gate(name: str) -> bool:
    """A YAML file that has the key `gate`."""
    path = Path(name)
    if path.suffix not in {".yaml", ".yml"} or not path.is_file():
        return False
    node = read_yaml(read_named(path, "plan"), name, [])
    return node is not None and kind_of(node.data) == "gate"


def _gate(args: argparse.Namespace, tools: Tools) -> int:
    from sickbay.engine.cli.gate_plan import plan_as_json, plan_as_text, plan_gate
    from sickbay.engine.cli.gate_runbooks import runbook_problems
    from sickbay.engine.evals.stats.power import DISCORDANCE
    from sickbay.engine.gate.load import load_gate

    gate, warnings = load_gate(Path(args.runbook), tools.plugins.scorers, tools.knowledge.checks)
    wrong = runbook_problems(gate, tools)
    if wrong:
        raise ProblemsError(sorted(set(wrong)))
    for warning in warnings:
        sys.stderr.write(f"{warning}\n")
    plan = plan_gate(gate, tools, DISCORDANCE)
    as_json = args.format == "json"
    text = json.dumps(plan_as_json(plan), indent=2, ensure_ascii=False) + "\n" if as_json else plan_as_text(plan)
    sys.stdout.write(text)
    return ExitCode.HEALTHY


def _within(line: str) -> list[str]:
    """The line in at most 80 columns; what follows stands under its own first word."""
    indent = 9 if not line.startswith(" ") else len(line) - len(line.lstrip()) + 2
    return textwrap.wrap(line, _WIDTH, subsequent_indent=" " * indent, break_on_hyphens=False) or [""]


def _lines(plan: Plan) -> Iterator[str]:
    book = plan.runbook
    yield f"{book.name}: {book.title}"
    yield f"target   {plan.target.name} {shown_url(plan.target.url)}"
    yield "inputs   " + (", ".join(f"{name}={value}" for name, value in plan.inputs.items()) or "none")
    yield (
        f"cost     about {min(plan.usual_s, book.budget.deadline_s):.0f} s on a service that answers; at most "
        f"{plan.requests} of {book.budget.requests} requests, "
        f"{min(plan.seconds, book.budget.deadline_s):.0f} s of {book.budget.deadline_s:g} s; "
        f"effect at most {plan.effect_ceiling}"
    )
    if plan.over_budget:
        yield f"note     {plan.over_budget}"
    yield ""
    number = 0
    for group in plan.groups:
        for position, step in enumerate(group):
            number += position == 0
            yield from _step(step, f"{number}" if len(group) == 1 else f"{number}{chr(97 + position)}")
    yield ""
    yield "causes   " + ", ".join(book.causes)


def _step(step: PlannedStep, number: str) -> Iterator[str]:
    cost = (
        f"{step.cost.requests} requests, {step.cost.seconds:g} s" if step.cost.requests else f"{step.cost.seconds:g} s"
    )
    marks = ", critical" if step.step.critical else ""
    yield f"{number:>3}  {step.id:<22} {step.effect}, at most {cost}{marks}"
    if step.params:
        yield "       with " + ", ".join(f"{name}={value}" for name, value in step.params.items())
    if step.step.when:
        yield f"       when {step.step.when.source}"
    if step.step.unless:
        yield f"       unless {step.step.unless.source}"
    for item in step.step.expect:
        bounds = ", ".join(f"{word} {e.source}" for word, e in (("warn", item.warn), ("fail", item.fail)) if e)
        yield f"       expects {item.signal}: {bounds}"
    if step.obstacle:
        yield f"       CANNOT RUN HERE: {step.obstacle.why}"
    elif not step.called_for:
        yield "       NOT CALLED FOR: with these inputs"


def _as_json(plan: Plan) -> dict[str, object]:
    return {
        "schema": "sickbay.plan.v1",
        "runbook": plan.runbook.name,
        "target": plan.target.name,
        "url": shown_url(plan.target.url),
        "inputs": dict(plan.inputs),
        "effect_ceiling": plan.effect_ceiling.value,
        "requests": plan.requests,
        "requests_budget": plan.runbook.budget.requests,
        "usual_s": round(plan.usual_s, 1),
        "seconds": plan.seconds,
        "deadline_s": plan.runbook.budget.deadline_s,
        "steps": [
            {
                "id": step.id,
                "check": step.name,
                "effect": step.effect.value,
                "params": dict(step.params),
                "requests": step.cost.requests,
                "usual_s": step.cost.likely_s,
                "seconds": step.cost.seconds,
                "deadline_s": step.deadline_s,
                "critical": step.step.critical,
                "runs": step.runs,
                "why_not": step.obstacle.why if step.obstacle else "" if step.called_for else "not called for",
            }
            for step in plan.steps
        ],
        "causes": list(plan.runbook.causes),
    }
