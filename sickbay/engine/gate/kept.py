"""A baseline that is not asked but read: is it of the same set, and is it young enough?"""

from __future__ import annotations

from datetime import UTC, datetime

from sickbay.engine.evals.row import EvalRun
from sickbay.engine.gate.model import EvalRule

__all__ = ["age_words", "set_words", "too_old"]

DAY_S = 86_400.0


def too_old(run: EvalRun, days_max: float | None, now_s: float) -> str:
    """Why it is no baseline any more; "" where it is, or the gate sets no limit."""
    if days_max is None:
        return ""
    if not run.started_at:
        return f"the baseline does not say when it was made, allowed are {days_max:g} days"
    days = (now_s - run.started_at) / DAY_S
    if days < -1.0:
        return f"the baseline was made {-days:.0f} days in the future, by the clock of this host; one clock is wrong"
    return f"the baseline is {days:.0f} days old, allowed are {days_max:g}" if days > days_max else ""


def age_words(run: EvalRun, now_s: float) -> str:
    """When it was made; "" where it does not say."""
    if not run.started_at:
        return ""
    day = datetime.fromtimestamp(run.started_at, UTC).date().isoformat()
    return f"{day}, {(now_s - run.started_at) / DAY_S:.0f} days ago"


def set_words(rule: EvalRule, run: EvalRun) -> tuple[str, str]:
    """(the set as it is, the set that the kept run was asked), in words; two empty ones where they are the same."""
    new, old = rule.evalset.sha256, run.set_sha256
    if not old or new == old:
        return "", ""
    return f"{rule.evalset.version} sha256 {new[:12]}".strip(), f"{run.version} sha256 {old[:12]}".strip()
