"""Every built-in scorer, once."""

from __future__ import annotations

from sickbay.checks.evals.scorers.command import Command
from sickbay.checks.evals.scorers.contains import Contains
from sickbay.checks.evals.scorers.exact import Exact, Normalised
from sickbay.checks.evals.scorers.grounded import Cites
from sickbay.checks.evals.scorers.json_answer import JsonAnswer
from sickbay.checks.evals.scorers.judge import Judge
from sickbay.checks.evals.scorers.label import Label
from sickbay.checks.evals.scorers.likelihood import Likelihood
from sickbay.checks.evals.scorers.numeric import Numeric
from sickbay.checks.evals.scorers.pattern import Pattern
from sickbay.checks.evals.scorers.refusal import Refusal
from sickbay.checks.evals.scorers.safety import Safety
from sickbay.checks.evals.scorers.similar import Similar
from sickbay.checks.evals.scorers.support import Grounded
from sickbay.checks.evals.scorers.tool_call import ToolCall
from sickbay.engine.evals.scorer import Scorer

__all__ = ["builtin_scorers"]


def builtin_scorers() -> list[Scorer]:
    """New objects each time; none holds state."""
    return [
        Exact(), Normalised(), Contains(), Pattern(), Numeric(), JsonAnswer(), ToolCall(), Label(), Refusal(), Safety(),
        Cites(), Grounded(), Similar(), Command(), Judge(), Likelihood(),
    ]  # fmt: skip
