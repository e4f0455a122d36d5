"""One answer through all of its item's scorers to one row."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import sha256

from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.evals.item import Item, ScorerUse
from sickbay.engine.evals.row import Row
from sickbay.engine.evals.scorer import Asking, AskingScorer, Given, Score, Scorer
from sickbay.engine.load.codes import Code
from sickbay.engine.model.problem import Problem

__all__ = ["answer_digest", "row_of", "score_answer", "self_test", "self_test_problems"]


async def row_of(
    item: Item,
    sample: int,
    given: Given,
    scorers: Mapping[str, Scorer],
    asking: Asking | None,
    *,
    retried: tuple[str, ...] = (),
    cached: bool = False,
    keep_answer: bool = False,
) -> Row:
    """The row. A failed answer or scorer is an error, and never a wrong answer."""
    scores = [] if given.failure else [await score_answer(item, use, given, scorers, asking) for use in item.scorers]
    error = given.failure or next((score.error for score in scores if score.error), "")
    passed = None if error else all(score.passed for score in scores)
    labelled = next((score for score in scores if score.wanted_label), None)
    return Row(
        item=item.id, sha256=item.sha256, sample=sample,
        value=None if error else math.fsum(score.value for score in scores) / len(scores),
        passed=passed, error=error, reason=given.reason,
        why="" if passed else next((score.why for score in scores if not score.passed and score.why), ""),
        retried=retried, cached=cached, only_reasoning=given.only_reasoning,
        thinks_aloud=given.thinks_aloud,
        model=given.model, finish=given.finish, prompt_tokens=given.prompt_tokens,
        output_tokens=given.output_tokens, elapsed_s=given.elapsed_s,
        answer_sha="" if given.failure else answer_digest(given),
        answer=given.text if keep_answer else "",
        label=labelled.label if labelled else "", wanted_label=labelled.wanted_label if labelled else "",
        cluster=item.cluster, fields=item.fields, unjudged=any(score.unjudged for score in scores),
    )  # fmt: skip


async def score_answer(
    item: Item, use: ScorerUse, given: Given, scorers: Mapping[str, Scorer], asking: Asking | None
) -> Score:
    """One scorer's word. What a scorer raises is told as its error."""
    scorer = scorers[use.scorer]
    try:
        if isinstance(scorer, AskingScorer) and asking is not None:
            score = await scorer.score_by_asking(item, given, use.params, asking)
        elif scorer.blocking:
            score = await asyncio.to_thread(scorer.score, item, given, use.params)
        else:
            score = scorer.score(item, given, use.params)
    except BudgetExceededError:
        raise
    except ProbeError as error:
        return replace(Score.cannot(f"{use.scorer}: {error.detail}"), unjudged=True)
    except Exception as error:  # a stranger's code; its bug is that item's error
        return Score.cannot(f"{use.scorer} raised {type(error).__name__}: {error}")
    if score.error or not use.negate:
        return score
    return Score(passed=not score.passed, value=1.0 - score.value, why=f"not wanted: {score.why}", label=score.label)


def answer_digest(given: Given) -> str:
    """The first 16 hex digits of the SHA-256 of text and calls."""
    calls = json.dumps([dict(call) for call in given.tool_calls], sort_keys=True) if given.tool_calls else ""
    return sha256((given.text + "\0" + calls).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def self_test(items: tuple[Item, ...], scorers: Mapping[str, Scorer]) -> list[str]:
    """The same as `self_test_problems`, each in one line with its place."""
    found = self_test_problems(items, scorers)
    return [f"{each.at}: {each.message}" if each.at.path else each.message for each in found]


def self_test_problems(items: tuple[Item, ...], scorers: Mapping[str, Scorer]) -> list[Problem]:
    """What the scorers grade wrong of answers that are right, or wrong, by construction; empty when they are sound.

    A reference answer must pass its own scorer, and an empty answer must fail it (unless nothing is what is wanted).
    Costs no request. It finds a golden set whose references and scorers do not go together.
    """
    hint = "change the reference answer or the scorer: the set would grade a right answer wrong, or nothing right"
    return [
        Problem(item.position, Code.NOT_SCORABLE, why, hint)
        for item in items
        for use in item.scorers
        for why in _told(item, use, scorers[use.scorer])
    ]


def _told(item: Item, use: ScorerUse, scorer: Scorer) -> list[str]:
    try:
        return list(_unsound(item, use, scorer))
    except Exception as error:  # a stranger's code, as in `score_answer`
        return [f"{use.scorer} raised {type(error).__name__} at the reference answer of item {item.id!r}: {error}"]


def _unsound(item: Item, use: ScorerUse, scorer: Scorer) -> Iterator[str]:
    good = scorer.good_answer(item, use.params)
    if good is None or isinstance(scorer, AskingScorer):
        return
    if use.negate:  # of a negated scorer with a value of its own, its good answer is what is not wanted
        if item.expected is not None and use.scorer != "refusal" and "value" not in use.params:
            yield f"not-{use.scorer} refuses the reference answer of item {item.id!r}"
        return
    if not scorer.score(item, good, use.params).passed:
        yield f"{use.scorer} fails the reference answer of item {item.id!r}"
    if (good.text or good.tool_calls) and scorer.score(item, Given(), use.params).passed:
        yield f"{use.scorer} passes an empty answer to item {item.id!r}"
