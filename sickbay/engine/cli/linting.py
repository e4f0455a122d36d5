"""Every problem of a file, whatever it is: what `load.lint` knows, and gates and eval sets with all that they name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sickbay.engine.cli.gate_runbooks import runbook_problems
from sickbay.engine.cli.tools import Tools
from sickbay.engine.load.codes import Code
from sickbay.engine.load.did_you_mean import did_you_mean
from sickbay.engine.load.fields import Fields
from sickbay.engine.load.lint import Reader, kind_of, lint_text
from sickbay.engine.load.text_file import read_text
from sickbay.engine.load.yaml_source import read_yaml
from sickbay.engine.model.problem import Problem

__all__ = ["lint_any"]

WAIVER_MAX = timedelta(days=366)

_ROWS = frozenset({".jsonl", ".ndjson", ".csv", ".tsv"})
_ROW_KEYS = frozenset({"ask", "messages", "input"})


def lint_any(path: Path, tools: Tools) -> list[Problem]:
    """Every problem of the file and of the eval sets it names, in order; empty when all is sound."""
    problems: list[Problem] = []
    text = read_text(path, problems)
    if text is None:
        return problems
    if path.suffix.lower() in _ROWS or _begins_with_an_item(text):
        _lint_set(text, str(path), problems, tools)
        return sorted(set(problems))
    evalset: Reader = lambda text, path, problems: _lint_set(text, path, problems, tools)  # noqa: E731
    readers: dict[str, Reader] = {
        "gate": lambda text, path, problems: _lint_gate(text, path, problems, tools),
        "evalset": evalset,
        "promptfoo": evalset,
    }
    return sorted({*lint_text(text, str(path), tools.knowledge, readers), *_engine_problems(text, str(path), tools)})


def _engine_problems(text: str, path: str, tools: Tools) -> Iterator[Problem]:
    """Engines that a target names and nobody brings. The engines are plugins', so the loader cannot know them."""
    if "targets" not in text or "engine" not in text:
        return
    node = read_yaml(text, path, [])
    if node is None or kind_of(node.data) != "config":
        return
    for _, target in Fields(node).below("targets"):
        fields = Fields(target)
        name = fields.text("engine")
        if name not in {"", "auto"} and name not in tools.plugins.engines:
            hint = did_you_mean(name, tools.plugins.engines, "see `sickbay engines`")
            yield Problem(fields.value_at("engine"), Code.WRONG_VALUE, f"no engine {name!r}", hint)


def _begins_with_an_item(text: str) -> bool:
    """A file without a telling name (a pipe of the shell) whose first line is an item of an eval set."""
    first = text.removeprefix("\ufeff").lstrip().partition("\n")[0]
    if first[:1] != "{" or first.rstrip()[-1:] != "}":
        return False
    try:
        data = json.loads(first)
    except (ValueError, RecursionError):
        return False
    return isinstance(data, dict) and bool(_ROW_KEYS & data.keys())


def _lint_set(text: str, path: str, problems: list[Problem], tools: Tools) -> None:
    # Late, here and below: most files that are linted are runbooks, and start-up has 150 ms in all.
    from sickbay.engine.evals.load import read_eval_set
    from sickbay.engine.evals.scoring import self_test_problems

    scorers = tools.plugins.scorers
    found = read_eval_set(Path(path), scorers, problems, text=text, scored=False)
    if found is not None and not any(problem.severity == "error" for problem in problems):
        problems += self_test_problems(found.items, scorers)


def _lint_gate(text: str, path: str, problems: list[Problem], tools: Tools) -> None:
    from sickbay.engine.evals.scoring import self_test_problems
    from sickbay.engine.gate.load import read_gate
    from sickbay.engine.gate.model import EvalRule

    scorers = tools.plugins.scorers
    gate = read_gate(Path(path), scorers, problems, tools.knowledge.checks, text=text)
    if gate is None:
        return
    problems += runbook_problems(gate, tools)
    for rule in gate.rules:
        if isinstance(rule, EvalRule):
            problems += self_test_problems(rule.evalset.items, scorers)
    today = datetime.now(UTC).date()
    for waiver in gate.waivers:
        if waiver.expires < today and waiver.expires.year > 1:  # year 1: no day, and told already
            message = f"the waiver of {waiver.rule!r} expired on {waiver.expires}; the gate blocks because of it"
            problems.append(Problem(waiver.position, Code.WAIVER, message, "take it out, or have it approved anew"))
        elif waiver.expires - today > WAIVER_MAX:
            message = f"the waiver of {waiver.rule!r} lasts until {waiver.expires}, more than a year"
            hint = "an exception without an end is a rule: change the gate, or name an earlier day"
            problems.append(Problem(waiver.position, Code.WAIVER, message, hint, "warning"))
