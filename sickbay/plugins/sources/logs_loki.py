"""Lines out of Loki, through its range query (grafana.com/docs/loki/latest/reference/loki-http-api)."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import HttpResponse, Look
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import LogSource
from sickbay.plugins.sources.log_rows import Rows, Stored, clock_note

__all__ = ["read_loki"]

TIMEOUT_S = 15.0
BYTES_MAX = 16_000_000
LINES_MAX = 5_000
"""Loki's own default for `max_entries_limit_per_query`; more is refused."""

_LOWER_LIMIT = re.compile(r"max entries limit per query exceeded, limit > max_entries_limit\w* \((\d+) > (\d+)\)")
"""pkg/querier: what a Loki with a lower limit says; it is then asked for that many."""


async def read_loki(look: Look, source: LogSource, *, from_s: float, until_s: float, lines_max: int) -> Stored:
    """Time and text of the newest lines, and the query as executed.

    Raises:
        ProbeError: no query is given, no answer, auth, a refusal, or an answer that holds no lines.
    """
    if not source.query:
        raise ProbeError(
            UnknownReason.NOT_CONFIGURED, f"""loki {source.where}: no query; give one, e.g. query: '{{app="vllm"}}'"""
        )
    limit = min(lines_max, LINES_MAX)
    answer = await _ask(look, source, from_s=from_s, until_s=until_s, limit=limit)
    lower = _LOWER_LIMIT.search(answer.text[:400]) if answer.status == 400 else None
    if lower and 0 < int(lower[2]) < limit:
        limit = int(lower[2])
        answer = await _ask(look, source, from_s=from_s, until_s=until_s, limit=limit)
    rows, notes = _rows(answer, source.query, f"Loki at {_base(source)}")
    clock = clock_note(answer.headers.get("date", ""), look.clock.wall(), "Loki")
    return Stored(
        rows=rows,
        read_as=f"{source.query} from {from_s:.0f} to {until_s:.0f}, limit {limit}",
        cut=len(rows) >= limit,
        notes=(*notes, *([clock] if clock else [])),
    )


def _base(source: LogSource) -> str:
    return source.where.rstrip("/").removesuffix("/loki/api/v1/query_range")


async def _ask(look: Look, source: LogSource, *, from_s: float, until_s: float, limit: int) -> HttpResponse:
    asked = {
        "query": source.query, "start": str(round(from_s * 1e9)), "end": str(round(until_s * 1e9)),
        "limit": str(limit), "direction": "backward",
    }  # fmt: skip
    base = _base(source)
    url = f"{base}/loki/api/v1/query_range?{urlencode(asked)}"
    try:
        return await look.http.request(
            "GET", url, timeout_s=max(0.2, min(TIMEOUT_S, look.remaining_s - 0.3)), bytes_max=BYTES_MAX
        )
    except ProbeError as error:
        detail = error.detail.replace(url, f"{base}/loki/api/v1/query_range")
        raise ProbeError(error.reason, f"Loki at {base} does not answer: {detail}") from error


def _rows(answer: HttpResponse, query: str, where: str) -> tuple[Rows, tuple[str, ...]]:
    if answer.status in {401, 403}:
        said = answer.text.strip()[:80]
        hint = (
            "it has several tenants: send X-Scope-OrgID through a proxy" if "org id" in said else "it wants credentials"
        )
        raise ProbeError(UnknownReason.AUTH, f"{where} answers {answer.status} ({said}); {hint}")
    if answer.status != 200:
        raise ProbeError(
            UnknownReason.TIMEOUT if answer.status in {429, 502, 503, 504} else UnknownReason.MALFORMED,
            f"{where} refuses {query!r} ({answer.status}): {answer.text.strip()[:200] or 'no message'}",
        )
    if answer.truncated:
        raise ProbeError(UnknownReason.TOO_LARGE, f"{where}: the answer is over {BYTES_MAX} bytes; ask for less")
    body = answer.json()
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, dict) or not isinstance(data.get("result"), list):
        raise ProbeError(UnknownReason.MALFORMED, f"{where}: wanted data.result, found {answer.text[:60]!r}")
    if data.get("resultType") != "streams":
        raise ProbeError(
            UnknownReason.NOT_CONFIGURED,
            f"{where}: the query {query!r} gives numbers ({data.get('resultType')!r}), not lines; leave rate() and "
            "count_over_time() out",
        )
    warnings = body.get("warnings") if isinstance(body, dict) else None
    notes = tuple(f"{where} says: {str(each)[:200]}" for each in (warnings if isinstance(warnings, list) else [])[:4])
    return [row for stream in data["result"] for row in _lines(stream)], notes


def _lines(stream: Any) -> Rows:
    found: Rows = []
    values = stream.get("values") if isinstance(stream, dict) else None
    for pair in values if isinstance(values, list) else []:
        if isinstance(pair, list) and len(pair) >= 2 and str(pair[0]).isdigit() and isinstance(pair[1], str):
            found.append((int(pair[0]) / 1e9, pair[1]))
    return found
