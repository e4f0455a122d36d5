"""Which kind of device it is by its PCI number: names repeat across variants, numbers do not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sickbay.engine.errors import ProbeError

if TYPE_CHECKING:
    from sickbay.engine.model.look import Files

__all__ = ["pci_ids"]


def pci_ids(files: Files, lines: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """The program's device -> `{"vendor": 0x10de, "device": 0x2330}`, from sysfs, else NVML, else left out."""
    found: dict[str, dict[str, int]] = {}
    for line in lines:
        device = line.get("device", {})
        if not device.get("pci"):
            continue
        numbers = _sysfs(files, device["pci"]) or _nvml(device["pci"])
        if numbers:
            found[device["id"]] = numbers
    return found


def _sysfs(files: Files, address: str) -> dict[str, int] | None:
    try:
        return {
            key: int(files.read_text(f"/sys/bus/pci/devices/{address}/{key}", bytes_max=100), 16)
            for key in ("vendor", "device")
        }
    except (ProbeError, ValueError):
        return None


def _nvml(address: str) -> dict[str, int] | None:
    from sickbay.checks.accelerator.nvml import NoNvml, open_nvml  # late: asks the driver

    nvml = open_nvml()
    if isinstance(nvml, NoNvml):
        return None
    try:
        for index in range(nvml.nvmlDeviceGetCount()):
            pci = nvml.nvmlDeviceGetPciInfo(nvml.nvmlDeviceGetHandleByIndex(index))
            bus = pci.busId.decode() if isinstance(pci.busId, bytes) else str(pci.busId)
            if bus.lower().removeprefix("0000") == address.lower():
                return {"vendor": int(pci.pciDeviceId) & 0xFFFF, "device": int(pci.pciDeviceId) >> 16}
    except nvml.NVMLError:
        return None
    return None
