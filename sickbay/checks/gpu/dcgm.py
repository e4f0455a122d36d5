"""gpu.dcgm: GPUs of other hosts, from the page of a DCGM exporter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from sickbay.checks.gpu.dcgm_look import read_dcgm
from sickbay.checks.gpu.dcgm_page import Device, devices_of, hosts_of, nameless, of_the_target
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["GpuDcgm"]

_HARDWARE_XIDS = frozenset({"48", "64", "74", "79", "92", "95", "119", "120", "140"})
_BUSY = 50.0
_MIB = 1024.0 * 1024.0
_P = "DCGM_FI_DEV_"

Devices = Mapping[str, Device]


class GpuDcgm(Check):
    """Read clocks, heat, memory, errors and links of the GPUs that a DCGM exporter sees.

    The exporter collects every 30 s unless told otherwise, and its pages between are copies: what changes is judged
    over pages that were collected anew, and without one it is unknown. The last-Xid gauge never clears and does not
    count a second report of one code, so it is judged by its change alone; what happened before is the kernel log's.
    Of another time (`--at`) the exporter's series are read out of a Prometheus that keeps them (`--gpu-selector`).
    """

    name = "gpu.dcgm"
    title = "GPUs of other hosts, from a DCGM exporter"
    effect = Effect.PASSIVE
    needs = ("dcgm",)
    past = True
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "window_s": {
                "type": "number", "minimum": 0, "maximum": 300, "default": 10,
                "description": "seconds to wait for new collections; two intervals of the exporter give rates",
            }
        },
        "additionalProperties": False,
    }  # fmt: skip
    emits = (
        "gpu.count", "gpu.lost", "gpu.utilisation_ratio", "gpu.memory_busy_ratio", "gpu.sm_clock_ratio",
        "gpu.memory_clock_ratio", "gpu.throttle_thermal_ratio", "gpu.throttle_power_ratio", "gpu.temperature_celsius",
        "gpu.memory_temperature_celsius", "gpu.power_limit_ratio", "gpu.power_ratio", "gpu.memory_used_ratio",
        "gpu.memory_free_bytes", "gpu.ecc_uncorrected", "gpu.ecc_corrected_rate", "gpu.remap_failed",
        "gpu.remap_pending", "gpu.rows_remapped_uncorrectable", "gpu.xid_fault_count", "gpu.pcie_replay_rate",
        "gpu.nvlink_error_rate",
    )  # fmt: skip
    sources = (
        "NVIDIA/dcgm-exporter: etc/default-counters.csv (fields and units)",
        "NVIDIA/dcgm-exporter#190, #310, #500, #502 and NVIDIA/DCGM#277 (the last Xid never clears)",
        "docs.nvidia.com/deploy/xid-errors (codes 48, 64, 74, 79, 92, 95, 119, 120, 140: hardware)",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """One page each second of the window."""
        return Cost(requests=0, seconds=float(params.get("window_s", 10)) + 3.0)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Read the page until it was collected anew; of another time, what Prometheus keeps of it."""
        source = look.target.prometheus
        if not look.target.dcgm_url or (source is not None and source.at_s is not None):
            from sickbay.checks.gpu.dcgm_past import stored_dcgm  # late: a check's own words must load fast

            return await stored_dcgm(look, float(params["window_s"]))
        return await read_dcgm(look, float(params["window_s"]))

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Fields as signals; the worst device speaks, all stand beside it."""
        every = [devices_of(read["lines"]) for read in raw["reads"]]
        pages = [of_the_target(page, raw.get("hosts", ()), raw.get("gpus", "auto")) for page in every]
        first, last = pages[0], pages[-1]
        if every[-1] and not last:
            others = unknown(UnknownReason.INCONSISTENT, _others(every[-1], raw))
            return Result(outcome=Outcome.UNKNOWN, summary=others.detail, signals=dict.fromkeys(self.emits, others))
        if not last:
            lost = unknown(UnknownReason.MALFORMED, "no line of the page gives a value of a device")
            return Result(outcome=Outcome.UNKNOWN, summary=lost.detail, signals=dict.fromkeys(self.emits, lost))
        signals = _now(last) | _changes(pages, raw)
        gone = sorted(device.name for uuid, device in first.items() if uuid not in last)
        signals["gpu.count"] = measured(len(last), "devices on the page", by=dict.fromkeys(_names(last), 1.0))
        if gone:
            signals["gpu.lost"] = measured(True, f"left the page within {raw['window_s']:g} s: {', '.join(gone)}")
        else:
            signals["gpu.lost"] = unknown(
                UnknownReason.UNSUPPORTED,
                "an exporter leaves a lost device out; nothing tells how many there should be",
            )
        if "to_s" in raw:
            signals = {name: replace(reading, at_s=raw["to_s"]) for name, reading in signals.items()}
        found = _result(signals, last, gone)
        told = _told(raw, every[-1], last)
        return replace(found, summary="; ".join([found.summary, *told])) if told else found


def _others(devices: Devices, raw: Raw) -> str:
    """Why none of the page's devices is taken."""
    hosts = hosts_of(devices)
    if len(hosts) > 1:
        return (
            f"the page speaks of {len(hosts)} hosts ({', '.join(hosts[:4])}), and none is the target's address; give "
            "the page of the exporter on the engine's own host"
        )
    return f"the page has no GPU {raw.get('gpus')}, which the target names; it has {', '.join(_names(devices))}"


