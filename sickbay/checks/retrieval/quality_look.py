"""The world-facing half of retrieval.quality: rows of ids, counts and yes-or-no, never a text."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from sickbay.checks.retrieval.names import INNER, TEXTS, is_part_of, names_of, plain_text
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.measure.json_lines import read_rows
from sickbay.engine.model.look import Look
from sickbay.engine.model.signal import UnknownReason

__all__ = ["look_quality"]

IDS_MAX = 2000
CHARS_PER_TOKEN = 4.0
RESULTS = ("results", "matches", "documents", "hits", "passages", "data")
PASSAGE_HEAD_CHARS = 200


async def look_quality(look: Look, params: Mapping[str, Any]) -> dict[str, Any]:
    """Every record reduced; with a url its retrieval is asked for now."""
    if not params["records"]:
        raise ProbeError(UnknownReason.NOT_CONFIGURED, "give records: JSON lines of questions and retrievals")
    records = read_rows(look.files, params["records"])
    problems: list[str] = []
    if params["url"]:
        records = await _asked(look, records, params, problems)
    return {"rows": [_reduced(record) for record in records], "problems": problems}


async def _asked(
    look: Look, records: Sequence[Mapping[str, Any]], params: Mapping[str, Any], problems: list[str]
) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for record in records[: int(params["queries_max"])]:
        query = record.get("query") or record.get("question")
        if not isinstance(query, str) or look.remaining_s < 1.0:
            continue
        try:
            body = {"query": query, "k": int(params["k"])}
            answer = await look.http.request("POST", str(params["url"]), json=body, timeout_s=5.0)
            if answer.status != 200:
                problems.append(f"HTTP {answer.status}: {answer.text[:80]}")
                continue
            found.append({**record, "retrieved": _results(answer.json())})
        except BudgetExceededError:
            raise
        except ProbeError as error:
            problems.append(error.detail[:160])
    if not found:
        why = problems[0] if problems else "no record has a query"
        raise ProbeError(UnknownReason.ABSENT, f"{params['url']}: no query was answered: {why}")
    return found


def _results(body: Any) -> list[Any]:
    if isinstance(body, Mapping):
        body = next((body[name] for name in RESULTS if isinstance(body.get(name), list)), None)
    if not isinstance(body, list):
        raise ProbeError(UnknownReason.MALFORMED, f"wanted a list of passages, or one under {', '.join(RESULTS)}")
    return body


def _reduced(record: Mapping[str, Any]) -> dict[str, Any]:
    listed = record.get("retrieved", record.get("passages"))
    passages = listed if isinstance(listed, list) else []
    count = len(passages) if isinstance(listed, list) else listed if isinstance(listed, int) else None
    relevant, forbidden = _listed(record.get("relevant")), _listed(record.get("forbidden"))
    return {
        "tokens": _length(record),
        "count": count,
        "ids": _known_as(passages, forbidden, relevant),
        "relevant": relevant,
        "forbidden": forbidden,
        "scores": _scores(passages),
        "in_prompt": _in_prompt(record, passages),
    }


def _length(record: Mapping[str, Any]) -> float | None:
    """The question's length in tokens, told or guessed."""
    for name in ("question_tokens", "query_tokens"):
        if isinstance(record.get(name), (int, float)):
            return float(record[name])
    text = record.get("query") or record.get("question")
    return len(text) / CHARS_PER_TOKEN if isinstance(text, str) else None


def _listed(value: Any) -> list[str] | None:
    """Ids that somebody named: a list, one id, or a mapping of ids to grades (0: not relevant)."""
    if isinstance(value, Mapping):
        value = [name for name, grade in value.items() if grade]
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        value = [value]
    return [names[0] for each in value[:IDS_MAX] if (names := names_of(each))] if isinstance(value, list) else None


def _known_as(passages: Sequence[Any], *named: Sequence[str] | None) -> list[str]:
    """An id a passage: the one by which the record names it, if it does, else its own."""
    wanted = [each for ids in named for each in ids or ()]
    found = []
    for passage in passages[:IDS_MAX]:
        names = names_of(passage)
        found.append(next((each for each in wanted if is_part_of(names, each)), next(iter(names), "")))
    return found


def _scores(passages: Sequence[Any]) -> list[float]:
    told: list[Any] = [
        each[name] for each in passages[:IDS_MAX] if isinstance(each, Mapping)
        for name in ("score", "similarity", "_score", "relevance_score") if name in each
    ]  # fmt: skip
    found = []
    for each in told:
        try:
            found.append(float(each) if not isinstance(each, bool) else math.nan)
        except (TypeError, ValueError):
            continue
    return [each for each in found if math.isfinite(each)]


def _in_prompt(record: Mapping[str, Any], passages: Sequence[Any]) -> list[bool] | None:
    """Of each passage, whether its beginning stands in the prompt; None when that is not recorded."""
    prompt = record.get("prompt", record.get("messages"))
    if isinstance(prompt, list):
        prompt = " ".join(str(each.get("content", "")) for each in prompt if isinstance(each, Mapping))
    told = [plain_text(each)[:PASSAGE_HEAD_CHARS].strip() for each in map(_text, passages) if each.strip()]
    if not isinstance(prompt, str) or not told:
        return None
    whole = plain_text(prompt)
    return [any(form in whole for form in _forms(each)) for each in told]


def _text(passage: Any) -> str:
    """A passage's words, at its top or one level below."""
    rows = [passage, *(passage.get(name) for name in INNER)] if isinstance(passage, Mapping) else []
    texts = [row.get(name) for row in rows if isinstance(row, Mapping) for name in TEXTS]
    return next((each for each in texts if isinstance(each, str)), "")


def _forms(text: str) -> tuple[str, ...]:
    """As it stands, as JSON and as mark-up hold it."""
    return text, json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1], html.escape(text)
