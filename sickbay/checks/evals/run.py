"""evals.run: ask an eval set, compare with a kept run, and test the set itself.

Texts are scored and dropped: the evidence holds ids, scores and slices, never a prompt or an answer.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from sickbay.checks.evals.scorers.builtin import builtin_scorers
from sickbay.engine.errors import ConfigError, ProbeError, ProblemsError
from sickbay.engine.evals.compare import Finding, compare, pair_runs
from sickbay.engine.evals.endpoint import CHAT_PATH, Endpoint
from sickbay.engine.evals.item import EvalSet
from sickbay.engine.evals.load import load_eval_set
from sickbay.engine.evals.read.results import read_results
from sickbay.engine.evals.read.scorer_uses import named_uses
from sickbay.engine.evals.row import EvalRun, Row
from sickbay.engine.evals.runner import Options, refuse_commands, run_evals
from sickbay.engine.evals.scorer import Given, Scorer
from sickbay.engine.evals.scoring import score_answer, self_test
from sickbay.engine.evals.summary import summary_of
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["EvalsRun"]

KEPT = ("item", "sample", "value", "passed", "error", "reason", "cluster", "fields", "finish")


_WANTS = {
    "eval.known_model_ok": "point it at a model of known score and give known_score: to evals.run",
    "eval.old_skills_drop": "give a set of general skills and role: general to evals.run",
    "eval.setup_matches": "give baseline: a kept run (`sickbay eval --output`) to evals.run",
    "output.recovery_regraded": "give baseline: a kept run (`sickbay eval --output`) to evals.run",
    "eval.mix_explains_ratio": "give today's mix of inputs as mix: {field, today} to evals.run",
    "eval.grader_disagreement_ratio": "give second_score: [SCORER] to evals.run",
}


class EvalsRun(Check):
    """Score an eval set on the target, and say whether it is worse than in a kept run.

    The set's own soundness comes first: every reference answer must pass its own scorer. A set that fails that says
    nothing of the model (evaluation gap). `known_score` is for a target that serves a model whose score on this set is
    known: another score means that the set-up is wrong. `mix` re-weights the kept run to today's shares of a field.
    """

    name = "evals.run"
    title = "the score on an eval set, by item against a kept run, and whether the set can judge at all"
    emits = (
        "eval.score_ratio", "eval.items_scored", "eval.error_ratio", "eval.score_drop", "eval.within_noise",
        "eval.scorer_selftest_ok", "eval.known_model_ok", "eval.old_skills_drop", "eval.mix_explains_ratio",
        "eval.grader_disagreement_ratio", "eval.setup_matches", "output.recovery_regraded",
    )  # fmt: skip
    effect = Effect.LIGHT
    needs = ("url",)
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "set": {"type": "string", "default": "", "description": "The eval set's file; empty: unknown"},
            "baseline": {"type": "string", "default": "", "description": "A kept run of it (`sickbay eval --output`)"},
            "items_max": {"type": "integer", "minimum": 1, "maximum": 10000, "default": 40},
            "margin": {"type": "number", "exclusiveMinimum": 0, "maximum": 1, "default": 0.05},
            "role": {"enum": ["product", "general"], "default": "product"},
            "known_score": {"type": ["number", "null"], "minimum": 0, "maximum": 1, "default": None},
            "second_score": {"type": "array", "items": {"type": "string"}, "default": []},
            "mix": {"type": "object", "default": {}, "description": "{field: NAME, today: {VALUE: share}}"},
            "concurrency": {"type": "integer", "minimum": 1, "maximum": 64, "default": 2},
        },
    }
    sources = ("vibrantlabsai/ragas#2992", "princeton-pli/retaining-by-doing#5")

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """One request an item."""
        asked = int(params["items_max"]) if params["set"] else 0
        return Cost(requests=asked, seconds=2.0 * asked + 1.0)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Ask the items one sample each; score, and forget the texts."""
        scorers = {scorer.name: scorer for scorer in builtin_scorers()}
        evalset = _loaded(params, scorers)
        found = await look.engine()
        endpoint = Endpoint(http=lambda: look.http, model=found.model, path=_path(found), identity=look.target.url)
        options = Options(
            concurrency=params["concurrency"], retries=1, keep_answers=True, timeout_s=max(5.0, look.remaining_s - 1.0),
            stop_when=lambda: "" if look.remaining_s > 2.0 else "the step's time is up",
        )  # fmt: skip
        run = (await run_evals(evalset, {"it": endpoint}, scorers, clock=look.clock, options=options))["it"]
        return {
            "set": {"name": evalset.name, "version": evalset.version, "sha256": evalset.sha256},
            "planned": run.planned,
            "stopped": run.stopped,
            "rows": [_plain(row) for row in run.rows],
            "selftest": self_test(evalset.items, scorers)[:20],
            "selftest_items": sum(
                scorers[use.scorer].good_answer(item, use.params) is not None
                for item in evalset.items for use in item.scorers
            ),
            "second": await _second(evalset, run.rows, params["second_score"], scorers),
            "baseline": _kept(params["baseline"], evalset, run.rows),
        }  # fmt: skip

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
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
        for name in self.emits:
            signals.setdefault(name, unknown(UnknownReason.NOT_CONFIGURED, _WANTS.get(name, "not asked for")))
        return Result(outcome=_outcome(raw, signals, score.items, params), summary=_sentence(raw, signals, score.items),
                      signals=signals)  # fmt: skip


