"""What judging asks of one device of the inventory: its label, whether it worked, growth of a counter, a mean. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sickbay.engine.model.check import Raw
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = [
    "answering",
    "blind",
    "busy",
    "growth",
    "label",
    "over",
    "rate",
    "refusals",
    "sample_share",
    "sampled",
    "seen_outcome",
    "worst_of",
]

Device = Mapping[str, Any]
IDLE_EVENT = 0x1  # nvmlClocksEventReasonGpuIdle


def answering(raw: Raw) -> list[Device]:
    """Devices that answer at all; the lost ones are told by gpu.present."""
    return [device for device in raw["inventory"]["devices"] if "error" not in device]


def label(device: Device) -> str:
    """How messages call it: index and the UUID, which survives a reboot."""
    return f"GPU {device['index']} ({device['uuid']})"


def sampled(device: Device, key: str, part: str = "") -> float | None:
    """Mean of a sampled value; None when no sample holds it."""
    found = [sample[key][part] if part else sample[key] for sample in device["samples"] if key in sample]
    return sum(found) / len(found) if found else None


def sample_share(device: Device, mask: int) -> float | None:
    """Share of the samples in which one of these clock event bits was set."""
    found = [bool(sample["events"] & mask) for sample in device["samples"] if "events" in sample]
    return sum(found) / len(found) if found else None


def busy(device: Device, least: float) -> bool:
    """Whether the device worked during the window: mean use at least `least`, and never reported idle."""
    use = sampled(device, "use", "gpu")
    return use is not None and use / 100 >= least and not sample_share(device, IDLE_EVENT)


def growth(device: Device, key: str, part: str = "") -> float | None:
    """Increase of a counter over the window; None when it is missing at an end or went back."""
    first, last = device["values"].get(key), device["later"].get(key)
    if part:
        first, last = (first or {}).get(part), (last or {}).get(part)
    if first is None or last is None or last < first:
        return None
    return float(last - first)


def rate(device: Device, key: str, part: str = "") -> float | None:
    """Growth of a counter per second, over the time between its own two reads; None like `growth`."""
    grown, span_s = growth(device, key, part), device["spans_s"].get(key, 0.0)
    return None if grown is None or span_s <= 0 else grown / span_s


def over(devices: Iterable[Device], value: Callable[[Device], float | None]) -> dict[str, float]:
    """UUID -> value, for the devices that have one."""
    return {device["uuid"]: found for device in devices if (found := value(device)) is not None}


def worst_of(
    found: Mapping[str, float],
    source: str,
    *,
    pick: Callable[[Iterable[float]], float] = max,
    none: str = "",
    reason: UnknownReason = UnknownReason.UNSUPPORTED,
    window_s: float | None = None,
) -> Reading:
    """The worst device's value with each device's beside it; unknown with `none` when no device has one."""
    if not found:
        return unknown(reason, none or f"no device answers {source}")
    return measured(pick(found.values()), source, by=dict(found), window_s=window_s)


def refusals(devices: Iterable[Device], key: str) -> str:
    """Why a value is missing, in words: NVML's error names, once each."""
    names = sorted({str(device["refused"].get(key, "no answer")) for device in devices})
    return ", ".join(names)


_NOT_THERE = {"NotSupported", "FunctionNotFound", "ArgumentVersionMismatch", "NotFound"}
"""Refusals that say the device or driver has nothing of the kind; every other one hides what is there."""


def blind(devices: Iterable[Device], keys: Iterable[str]) -> list[str]:
    """What a check decides by and could not read, a sentence a device; [] when all was there to read."""
    wanted = tuple(keys)
    found = []
    for device in devices:
        errors = {key: str(device["refused"][key]) for key in wanted if key in device["refused"]}
        hidden = [f"{key} ({name})" for key, name in errors.items() if name not in _NOT_THERE]
        if hidden:
            found.append(f"{label(device)}: the driver refuses {', '.join(hidden)}")
    return found


def seen_outcome(fail: list[str], warn: list[str], hidden: list[str]) -> Outcome:
    """What was found counts; nothing found in what was only partly read is no pass."""
    if fail:
        return Outcome.FAIL
    if warn:
        return Outcome.WARN
    return Outcome.UNKNOWN if hidden else Outcome.PASS
