"""gpu.clocks: whether heat, power or a hardware slowdown holds the clocks down, by time and not by one glance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.checks.gpu.devices import (
    answering,
    blind,
    busy,
    label,
    over,
    rate,
    sample_share,
    sampled,
    seen_outcome,
    worst_of,
)
from sickbay.checks.gpu.reading import LOADS, cost_of, not_judged, ratio, read_devices, schema
from sickbay.engine.model.check import Check, Cost, Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["GpuClocks"]

_SETTING = 0x2  # nvmlClocksEventReasonApplicationsClocksSetting
_HW_SLOWDOWN, _SW_THERMAL, _HW_THERMAL, _POWER_BRAKE, _POWER_CAP = 0x8, 0x20, 0x40, 0x80, 0x4
_NS_PER_S = 1e9


class GpuClocks(Check):
    """Share of the window in which clocks were held down, by reason, with temperature and power margin.

    The driver counts the time of each reason; where it does not, the share of several samples stands in and the
    source says so. The power cap alone is normal work at full load and no fault; a power limit below the default is
    reported. Clock ratios are judged only while the device works, because an idle one lowers its clocks by itself.
    """

    name = "gpu.clocks"
    title = "Do heat, power or hardware hold the GPUs' clocks down"
    emits = (
        "gpu.sm_clock_ratio",
        "gpu.memory_clock_ratio",
        "gpu.throttle_thermal_ratio",
        "gpu.throttle_power_ratio",
        "gpu.throttle_hardware_ratio",
        "gpu.clocks_set_ratio",
        "gpu.temperature_celsius",
        "gpu.temperature_margin_celsius",
        "gpu.memory_temperature_celsius",
        "gpu.power_limit_ratio",
        "gpu.power_ratio",
    )
    isolated = True
    loads = LOADS
    params: ClassVar[Mapping[str, Any]] = schema(
        busy_min=ratio(0.5, "use that counts as busy"),
        thermal_warn=ratio(0.02, "share of the window"),
        thermal_fail=ratio(0.2, "share of the window"),
        hardware_warn=ratio(0.05, "share of the window"),
        hardware_fail=ratio(0.5, "share of the window"),
        margin_warn_celsius={"type": "number", "default": 5, "description": "degrees below the slowdown point"},
        clock_warn=ratio(0.85, "compute clock over its maximum while busy and without a reason"),
        power_limit_warn=ratio(0.98, "limit over default"),
    )
    sources = (
        "reasons and their counters (fields 74, 269 to 271): NVML API reference, nvmlClocksEventReasons",
        "power capping told as a fault filled a database: NVIDIA/NVSentinel#1447",
        "'0.0 s' thermal violations and a slowdown at sound temperatures: NVIDIA/DCGM#242, #270",
        "0.85 of the maximum clock: NVIDIA/NVSentinel's monitor; the shares of the window: our own choice",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """No request."""
        return cost_of(params)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """The clock and use part of the inventory."""
        return await read_devices(look, params, "clocks", also=("utilisation",))

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Warn and fail by share of the window."""
        if (result := not_judged(raw, self.emits)) is not None:
            return result
        devices, window_s = answering(raw), raw["inventory"]["window_s"]
        fail, warn = [], []
        hidden = blind(devices, ("events", "clocks_counters", "temperature", "use"))
        for device in devices:
            bad, odd = _device(device, params)
            fail += [f"{label(device)}: {words}" for words in bad]
            warn += [f"{label(device)}: {words}" for words in odd]
        signals = _signals(devices, window_s, params)
        if not any(reading.known for reading in signals.values()):
            return Result(outcome=Outcome.UNKNOWN, summary="no device tells of its clocks", signals=signals)
        working = sum(busy(device, params["busy_min"]) for device in devices)
        good = f"no GPU of {len(devices)} was slowed down in {window_s:.1f} s ({working} busy)"
        return Result(
            outcome=seen_outcome(fail, warn, hidden),
            summary="; ".join(fail + warn + hidden) or good,
            signals=signals,
            next_step="check cooling, power supply and `nvidia-smi -q -d PERFORMANCE`" if fail else "",
        )


