"""gpu.ecc: memory errors, row remapping, retired pages, and whether a device counts errors at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.checks.gpu.devices import answering, blind, label, over, rate, refusals, seen_outcome, worst_of
from sickbay.checks.gpu.reading import LOADS, cost_of, not_judged, read_devices, schema
from sickbay.engine.model.check import Check, Cost, Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["GpuEcc"]


class GpuEcc(Check):
    """Uncorrected errors, failed or pending row remapping, retired pages, and the corrected-error rate.

    A pending remapping is a warning: work that is not hit goes on, and the device wants a reset when it is next
    drained. A failed one is a failure whatever the counts. A counter's growth decides about corrected errors, never
    its total.
    """

    name = "gpu.ecc"
    title = "Is the GPUs' memory sound"
    emits = (
        "gpu.ecc_uncorrected",
        "gpu.ecc_corrected_rate",
        "gpu.ecc_enabled",
        "gpu.sram_threshold_exceeded",
        "gpu.remap_failed",
        "gpu.remap_pending",
        "gpu.rows_remapped_uncorrectable",
        "gpu.remap_banks_exhausted",
        "gpu.retired_pages",
        "gpu.inforom_ok",
    )
    isolated = True
    loads = LOADS
    params: ClassVar[Mapping[str, Any]] = schema(
        corrected_rate_warn={"type": "number", "minimum": 0, "default": 10, "description": "corrected errors a second"},
        remapped_rows_warn={"type": "integer", "minimum": 1, "default": 512, "description": "uncorrectable remaps"},
        retired_pages_fail={
            "type": "integer",
            "minimum": 1,
            "default": 63,
            "description": "retired pages (pre-Ampere)",
        },
    )
    sources = (
        "row remapping, its failure flag, SRAM thresholds: NVIDIA GPU memory error management guide",
        "512 remapped rows, 63 retired pages: limits of NVIDIA DCGM's health checks (NVIDIA/DCGM)",
        "a volatile double-bit error left a device 'healthy' and applications saw OOM: NVIDIA/k8s-device-plugin#267",
        "10 corrected errors a second: our own choice",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """No request."""
        return cost_of(params)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """The memory-error part of the inventory."""
        return await read_devices(look, params, "ecc")

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Fail on what asks for a reset or a replacement, warn on what leads there."""
        if (result := not_judged(raw, self.emits)) is not None:
            return result
        devices = answering(raw)
        signals = _signals(raw, devices)
        if not any(reading.known for reading in signals.values()):
            why = refusals(devices, "ecc_mode")
            outcome = Outcome.SKIP if why == "NotSupported" else Outcome.UNKNOWN
            return Result(outcome=outcome, summary=f"no device tells of memory errors ({why})", signals=signals)
        fail, warn = [], []
        hidden = blind(devices, ("uncorrected_volatile", "remapped_rows", "sram", "retired_pages", "ecc_mode"))
        for device in devices:
            bad, odd = _device(device, params)
            fail += [f"{label(device)}: {words}" for words in bad]
            warn += [f"{label(device)}: {words}" for words in odd]
        return Result(
            outcome=seen_outcome(fail, warn, hidden),
            summary="; ".join(fail + warn + hidden) or f"no uncorrected memory error on {len(devices)} GPUs",
            signals=signals,
            next_step="drain the node and reset the GPU; replace it if remapping failed or it comes back"
            if fail
            else "",
        )


