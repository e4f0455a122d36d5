"""Is it one server under two names? Its own counters tell: a request to the one name moves them under the other.

Counters of one process never fall, in whatever order its two names are read. So both are read in turn, with requests
to the candidate alone in between: of two servers, the baseline's counters fall behind the candidate's by them, or
never fitted between its readings. Traffic of others moves counters too, and makes none fall.

What counts its requests nowhere (a bare gateway), and a name behind which several replicas take turns, is not
recognised; see `docs/gates.md`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence

from sickbay.engine.errors import ProbeError
from sickbay.engine.gate.arm import Arm
from sickbay.engine.run.http import StepHttp

__all__ = ["one_server", "same_counters"]

PROBES = 3
"""Requests to the candidate alone. llama.cpp counts our own readings as well, and two could still be met by chance."""
TIMEOUT_S = 20.0
SERIES_MAX = 5000
_COUNTER = re.compile(r"^([A-Za-z_][\w:]*_(?:total|count|sum))(\{[^}]*\})?\s+([0-9][0-9.eE+-]*)\s*$", re.MULTILINE)
_BY_ITSELF = re.compile(r"^(?:process|python|http)_|uptime|time_seconds|_created")
"""Counters that the reading moves, or time."""
TASK = "slots: id_task"


async def one_server(ours: Arm, theirs: Arm) -> str:
    """A counter that shows one process behind both names; "" where none does. At most three answers of one token."""
    if ours.endpoint.model != theirs.endpoint.model:
        return ""
    try:
        reads = [await _counters(ours), await _counters(theirs)]
        for _ in range(PROBES):
            if not reads[0].keys() & reads[1].keys() or not await _asked(ours):
                return ""
            reads += [await _counters(ours), await _counters(theirs)]
    except ProbeError:
        return ""
    return same_counters(reads)


def same_counters(reads: Sequence[Mapping[str, float]]) -> str:
    """A counter that only one process can have counted so; "" without.

    Args:
        reads: of the two names in turn; before each reading of the first name but the first it was asked once.
    """
    shared = set.intersection(*(set(read) for read in reads))
    if any(later[name] < earlier[name] for earlier, later in itertools.pairwise(reads) for name in shared):
        return ""
    moved = (name for name in shared if reads[-2][name] > reads[0][name] and reads[-1][name] > reads[1][name])
    return min((name for name in moved if not _BY_ITSELF.search(name)), default="")


async def _counters(arm: Arm) -> dict[str, float]:
    """Everything that only grows, of the metrics page and of llama.cpp's slots."""
    found: dict[str, float] = {}
    page = await StepHttp(arm.client).request("GET", "/metrics", timeout_s=TIMEOUT_S)
    if page.status == 200:
        for name, labels, value in itertools.islice(_COUNTER.findall(page.text), SERIES_MAX):
            try:
                found[f"{name}{labels}"] = float(value)
            except ValueError:
                continue
    if arm.engine in {"llamacpp", ""} and not found:
        slots = await StepHttp(arm.client).request("GET", "/slots", timeout_s=TIMEOUT_S)
        rows = slots.json() if slots.status == 200 else []
        tasks = [row.get("id_task") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        known = [task for task in tasks if isinstance(task, int)]
        found |= {TASK: float(max(known))} if known else {}
    return found


async def _asked(arm: Arm) -> bool:
    body = {"model": arm.endpoint.model, "messages": [{"role": "user", "content": "1"}], "max_tokens": 1}
    answer = await StepHttp(arm.client).request(
        "POST", arm.endpoint.path, json=body, timeout_s=TIMEOUT_S, generates=True
    )
    return answer.status == 200
