"""A snapshot of torch's allocator as a few sums. Pure; every field is checked, because the file came from elsewhere.

Fields: pytorch.org/docs/stable/torch_cuda_memory.html, `_Snapshot`, `_Segment`, `_Block` and `_TraceEntry`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

__all__ = ["grown", "sums"]

_IN_USE = ("active_allocated", "active_awaiting_free", "active_pending_free")
_DEFAULT_POOL = (0, 0)
_SITES_KEPT = 40
_FRAME_SKIP = ("torch/", "site-packages/torch", "??")


def sums(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """Bytes by state, the largest free piece, what private pools hold, the last failure, and bytes by call site.

    Returns:
        `reserved`, `allocated`, `requested` (None where the torch is too old), `free` (reserved and not given out),
        `free_largest`, `pools` (bytes in private pools), `segments`, `retries`, `ooms` (None: not told), `failure`
        (`asked`, `device_free` of the last recorded one, or {}), and `sites` (call site -> bytes, the largest).
    """
    found: dict[str, Any] = {"reserved": 0, "allocated": 0, "free": 0, "free_largest": 0, "pools": 0, "segments": 0}
    requested, told = 0, True
    sites: Counter[str] = Counter()
    for segment in _rows(snapshot.get("segments")):
        found["segments"] += 1
        size = _size(segment, "total_size")
        found["reserved"] += size
        if _private(segment):
            found["pools"] += size
        free_whole = 0
        for block in _rows(segment.get("blocks")):
            amount = _size(block, "size")
            if block.get("state") in _IN_USE:
                found["allocated"] += amount
                told = told and "requested_size" in block
                requested += _size(block, "requested_size")
                sites[_site(block.get("frames"))] += amount
            else:
                found["free"] += amount
                # A piece of a private pool serves only its own graph.
                free_whole = max(free_whole, 0 if _private(segment) else amount)
        found["free_largest"] = max(found["free_largest"], free_whole)
    found["requested"] = requested if told and found["segments"] else None
    given = snapshot.get("stats")
    stats: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    if stats and not found["segments"]:
        found |= _from_statistics(stats)
    found["retries"], found["ooms"] = (_number(stats, key) for key in ("num_alloc_retries", "num_ooms"))
    found["failure"] = _failure(snapshot.get("device_traces"))
    found["sites"] = dict(sites.most_common(_SITES_KEPT))
    return found


def _from_statistics(stats: Mapping[str, Any]) -> dict[str, Any]:
    """The same from `torch.cuda.memory_stats()`; the largest piece is not told there."""
    reserved, allocated = (_number(stats, f"{name}_bytes.all.current") or 0 for name in ("reserved", "allocated"))
    return {
        "reserved": reserved,
        "allocated": allocated,
        "requested": _number(stats, "requested_bytes.all.current"),
        "free": max(0, reserved - allocated),
        "free_largest": None,
        "split": _number(stats, "inactive_split_bytes.all.current"),
        "pools": None,
    }


def _rows(value: Any) -> Iterator[Mapping[str, Any]]:
    yield from (each for each in value if isinstance(each, Mapping)) if isinstance(value, list) else ()


def _number(row: Mapping[str, Any], key: str) -> int | None:
    value = row.get(key)
    return int(value) if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _size(row: Mapping[str, Any], key: str) -> int:
    return _number(row, key) or 0


def _private(segment: Mapping[str, Any]) -> bool:
    """Whether it belongs to a captured graph's or another private pool."""
    pool = segment.get("segment_pool_id", _DEFAULT_POOL)
    return isinstance(pool, (list, tuple)) and tuple(pool) != _DEFAULT_POOL


def _failure(traces: Any) -> dict[str, int]:
    """The last recorded failure of any device."""
    found: dict[str, int] = {}
    for trace in traces if isinstance(traces, list) else ():
        for entry in _rows(trace):
            if entry.get("action") == "oom":
                found = {"asked": _size(entry, "size"), "device_free": _size(entry, "device_free")}
    return found


def _site(frames: Any) -> str:
    """The innermost frame that is not torch's own, as file:line function."""
    for frame in _rows(frames):
        name = str(frame.get("filename", "??"))
        if not any(part in name for part in _FRAME_SKIP):
            return f"{'/'.join(name.split('/')[-3:])}:{frame.get('line', '?')} {frame.get('name', '?')}"[:160]
    return "not recorded"


def grown(first: Mapping[str, int], last: Mapping[str, int]) -> Iterable[tuple[str, int]]:
    """Call sites by growth between two snapshots, the largest first."""
    rows = ((site, last.get(site, 0) - first.get(site, 0)) for site in {*first, *last})
    return sorted(((site, size) for site, size in rows if size > 0), key=lambda row: (-row[1], row[0]))