def _told(raw: Raw, every: Devices, last: Devices) -> list[str]:
    """What a reader must know of the page."""
    told = []
    lost_rows = nameless(raw["reads"][-1]["lines"])
    if lost_rows and len(last) > 1:
        told.append(f"{lost_rows} rows of the page name no GPU (no UUID, gpu or device label) and are left out")
    if len(every) > len(last):
        told.append(
            f"{len(every) - len(last)} other devices of the page are left out: not of the target's host or indices"
        )
    if len(raw["reads"]) == 1 and raw["window_s"] > 0:
        told.append(f"not collected anew within {raw['window_s']:.0f} s, so its values may be older")
    return [*told, *(f"a later read failed: {each}" for each in raw.get("failed", ())), *raw.get("notes", ())]


def _result(signals: dict[str, Reading], last: Devices, gone: list[str]) -> Result:
    def value(name: str) -> Any:
        return signals[f"gpu.{name}"].value

    bad = [f"{', '.join(gone)} left the page"] if gone else []
    bad += ["row remapping failed"] if value("remap_failed") else []
    bad += [f"{value('ecc_uncorrected'):g} uncorrected memory errors"] if value("ecc_uncorrected") else []
    bad += [signals["gpu.xid_fault_count"].source] if value("xid_fault_count") else []
    odd = ["a row remapping waits for a reset"] if value("remap_pending") else []
    odd += [f"{value('throttle_thermal_ratio'):.0%} slowed down for heat"] if value("throttle_thermal_ratio") else []
    busy = value("utilisation_ratio")
    hosts = hosts_of(last)
    where = f" of {', '.join(hosts)}" if hosts else ""
    summary = f"{len(last)} GPUs{where}, at most {value('temperature_celsius') or 0:g} C" + (
        f", use {busy:.0%}" if isinstance(busy, float) else ""
    )
    return Result(
        outcome=Outcome.FAIL if bad else Outcome.WARN if odd else Outcome.PASS,
        summary="; ".join([*bad, *odd]) or summary,
        signals=signals,
        next_step="Read the kernel log of that host for Xid lines." if bad else "",
    )


