"""The world-facing half of retrieval.quality: rows of ids, counts and yes-or-no, never a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.measure.json_lines import read_rows
from sickbay.engine.model.look import Look
from sickbay.engine.model.signal import UnknownReason

__all__ = ["look_quality"]

IDS_MAX = 200
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
    return {
        "tokens": _length(record),
        "count": count,
        "ids": [_id(each) for each in passages[:IDS_MAX]],
        "relevant": _ids(record.get("relevant")),
        "forbidden": _ids(record.get("forbidden")),
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


def _id(passage: Any) -> str:
    if isinstance(passage, Mapping):
        inner = passage.get("metadata")
        passage = (
            passage.get("id") or passage.get("document") or (inner.get("id") if isinstance(inner, Mapping) else "")
        )
    return str(passage)[:200]


def _ids(value: Any) -> list[str] | None:
    return [_id(each) for each in value[:IDS_MAX]] if isinstance(value, list) else None


def _scores(passages: Sequence[Any]) -> list[float]:
    found = [each.get("score", each.get("similarity")) for each in passages if isinstance(each, Mapping)]
    return [float(each) for each in found if isinstance(each, (int, float)) and not isinstance(each, bool)][:IDS_MAX]


def _in_prompt(record: Mapping[str, Any], passages: Sequence[Any]) -> list[bool] | None:
    """Of each passage, whether its beginning stands in the prompt; None when that is not recorded."""
    prompt = record.get("prompt", record.get("messages"))
    if isinstance(prompt, list):
        prompt = " ".join(str(each.get("content", "")) for each in prompt if isinstance(each, Mapping))
    texts = [each.get("text", each.get("content")) if isinstance(each, Mapping) else None for each in passages]
    told = [_plain(each)[:PASSAGE_HEAD_CHARS] for each in texts if isinstance(each, str) and each.strip()]
    if not isinstance(prompt, str) or not told:
        return None
    whole = _plain(prompt)
    return [each in whole for each in told]


def _plain(text: str) -> str:
    return " ".join(text.split())
