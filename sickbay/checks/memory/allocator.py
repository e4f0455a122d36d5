"""memory.allocator: what torch's allocator held, from a snapshot or statistics file the engine wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.engine.model.check import Check, Cost, Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["MemoryAllocator"]

BYTES_MAX = 256_000_000
ONE_SITE = 0.8
"""One call site with this share of all growth is where it leaks (own choice)."""
_PIECES = 0.5


class MemoryAllocator(Check):
    """Sum a snapshot of `torch.cuda.memory._dump_snapshot` (or `torch.cuda.memory_stats()` as JSON).

    Fragmentation is the share of the free bytes that cannot be had in one piece. With an earlier snapshot of the same
    process the call sites that grew are named. Nothing in the file is run: a pickle that names a function is refused.
    """

    name = "memory.allocator"
    title = "What did torch's allocator hold: in use, free in pieces, in private pools, and what grew"
    isolated = True
    needs = ("host",)
    emits = (
        "memory.allocator_reserved_bytes",
        "memory.allocator_allocated_bytes",
        "memory.allocator_free_bytes",
        "memory.allocator_largest_free_bytes",
        "memory.fragmentation_ratio",
        "memory.allocator_waste_ratio",
        "memory.alloc_retries",
        "memory.oom",
        "memory.oom_place",
        "memory.oom_requested_bytes",
        "memory.oom_free_bytes",
        "memory.oom_reserved_unused_bytes",
        "memory.oom_graph_pool_bytes",
        "memory.one_site_grows",
        "memory.growing_site",
    )
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "path": {"type": "string", "default": "", "description": "the snapshot or statistics; empty: none"},
            "earlier": {"type": "string", "default": "", "description": "an earlier snapshot of the same process"},
            "growth_bytes_min": {
                "type": "number",
                "minimum": 0,
                "default": 67_108_864,
                "description": "growth between the snapshots below this is none (own choice)",
            },
        },
    }
    sources = (
        "fields: pytorch.org/docs/stable/torch_cuda_memory.html; statistics: torch.cuda.memory_stats",
        "a growing number of retries comes before the failure: PyTorch CUDA memory management notes",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """A file is read, where one is given."""
        return Cost(seconds=8.0 if params["path"] else 0.2)

    def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Read and sum the files; no frame but the largest sites' leaves this function."""
        if not params["path"]:
            return {"given": False}
        # Late: what a check says of itself must load fast.
        from sickbay.checks.memory.snapshot_file import parse_file
        from sickbay.checks.memory.snapshot_sums import sums

        found: Raw = {"given": True, "path": params["path"]}
        for key, path in (("last", params["path"]), ("first", params["earlier"])):
            if path:
                data = look.files.read_bytes(path, bytes_max=BYTES_MAX)
                found[key] = sums(parse_file(data, path))
        return found

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Warn on retries, a recorded failure, or one site that grows."""
        if not raw["given"]:
            words = "no allocator snapshot was given (torch.cuda.memory._dump_snapshot in the engine, then `path`)"
            nothing = dict.fromkeys(self.emits, unknown(UnknownReason.NOT_CONFIGURED, words))
            return Result(outcome=Outcome.SKIP, summary=words, signals=nothing)
        last, where = raw["last"], raw["path"]
        signals = _signals(last, where) | _growth(raw, params)
        said = [f"{last['reserved'] / 2**30:.2f} GiB reserved, {last['allocated'] / 2**30:.2f} GiB in use"]
        ratio = signals["memory.fragmentation_ratio"].value
        if isinstance(ratio, float):
            said.append(f"{ratio:.0%} of {last['free'] / 2**30:.2f} GiB free lie in pieces")
        if last["failure"]:
            asked, free = (last["failure"][key] / 2**20 for key in ("asked", "device_free"))
            said.append(f"{asked:.0f} MiB could not be had with {free:.0f} MiB free on the device")
        if last["retries"]:
            said.append(f"the cache was flushed {last['retries']} times")
        grows = signals["memory.one_site_grows"].value is True
        if grows:
            said.append(f"growth comes from {signals['memory.growing_site'].value}")
        bad = bool(last["failure"]) or bool(last["retries"]) or grows
        return Result(outcome=Outcome.WARN if bad else Outcome.PASS, summary="; ".join(said), signals=signals)


def _signals(last: Mapping[str, Any], where: str) -> dict[str, Reading]:
    def told(key: str, why: str) -> Reading:
        return (
            unknown(UnknownReason.UNSUPPORTED, f"{where}: {why}") if last[key] is None else measured(last[key], where)
        )

    failure = last["failure"]
    none = unknown(UnknownReason.ABSENT, f"{where}: no failed allocation is recorded")
    largest = last["free_largest"]
    pieces = (
        unknown(UnknownReason.UNSUPPORTED, f"{where}: statistics do not tell the size of the pieces")
        if largest is None
        else unknown(UnknownReason.UNSUPPORTED, f"{where}: nothing is free in the allocator")
        if not last["free"]
        else measured(1 - largest / last["free"], f"{where}: free bytes outside the largest free piece")
    )
    requested = last["requested"]
    return {
        "memory.allocator_reserved_bytes": measured(last["reserved"], where),
        "memory.allocator_allocated_bytes": measured(last["allocated"], where),
        "memory.allocator_free_bytes": measured(last["free"], where),
        "memory.allocator_largest_free_bytes": told("free_largest", "statistics do not tell the size of the pieces"),
        "memory.fragmentation_ratio": pieces,
        "memory.allocator_waste_ratio": measured(1 - requested / last["allocated"], f"{where}: rounding up")
        if requested is not None and last["allocated"]
        else unknown(UnknownReason.UNSUPPORTED, f"{where}: the sizes that were asked for are not told"),
        "memory.alloc_retries": told("retries", "a snapshot does not count retries; give torch.cuda.memory_stats()"),
        "memory.oom": measured(True, where) if failure or last["ooms"] else none,
        "memory.oom_place": measured("device", where) if failure else none,
        "memory.oom_requested_bytes": measured(failure["asked"], where) if failure else none,
        "memory.oom_free_bytes": measured(failure["device_free"], where) if failure else none,
        "memory.oom_reserved_unused_bytes": measured(last["free"], where) if failure else none,
        "memory.oom_graph_pool_bytes": told("pools", "statistics do not tell private pools"),
    }


def _growth(raw: Raw, params: Mapping[str, Any]) -> dict[str, Reading]:
    from sickbay.checks.memory.snapshot_sums import grown  # late, as in look

    names = ("memory.one_site_grows", "memory.growing_site")
    if "first" not in raw:
        return dict.fromkeys(names, unknown(UnknownReason.NOT_CONFIGURED, "no earlier snapshot was given"))
    rows = list(grown(raw["first"]["sites"], raw["last"]["sites"]))
    total = sum(size for _, size in rows)
    if total < params["growth_bytes_min"]:
        words = f"{total / 2**20:.0f} MiB grew between the snapshots"
        return {names[0]: measured(False, words), names[1]: measured("none", words)}
    site, size = rows[0]
    words = f"{size / 2**20:.0f} of {total / 2**20:.0f} MiB of growth"
    if site == "not recorded":
        why = "the snapshots hold no call sites; call torch.cuda.memory._record_memory_history first"
        return dict.fromkeys(names, unknown(UnknownReason.DISABLED, why))
    return {names[0]: measured(size >= ONE_SITE * total, words), names[1]: measured(site, words)}
