"""A check's answers on one side or both, and the judge's own fitness, as findings. Pure."""

from __future__ import annotations

import math
from pathlib import Path

from sickbay.engine.errors import ConfigError
from sickbay.engine.evals.judge_check import read_judge_check, rubric_digest
from sickbay.engine.evals.scorer import Scorer
from sickbay.engine.gate.model import CheckRule, Compare, EvalRule, JudgeUse, Outcome
from sickbay.engine.gate.scorecard import Finding
from sickbay.engine.model.outcome import Outcome as StepOutcome
from sickbay.engine.model.report import StepReport
from sickbay.engine.model.signal import Reading

__all__ = ["judge_check", "judge_fitness"]

_FOUND = {
    StepOutcome.PASS: Outcome.PASS, StepOutcome.WARN: Outcome.WARN, StepOutcome.FAIL: Outcome.BLOCK,
    StepOutcome.UNKNOWN: Outcome.INCONCLUSIVE, StepOutcome.SKIP: Outcome.INCONCLUSIVE,
}  # fmt: skip


def judge_check(rule: CheckRule, ours: StepReport, theirs: StepReport | None) -> list[Finding]:
    """The check's own outcome on the candidate (not where it is only compared), and one finding a compared signal."""
    found = _FOUND[ours.outcome]
    words = ours.summary if ours.outcome is not StepOutcome.SKIP else f"does not apply here: {ours.summary}"
    first = Finding(rule=rule.id, kind="check", found=found, summary=words, detail=ours.next_step)
    rest = [_compared(rule, each, ours, theirs) for each in rule.compare]
    # Where signals are compared, each of them tells itself that it could not be read.
    return rest if rule.compare and found is Outcome.INCONCLUSIVE else [first, *rest]


def _compared(rule: CheckRule, compare: Compare, ours: StepReport, theirs: StepReport | None) -> Finding:
    name = f"{rule.id}/{compare.signal}"

    def cannot(why: str) -> Finding:
        return Finding(rule=name, kind="check", found=Outcome.INCONCLUSIVE, summary=why)

    if theirs is None:
        return cannot("it is compared side by side: give --baseline a URL")
    for side, step in (("candidate", ours), ("baseline", theirs)):
        reading = step.signals.get(compare.signal)
        if reading is None or not reading.known:
            return cannot(f"cannot be read on the {side}: {_why(reading, step)}")
    new, old = ours.signals[compare.signal].value, theirs.signals[compare.signal].value
    if compare.ratio_max is None:
        same = new == old
        words = f"{new} on both sides" if same else f"{old} on the baseline, {new} on the candidate"
        return Finding(rule=name, kind="check", found=Outcome.PASS if same else Outcome.BLOCK, summary=words)
    if isinstance(new, (bool, str)) or isinstance(old, (bool, str)) or new is None or old is None:
        return cannot(f"no ratio can be made of {old!r} and {new!r}")
    if new == old == 0.0:
        return Finding(rule=name, kind="check", found=Outcome.PASS, summary="0 on both sides")
    if not (math.isfinite(new) and math.isfinite(old)) or old <= 0.0 or new < 0.0:
        return cannot(f"no ratio can be made of {old:g} and {new:g}")
    ratio = new / old
    found = Outcome.PASS if ratio <= compare.ratio_max else Outcome.BLOCK
    words = f"{_shown(new)} is {ratio:.2f} times the baseline's {_shown(old)}, allowed {compare.ratio_max:g}"
    numbers: dict[str, float | str] = {"memory_ratio": ratio, "allowed": compare.ratio_max, "candidate": float(new),
                                       "baseline": float(old)}  # fmt: skip
    return Finding(rule=name, kind="check", found=found, summary=words, numbers=numbers)


def _why(reading: Reading | None, step: StepReport) -> str:
    return (reading.detail if reading is not None else "") or step.summary or "it was not reported"


def _shown(value: float) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def judge_fitness(rule: EvalRule, judge: JudgeUse, model: str, scorers: dict[str, Scorer]) -> Finding:
    """Whether people's labels show the judge fit: the same model, the same rubric, and within the limits."""
    found = Finding(rule=f"{rule.id}/judge", kind="judge", found=Outcome.INCONCLUSIVE, summary="")

    def said(outcome: Outcome, why: str) -> Finding:
        return Finding(rule=found.rule, kind=found.kind, found=outcome, summary=why)

    if not judge.agreement:
        return said(
            Outcome.INCONCLUSIVE, "nobody has compared the judge with people: sickbay judge, then judge.agreement"
        )
    try:
        check = read_judge_check(Path(judge.agreement))
    except ConfigError as error:
        return said(Outcome.INCONCLUSIVE, str(error))
    if check.judge_model != model:
        return said(Outcome.INCONCLUSIVE, f"people were compared with {check.judge_model!r}, and {model!r} judges here")
    if check.rubric_sha256 != rubric_digest(rule.evalset, scorers):
        return said(Outcome.INCONCLUSIVE, "people were compared with the judge under another rubric")
    if check.unfit:
        return said(Outcome.INCONCLUSIVE, f"the judge is not fit to judge: {check.unfit}")
    return said(Outcome.PASS, f"the judge agrees with people (kappa {check.kappa:.2f} on {check.items} answers)")
