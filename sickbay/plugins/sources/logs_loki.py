"""Lines out of Loki, through its range query (grafana.com/docs/loki/latest/reference/loki-http-api)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import HttpResponse, Look
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import LogSource

__all__ = ["read_loki"]

TIMEOUT_S = 15.0
BYTES_MAX = 16_000_000
LINES_MAX = 5_000
"""Loki's own default for `max_entries_limit_per_query`; more is refused."""

Rows = list[tuple[float, str]]


async def read_loki(
    look: Look, source: LogSource, *, from_s: float, until_s: float, lines_max: int
) -> tuple[Rows, str]:
    """Time and text of the newest lines, and the query as executed.

    Raises:
        ProbeError: no query is given, no answer, auth, a refusal, or an answer that holds no lines.
    """
    if not source.query:
        raise ProbeError(
            UnknownReason.NOT_CONFIGURED, f"""loki {source.where}: no query; give one, e.g. query: '{{app="vllm"}}'"""
        )
    asked = {
        "query": source.query, "start": str(round(from_s * 1e9)), "end": str(round(until_s * 1e9)),
        "limit": str(min(lines_max, LINES_MAX)), "direction": "backward",
    }  # fmt: skip
    base = source.where.rstrip("/").removesuffix("/loki/api/v1/query_range")
    url = f"{base}/loki/api/v1/query_range?{urlencode(asked)}"
    where = f"Loki at {base}"
    try:
        answer = await look.http.request(
            "GET", url, timeout_s=max(0.2, min(TIMEOUT_S, look.remaining_s - 0.3)), bytes_max=BYTES_MAX
        )
    except ProbeError as error:
        detail = error.detail.replace(url, f"{base}/loki/api/v1/query_range")
        raise ProbeError(error.reason, f"{where} does not answer: {detail}") from error
    return _rows(
        answer, source.query, where
    ), f"{source.query} from {from_s:.0f} to {until_s:.0f}, limit {asked['limit']}"


def _rows(answer: HttpResponse, query: str, where: str) -> Rows:
    if answer.status in {401, 403}:
        said = answer.text.strip()[:80]
        hint = (
            "it has several tenants: send X-Scope-OrgID through a proxy" if "org id" in said else "it wants credentials"
        )
        raise ProbeError(UnknownReason.AUTH, f"{where} answers {answer.status} ({said}); {hint}")
    if answer.status != 200:
        raise ProbeError(
            UnknownReason.TIMEOUT if answer.status in {429, 503, 504} else UnknownReason.MALFORMED,
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
    return [row for stream in data["result"] for row in _lines(stream)]


def _lines(stream: Any) -> Rows:
    found: Rows = []
    values = stream.get("values") if isinstance(stream, dict) else None
    for pair in values if isinstance(values, list) else []:
        if isinstance(pair, list) and len(pair) >= 2 and str(pair[0]).isdigit() and isinstance(pair[1], str):
            found.append((int(pair[0]) / 1e9, pair[1]))
    return found
