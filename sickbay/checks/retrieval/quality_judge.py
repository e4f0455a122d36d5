"""Judging retrievals: recall, nDCG, empty results by length, forbidden passages, passages in the prompt. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["ndcg", "quality_signals"]

Rows = Sequence[Mapping[str, Any]]
SIDE_MIN = 2


def quality_signals(rows: Rows, *, k: int) -> dict[str, Reading]:
    """Every signal of retrieval.quality; what the records do not tell is unknown."""
    return {
        "rag.recall_ratio": _recall(rows, k),
        "rag.ndcg_ratio": _ndcg(rows, k),
        **_empty(rows),
        "rag.scores_all_zero": _zero(rows),
        "rag.forbidden_passages": _forbidden(rows),
        "rag.in_prompt_ratio": _in_prompt(rows),
    }


def ndcg(ids: Sequence[str], relevant: Sequence[str], k: int) -> float:
    """Normalised discounted cumulative gain at k; gain 1 for each relevant id at its first place.

    A passage that comes again takes a place, in the list as in the prompt.
    """
    wanted = set(relevant)
    places = {each: place for place, each in reversed(list(enumerate(ids[:k])))}
    gain = sum(1.0 / math.log2(place + 2) for each, place in places.items() if each in wanted)
    best = sum(1.0 / math.log2(place + 2) for place in range(min(k, len(wanted))))
    return gain / best if best else 0.0


def _judged(rows: Rows) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["relevant"] and row["count"] is not None and (row["ids"] or row["count"] == 0)]


def _recall(rows: Rows, k: int) -> Reading:
    judged = _judged(rows)
    if not judged:
        return unknown(UnknownReason.NOT_CONFIGURED, "no record names relevant ids beside what was retrieved")
    shares = [len(set(row["relevant"]) & _used(row, k)) / len(set(row["relevant"])) for row in judged]
    return measured(
        sum(shares) / len(shares), f"recall at {k} of {len(judged)} questions: {sum(shares) / len(shares):.0%}"
    )


def _used(row: Mapping[str, Any], k: int) -> set[str]:
    """The first k ids, less those whose passages are known to have stayed out of the prompt: found is not enough."""
    seen = row["in_prompt"]
    if seen is None or len(seen) != len(row["ids"]):
        return set(row["ids"][:k])
    return {each for each, inside in zip(row["ids"][:k], seen, strict=False) if inside}


def _ndcg(rows: Rows, k: int) -> Reading:
    judged = _judged(rows)
    if not judged:
        return unknown(UnknownReason.NOT_CONFIGURED, "no record names relevant ids beside what was retrieved")
    values = [ndcg(row["ids"], row["relevant"], k) for row in judged]
    return measured(sum(values) / len(values), f"nDCG at {k}: {sum(values) / len(values):.2f}")


def _empty(rows: Rows) -> dict[str, Reading]:
    """Of all questions, and of those at least as long as the shortest that came back empty, against the shorter ones.

    Splitting there finds a length limit wherever it is; empty results that have nothing to do with length stay a small
    share of the long side.
    """
    names = ("rag.empty_ratio", "rag.empty_long_ratio", "rag.empty_short_ratio")
    told = [row for row in rows if row["count"] is not None]
    if not told:
        return dict.fromkeys(names, unknown(UnknownReason.ABSENT, "no record tells how many passages came back"))
    empty = [row for row in told if row["count"] == 0]
    whole = measured(len(empty) / len(told), f"{len(empty)} of {len(told)} questions get no passage")
    lengths = [row["tokens"] for row in empty if row["tokens"] is not None]
    edge = min(lengths, default=math.inf)
    long = [row for row in told if row["tokens"] is not None and row["tokens"] >= edge]
    short = [row for row in told if row["tokens"] is not None and row["tokens"] < edge]
    if len(empty) < SIDE_MIN or len(long) < SIDE_MIN or len(short) < SIDE_MIN:
        few = unknown(UnknownReason.NO_TRAFFIC, "too few empty results to tell long questions from short ones")
        return {names[0]: whole, names[1]: few, names[2]: few}
    ratios = [sum(row["count"] == 0 for row in side) / len(side) for side in (long, short)]
    return {
        names[0]: whole,
        names[1]: measured(
            ratios[0], f"{ratios[0]:.0%} of {len(long)} questions of {edge:.0f} tokens and more get none"
        ),
        names[2]: measured(ratios[1], f"{ratios[1]:.0%} of {len(short)} shorter ones get none"),
    }


def _zero(rows: Rows) -> Reading:
    scores = [score for row in rows for score in row["scores"]]
    if len(scores) < SIDE_MIN:
        return unknown(UnknownReason.ABSENT, "the records tell no scores")
    return measured(not any(scores), f"{sum(score == 0 for score in scores)} of {len(scores)} scores are exactly zero")


def _forbidden(rows: Rows) -> Reading:
    told = [row for row in rows if row["forbidden"] is not None and row["count"] is not None]
    if not told:
        return unknown(UnknownReason.NOT_CONFIGURED, "no record names documents that its asker may not see (forbidden)")
    leaks = sum(len(set(row["forbidden"]) & set(row["ids"])) for row in told)
    return measured(float(leaks), f"{leaks} passages came back that their asker may not see, of {len(told)} questions")


def _in_prompt(rows: Rows) -> Reading:
    told = [seen for row in rows if row["in_prompt"] is not None for seen in row["in_prompt"]]
    if not told:
        return unknown(UnknownReason.NOT_CONFIGURED, "no record holds the prompt beside its passages' texts")
    return measured(sum(told) / len(told), f"{sum(told)} of {len(told)} passages stand in the prompt")
