"""retrieval.quality: does retrieval bring what is known to be right, to whom it may, and into the prompt.

From recorded retrievals, or by asking a retrieval endpoint the same questions. No token is generated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading

__all__ = ["RetrievalQuality"]

RECALL_WARN, RECALL_FAIL = 0.8, 0.6
EMPTY_FAIL = 0.1
IN_PROMPT_FAIL = 0.9


class RetrievalQuality(Check):
    """Score `records`: JSON lines with `query`, `relevant` and `forbidden` ids, and what was `retrieved`.

    `retrieved` is a list of ids, or of objects with `id`, `text` and `score`; `passages` may be their count alone. With
    `prompt` (a text or messages) the passages' texts are looked for in it. With `url` each query is sent there instead
    (POST {query, k}), and the answer's `results`, `matches`, `documents` or list is read. Only ids and counts are kept.
    """

    name = "retrieval.quality"
    title = "Recall, order, empty results, forbidden documents, and passages that never reach the prompt"
    effect = Effect.PASSIVE
    emits: ClassVar[Sequence[str]] = (
        "rag.recall_ratio",
        "rag.ndcg_ratio",
        "rag.empty_ratio",
        "rag.empty_long_ratio",
        "rag.empty_short_ratio",
        "rag.scores_all_zero",
        "rag.forbidden_passages",
        "rag.in_prompt_ratio",
    )
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "records": {"description": "JSON lines of questions and retrievals", "type": "string", "default": ""},
            "url": {"description": "retrieval endpoint; empty: judge the records", "type": "string", "default": ""},
            "k": {
                "description": "so many first passages count",
                "type": "integer", "minimum": 1, "maximum": 1000, "default": 10,
            },
            "queries_max": {
                "description": "most queries that are sent to url",
                "type": "integer", "minimum": 1, "maximum": 500, "default": 50,
            },
        },
        "additionalProperties": False,
    }  # fmt: skip
    sources: ClassVar[Sequence[str]] = (
        "amd/gaia#3534 (queries that are too long come back empty)",
        "nDCG: Järvelin and Kekäläinen, ACM TOIS 20(4), 2002, with gain 1 for a relevant id",
        "recall below 0.6 as a failure, one empty result in ten: guesses",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """No token; searches only with a url."""
        return Cost(requests=0, seconds=15.0 if params["url"] else 4.0, usual_s=3.0 if params["url"] else 0.2)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Read, or ask."""
        from sickbay.checks.retrieval.quality_look import look_quality  # late: what a check says must load fast

        return await look_quality(look, params)

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Means over questions."""
        from sickbay.checks.retrieval.quality_judge import quality_signals  # late: as above

        signals = quality_signals(raw["rows"], k=int(params["k"]))
        return Result(outcome=_outcome(signals), summary=_summary(raw, signals), signals=signals)


def _number(signals: Mapping[str, Reading], name: str, absent: float) -> float:
    value = signals[f"rag.{name}"].value
    return float(value) if isinstance(value, (int, float)) else absent


def _outcome(signals: Mapping[str, Reading]) -> Outcome:
    if not any(reading.known for reading in signals.values()):
        return Outcome.UNKNOWN
    recall = _number(signals, "recall_ratio", 1.0)
    bad = (
        recall < RECALL_FAIL
        or _number(signals, "empty_ratio", 0.0) > EMPTY_FAIL
        or _number(signals, "forbidden_passages", 0.0) > 0
        or _number(signals, "in_prompt_ratio", 1.0) < IN_PROMPT_FAIL
        or signals["rag.scores_all_zero"].value is True
    )
    return Outcome.FAIL if bad else Outcome.WARN if recall < RECALL_WARN else Outcome.PASS


def _summary(raw: Raw, signals: Mapping[str, Reading]) -> str:
    said = [reading.source for reading in signals.values() if reading.known]
    if raw["problems"]:
        said.append(f"{len(raw['problems'])} queries failed: {raw['problems'][0]}")
    return "; ".join(said) or "the records tell nothing that can be judged"
