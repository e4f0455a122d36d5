"""What the active tests share: parameters, who may run, and the measuring program as a child with a time box.

The program is `torch_program.py`; it runs in the Python whose torch is to be tested, which need not be sickbay's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Cost, Raw
from sickbay.engine.model.signal import UnknownReason

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["FORMATS", "active_cost", "active_schema", "limits_schema", "run_active"]

FORMATS = ("fp32", "tf32", "fp16", "bf16", "fp8")
IDLE_RATIO = 0.9
"""A device with less of its memory free is in use (own choice: a context alone takes below one percent)."""


def active_schema(**more: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters all of them take, and a check's own."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "python": {
                "type": "string",
                "default": "",
                "pattern": r"^(/.*/python[0-9.]*)?$",
                "description": "path of the Python whose torch is tested, e.g. the engine's; empty: sickbay's own",
            },
            "device": {
                "enum": ["auto", "cuda", "cpu"],
                "default": "auto",
                "description": "auto: the accelerators, or the processor where torch sees none; AMD's are cuda too",
            },
            "seconds": {
                "type": "number",
                "minimum": 1,
                "maximum": 600,
                "default": 45,
                "description": "the test is ended after so many seconds",
            },
            "exclusive": {
                "type": "boolean",
                "default": True,
                "description": "run only on devices that nobody uses; false disturbs whoever does",
            },
            **more,
        },
    }


def limits_schema(unit: str, *measures: str) -> dict[str, Any]:
    """The parameter with which a site gives its own limits."""
    band = {"type": "number", "minimum": 0}
    row = {
        "type": "object",
        "additionalProperties": False,
        "required": ["warn", "fail"],
        "properties": {"warn": band, "fail": band},
    }
    return {
        "type": "object",
        "default": {},
        "additionalProperties": False,
        "properties": dict.fromkeys(measures, row),
        "description": f"this site's own limits, {unit} a second: {{measure: {{warn: …, fail: …}}}}",
    }


def active_cost(params: Mapping[str, Any]) -> Cost:
    """No request; the time box, and the child's start."""
    return Cost(seconds=float(params["seconds"]) + 2.0)


def run_active(look: Look, params: Mapping[str, Any], test: str, **options: Any) -> Raw:
    """Run one test of the program on the target's devices.

    Returns:
        `local`; `busy` (why nothing was run, or ""); `expected` (what shows that an accelerator is here); `lines` of
        the program; `ids` (its device -> PCI vendor and device number).

    Raises:
        ProbeError: no such Python or torch (missing-library), it did not end in time (hung), or it died (crashed).
    """
    if not look.target.is_local:
        return {"local": False}
    # Late: what a check says of itself must load fast.
    from sickbay.checks.accelerator.active_child import Box, one_at_a_time
    from sickbay.checks.accelerator.pci_id import pci_ids
    from sickbay.checks.accelerator.traces import expected, read_traces

    found: dict[str, Any] = {"local": True, "expected": expected(read_traces(look.files), look.target.gpus)}
    indices = [int(word) for word in look.target.gpus.split(",") if word.strip().isdigit()]
    order = {
        "test": test, "device": "cpu" if look.target.gpus == "none" else params["device"], "indices": indices,
        "seconds": params["seconds"], **options,
    }  # fmt: skip
    with one_at_a_time() as other:
        if other:
            return found | {"busy": other, "lines": [], "ids": {}}
        if params["exclusive"] and order["device"] != "cpu" and (user := _user(indices)):
            return found | {"busy": user, "lines": [], "ids": {}}
        box = Box(params["python"], order, seconds=min(params["seconds"], look.remaining_s - 1.0))
        try:
            for line in box.lines():
                free = line.get("device", {}).get("free", 0)
                total = line.get("device", {}).get("total", 0)
                if params["exclusive"] and total and free < IDLE_RATIO * total:
                    return found | {"busy": _taken(line["device"]), "lines": [], "ids": {}}
        finally:
            box.close()
    if box.error == "no-torch":
        hint = "pip install 'sickbay[torch]', or give `python`"
        raise ProbeError(UnknownReason.MISSING_LIBRARY, f"{box.error_detail}; {hint}")
    return found | {"busy": "", "lines": box.kept, "ids": pci_ids(look.files, box.kept)}


def _user(indices: list[int]) -> str:
    """Which process is on a device already, as NVML tells it; "" when nobody is or NVML does not tell."""
    from sickbay.checks.accelerator.devices import read_devices  # late: asks the driver

    for device in read_devices().get("devices", []):
        if indices and device["index"] not in indices:
            continue
        if pids := [str(process["pid"]) for process in device.get("processes", [])]:
            return f"device {device['index']} is used by process {', '.join(pids[:3])}"
    return ""


def _taken(device: Mapping[str, Any]) -> str:
    share = 1 - device["free"] / device["total"]
    return f"{share:.0%} of the memory of {device['id']} ({device['name']}) is in use"
