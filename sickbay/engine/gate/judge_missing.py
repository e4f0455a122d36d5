"""Answers that never came: whose fault they are, and that no pass rests on them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from sickbay.engine.evals.compare import Finding as Shown
from sickbay.engine.evals.compare import compare, pair_runs
from sickbay.engine.evals.row import EvalRun, Row
from sickbay.engine.gate.model import EvalRule, Outcome, SliceRule
from sickbay.engine.gate.scorecard import Finding

__all__ = ["PLAN_POWER", "as_wrong", "failing_finding", "of_slice", "unanswered_slices", "without_answers"]

PLAN_POWER = 0.98
"""Chance that all eval rules pass a release that is no worse, at the planned sizes; the rest is room for slices."""


def failing_finding(rule: EvalRule, candidate: EvalRun, baseline: EvalRun | None) -> Finding | None:
    """Answers that never came. When only the candidate fails, that is its fault; else nothing can be said."""
    ours, theirs = _error_share(candidate), 0.0 if baseline is None else _error_share(baseline)
    numbers = {"candidate_errors": ours, "baseline_errors": theirs, "errors_max": rule.errors_max}

    def said(found: Outcome, why: str) -> Finding:
        return Finding(rule=rule.id, kind="eval", found=found, summary=why, numbers=numbers)

    served = sum(bool(row.reason) for row in candidate.rows) / max(1, len(candidate.rows))
    told = f"{ours:.1%} of the candidate's answers have no score, allowed {rule.errors_max:.1%}: {_errors(candidate)}"
    if served > rule.errors_max and theirs <= rule.errors_max:
        return said(Outcome.BLOCK, told)  # also where it died, and the rest was never asked for
    for run, name in ((candidate, "candidate"), (baseline, "baseline")):
        if run is None:
            continue
        missing = run.planned - len(run.rows)
        if missing > 0 and not rule.sequential:
            why = f"{run.stopped or 'stopped'}; {missing} of {run.planned} answers of the {name} were never asked for"
            return said(Outcome.INCONCLUSIVE, why)
    if baseline is not None and theirs > rule.errors_max:
        why = (
            f"{theirs:.1%} of the baseline's answers have no score, allowed {rule.errors_max:.1%}: {_errors(baseline)}"
        )
        return said(Outcome.INCONCLUSIVE, why)
    return said(Outcome.INCONCLUSIVE, told) if ours > rule.errors_max else None


def _error_share(run: EvalRun) -> float:
    return sum(bool(row.error) for row in run.rows) / len(run.rows) if run.rows else 1.0


def _errors(run: EvalRun) -> str:
    return next((row.error for row in run.rows if row.error), "none was asked for")


def without_answers(
    rule: EvalRule, overall: Finding, candidate: EvalRun, baseline: EvalRun, *, margin: float | None = None
) -> Finding:
    """A pass must not rest on answers that never came: it holds also where each of them counts as wrong.

    On both sides alike, so that failures of machine and network that hit both speak for neither.
    """
    missing = sum(bool(row.error) for run in (candidate, baseline) for row in run.rows)
    if not missing or overall.found not in {Outcome.PASS, Outcome.WARN}:
        return overall
    pairs = pair_runs(as_wrong(baseline.rows), as_wrong(candidate.rows), rule.metric).pairs
    strict = compare(pairs, margin or rule.margin, confidence=rule.confidence, power=PLAN_POWER)
    if strict.finding is Shown.NOT_INFERIOR:
        return overall
    words = (
        f"{overall.summary}; but {missing} answers have no score, and counted as wrong they make it "
        f"{strict.difference * 100:+.1f} points (at worst {strict.low * 100:+.1f})"
    )
    return replace(overall, found=Outcome.INCONCLUSIVE, summary=words)


def of_slice(by: str, value: str, candidate: EvalRun, baseline: EvalRun) -> tuple[EvalRun, EvalRun]:
    """What both runs hold of one slice; the candidate's fields say what is in it."""
    ours = tuple(row for row in candidate.rows if row.fields.get(by, "(none)") == value)
    items = {row.item for row in ours}
    theirs = tuple(row for row in baseline.rows if row.item in items)
    return replace(candidate, rows=ours), replace(baseline, rows=theirs)


def unanswered_slices(
    rule: EvalRule, slices: SliceRule, compared: Collection[str], candidate: EvalRun
) -> list[Finding]:
    """Critical slices of which no item could be paired: there is nothing to compare, and they are not passed over."""
    asked = Counter(row.fields.get(slices.by, "(none)") for row in candidate.rows)
    return [
        Finding(
            rule=f"{rule.id}/{slices.by}={value}", kind="slice", found=Outcome.INCONCLUSIVE,
            summary=f"none of its {rows} answers could be compared: no score on one of the two sides",
        )
        for value, rows in sorted(asked.items())
        if slices.is_critical(value) and value not in compared
    ]  # fmt: skip


def as_wrong(rows: Sequence[Row]) -> list[Row]:
    """The rows, with each answer that never came counted as wrong."""
    return [replace(row, error="", passed=False, value=0.0) if row.error else row for row in rows]
