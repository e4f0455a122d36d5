"""A Prometheus asked over its HTTP API: raw samples of named series at a given time, and every refusal told.

Only `/api/v1/query` is used, with range selectors (`{…}[300s]`): they give each sample at the time of its scrape,
where `query_range` would repeat values on a grid and hide gaps (prometheus.io/docs/prometheus/latest/querying/api).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import HttpResponse, Look
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import PrometheusSource
from sickbay.plugins.sources.prometheus_series import Series, written_out

__all__ = ["Answer", "Series", "ask", "matcher", "quoted"]

TIMEOUT_S = 15.0
BYTES_MAX = 16_000_000
SERIES_MAX = 5_000
SAMPLES_MAX = 400_000
QUERY_CHARS_MAX = 12_000
_BUSY = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one query gave.

    Attributes:
        query, at_s: as executed.
        warnings: what Prometheus itself said about the answer ("partial response").
        server_s: the server's clock when it answered (Unix seconds); None when it told none.
    """

    query: str
    at_s: float
    series: tuple[Series, ...]
    warnings: tuple[str, ...] = ()
    server_s: float | None = None


def matcher(names: Sequence[str], selector: str = "", *, range_s: float | None = None) -> str:
    """The selector of several metric names, as PromQL, e.g. `{__name__=~"a|b",job="vllm"}[300s]`."""
    inside = selector.strip().strip("{}").strip().strip(",")
    wanted = "|".join(dict.fromkeys(names))
    text = f'{{__name__=~"{wanted}"{"," + inside if inside else ""}}}'
    return text if range_s is None else f"{text}[{max(1, math.ceil(range_s))}s]"


def quoted(value: str) -> str:
    """A label's value as PromQL writes it, quotes included (prometheus.io/docs/prometheus/latest/querying/basics)."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


async def ask(look: Look, source: PrometheusSource, query: str, at_s: float | None) -> Answer:
    """One instant query, at a time or (None) at Prometheus's own now.

    Raises:
        ProbeError: no answer, auth, a query that is refused, or an answer that is none of Prometheus.
    """
    if len(query) > QUERY_CHARS_MAX:
        raise ProbeError(
            UnknownReason.TOO_LARGE, f"the query has {len(query)} characters, wanted at most {QUERY_CHARS_MAX}"
        )
    parameters = urlencode({"query": query} | ({} if at_s is None else {"time": f"{at_s:.3f}"}))
    url = f"{source.url.rstrip('/')}/api/v1/query?{parameters}"
    where = f"Prometheus at {source.url}"
    try:
        answer = await look.http.request(
            "GET", url, timeout_s=max(0.2, min(TIMEOUT_S, look.remaining_s - 0.3)), bytes_max=BYTES_MAX
        )
    except ProbeError as error:
        detail = error.detail.replace(url, f"{source.url}/api/v1/query")
        raise ProbeError(error.reason, f"{where} does not answer: {detail}") from error
    return _read(answer, query, look.clock.wall() if at_s is None else at_s, where)


def _read(answer: HttpResponse, query: str, at_s: float, where: str) -> Answer:
    if answer.truncated:
        raise ProbeError(
            UnknownReason.TOO_LARGE,
            f"{where}: the answer is over {BYTES_MAX} bytes; narrow the selector, or take a shorter window_s",
        )
    if answer.status in {401, 403}:
        tenant = "org id" in answer.text[:200]
        wants = "it has several tenants: send X-Scope-OrgID through a proxy" if tenant else (
            "it wants credentials; give prometheus.api_key, or the address of a proxy that adds them"
        )  # fmt: skip
        raise ProbeError(UnknownReason.AUTH, f"{where} answers {answer.status}: {wants}")
    body = _body(answer, where)
    if body.get("status") != "success":
        kind, said = str(body.get("errorType", ""))[:40], str(body.get("error", ""))[:300]
        late = kind in {"timeout", "canceled"} or answer.status in _BUSY
        reason = UnknownReason.TIMEOUT if late else UnknownReason.MALFORMED
        raise ProbeError(
            reason,
            f"{where} refuses the query ({answer.status} {kind}): {said or 'no message'}; the query was {query!r}",
        )
    data = body.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("result"), list):
        raise ProbeError(UnknownReason.MALFORMED, f"{where}: wanted data.result, found {str(body)[:80]!r}")
    return Answer(
        query=query,
        at_s=at_s,
        series=_series(data["result"], where),
        warnings=_warnings(body),
        server_s=_date(answer.headers.get("date", "")),
    )


def _body(answer: HttpResponse, where: str) -> dict[str, Any]:
    try:
        body = answer.json()
    except ProbeError:
        body = None
    if answer.status in _BUSY and (not isinstance(body, dict) or "status" not in body):
        raise ProbeError(
            UnknownReason.TIMEOUT,
            f"{where} answers {answer.status} ({answer.text.strip()[:80] or 'no message'}): "
            f"{'it takes no more queries now' if answer.status == 429 else 'the proxy in front of it got no answer'}; "
            "try again",
        )
    if not isinstance(body, dict) or "status" not in body:
        raise ProbeError(
            UnknownReason.MALFORMED,
            f"{where} answers {answer.status} with {answer.text[:60]!r}, wanted JSON with status and data; is this "
            "address a Prometheus (or Thanos, Mimir, VictoriaMetrics) query API? Mimir's begins with /prometheus",
        )
    return body


def _series(rows: list[Any], where: str) -> tuple[Series, ...]:
    if len(rows) > SERIES_MAX:
        raise ProbeError(
            UnknownReason.TOO_LARGE,
            f"{where}: {len(rows)} series match, wanted at most {SERIES_MAX}; narrow the selector",
        )
    found: list[Series] = []
    total = 0
    for row in rows:
        labels = row.get("metric") if isinstance(row, dict) else None
        if not isinstance(labels, dict):
            continue
        native = row.get("histograms") or ([row["histogram"]] if "histogram" in row else [])
        if native:
            written = written_out(labels, native)
            total += sum(len(one.samples) for one in written)
            found += written
        pairs = row.get("values") or ([row["value"]] if "value" in row else [])
        samples = tuple(sample for pair in pairs if (sample := _sample(pair)) is not None)
        total += len(samples)
        if total > SAMPLES_MAX:
            raise ProbeError(
                UnknownReason.TOO_LARGE, f"{where}: over {SAMPLES_MAX} samples match; take a shorter window_s"
            )
        if samples or not native:
            found.append(Series({str(key): str(value)[:500] for key, value in labels.items()}, tuple(sorted(samples))))
    return tuple(found)


def _warnings(body: Mapping[str, Any]) -> tuple[str, ...]:
    """What the answer says of itself: Thanos warns of stores that did not answer, VictoriaMetrics marks it partial."""
    given = body.get("warnings")
    told = [str(each)[:200] for each in (given if isinstance(given, list) else [])[:4]]
    return (*told, *(["partial response (isPartial)"] if body.get("isPartial") is True else []))


def _sample(pair: Any) -> tuple[float, float] | None:
    """Time and value; NaN stays a NaN (a gauge may say it), what is no pair of numbers is left out."""
    try:
        at_s, value = float(pair[0]), float(pair[1])
    except (TypeError, ValueError, IndexError, KeyError):
        return None
    return (at_s, value) if math.isfinite(at_s) else None


def _date(text: str) -> float | None:
    """The HTTP Date header (whole seconds)."""
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (ValueError, TypeError, OverflowError):
        return None
