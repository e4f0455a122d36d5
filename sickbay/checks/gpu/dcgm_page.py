"""A DCGM exporter's page as devices and their fields. Pure.

Page format and units: NVIDIA/dcgm-exporter, etc/default-counters.csv (clocks MHz, violations microseconds, memory MiB,
energy mJ). Rows of one GPU's MIG instances carry GPU_I_ID; fields of the whole device repeat on each of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["FIELDS", "FRESH_FIELDS", "Device", "devices_of", "hosts_of", "nameless", "of_the_target"]

FIELDS = (
    "DCGM_FI_DEV_SM_CLOCK", "DCGM_FI_DEV_MAX_SM_CLOCK", "DCGM_FI_DEV_MEM_CLOCK", "DCGM_FI_DEV_MAX_MEM_CLOCK",
    "DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_MEMORY_TEMP", "DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_ENFORCED_POWER_LIMIT",
    "DCGM_FI_DEV_POWER_MGMT_LIMIT_DEF", "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "DCGM_FI_DEV_PCIE_REPLAY_COUNTER",
    "DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_MEM_COPY_UTIL", "DCGM_FI_DEV_XID_ERRORS", "DCGM_EXP_XID_ERRORS_COUNT",
    "DCGM_FI_DEV_POWER_VIOLATION", "DCGM_FI_DEV_THERMAL_VIOLATION", "DCGM_FI_DEV_FB_FREE", "DCGM_FI_DEV_FB_USED",
    "DCGM_FI_DEV_FB_RESERVED", "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL",
    "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", "DCGM_FI_DEV_ROW_REMAP_FAILURE", "DCGM_FI_DEV_ROW_REMAP_PENDING",
    "DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL", "DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL",
)  # fmt: skip

FRESH_FIELDS = (
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_SM_CLOCK",
    "DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_GPU_TEMP",
)  # fmt: skip
"""Fields that move between two collections; a page on which none moved was not collected anew."""

BLANK_MIN = 2_147_483_632.0
"""From here on DCGM's integer fields hold "blank" marks (0x7ffffff0 and up: dcgm_structs.h), but for large counters."""
_LARGE = frozenset(
    {"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "DCGM_FI_DEV_POWER_VIOLATION", "DCGM_FI_DEV_THERMAL_VIOLATION"}
)
BLANK64_MIN = 9_223_372_036_854_775_000.0


@dataclass(slots=True)
class Device:
    """One GPU. `xids` counts by code within the exporter's own window (DCGM_EXP_XID_ERRORS_COUNT)."""

    uuid: str
    name: str
    model: str = ""
    host: str = ""
    index: str = ""
    fields: dict[str, float] = field(default_factory=dict)
    xids: dict[str, float] = field(default_factory=dict)


def nameless(lines: Sequence[str]) -> int:
    """Rows that do not say of which GPU they are: without UUID, gpu and device (labels that a relabelling dropped)."""
    return sum(not _place(sample.labels) and not sample.labels.get("UUID") for sample in _samples(lines))


def devices_of(lines: Sequence[str]) -> dict[str, Device]:
    """Devices by UUID (or host and index, where the page has no UUID); lines that cannot be read are left out.

    Rows that give an index only belong to the UUID that other rows give that index. Rows that name no device are taken
    where the page has one device or none; with several they could be anybody's and are left out.
    """
    samples = _samples(lines)
    known = {
        _at(each.labels, each.labels[key]): each.labels["UUID"]
        for each in samples
        for key in ("gpu", "device")
        if each.labels.get("UUID") and each.labels.get(key)
    }
    named = {each.labels.get("UUID") or _place(each.labels) for each in samples} - {""}
    found: dict[str, Device] = {}
    for sample in samples:
        place = _place(sample.labels)
        uuid = sample.labels.get("UUID") or known.get(place, place)
        if not uuid:
            if len({known.get(each, each) for each in named}) > 1:
                continue
            uuid = next((known.get(each, each) for each in named), "?")
        _take(found, sample.name.removesuffix("_total"), sample.labels, float(sample.value), uuid)
    return found


def hosts_of(devices: Mapping[str, Device]) -> list[str]:
    """Names of the hosts that the page speaks of, sorted; a page without the label has none."""
    return sorted({one.host for one in devices.values()} - {""})


def of_the_target(devices: Mapping[str, Device], hosts: Sequence[str], gpus: str) -> dict[str, Device]:
    """The devices that are the target's: of its host, where the page speaks of several, and of its own indices.

    Args:
        devices: of one page.
        hosts: names of the target's addresses; compared by their first part, as a kernel's host name may be either.
        gpus: the target's `gpus`: "auto", "none", or indices "0,1".

    Returns:
        Nothing where the page speaks of several hosts and none of them is the target's.
    """
    mine = {host.partition(".")[0].casefold() for host in hosts}
    several = len(hosts_of(devices)) > 1
    indices = {each.strip() for each in gpus.split(",")} if gpus not in {"auto", "none", ""} else set()
    return {
        uuid: one
        for uuid, one in devices.items()
        if (not several or one.host.partition(".")[0].casefold() in mine)
        and (not indices or not one.index or one.index in indices)
    }


def _place(labels: Mapping[str, str]) -> str:
    """Host and index; "" when the row has no index."""
    index = labels.get("gpu") or labels.get("device")
    return _at(labels, index) if index else ""


def _at(labels: Mapping[str, str], index: str) -> str:
    return f"{labels.get('Hostname', '')}/{index}".removeprefix("/")


def _samples(lines: Sequence[str]) -> list[Any]:
    """The samples of every line that can be read."""
    # Late: a listing needs no metrics parser.
    from prometheus_client.parser import text_string_to_metric_families

    found = []
    for line in lines:
        try:
            found += [each for family in text_string_to_metric_families(line + "\n") for each in family.samples]
        except (ValueError, IndexError, KeyError, TypeError):  # the parser has no error class of its own
            continue
    return found


def _take(found: dict[str, Device], name: str, labels: Mapping[str, str], value: float, uuid: str) -> None:
    where = _place(labels) or "?"
    blank = BLANK64_MIN if name in _LARGE else BLANK_MIN
    if not 0 <= value < blank:  # also NaN
        return
    device = found.setdefault(uuid, Device(uuid, where, labels.get("modelName", "")))
    device.host = device.host or labels.get("Hostname", "")
    device.index = device.index or labels.get("gpu", "")
    if name == "DCGM_EXP_XID_ERRORS_COUNT":
        code = labels.get("xid", "?")
        device.xids[code] = device.xids.get(code, 0.0) + value
    elif labels.get("GPU_I_ID") and name in {"DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_FREE", "DCGM_FI_DEV_FB_RESERVED"}:
        device.fields[name] = device.fields.get(name, 0.0) + value
    else:
        device.fields[name] = max(device.fields.get(name, 0.0), value)