def _loaded(params: Mapping[str, Any], scorers: Mapping[str, Scorer]) -> EvalSet:
    if not params["set"]:
        raise ProbeError(UnknownReason.NOT_CONFIGURED, "no eval set is named; give set: FILE to evals.run")
    try:
        evalset = load_eval_set(Path(params["set"]), scorers).evalset
    except ProblemsError as error:
        raise ProbeError(UnknownReason.MALFORMED, str(error.problems[0])) from error
    try:
        refuse_commands(evalset, scorers)
    except ConfigError as error:
        raise ProbeError(UnknownReason.NOT_CONFIGURED, str(error)) from error
    return replace(evalset, items=evalset.items[: params["items_max"]], asked=replace(evalset.asked, samples=1))


def _path(found: Any) -> str:
    chat = found.spec.endpoints.get("chat")
    return chat.path if chat is not None and chat.path.endswith("/completions") else CHAT_PATH


def _plain(row: Row) -> dict[str, Any]:
    data = row.to_json()
    return {name: data[name] for name in KEPT if name in data} | {"passed": row.passed}


async def _second(
    evalset: EvalSet, rows: Sequence[Row], names: list[str], scorers: Mapping[str, Scorer]
) -> list[tuple[bool, bool]]:
    """(first grade, second grade) of each scored answer."""
    uses = named_uses(names, scorers, [], "second_score")
    if not uses:
        return []
    items = {item.id: item for item in evalset.items}
    found = []
    for row in rows:
        if row.passed is None:
            continue
        given = Given(text=row.answer, finish=row.finish)
        scores = [await score_answer(items[row.item], use, given, scorers, None) for use in uses]
        if not any(score.error for score in scores):
            found.append((row.passed, all(score.passed for score in scores)))
    return found


def _kept(path: str, evalset: EvalSet, now: Sequence[Row]) -> dict[str, Any] | None:
    if not path:
        return None
    try:
        runs = read_results(Path(path))
    except ConfigError as error:
        return {"problem": str(error)}
    run = next((each for each in runs if each.name == evalset.name), runs[0] if len(runs) == 1 else None)
    if run is None:
        return {"problem": f"{path} holds no run of {evalset.name!r}"}
    wanted = {item.id: item.sha256 for item in evalset.items}
    rows = [row for row in run.rows if row.item in wanted and row.sha256 in {"", wanted[row.item]}]
    answers = {row.item: row for row in now}
    changed = [
        {
            "item": row.item,
            "passed_then": row.passed,
            "passed_now": answers[row.item].passed if row.item in answers else None,
            "same_answer": bool(row.answer_sha) and row.item in answers
            and row.answer_sha == answers[row.item].answer_sha,
        }
        for row in run.rows
        if row.item in wanted and row.sha256 not in {"", wanted[row.item]}
    ]  # fmt: skip
    return {"rows": [_plain(row) for row in rows], "from": path, "changed": changed}


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
    """How much of the decline today's mix of inputs explains, the scores of every slice left as they were."""
    field, today = mix.get("field"), mix.get("today") or {}
    if not field or not today:
        return {}
    old, new = _by_slice(before, field), _by_slice(after, field)
    shared = [value for value in today if value in old and value in new]
    whole = math.fsum(today[value] for value in shared)
    if not shared or whole <= 0:
        return {"eval.mix_explains_ratio": _no(f"no slice of {field!r} is in both runs and in today's mix")}
    then = summary_of(EvalRun(name="", rows=tuple(before))).score.passed
    mixed = math.fsum(today[value] * old[value] for value in shared) / whole
    now = math.fsum(today[value] * new[value] for value in shared) / whole
    if then - now < 0.01:
        return {"eval.mix_explains_ratio": _no("there is no decline of a point or more to explain")}
    return {"eval.mix_explains_ratio": measured((then - mixed) / (then - now), f"{len(shared)} slices of {field}")}


def _by_slice(rows: Sequence[Row], field: str) -> dict[str, float]:
    groups: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        if row.passed is not None:
            groups[row.fields.get(field, "(none)")].append(row.passed)
    return {value: sum(found) / len(found) for value, found in groups.items()}


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
