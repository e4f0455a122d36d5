"""Wiring only: scorers and the eval check as a plugin."""

from __future__ import annotations

from sickbay.checks.evals.scorers.contains import Contains
from sickbay.checks.evals.scorers.exact import Exact, Normalised
from sickbay.checks.evals.scorers.grounded import Cites
from sickbay.checks.evals.scorers.json_answer import JsonAnswer
from sickbay.checks.evals.scorers.label import Label
from sickbay.checks.evals.scorers.numeric import Numeric
from sickbay.checks.evals.scorers.pattern import Pattern
from sickbay.checks.evals.scorers.refusal import Refusal
from sickbay.checks.evals.scorers.tool_call import ToolCall
from sickbay.engine.evals.scorer import Scorer
from sickbay.engine.hookspecs import hookimpl

__all__ = ["sickbay_scorers"]


@hookimpl
def sickbay_scorers() -> list[Scorer]:
    """Scorers that need nothing but the answer."""
    return [
        Exact(), Normalised(), Contains(), Pattern(), Numeric(), JsonAnswer(), ToolCall(), Label(), Refusal(), Cites(),
    ]  # fmt: skip
