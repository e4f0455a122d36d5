"""gpu.memory: who holds device memory, and memory that belongs to nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.checks.gpu.devices import answering, blind, label, over, refusals, seen_outcome, worst_of
from sickbay.checks.gpu.reading import LOADS, cost_of, not_judged, read_devices, schema
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Check, Cost, Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["GpuMemory"]

_MIB = 2**20
_NOTHING = 8 * _MIB
"""An idle device shows 0 to a few MiB beside the driver's reserve."""


class GpuMemory(Check):
    """Device memory by owner: the engine, other processes, the driver, and nobody.

    Memory nobody owns is what is in use beyond the driver's reserve and all listed processes, plus what is listed for
    processes that do not live any more. Inside a container the driver's process numbers are mostly the host's, and
    under MIG a process' share may be missing: then ownership is unknown, never "nobody".
    """

    name = "gpu.memory"
    title = "Who holds the GPUs' memory"
    emits = (
        "gpu.memory_used_ratio",
        "gpu.memory_free_bytes",
        "gpu.memory_reserved_bytes",
        "gpu.other_process_bytes",
        "gpu.ownerless_bytes",
        "gpu.processes",
        "gpu.bar1_used_ratio",
    )
    isolated = True
    loads = LOADS
    params: ClassVar[Mapping[str, Any]] = schema(
        other_bytes_warn={
            "type": "number",
            "minimum": 0,
            "default": 500 * _MIB,
            "description": "held by other processes",
        },
        ownerless_bytes_fail={"type": "number", "minimum": 0, "default": 300 * _MIB, "description": "held by nobody"},
        expect_idle={
            "type": "boolean",
            "default": False,
            "description": "nothing should run here yet: every process is another one (node preflight)",
        },
    )
    sources = (
        "a leaked context makes the first start fail and the second succeed: vllm-project/vllm#50135",
        "only host process numbers, no owner in containers: NVIDIA/nvidia-docker#179, #1483",
        "500 MiB and 300 MiB: our own choice, below the smallest CUDA context with a model",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """No request."""
        return cost_of(params)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """The memory part of the inventory, and which of the listed processes live."""
        raw = await read_devices(look, params, "memory", also=("modes",))
        if not raw["local"]:
            return raw
        # Late: what a check says of itself must load fast.
        from sickbay.checks.host.container import container_mark
        from sickbay.checks.host.engine_process import engine_pids

        pids = {
            process["pid"]
            for device in raw["inventory"]["devices"]
            for process in device["values"].get("processes", [])
        }
        alive = {str(pid): _name(look, pid) for pid in sorted(pids)}
        # A number that belongs to somebody else here would be the wrong owner: the driver must be mapped into it.
        ours = all(_uses_driver(look, pid) for pid in pids)
        return {
            **raw,
            "alive": alive,
            "numbers_are_ours": ours,
            "container": container_mark(look.files),
            **engine_pids(look),
        }

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Warn on other processes, fail on memory that nobody owns."""
        if (result := not_judged(raw, self.emits)) is not None:
            return result
        devices = answering(raw)
        fail, warn = [], []
        hidden = blind(devices, ("memory", "processes"))
        for device in devices:
            nobody, other = _ownerless(device, raw), _others(device, raw, params)
            if nobody is not None and nobody > params["ownerless_bytes_fail"]:
                fail.append(f"{label(device)}: {nobody / _MIB:.0f} MiB in use belong to no live process")
            if other is not None and other > params["other_bytes_warn"]:
                warn.append(
                    f"{label(device)}: other processes hold {other / _MIB:.0f} MiB ({_names(device, raw, params)})"
                )
        signals = _signals(devices, raw, params)
        used = signals["gpu.memory_used_ratio"]
        if not used.known:
            return Result(
                outcome=Outcome.UNKNOWN, summary=f"no device tells its memory: {used.detail}", signals=signals
            )
        return Result(
            outcome=seen_outcome(fail, warn, hidden),
            summary="; ".join(fail + warn + hidden) or _good(devices, signals),
            signals=signals,
            next_step="find the parent of a dead owner (a worker group that was killed), else reset the GPU"
            if fail
            else "",
        )


def _name(look: Look, pid: int) -> str | None:
    """The process' name; None when no such process lives here."""
    try:
        return look.files.read_text(f"/proc/{pid}/comm", bytes_max=100).strip()
    except ProbeError:
        return None


def _uses_driver(look: Look, pid: int) -> bool:
    """Whether a process of this number, as seen here, has the driver's library or a device mapped."""
    try:
        maps = look.files.read_text(f"/proc/{pid}/maps", bytes_max=4_000_000)
    except ProbeError:
        return False
    return "/dev/nvidia" in maps or "libcuda" in maps


def _blind(device: Mapping[str, Any], raw: Raw) -> str:
    """Why ownership cannot be told on this device; "" when it can."""
    processes = device["values"].get("processes")
    if processes is None:
        return f"process list: {device['refused'].get('processes', 'no answer')}"
    if any(process["bytes"] is None for process in processes):
        return "the driver does not tell how much each process holds (MIG, or a driver without it)"
    if raw["container"] and not _numbers_are_ours(device, raw):
        return "inside a container the driver's process numbers are the host's; look from the host"
    return ""


def _numbers_are_ours(device: Mapping[str, Any], raw: Raw) -> bool:
    """Whether the driver's process numbers can be taken as ours, container or not.

    Every listed process must be here and use the driver; with none listed, nothing may be in use either.
    """
    memory = device["values"].get("memory")
    if not device["values"]["processes"]:
        return memory is not None and memory["used"] < _NOTHING
    return bool(raw.get("numbers_are_ours"))


def _ownerless(device: Mapping[str, Any], raw: Raw) -> float | None:
    """Bytes in use that belong to no live process; None when that cannot be told."""
    memory = device["values"].get("memory")
    if memory is None or "reserved" not in memory or _blind(device, raw):
        return None  # without the driver's reserve told apart, it would count as nobody's
    living = sum(p["bytes"] for p in device["values"]["processes"] if raw["alive"].get(str(p["pid"])) is not None)
    return float(max(0, memory["used"] - living))


def _foreign(device: Mapping[str, Any], raw: Raw, params: Mapping[str, Any]) -> list[Any]:
    engine = set() if params["expect_idle"] else set(raw["engine_pids"])
    processes = device["values"].get("processes", [])
    return [p for p in processes if p["pid"] not in engine and raw["alive"].get(str(p["pid"])) is not None]


def _others(device: Mapping[str, Any], raw: Raw, params: Mapping[str, Any]) -> float | None:
    """Bytes of live processes that are not the engine; None when engine or owners are not known."""
    if _blind(device, raw) or not (raw["engine_pids"] or params["expect_idle"]):
        return None
    return float(sum(process["bytes"] for process in _foreign(device, raw, params)))


def _names(device: Mapping[str, Any], raw: Raw, params: Mapping[str, Any]) -> str:
    rows = sorted(_foreign(device, raw, params), key=lambda process: -int(process["bytes"]))
    return ", ".join(f"{raw['alive'][str(process['pid'])]} pid {process['pid']}" for process in rows[:3])


def _signals(devices: list[Any], raw: Raw, params: Mapping[str, Any]) -> dict[str, Reading]:
    def memory(key: str) -> dict[str, float]:
        return over(devices, lambda device: device["values"].get("memory", {}).get(key))

    used = over(devices, lambda d: _ratio(d["values"].get("memory")))
    blind = sorted({words for device in devices if (words := _blind(device, raw))})
    no_engine = f"the engine's process is not known: {raw['engine_error']}"
    others = _seen_everywhere(over(devices, lambda device: _others(device, raw, params)), devices)
    nobody = _seen_everywhere(over(devices, lambda device: _ownerless(device, raw)), devices)
    missing = "; ".join(blind)
    return {
        "gpu.memory_used_ratio": worst_of(used, "memory in use over total", none=refusals(devices, "memory")),
        "gpu.memory_free_bytes": worst_of(memory("free"), "free memory", pick=min),
        "gpu.memory_reserved_bytes": worst_of(memory("reserved"), "the driver's own reserve"),
        "gpu.other_process_bytes": worst_of(others, "process lists less the engine", none=missing or no_engine),
        "gpu.ownerless_bytes": worst_of(
            nobody, "memory in use less live processes", none=missing or "this driver does not tell its own reserve"
        ),
        "gpu.processes": measured(
            len({p["pid"] for device in devices for p in device["values"].get("processes", [])}), "process lists"
        )
        if any("processes" in device["values"] for device in devices)
        else unknown(UnknownReason.UNSUPPORTED, missing),
        "gpu.bar1_used_ratio": worst_of(over(devices, lambda d: _ratio(d["values"].get("bar1"))), "BAR1 in use"),
    }


def _seen_everywhere(found: dict[str, float], devices: list[Any]) -> dict[str, float]:
    """The bytes by device; {} where none was found and a device could not be judged: nothing there is not known."""
    return found if len(found) == len(devices) or any(found.values()) else {}


def _ratio(memory: Mapping[str, float] | None) -> float | None:
    return memory["used"] / memory["total"] if memory and memory["total"] else None


def _good(devices: list[Any], signals: Mapping[str, Reading]) -> str:
    used = signals["gpu.memory_used_ratio"].value
    owner = "" if signals["gpu.ownerless_bytes"].known else "; whose it is cannot be told here"
    return f"at most {used:.0%} of the memory of {len(devices)} GPUs is in use{owner}"
