"""Did a side stay what it was while it was asked? A server that was restarted with another model is two releases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from sickbay.engine.evals.row import EvalRun
from sickbay.engine.gate.model import Outcome
from sickbay.engine.gate.scorecard import Finding

__all__ = ["changed_findings", "told_by_answers"]

COMPARED = ("engine", "engine_version", "serves", "template_sha256")
NAMES_MAX, NAME_CHARS_MAX = 3, 160


def changed_findings(
    side: str, before: Mapping[str, str], after: Mapping[str, str], runs: Sequence[EvalRun]
) -> list[Finding]:
    """Nothing, or one finding of the side; no rule's, so no waiver covers it.

    Args:
        side: "candidate" or "baseline".
        before: what it said of itself before it was asked.
        after: the same when all was asked; empty where it says nothing any more.
        runs: its answers, each with the model that it names.
    """
    why = [
        f"{name} was {before[name]}, and is {after[name]}"
        for name in COMPARED
        if name in before and name in after and before[name] != after[name]
    ]
    named = _named(runs)
    if len(named) > 1:
        shown = ", ".join(f"{name} ({count})" for name, count in named.most_common(NAMES_MAX))
        why.append(f"its answers name {len(named)} models: {shown}")
    if not why:
        return []
    return [
        Finding(
            rule=f"({side})", kind="side", found=Outcome.INCONCLUSIVE, outcome=Outcome.INCONCLUSIVE,
            summary=f"the {side} changed while it was asked: {'; '.join(why)}",
        )
    ]  # fmt: skip


def told_by_answers(models: Mapping[str, str], runs: Mapping[str, Sequence[EvalRun]]) -> dict[str, str]:
    """The models that each side's answers name, where a side's are others than the one it was asked for."""
    named = {side: ", ".join(sorted(_named(runs.get(side, ())))) for side in models}
    other = any(names and names != models[side] for side, names in named.items())
    return {side: names[:NAME_CHARS_MAX] for side, names in named.items() if names} if other else {}


def _named(runs: Sequence[EvalRun]) -> Counter[str]:
    return Counter(row.model for run in runs for row in run.rows if row.model and not row.cached)
