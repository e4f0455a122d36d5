"""A DCGM exporter's series out of a Prometheus, as the pages that the exporter showed then. Looks only."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from sickbay.checks.gpu.dcgm_look import pulse
from sickbay.checks.gpu.dcgm_page import FIELDS
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import Look
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import PrometheusSource
from sickbay.plugins.sources.prometheus import ask, matcher
from sickbay.plugins.sources.prometheus_clock import asked_time
from sickbay.plugins.sources.prometheus_reads import Scrapes, pages_of, scrapes_of
from sickbay.plugins.sources.prometheus_series import Series, utc

__all__ = ["stored_dcgm"]

WINDOW_MIN_S = 300.0
"""Ten collections of an exporter that collects every 30 s."""
STALE_S = 120.0


async def stored_dcgm(look: Look, window_s: float) -> dict[str, Any]:
    """The pages of the window that ended at the time asked for (or now), one a scrape.

    Returns:
        As `read_dcgm` gives them, and beside it the `query` as executed, `to_s`, and `notes` of clocks and gaps.

    Raises:
        ProbeError: no selector of the GPUs, no answer, no series, or none near that time.
    """
    source = look.target.prometheus
    if source is None or not source.gpu_selector:
        raise ProbeError(
            UnknownReason.NOT_CONFIGURED,
            "the GPUs of that time are known to Prometheus alone: give the labels of the exporter's series, e.g. "
            "--gpu-selector 'Hostname=\"gpu-7\"', or prometheus.gpu_selector",
        )
    ends_s, clock = await asked_time(look, source)
    window_s = max(window_s, WINDOW_MIN_S)
    query = matcher(FIELDS, source.gpu_selector, range_s=window_s)
    answer = await ask(look, source, query, ends_s)
    series = [one for one in answer.series if one.samples]
    if not series:
        raise ProbeError(UnknownReason.ABSENT, _nothing(source, ends_s, window_s, answer.warnings))
    scrapes = scrapes_of(series, ())
    if ends_s - scrapes.times[-1] > max(STALE_S, 3 * scrapes.interval_s):
        raise ProbeError(
            UnknownReason.ABSENT,
            f"stale: the newest sample of {source.gpu_selector} is {ends_s - scrapes.times[-1]:.0f} s older than "
            f"{utc(ends_s)}; the exporter or its scrape stopped",
        )
    hosts = [host for url in (look.target.direct_url, look.target.url) if (host := urlsplit(url).hostname)]
    return {
        "window_s": round(scrapes.times[-1] - scrapes.times[0], 3),
        "reads": _reads(series, scrapes),
        "failed": [],
        "hosts": hosts,
        "gpus": look.target.gpus,
        "query": query,
        "to_s": round(scrapes.times[-1], 3),
        "notes": [
            *([clock] if clock else []),
            *(f"Prometheus says: {each}" for each in answer.warnings),
            *_gaps(scrapes),
        ],
    }


def _nothing(source: PrometheusSource, ends_s: float, window_s: float, warnings: tuple[str, ...]) -> str:
    when = f"from {utc(ends_s - window_s)} to {utc(ends_s)}"
    partial = f", and the answer is not whole: {'; '.join(warnings)}" if warnings else ""
    return f"no series of a DCGM exporter fits {source.gpu_selector} {when}{partial}"


def _gaps(scrapes: Scrapes) -> list[str]:
    return [f"gap: no sample for {gap.seconds:.0f} s after {utc(gap.from_s)}" for gap in scrapes.gaps[:4]]


def _reads(series: list[Series], scrapes: Scrapes) -> list[dict[str, Any]]:
    """The first page, and each that was collected anew: Prometheus may scrape more often than the exporter collects."""
    found: list[dict[str, Any]] = []
    for page in pages_of(series, (), (), scrapes):
        read = {"at_s": page["at_s"], "lines": page["lines"]}
        if not found or pulse(read) != pulse(found[-1]):
            found.append(read)
    return found
