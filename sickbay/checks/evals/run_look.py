"""The look of `evals.run`: the items are asked and scored, and their texts are dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sickbay.checks.evals.scorers.builtin import builtin_scorers
from sickbay.engine.errors import ConfigError, ProbeError, ProblemsError
from sickbay.engine.evals.endpoint import CHAT_PATH, Endpoint
from sickbay.engine.evals.item import EvalSet
from sickbay.engine.evals.load import load_eval_set
from sickbay.engine.evals.read.results import read_results
from sickbay.engine.evals.read.scorer_uses import named_uses
from sickbay.engine.evals.row import Row
from sickbay.engine.evals.runner import Options, refuse_commands, run_evals
from sickbay.engine.evals.scorer import Given, Scorer
from sickbay.engine.evals.scoring import score_answer, self_test
from sickbay.engine.model.check import Raw
from sickbay.engine.model.look import Look
from sickbay.engine.model.signal import UnknownReason

__all__ = ["look_run"]

KEPT = ("item", "sample", "value", "passed", "error", "reason", "cluster", "fields", "finish")


async def look_run(look: Look, params: Mapping[str, Any]) -> Raw:
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
