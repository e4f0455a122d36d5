"""Reading a DCGM exporter's page until it was collected anew. Looks only."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from sickbay.checks.gpu.dcgm_page import FIELDS, FRESH_FIELDS
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.measure.exposition import CUT, check_page, keep_lines
from sickbay.engine.model.look import Look
from sickbay.engine.model.signal import UnknownReason

__all__ = ["pulse", "read_dcgm"]

STEP_S = 1.0
TIMEOUT_S = 8.0


async def read_dcgm(look: Look, window_s: float) -> dict[str, Any]:
    """The page at the start, and each page within the window on which a fast field had moved.

    The exporter collects on its own clock (30 s unless started with -c), so two reads of the same collection say
    nothing of change: only pages that differ are kept, with the time at which they were first seen.

    Raises:
        ProbeError: the page cannot be read at all.
    """
    began = look.clock.monotonic()
    reads = [await _read(look, began)]
    failed: list[str] = []
    ends = began + min(window_s, max(0.0, look.remaining_s - 1.0))
    while look.clock.monotonic() < ends:
        await look.clock.sleep(min(STEP_S, max(0.0, ends - look.clock.monotonic())))
        try:
            read = await _read(look, began)
        except BudgetExceededError:
            raise
        except ProbeError as error:
            failed.append(error.detail)
            continue
        if pulse(read) != pulse(reads[-1]):
            reads = [*reads[:3], read] if len(reads) < 4 else [*reads[:-1], read]
    hosts = [host for url in (look.target.direct_url, look.target.url) if (host := urlsplit(url).hostname)]
    return {
        "window_s": round(look.clock.monotonic() - began, 3), "reads": reads, "failed": failed[-1:], "hosts": hosts,
        "gpus": look.target.gpus,
    }  # fmt: skip


async def _read(look: Look, began: float) -> dict[str, Any]:
    url = look.target.dcgm_url
    if url.count("/") < 3 or url.endswith("/"):
        url = f"{url.rstrip('/')}/metrics"
    answer = await look.http.request("GET", url, timeout_s=max(0.2, min(TIMEOUT_S, look.remaining_s - 0.3)))
    where = f"GET {url}"
    if answer.status in {401, 403}:
        raise ProbeError(UnknownReason.AUTH, f"{where} answers {answer.status}: the exporter's page is guarded")
    if answer.status != 200:
        raise ProbeError(
            UnknownReason.ABSENT,
            f"{where} answers {answer.status}, wanted 200; a DCGM exporter listens on :9400/metrics",
        )
    kept = keep_lines(check_page(answer, where=where), FIELDS)
    if not kept.lines:
        raise ProbeError(
            UnknownReason.ABSENT,
            f"{where}: no line begins with DCGM_; is this another exporter, or does it see no GPU?",
        )
    cut = next((text for text in kept.oddities if text.startswith(CUT)), "")
    if cut:
        raise ProbeError(UnknownReason.MALFORMED, f"{where}: {cut}; the devices behind it are not known")
    return {"at_s": round(look.clock.monotonic() - began, 3), "lines": list(kept.lines)}


def pulse(read: dict[str, Any]) -> list[str]:
    """The lines that move between two collections."""
    return [line for line in read["lines"] if line.startswith(FRESH_FIELDS)]
