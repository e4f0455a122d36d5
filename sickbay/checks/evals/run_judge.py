"""The judgement of `evals.run`: scores, the paired comparison with a kept run, and the set's own soundness."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sickbay.engine.evals.compare import Finding, compare, pair_runs
from sickbay.engine.evals.row import EvalRun, Row
from sickbay.engine.evals.summary import summary_of
from sickbay.engine.model.check import Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["judge_run"]

DECLINE_MIN = 0.01
DRAWS = 400
SHARE_MAX = 10.0  # where there is hardly a decline left, any share is as good

_WANTS = {
    "eval.known_model_ok": "point it at a model of known score and give known_score: to evals.run",
    "eval.old_skills_drop": "give a set of general skills and role: general to evals.run",
    "eval.setup_matches": "give baseline: a kept run (`sickbay eval --output`) to evals.run",
    "output.recovery_regraded": "give baseline: a kept run (`sickbay eval --output`) to evals.run",
    "eval.mix_explains_ratio": "give today's mix of inputs as mix: {field, today} to evals.run",
    "eval.grader_disagreement_ratio": "give second_score: [SCORER] to evals.run",
}


def judge_run(raw: Raw, params: Mapping[str, Any], emits: Sequence[str]) -> Result:
    """Scores, the paired comparison, and the set's self-test."""
    rows = tuple(Row.from_json(row) for row in raw["rows"])
    summary = summary_of(EvalRun(name="", rows=rows, planned=raw["planned"]))
    score, errors = summary.score, sum(bool(row.error) for row in rows)
    signals: dict[str, Reading] = {
        "eval.items_scored": measured(score.items),
        "eval.error_ratio": measured(errors / len(rows)) if rows else _no("no item was asked"),
        "eval.score_ratio": measured(score.passed) if score.items else _no("no answer could be scored"),
        "eval.scorer_selftest_ok": _self_tested(raw),
        **_against(raw, rows, params),
        **_set_itself(raw, rows),
        **_known(score.interval.low, score.interval.high, score.items, params),
    }
    second = raw["second"]
    if second:
        share = sum(first != other for first, other in second) / len(second)
        signals["eval.grader_disagreement_ratio"] = measured(share, f"{len(second)} items graded twice")
    for name in emits:
        signals.setdefault(name, unknown(UnknownReason.NOT_CONFIGURED, _WANTS.get(name, "not asked for")))
    return Result(outcome=_outcome(raw, signals, score.items, params), summary=_sentence(raw, signals, score.items),
                  signals=signals)  # fmt: skip


def _no(detail: str) -> Reading:
    return unknown(UnknownReason.ABSENT, detail)


def _self_tested(raw: Raw) -> Reading:
    if not raw["selftest_items"]:
        return unknown(UnknownReason.UNSUPPORTED, "no scorer of this set can make an answer that must pass")
    return measured(not raw["selftest"], raw["selftest"][0] if raw["selftest"] else "reference answers graded")


def _against(raw: Raw, rows: Sequence[Row], params: Mapping[str, Any]) -> dict[str, Reading]:
    kept = raw["baseline"]
    names = ["eval.score_drop", "eval.within_noise"] + (["eval.old_skills_drop"] if params["role"] == "general" else [])
    if kept is None or "problem" in kept:
        why = kept["problem"] if kept else "no kept run is named; give baseline: FILE to evals.run"
        return {name: unknown(UnknownReason.NOT_CONFIGURED, why) for name in names}
    before = [Row.from_json(row) for row in kept["rows"]]
    pairs = pair_runs(before, rows).pairs
    if not pairs:
        return {name: _no("no item of the kept run is the same") for name in names}
    one = compare(pairs, params["margin"], confidence=0.975)
    source = f"{one.n} items, {one.method}"
    found = {
        "eval.score_drop": measured(-one.difference, source),
        "eval.within_noise": measured(one.low <= 0.0 <= one.high, source),
    }
    if params["role"] == "general":
        found["eval.old_skills_drop"] = measured(-one.difference, source)
    return found | _mix(before, rows, params["mix"])


def _set_itself(raw: Raw, rows: Sequence[Row]) -> dict[str, Reading]:
    """Whether the items are the kept run's, and failing items whose very same answer passed then.

    The same answer cannot have become worse: what changed is what is expected of it, or how it is graded.
    """
    kept = raw["baseline"]
    if kept is None or "problem" in kept:
        return {}
    changed = kept["changed"]
    told = f"{len(changed)} items ask, expect or score something else than in {kept['from']}"
    found = {"eval.setup_matches": measured(not changed, told)} if changed or kept["rows"] else {}
    failing = [row for row in rows if row.passed is False]
    if failing:
        cured = sum(
            each["passed_then"] is True and each["passed_now"] is False and each["same_answer"] for each in changed
        )
        source = f"{cured} of {len(failing)} failing items have the very answer that passed in the kept run"
        found["output.recovery_regraded"] = measured(cured / len(failing), source)
    return found


