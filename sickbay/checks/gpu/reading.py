"""What every `gpu.*` check shares: its parameters, its look at the run's one inventory, and who cannot be judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sickbay.checks.accelerator.nvml import NoNvml
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Cost, Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason, unknown

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["LOADS", "cost_of", "not_judged", "ratio", "read_devices", "schema"]

LOADS = ("pynvml", "sickbay.checks.gpu.inventory", "sickbay.checks.gpu.calls", "sickbay.checks.accelerator.traces")
"""What `read_devices` imports late. pynvml opens the driver's library only when it is told to."""
_LACKING = {"NoPermission": UnknownReason.PERMISSION, "MissingPackage": UnknownReason.MISSING_LIBRARY}


def cost_of(params: Mapping[str, Any]) -> Cost:
    """No request; the window, one call that hangs, and the child's start."""
    window_s = float(params["window_s"])
    return Cost(seconds=window_s + float(params["hang_s"]) + 1.0, usual_s=window_s + 0.5)


def ratio(default: float, describe: str) -> dict[str, Any]:
    """A parameter between 0 and 1."""
    return {"type": "number", "minimum": 0, "maximum": 1, "default": default, "description": describe}


def schema(**more: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that all of them take, and a check's own."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "window_s": {
                "type": "number",
                "minimum": 0.05,
                "maximum": 60,
                "default": 0.5,
                "description": "seconds between the two reads of counters; all gpu checks of a run share one window",
            },
            "hang_s": {
                "type": "number",
                "minimum": 0.1,
                "maximum": 60,
                "default": 2,
                "description": "a driver call that has not returned after so many seconds hangs",
            },
            **more,
        },
    }


async def read_devices(look: Look, params: Mapping[str, Any], *groups: str, also: Sequence[str] = ()) -> Raw:
    """The part of the run's inventory that these groups hold; `also` are groups it can do without.

    Raises:
        ProbeError: a call of these groups hangs (hung), or devices are there and NVML may not be used.
    """
    if not look.target.is_local:
        return {"local": False, "inventory": None}
    # Late: what a check says of itself must load fast.
    import asyncio

    from sickbay.checks.accelerator.traces import expected, read_traces
    from sickbay.checks.gpu.calls import CALLS, SAMPLED
    from sickbay.checks.gpu.inventory import read_inventory

    async def measure() -> dict[str, Any]:
        return await asyncio.to_thread(read_inventory, window_s=params["window_s"], hang_s=params["hang_s"])

    inventory = await look.share("gpu.inventory", measure)
    for group in groups:
        if group in inventory["hung"]:
            raise ProbeError(UnknownReason.HUNG, f"probe hung: {inventory['hung'][group]}; see processes in state D")
    traces = read_traces(look.files)
    wanted = expected(traces, look.target.gpus)
    if inventory["error"] in _LACKING and wanted:
        raise ProbeError(_LACKING[inventory["error"]], NoNvml(inventory["error"], inventory["code"]).words)
    keys = {call.key for call in (*CALLS, *SAMPLED) if call.group in (*groups, *also)}
    return {"local": True, "expected": wanted, "traces": traces, "inventory": _part(inventory, keys, look.target.gpus)}


def _part(inventory: dict[str, Any], keys: set[str], gpus: str) -> dict[str, Any]:
    """Only the target's devices, and of them only what this check judges: evidence stays small."""
    chosen = {int(word) for word in gpus.split(",") if word.strip().isdigit()}
    devices = []
    for device in inventory["devices"]:
        if chosen and device["index"] not in chosen:
            continue
        kept = {key: device[key] for key in ("index", "uuid", "error") if key in device}
        for place in ("values", "later", "refused", "spans_s"):
            kept[place] = {key: value for key, value in device[place].items() if key in keys}
        kept["samples"] = [{key: one[key] for key in one if key in keys} for one in device["samples"]]
        devices.append(kept)
    return {**inventory, "devices": devices, "hung": sorted(inventory["hung"])}


def not_judged(raw: Raw, emits: Sequence[str]) -> Result | None:
    """The result where there is nothing to judge: not our host, no device, no driver; None: judge."""
    if not raw["local"]:
        detail = "GPU checks need to run on the engine's host"
        nothing = dict.fromkeys(emits, unknown(UnknownReason.NOT_CONFIGURED, detail))
        return Result(outcome=Outcome.SKIP, summary=detail, signals=nothing)
    inventory = raw["inventory"]
    if inventory["ok"] and inventory["devices"]:
        return None
    why = NoNvml(inventory["error"], inventory["code"]).words if not inventory["ok"] else "the driver lists no device"
    nothing = dict.fromkeys(emits, unknown(UnknownReason.ABSENT, why))
    if raw["expected"]:
        return Result(outcome=Outcome.UNKNOWN, summary=f"{raw['expected']}, and {why}", signals=nothing)
    words = "no NVIDIA GPU here and none expected"
    if others := (raw["traces"]["pci"] or {}).get("AMD"):
        words += f"; PCI lists {len(others)} of AMD: {inventory.get('amd') or 'none answers'}"
    return Result(outcome=Outcome.SKIP, summary=words, signals=nothing)