def _now(last: Devices) -> dict[str, Reading]:
    """What one page tells."""
    busy = {uuid: one for uuid, one in last.items() if one.fields.get(f"{_P}GPU_UTIL", 0.0) >= _BUSY}
    remap = _worst(last, f"{_P}ROW_REMAP_FAILURE")
    pending = _worst(last, f"{_P}ROW_REMAP_PENDING")
    return {
        "gpu.utilisation_ratio": _worst(last, f"{_P}GPU_UTIL", scale=0.01),
        "gpu.memory_busy_ratio": _worst(last, f"{_P}MEM_COPY_UTIL", scale=0.01),
        "gpu.sm_clock_ratio": _over(busy, f"{_P}SM_CLOCK", f"{_P}MAX_SM_CLOCK", min),
        "gpu.memory_clock_ratio": _over(busy, f"{_P}MEM_CLOCK", f"{_P}MAX_MEM_CLOCK", min),
        "gpu.temperature_celsius": _worst(last, f"{_P}GPU_TEMP"),
        "gpu.memory_temperature_celsius": _worst(last, f"{_P}MEMORY_TEMP"),
        "gpu.power_limit_ratio": _over(last, f"{_P}ENFORCED_POWER_LIMIT", f"{_P}POWER_MGMT_LIMIT_DEF", min),
        "gpu.power_ratio": _over(last, f"{_P}POWER_USAGE", f"{_P}ENFORCED_POWER_LIMIT", max),
        "gpu.memory_used_ratio": _used(last),
        "gpu.memory_free_bytes": _worst(last, f"{_P}FB_FREE", scale=_MIB, pick=min),
        "gpu.ecc_uncorrected": _worst(last, f"{_P}ECC_DBE_VOL_TOTAL", pick=sum),
        "gpu.rows_remapped_uncorrectable": _worst(last, f"{_P}UNCORRECTABLE_REMAPPED_ROWS", pick=sum),
        "gpu.remap_failed": _flag(remap),
        "gpu.remap_pending": _flag(pending),
    }


def _changes(pages: list[dict[str, Device]], raw: Raw) -> dict[str, Reading]:
    """What several collections tell: between the first page collected under our eyes and the last one."""
    thermal, power = f"{_P}THERMAL_VIOLATION", f"{_P}POWER_VIOLATION"
    links = (f"{_P}NVLINK_REPLAY_ERROR_COUNT_TOTAL", f"{_P}NVLINK_RECOVERY_ERROR_COUNT_TOTAL")
    return {
        "gpu.throttle_thermal_ratio": _rate(pages, raw, (thermal,), scale=1e-6, most=1.0),
        "gpu.throttle_power_ratio": _rate(pages, raw, (power,), scale=1e-6, most=1.0),
        "gpu.ecc_corrected_rate": _rate(pages, raw, (f"{_P}ECC_SBE_VOL_TOTAL",)),
        "gpu.pcie_replay_rate": _rate(pages, raw, (f"{_P}PCIE_REPLAY_COUNTER",)),
        "gpu.nvlink_error_rate": _rate(pages, raw, links),
        "gpu.xid_fault_count": _xids(pages[0], pages[-1]),
    }


def _rate(
    pages: list[dict[str, Device]], raw: Raw, names: tuple[str, ...], *, scale: float = 1.0, most: float | None = None
) -> Reading:
    if not any(name in one.fields for one in pages[-1].values() for name in names):
        return unknown(
            UnknownReason.DISABLED, f"the page has no {' or '.join(names)}; add it to the exporter's counters file"
        )
    if len(pages) < 3:
        return unknown(
            UnknownReason.TIMEOUT,
            f"{len(pages) - 1} new collections within {raw['window_s']:g} s, wanted 2; the exporter collects every "
            "30 s unless started with -c: take a window_s of more than two intervals",
        )
    seconds = raw["reads"][-1]["at_s"] - raw["reads"][1]["at_s"]
    found: dict[str, float] = {}
    for uuid, late in pages[-1].items():
        early = pages[1].get(uuid)
        pairs = [(early.fields[n], late.fields[n]) for n in names if early and n in early.fields and n in late.fields]
        if pairs and seconds > 0:
            rate = sum(end - begin for begin, end in pairs) * scale / seconds
            found[late.name] = rate if most is None else min(most, rate)
    if not found or min(found.values()) < 0:
        return unknown(UnknownReason.RESET, f"{names[0]} went back, or the devices changed: the exporter was restarted")
    return measured(max(found.values()), f"increase of {' and '.join(names)}, per second", window_s=seconds, by=found)