def _signals(raw: Raw, devices: list[Any]) -> dict[str, Reading]:
    window_s = raw["inventory"]["window_s"]
    rates = over(devices, lambda device: rate(device, "corrected_volatile"))
    return {
        "gpu.ecc_uncorrected": _count(devices, "uncorrected_volatile", "volatile uncorrected errors"),
        "gpu.ecc_corrected_rate": worst_of(rates, "growth of volatile corrected errors", window_s=window_s),
        "gpu.ecc_enabled": _all(devices, "ecc_mode", lambda mode: mode[0] == 1, "ECC mode of every device"),
        "gpu.sram_threshold_exceeded": _any(devices, "sram", lambda sram: sram["exceeded"], "SRAM error status"),
        "gpu.remap_failed": _any(devices, "remapped_rows", lambda rows: rows[3], "row remapper's failure flag"),
        "gpu.remap_pending": _any(devices, "remapped_rows", lambda rows: rows[2], "row remapper's pending flag"),
        "gpu.rows_remapped_uncorrectable": worst_of(
            over(devices, lambda device: device["values"].get("remapped_rows", [None, None])[1]), "remapped rows"
        ),
        "gpu.remap_banks_exhausted": worst_of(
            over(devices, lambda device: device["values"].get("remap_histogram", {}).get("none")),
            "memory banks without a spare row",
        ),
        "gpu.retired_pages": worst_of(over(devices, _pages), "retired pages, both causes"),
        "gpu.inforom_ok": _all(devices, "inforom_ok", bool, "the InfoROM's own checksum"),
    }


def _device(device: Mapping[str, Any], params: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    values = device["values"]
    rows = values.get("remapped_rows", [0, 0, 0, 0])
    sram = values.get("sram", {})
    spare = values.get("remap_histogram", {})
    pages = _pages(device) or 0
    corrected = rate(device, "corrected_volatile") or 0.0
    mode = values.get("ecc_mode", [1, 1])
    volatile = values.get("uncorrected_volatile", 0)
    fail = [
        (volatile, f"{volatile} uncorrected errors since the driver was loaded, allowed 0"),
        (rows[3], "a row remapping failed: replace it"),
        (sram.get("exceeded"), "SRAM errors passed NVIDIA's replacement threshold"),
        (values.get("unrepairable"), "it reports memory that cannot be repaired"),
        (spare.get("none"), f"{spare.get('none')} memory banks have no spare row left"),
        (pages >= params["retired_pages_fail"], f"{pages} retired pages, limit {params['retired_pages_fail']}"),
    ]
    warn = [
        (rows[2], "a row remapping waits for a reset"),
        (rows[1] >= params["remapped_rows_warn"], f"{rows[1]} rows remapped for uncorrectable errors"),
        (spare.get("low"), f"{spare.get('low')} memory banks have few spare rows"),
        (sram.get("aggregate"), f"{sram.get('aggregate')} uncorrected SRAM errors over its life"),
        (values.get("retired_pending"), "retired pages wait for a reboot"),
        (corrected > params["corrected_rate_warn"], f"{corrected:.0f} corrected errors a second"),
        (mode[0] != 1, "ECC is off"),
        (mode[0] != mode[1], "an ECC mode change waits for a reboot"),
        (values.get("inforom_ok") is False, "its InfoROM is corrupted (harmless to work, tell the vendor)"),
    ]
    return [words for holds, words in fail if holds], [words for holds, words in warn if holds]


def _pages(device: Mapping[str, Any]) -> int | None:
    pages = device["values"].get("retired_pages")
    return None if pages is None else pages["single_bit"] + pages["double_bit"]


def _count(devices: list[Any], key: str, source: str) -> Reading:
    """The worst device's count; none found is unknown where a driver refuses to tell of a device."""
    found = over(devices, lambda device: device["values"].get(key))
    hidden = blind(devices, (key,))
    if hidden and not any(found.values()):
        return unknown(UnknownReason.PERMISSION, "; ".join(hidden))
    return worst_of(found, source)


def _any(devices: list[Any], key: str, holds: Any, source: str) -> Reading:
    return _flag(devices, key, holds, source, any)


def _all(devices: list[Any], key: str, holds: Any, source: str) -> Reading:
    return _flag(devices, key, holds, source, all)


def _flag(devices: list[Any], key: str, holds: Any, source: str, over_all: Any) -> Reading:
    found = {device["uuid"]: bool(holds(device["values"][key])) for device in devices if key in device["values"]}
    result = bool(over_all(found.values()))
    sound = result is (over_all is all)  # none of them is bad, or all of them are good
    if sound and (hidden := blind(devices, (key,))):
        return unknown(UnknownReason.PERMISSION, "; ".join(hidden))
    if not found:
        return unknown(UnknownReason.UNSUPPORTED, f"{source}: {refusals(devices, key)}")
    return measured(result, source, by={uuid: float(flag) for uuid, flag in found.items()})
