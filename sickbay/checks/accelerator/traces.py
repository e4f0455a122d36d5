"""What a host shows of an accelerator without its driver library: PCI devices, device nodes, the kernel module."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sickbay.engine.errors import ProbeError

if TYPE_CHECKING:
    from sickbay.engine.model.look import Files

__all__ = ["expected", "read_traces"]

_GPU_CLASSES = ("0x0300", "0x0302", "0x0380", "0x1200")  # PCI: VGA, 3D and display controller, processing accelerator
_VENDORS = {"0x10de": "NVIDIA", "0x1002": "AMD"}
_NODE = re.compile(r"nvidia\d+")
DEVICES_MAX = 2_000


def read_traces(files: Files) -> dict[str, Any]:
    """PCI addresses by vendor (None: sysfs is unreadable), `/dev/nvidiaN` names, and the module's version text."""
    return {"pci": _pci(files), "nodes": _nodes(files), "module": _module(files)}


def _pci(files: Files) -> dict[str, list[str]] | None:
    try:
        names = files.names("/sys/bus/pci/devices")[:DEVICES_MAX]
    except ProbeError:
        return None
    found: dict[str, list[str]] = {}
    for name in names:
        try:
            vendor = files.read_text(f"/sys/bus/pci/devices/{name}/vendor").strip()
            kind = files.read_text(f"/sys/bus/pci/devices/{name}/class").strip()
        except ProbeError:
            continue
        if vendor in _VENDORS and kind.startswith(_GPU_CLASSES):
            found.setdefault(_VENDORS[vendor], []).append(name)
    return found


def _nodes(files: Files) -> list[str]:
    try:
        return [name for name in files.names("/dev") if _NODE.fullmatch(name)]
    except ProbeError:
        return []


def _module(files: Files) -> str:
    """Version of the loaded kernel module; "" when it is not loaded."""
    try:
        text = files.read_text("/proc/driver/nvidia/version", bytes_max=2_000)
    except ProbeError:
        return ""
    found = re.search(r"\b(\d{3,}\.\d+(?:\.\d+)*)\b", text)
    return found.group(1) if found else "unknown"


def expected(traces: dict[str, Any], gpus: str = "auto") -> str:
    """What shows that there should be an NVIDIA device, as a clause; "" when nothing does.

    `gpus` is the target's own word: "auto", "none", or indices.
    """
    if gpus == "none":
        return ""
    if pci := (traces["pci"] or {}).get("NVIDIA", []):
        return f"PCI lists {len(pci)} NVIDIA device{'s' * (len(pci) != 1)}"
    if traces["nodes"]:
        return f"/dev has {', '.join(traces['nodes'])}"
    if traces["module"]:
        return f"the NVIDIA kernel module {traces['module']} is loaded"
    return f"the target names GPUs {gpus}" if gpus != "auto" else ""