def _xids(first: Devices, last: Devices) -> Reading:
    """Hardware Xids by change; or as the exporter counts them within its own window, where it does."""
    counted = {
        one.name: sum(n for code, n in one.xids.items() if code in _HARDWARE_XIDS) for one in last.values() if one.xids
    }
    if counted:
        codes = sorted({code for one in last.values() for code, n in one.xids.items() if n and code in _HARDWARE_XIDS})
        said = f"Xid {', '.join(codes)} in the exporter's own window" if codes else "no hardware Xid in its window"
        return measured(sum(counted.values()), f"DCGM_EXP_XID_ERRORS_COUNT: {said}", by=counted)
    field = f"{_P}XID_ERRORS"
    codes_now = {uuid: f"{one.fields[field]:.0f}" for uuid, one in last.items() if field in one.fields}
    if not codes_now:
        return unknown(UnknownReason.DISABLED, f"the page has no {field}; add it to the exporter's counters file")
    changed = {
        last[uuid].name: code
        for uuid, code in codes_now.items()
        if uuid in first and field in first[uuid].fields and f"{first[uuid].fields[field]:.0f}" != code and code != "0"
    }
    hardware = {name: code for name, code in changed.items() if code in _HARDWARE_XIDS}
    if changed:
        said = ", ".join(f"{name}: {code}" for name, code in sorted(changed.items()))
        return measured(
            len(hardware), f"the last Xid changed within the window ({said})", by=dict.fromkeys(hardware, 1.0)
        )
    standing = {last[uuid].name: code for uuid, code in codes_now.items() if code != "0"}
    if standing:
        said = ", ".join(f"{name}: {code}" for name, code in sorted(standing.items()))
        return unknown(
            UnknownReason.UNSUPPORTED,
            f"{field} stands at {said}, but this gauge never clears and does not tell when; "
            "read that host's kernel log",
        )
    return measured(0.0, f"{field} is 0 on every device: none since the exporter started")


def _names(devices: Devices) -> list[str]:
    return [one.name for one in devices.values()]


def _worst(devices: Devices, name: str, *, scale: float = 1.0, pick: Callable[..., float] = max) -> Reading:
    found = {one.name: one.fields[name] * scale for one in devices.values() if name in one.fields}
    if not found:
        return unknown(UnknownReason.DISABLED, f"the page has no {name}; add it to the exporter's counters file")
    return measured(pick(found.values()), name, by=found)


def _over(devices: Devices, top: str, bottom: str, pick: Callable[..., float]) -> Reading:
    if not devices:
        return unknown(UnknownReason.NO_TRAFFIC, "no device is busy; an idle one lowers its clocks by itself")
    found = {
        one.name: one.fields[top] / one.fields[bottom]
        for one in devices.values() if top in one.fields and one.fields.get(bottom)
    }  # fmt: skip
    if not found:
        return unknown(UnknownReason.DISABLED, f"the page has no {top} and {bottom}; add them to its counters file")
    return measured(pick(found.values()), f"{top} over {bottom}", by=found)


def _used(devices: Devices) -> Reading:
    used, free = f"{_P}FB_USED", f"{_P}FB_FREE"
    found = {}
    for one in devices.values():
        total = one.fields.get(used, 0.0) + one.fields.get(free, 0.0) + one.fields.get(f"{_P}FB_RESERVED", 0.0)
        if used in one.fields and free in one.fields and total > 0:
            found[one.name] = one.fields[used] / total
    if not found:
        return unknown(UnknownReason.DISABLED, f"the page has no {used} and {free}")
    return measured(max(found.values()), f"{used} over used, free and reserved", by=found)


def _flag(reading: Reading) -> Reading:
    if not isinstance(reading.value, float):
        return reading
    return measured(reading.value > 0, reading.source, by=reading.by)
