"""The server's own time to first token of one request, from its metrics page before and after it.

Engines without per-request timings (vLLM, SGLang, TensorRT-LLM) still count every first token in a histogram. When
the count rose by exactly one over our request, the sum's rise is our request's; otherwise users' requests are in it
and nothing is said.
"""

from __future__ import annotations

from sickbay.checks.probe.prepare import TIME_LEFT_MIN_S, time_left
from sickbay.checks.serving.page import page_url
from sickbay.engine.errors import ProbeError
from sickbay.engine.measure.exposition import check_page, keep_lines, parse_lines
from sickbay.engine.measure.series import matched_name, values_of
from sickbay.engine.model.engine_spec import MetricMap
from sickbay.engine.model.look import EngineFound, Look

__all__ = ["ServerClock"]

QUANTITY = "ttft_s"
PAGE_BYTES_MAX = 4_000_000
PAGE_TIMEOUT_S = 3.0
LATE_S = 1.0


class ServerClock:
    """Reads the histogram of first tokens around requests; silent once a read failed."""

    def __init__(self, look: Look, found: EngineFound | None) -> None:
        self._look = look
        self._metric = self._metric_of(found)
        self._url = page_url(look.target, found.spec) if found and self._metric else ""
        self._mirrors = found.spec.mirror_labels if found else ()
        self._last: tuple[float, float] | None = None

    @staticmethod
    def _metric_of(found: EngineFound | None) -> MetricMap | None:
        metric = found.spec.metrics.get(QUANTITY) if found and found.spec.metrics_format == "prometheus" else None
        return metric if metric is not None and metric.kind == "histogram" else None

    async def start(self) -> None:
        """Read before the first request."""
        self._last = await self._read()

    async def lap(self) -> dict[str, float]:
        """What was counted since the last read: `count` and `sum_s`; {} when it cannot be said."""
        if self._last is None:
            return {}
        before, self._last = self._last, await self._read()
        if self._last is None:
            return {}
        return {"count": self._last[0] - before[0], "sum_s": round(self._last[1] - before[1], 6)}

    async def late(self, counted: float) -> float | None:
        """What is counted a moment later, when nothing was so far: some engines count a request after its end.

        None when nothing can be said, or when there is nothing to wait for.
        """
        if self._last is None or counted > 0 or time_left(self._look) < LATE_S + TIME_LEFT_MIN_S:
            return None
        await self._look.clock.sleep(LATE_S)
        return (await self.lap()).get("count")

    async def _read(self) -> tuple[float, float] | None:
        metric = self._metric
        if metric is None or not self._url or time_left(self._look) < TIME_LEFT_MIN_S:
            return None
        try:
            answer = await self._look.http.request(
                "GET",
                self._url,
                direct=True,
                bytes_max=PAGE_BYTES_MAX,
                timeout_s=min(PAGE_TIMEOUT_S, time_left(self._look)),
            )
            if answer.status != 200:
                return None
            kept = keep_lines(check_page(answer, where=f"GET {self._url}"), metric.names, light=True)
        except ProbeError:
            return None  # serving.window tells why; here it only means one comparison less
        page = parse_lines(kept.lines)
        plain = MetricMap(names=(), labels=metric.labels)
        name = matched_name(metric, page)
        counts, sums = (values_of(plain, page, f"{name}_{part}", self._mirrors) for part in ("count", "sum"))
        if not name or not counts or counts.keys() != sums.keys():
            return None
        return sum(counts.values()), sum(sums.values()) * metric.scale
