"""The runbooks that a gate names: are they there, are they sound, have they the inputs that the gate sets?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sickbay.engine.cli.setting import find_runbook
from sickbay.engine.cli.tools import Tools
from sickbay.engine.errors import ProblemsError, UsageError
from sickbay.engine.load.codes import Code
from sickbay.engine.load.runbook import resolve_inputs
from sickbay.engine.model.problem import Problem

if TYPE_CHECKING:
    from sickbay.engine.gate.model import Gate

__all__ = ["runbook_problems"]


def runbook_problems(gate: Gate, tools: Tools) -> list[Problem]:
    """All that is wrong with them; nothing is asked."""
    from sickbay.engine.gate.model import RunbookRule  # late: a gate's model brings the whole of evals

    found: list[Problem] = []
    for rule in gate.rules:
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
