"""What a gate names of the rest: its runbooks with the inputs that it sets, and the signals that it makes ratios of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sickbay.engine.cli.setting import find_runbook
from sickbay.engine.cli.tools import Tools
from sickbay.engine.errors import ProblemsError, UsageError
from sickbay.engine.load.codes import Code
from sickbay.engine.load.runbook import resolve_inputs
from sickbay.engine.model.problem import Problem

if TYPE_CHECKING:
    from sickbay.engine.gate.model import CheckRule, Gate

__all__ = ["runbook_problems"]


def runbook_problems(gate: Gate, tools: Tools) -> list[Problem]:
    """All that is wrong with them; nothing is asked."""
    from sickbay.engine.gate.model import CheckRule, RunbookRule  # late: a gate's model brings the whole of evals

    found: list[Problem] = []
    for rule in gate.rules:
        if isinstance(rule, CheckRule):
            found += _ratios(rule, tools)
        if isinstance(rule, RunbookRule):
            code = Code.UNKNOWN_RUNBOOK
            try:
                book, _ = find_runbook(rule.runbook, tools)
                code = Code.UNKNOWN_INPUT
                resolve_inputs(book, dict(rule.set))
            except UsageError as error:
                found.append(Problem(rule.position, code, f"the rule {rule.id!r}: {error}"))
            except ProblemsError as error:
                found += error.problems
    return found


def _ratios(rule: CheckRule, tools: Tools) -> list[Problem]:
    """Of text, and of yes and no, there is no ratio."""
    signals = tools.knowledge.vocabulary
    return [
        Problem(
            rule.position, Code.WRONG_VALUE,
            f"the rule {rule.id!r}: the signal {each.signal!r} is {signals[each.signal].type.value}, and a ratio needs "
            "numbers", "take ratio_max out; both sides must then be equal",
        )
        for each in rule.compare
        if each.ratio_max is not None and each.signal in signals and signals[each.signal].type.value != "number"
    ]  # fmt: skip
