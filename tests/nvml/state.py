"""The state file of the simulated NVML, written from Python: a profile, a number of devices, and faults put on them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, Self

__all__ = ["NvmlState", "merged"]

PROFILES = Path(__file__).parent / "profiles"
_TOP = {
    "system", "defaults", "devices", "returns", "delays_ms", "hang", "crash", "script", "started_s", "call_log",
    "events", "process_names",
}  # fmt: skip
_DEVICE = {
    "name", "uuid", "serial", "minor", "pci", "brand", "architecture", "capability", "vbios", "part_number", "inforom",
    "memory_bus_bits", "memory", "bar1", "processes", "process_utilisation", "compute_mode", "persistence", "mig",
    "mig_devices_max", "virtualization", "event_types", "temperature", "power_mw", "energy_mj", "performance_state",
    "clocks", "clocks_max", "clocks_app", "clock_events", "clock_events_supported", "violations", "fan_percent", "fans",
    "utilisation", "ecc", "remap", "retired", "unrepairable", "pcie", "nvlink", "fabric", "fields", "field_returns",
    "lost", "returns", "delays_ms", "hang", "crash",
}  # fmt: skip


class NvmlState:
    """A node of equal GPUs. Change it with `device`, `every` and `top`; each change is written at once.

    Args:
        folder: where state.json and calls.log lie.
        profile: t4, l4, a100, h100, h200 or b200.
        count: devices on the node.
    """

    def __init__(self, folder: Path, profile: str = "h100", count: int = 8) -> None:
        shipped = json.loads((PROFILES / f"{profile}.json").read_text())
        self.path = folder / "state.json"
        self.calls_path = folder / "calls.log"
        self.data: dict[str, Any] = {
            "system": shipped["system"],
            "defaults": shipped["defaults"],
            "devices": [_identity(index, shipped["pci"]) for index in range(count)],
            "call_log": str(self.calls_path),
            "started_s": time.time(),
        }
        self._write()

    def device(self, index: int, **changes: Any) -> Self:
        """Change one device; nested objects are merged."""
        return self._changed(self.data["devices"][index], changes, _DEVICE)

    def every(self, **changes: Any) -> Self:
        """Change what all devices have in common."""
        return self._changed(self.data["defaults"], changes, _DEVICE)

    def top(self, **changes: Any) -> Self:
        """Change the system, global return codes, hangs, delays, the script or events."""
        return self._changed(self.data, changes, _TOP)

    def without(self, *keys: str) -> Self:
        """Take a part of every device away: its functions answer "not supported"."""
        for key in keys:
            self.data["defaults"].pop(key)
        self._write()
        return self

    def busy(self, *indices: int) -> Self:
        """All devices (or these) at work, as under full load: high use, full clocks, no reason to slow down."""
        most = self.data["defaults"]["clocks_max"]
        power = int(self.data["defaults"]["power_mw"]["default"] * 0.9)
        for index in indices or range(len(self.data["devices"])):
            self.device(
                index,
                utilisation={"gpu": 98, "memory": 60},
                clocks={"graphics": most["sm"] - 15, "sm": most["sm"] - 15, "memory": most["memory"]},
                clock_events=0,
                power_mw={"usage": power},
            )
        return self

    def alone(self) -> Self:
        """One device given to a virtual machine: no links, no split, as seen on an H200 (tests/data/nvml)."""
        self.every(mig_devices_max=0, virtualization=1)
        return self.without("nvlink")

    def calls(self) -> list[tuple[str, int]]:
        """Function and device index (-1: none) of every call so far, in order."""
        if not self.calls_path.exists():
            return []
        rows = (line.split() for line in self.calls_path.read_text().splitlines())
        return [(row[1], int(row[2])) for row in rows]

    def _changed(self, place: dict[str, Any], changes: dict[str, Any], allowed: set[str]) -> Self:
        unknown = changes.keys() - allowed
        if unknown:
            raise KeyError(f"no such key in the state: {sorted(unknown)}; known: {sorted(allowed)}")
        place.update({key: merged(place.get(key), value) for key, value in changes.items()})
        self._write()
        return self

    def _write(self) -> None:
        """Replace the file as a whole: a reader never sees half of it."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(self.data, indent=1))
        os.replace(fresh, self.path)  # noqa: PTH105  # the atomic one


def merged(old: Any, new: Any) -> Any:
    """`new` laid over `old`: objects by key, everything else replaced."""
    if isinstance(old, dict) and isinstance(new, dict) and not new.keys() & {"rate_per_s", "values"}:
        return old | {key: merged(old.get(key), value) for key, value in new.items()}
    return new


def _identity(index: int, pci: dict[str, Any]) -> dict[str, Any]:
    return {
        "uuid": f"GPU-00000000-0000-0000-0000-00000000000{index:x}",
        "serial": f"16500230000{index:02d}",
        "minor": index,
        "pci": {"bus_id": f"00000000:{0x1B + 0x11 * index:02X}:00.0", **pci},
    }