def _signals(devices: list[Any], window_s: float, params: Mapping[str, Any]) -> dict[str, Reading]:
    at_work = [device for device in devices if busy(device, params["busy_min"])]
    idle = "" if at_work else "no device was busy in the window; look again under load"
    why = UnknownReason.UNSUPPORTED if at_work else UnknownReason.NO_TRAFFIC
    sm = over(at_work, lambda device: _ratio(device, "sm_mhz", "sm_max_mhz"))
    memory = over(at_work, lambda device: _ratio(device, "memory_mhz", "memory_max_mhz"))
    core = over(devices, lambda device: device["values"].get("temperature"))
    found = {
        "gpu.sm_clock_ratio": worst_of(sm, "SM clock while busy", pick=min, none=idle, reason=why),
        "gpu.memory_clock_ratio": worst_of(memory, "memory clock while busy", pick=min, none=idle, reason=why),
        "gpu.temperature_celsius": worst_of(core, "core temperature"),
        "gpu.temperature_margin_celsius": worst_of(over(devices, _margin), "slowdown point less core", pick=min),
        "gpu.memory_temperature_celsius": worst_of(over(devices, _memory_temperature), "field 82"),
        "gpu.power_limit_ratio": worst_of(over(devices, _power_limit), "enforced limit over default", pick=min),
        "gpu.power_ratio": worst_of(over(devices, _power), "power drawn over the enforced limit"),
    }
    for reason, source in _SOURCE.items():
        shares = {device["uuid"]: share for device in devices if (share := _share(device, reason)) is not None}
        found[f"gpu.throttle_{reason}_ratio"] = worst_of(shares, source, window_s=window_s)
    held = over(devices, lambda device: sample_share(device, _SETTING))
    found["gpu.clocks_set_ratio"] = worst_of(
        held, "share of samples with the bit of a clock setting", window_s=window_s
    )
    return found


_SOURCE = {
    "thermal": "thermal slowdown time (fields 269, 270, violation status; else share of samples)",
    "power": "power cap time (field 74, violation status; else share of samples)",
    "hardware": "power brake time (field 271) and hardware slowdown bit",
}


def _share(device: Mapping[str, Any], reason: str) -> float | None:
    """Share of the window a reason was on: counted time first, then samples."""
    if reason == "thermal":
        counted = [rate(device, "clocks_counters", f"{kind}_thermal_ns") for kind in ("sw", "hw")]
        counted.append(rate(device, "thermal_violation", "ns"))  # a driver may fill only one of the two
        mask = _SW_THERMAL | _HW_THERMAL
    elif reason == "power":
        counted = [rate(device, "clocks_counters", "power_cap_ns"), rate(device, "power_violation", "ns")]
        mask = _POWER_CAP
    else:
        # The general slowdown bit has no counter of its own; it may blink when the performance state changes, so a
        # single sample of it does not count.
        counted = [rate(device, "clocks_counters", "power_brake_ns")]
        seen = sample_share(device, _HW_SLOWDOWN)
        if seen is not None and seen * len(device["samples"]) >= 2:
            counted.append(seen * _NS_PER_S)
        mask = _POWER_BRAKE
    known = [value for value in counted if value is not None]
    return min(1.0, max(known) / _NS_PER_S) if known else sample_share(device, mask)


def _ratio(device: Mapping[str, Any], key: str, most: str) -> float | None:
    now, limit = sampled(device, key), device["values"].get(most)
    return min(1.0, now / limit) if now is not None and limit else None


def _margin(device: Mapping[str, Any]) -> float | None:
    """Degrees to the slowdown point: newer devices tell the margin to their limit, older ones both temperatures."""
    values = device["values"]
    if "margin" in values:
        return float(values["margin"] - values.get("clocks_fields", {}).get("slowdown_offset", 0))
    if "slowdown" in values and "temperature" in values:
        return float(values["slowdown"] - values["temperature"])
    return None


def _memory_temperature(device: Mapping[str, Any]) -> float | None:
    found = device["values"].get("clocks_fields", {}).get("memory_temperature")
    return float(found) if found else None


def _power_limit(device: Mapping[str, Any]) -> float | None:
    limit, default = device["values"].get("power_limit_mw"), device["values"].get("power_default_mw")
    return limit / default if limit is not None and default else None


def _power(device: Mapping[str, Any]) -> float | None:
    now, limit = sampled(device, "power_mw"), device["values"].get("power_limit_mw")
    return now / limit if now is not None and limit else None


def _device(device: Mapping[str, Any], params: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    fail: list[str] = []
    warn: list[str] = []
    thermal, hardware = _share(device, "thermal") or 0.0, _share(device, "hardware") or 0.0
    for share, name, words in (
        (thermal, "thermal", "slowed down for heat"),
        (hardware, "hardware", "slowed down by the hardware or the power brake"),
    ):
        if share > params[f"{name}_fail"]:
            fail.append(f"{words} {share:.0%} of the window")
        elif share > params[f"{name}_warn"]:
            warn.append(f"{words} {share:.0%} of the window")
    margin = _margin(device)
    if margin is not None and margin <= 0:
        fail.append(f"{abs(margin):.0f} degrees above the slowdown point")
    elif margin is not None and margin < params["margin_warn_celsius"]:
        warn.append(f"{margin:.0f} degrees below the slowdown point")
    limit = _power_limit(device)
    if limit is not None and limit < params["power_limit_warn"]:
        warn.append(f"power limit at {limit:.0%} of its default")
    clock = _ratio(device, "sm_mhz", "sm_max_mhz")
    power = _share(device, "power") or 0.0
    explained = thermal > 0 or hardware > 0 or power > 0
    if clock is not None and clock < params["clock_warn"] and not explained and busy(device, params["busy_min"]):
        warn.append(f"compute clock at {clock:.0%} of its maximum while busy, without heat or power as reason: locked?")
    return fail, warn