def _mix(before: Sequence[Row], after: Sequence[Row], mix: Mapping[str, Any]) -> dict[str, Reading]:
    """How much of the decline today's mix of inputs explains, the scores of every slice left as they were.

    The items are drawn again within their slices, so that a few of them do not decide: a share that may as well lie on
    the other side of a half is not told.
    """
    name = "eval.mix_explains_ratio"
    field, today = mix.get("field"), mix.get("today") or {}
    if not field or not today:
        return {}
    old, new = _by_slice(before, field), _by_slice(after, field)
    shared = [value for value in today if value in old and value in new]
    whole = math.fsum(today[value] for value in shared)
    if not shared or whole <= 0:
        return {name: _no(f"no slice of {field!r} is in both runs and in today's mix")}
    weights = {value: today[value] / whole for value in shared}
    explained, decline = _explained(old, new, weights)
    if decline < DECLINE_MIN:
        return {name: _no("there is no decline of a point or more to explain")}
    ratio = explained / decline
    dice = random.Random(1)  # noqa: S311 - not a secret
    drawn = [_explained(_again(old, dice), _again(new, dice), weights) for _ in range(DRAWS)]
    shares = sorted(part / fall if fall >= DECLINE_MIN else SHARE_MAX for part, fall in drawn)
    low, high = shares[int(0.05 * DRAWS)], shares[int(0.95 * DRAWS) - 1]
    told = f"{len(shared)} slices of {field}"
    if low <= 0.5 <= high:
        return {name: _no(f"{ratio:.0%} by {told}, and with so few items it may be {low:.0%} to {high:.0%}")}
    return {name: measured(ratio, told)}


def _explained(
    old: Mapping[str, Sequence[bool]], new: Mapping[str, Sequence[bool]], weights: Mapping[str, float]
) -> tuple[float, float]:
    """The fall of the score that the new mix alone makes, and the whole fall."""
    then = sum(map(sum, old.values())) / sum(map(len, old.values()))
    mixed, now = (
        math.fsum(share * sum(run[value]) / len(run[value]) for value, share in weights.items()) for run in (old, new)
    )
    return then - mixed, then - now


def _again(slices: Mapping[str, Sequence[bool]], dice: random.Random) -> dict[str, Sequence[bool]]:
    """As many items of each slice, drawn with replacement."""
    return {value: dice.choices(found, k=len(found)) for value, found in slices.items()}


def _by_slice(rows: Sequence[Row], field: str) -> dict[str, list[bool]]:
    groups: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        if row.passed is not None:
            groups[row.fields.get(field, "(none)")].append(row.passed)
    return groups


def _known(low: float, high: float, items: int, params: Mapping[str, Any]) -> dict[str, Reading]:
    known = params["known_score"]
    if known is None:
        return {}
    if items < 20:
        return {"eval.known_model_ok": _no(f"{items} items are too few to say")}
    return {"eval.known_model_ok": measured(low <= known <= high, f"known {known:.3f}, found {low:.3f} to {high:.3f}")}


def _outcome(raw: Raw, signals: Mapping[str, Reading], items: int, params: Mapping[str, Any]) -> Outcome:
    if signals["eval.scorer_selftest_ok"].value is False:
        return Outcome.FAIL
    if not items:
        return Outcome.UNKNOWN
    if raw["baseline"] is None:
        return Outcome.PASS
    if not signals["eval.score_drop"].known:
        return Outcome.UNKNOWN
    rows = [Row.from_json(row) for row in raw["rows"]]
    pairs = pair_runs([Row.from_json(row) for row in raw["baseline"]["rows"]], rows).pairs
    finding = compare(pairs, params["margin"], confidence=0.975).finding
    return {Finding.NOT_INFERIOR: Outcome.PASS, Finding.INFERIOR: Outcome.FAIL, Finding.TOO_FEW: Outcome.UNKNOWN}[
        finding
    ]


def _sentence(raw: Raw, signals: Mapping[str, Reading], items: int) -> str:
    if raw["selftest"]:
        return f"the set cannot judge: {raw['selftest'][0]}"
    if not items:
        return f"no answer could be scored{': ' + raw['stopped'] if raw['stopped'] else ''}"
    score = signals["eval.score_ratio"].value
    words = f"{raw['set']['name']}: {score:.1%} of {items} items pass"
    drop = signals["eval.score_drop"].value
    if isinstance(drop, float):
        noise = ", which chance explains" if signals["eval.within_noise"].value else ""
        words += f", {-drop * 100:+.1f} points against the kept run{noise}"
    return words
