"""The table of GPUs (`sickbay/data/gpus.yaml`): what a device of this kind can do. Known by PCI device id."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["gpu_table", "spec_of"]

TABLE = Path(__file__).parents[2] / "data" / "gpus.yaml"


@cache
def gpu_table() -> Mapping[str, Any]:
    """The whole file."""
    import yaml  # late: what a check says of itself must load fast

    found: Mapping[str, Any] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return found


def spec_of(pci_device_id: int | None) -> Mapping[str, Any] | None:
    """The row of a device by NVML's combined PCI id (device in the upper half); None when it is not in the table."""
    if pci_device_id is None:
        return None
    wanted = f"{pci_device_id >> 16:04x}"
    for name, row in gpu_table()["gpus"].items():
        if wanted in row["device_ids"]:
            return {"key": name, **row}
    return None
