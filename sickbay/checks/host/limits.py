# ruff: noqa: S108  # shared memory is looked at, nothing is written there
"""host.limits: shared memory, open files, tasks, locked memory, huge pages, tracked connections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.checks.host.judging import NOT_LOCAL, not_here, outcome_of
from sickbay.engine.model.check import Check, Cost, Raw, Result
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["HostLimits"]

_MIB = 2**20
_UNLIMITED = "unlimited"


class HostLimits(Check):
    """Limits that stop an engine at start or under load, and how near it is to them.

    `/dev/shm` of 64 MiB (the default of a container) breaks engines that run as several processes: their workers
    exchange data there.
    """

    name = "host.limits"
    title = "Do shared memory, files, tasks and locked memory suffice"
    emits = (
        "host.shm_total_bytes",
        "host.shm_used_ratio",
        "host.open_files_ratio",
        "host.tasks_ratio",
        "host.memlock_limited",
        "host.hugepages_unused_bytes",
        "host.conntrack_used_ratio",
    )
    isolated = True
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "shm_bytes_min": {
                "type": "number", "minimum": 0, "default": 65 * _MIB,
                "description": "smallest /dev/shm; the default tells a container's 64 MiB from a chosen size",
            },
            "used_warn": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.8},
            "used_fail": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.95},
            "hugepages_unused_warn_bytes": {"type": "number", "minimum": 0, "default": 1024 * _MIB},
        },
    }  # fmt: skip
    sources = (
        "64 MiB of shared memory in a container: Docker run reference, --shm-size; vLLM asks for more or --ipc=host",
        "80 % and 95 % of a limit: leptonai/gpud's file and process components; rounded",
        "RDMA needs unlimited locked memory: NVIDIA NCCL user guide, troubleshooting",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """No request."""
        return Cost(seconds=3.0, usual_s=0.3)

    def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Read /proc and the size of /dev/shm."""
        if not look.target.is_local:
            return NOT_LOCAL
        from sickbay.checks.host.limits_look import look_limits  # late: what a check says of itself must load fast

        return look_limits(look)

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Warn near a limit, fail at it."""
        if (result := not_here(raw, self.emits)) is not None:
            return result
        signals = {**_shm(raw), **_engine(raw), **_host(raw)}
        fail, warn = [], []
        total = signals["host.shm_total_bytes"].value
        if isinstance(total, float) and total < params["shm_bytes_min"]:
            warn.append(
                f"/dev/shm has {total / _MIB:.0f} MiB, at least {params['shm_bytes_min'] / _MIB:.0f} are wanted"
            )
        for name, words in (
            ("host.shm_used_ratio", "/dev/shm is {:.0%} full"),
            ("host.open_files_ratio", "the engine has {:.0%} of its open files in use"),
            ("host.tasks_ratio", "{:.0%} of the tasks that may run are there"),
            ("host.conntrack_used_ratio", "the connection table is {:.0%} full"),
        ):
            value = signals[name].value
            if isinstance(value, float) and value >= params["used_fail"]:
                fail.append(words.format(value))
            elif isinstance(value, float) and value >= params["used_warn"]:
                warn.append(words.format(value))
        unused = signals["host.hugepages_unused_bytes"].value
        if isinstance(unused, float) and unused > params["hugepages_unused_warn_bytes"]:
            warn.append(f"{unused / _MIB:.0f} MiB are reserved for huge pages and unused")
        if raw["rdma"] and signals["host.memlock_limited"].value is True:
            warn.append("the engine may lock only a part of memory, and this host has RDMA devices")
        good = f"/dev/shm {total / _MIB:.0f} MiB, no limit near" if isinstance(total, float) else "no limit near"
        return Result(
            outcome=outcome_of(fail, warn, signals.values()), summary="; ".join(fail + warn) or good, signals=signals
        )


def _shm(raw: Raw) -> dict[str, Reading]:
    shm = raw["shm"]
    if "error" in shm or not shm["total_bytes"]:
        nothing = unknown(UnknownReason.ABSENT, shm.get("error", "/dev/shm has no size"))
        return {"host.shm_total_bytes": nothing, "host.shm_used_ratio": nothing}
    used = 1 - shm["free_bytes"] / shm["total_bytes"]
    return {
        "host.shm_total_bytes": measured(shm["total_bytes"], "statvfs of /dev/shm"),
        "host.shm_used_ratio": measured(used, "statvfs of /dev/shm"),
    }


def _engine(raw: Raw) -> dict[str, Reading]:
    names = ("host.open_files_ratio", "host.memlock_limited")
    limits = raw["limits"]
    if not limits:
        return dict.fromkeys(names, unknown(UnknownReason.ABSENT, raw["limits_error"]))
    found: dict[str, Reading] = {}
    most, files = limits.get("Max open files"), raw["open_files"]
    if files is None:
        found[names[0]] = unknown(
            UnknownReason.PERMISSION, "the engine's open files may not be listed; run as its user"
        )
    elif most in {None, _UNLIMITED}:
        found[names[0]] = measured(0.0, "no limit on open files")
    else:
        found[names[0]] = measured(files / max(1, int(most)), "/proc/PID/fdinfo over Max open files")
    lock = limits.get("Max locked memory")
    found[names[1]] = (
        measured(lock != _UNLIMITED, f"Max locked memory: {lock}")
        if lock
        else unknown(UnknownReason.ABSENT, "/proc/PID/limits has no locked memory")
    )
    return found


def _host(raw: Raw) -> dict[str, Reading]:
    found: dict[str, Reading] = {}
    ratios = [(count / most, words) for count, most, words in raw["tasks"] if most]
    if ratios:
        ratio, words = max(ratios)
        found["host.tasks_ratio"] = measured(ratio, words)
    else:
        found["host.tasks_ratio"] = unknown(UnknownReason.ABSENT, "no limit on tasks is readable")
    pages, size = raw["hugepages_free"], raw["hugepage_bytes"]
    found["host.hugepages_unused_bytes"] = (
        measured(pages * size, "HugePages_Free of /proc/meminfo")
        if pages is not None and size
        else unknown(UnknownReason.UNSUPPORTED, "/proc/meminfo has no huge pages")
    )
    used, most = raw["conntrack"]
    found["host.conntrack_used_ratio"] = (
        measured(used / most, "nf_conntrack_count over nf_conntrack_max")
        if used is not None and most
        else unknown(UnknownReason.UNSUPPORTED, "this host tracks no connections, or does not tell")
    )
    return found
