"""accelerator.bandwidth: how fast a device's memory and its link to the host really are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.checks.accelerator.active import active_cost, active_schema, limits_schema, run_active
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

if TYPE_CHECKING:
    from sickbay.checks.accelerator.active_judge import Rate
    from sickbay.engine.model.look import Look

__all__ = ["AcceleratorBandwidth"]


class AcceleratorBandwidth(Check):
    """Copy inside a device's memory, and between it and pinned and pageable host memory.

    The best of five repeats is judged against the table of devices (`sickbay/data/gpus.yaml`), a site's own limits, or
    equal devices. Pageable copies are told and not judged: they measure the host. On the processor its own memory is
    copied, with nothing to judge it by.
    """

    name = "accelerator.bandwidth"
    title = "How fast are the device's memory and its link to the host"
    effect = Effect.INTRUSIVE
    isolated = True
    needs = ("host",)
    emits = (
        "accelerator.memory_bandwidth",
        "accelerator.memory_bandwidth_ratio",
        "accelerator.host_bandwidth",
        "accelerator.host_bandwidth_pageable",
        "gpu.host_bandwidth_ratio",
    )
    params: ClassVar[Mapping[str, Any]] = active_schema(
        copy_bytes={
            "type": "integer",
            "minimum": 1_048_576,
            "default": 2_147_483_648,
            "description": "size of the copied block; at most a quarter of the free memory (64 MiB on a processor)",
        },
        limits=limits_schema("bytes", "memory_bandwidth", "pcie"),
    )
    sources = (
        "peaks and shares: sickbay/data/gpus.yaml, row by row",
        "an entry that lost a digit, so that its test cannot fail: per-device thresholds in NVIDIA/DCGM 4.6",
        "a harness that failed where the node was well: Azure/azurehpc-health-checks#142, #162",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """No request; the time box."""
        return active_cost(params)

    def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Run the copies in a child."""
        return run_active(look, params, "bandwidth", copy_bytes=params["copy_bytes"], least_s=0.05)

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Warn or fail below the shares of the table."""
        from sickbay.checks.accelerator.active_judge import judge_rates, not_run, worst_ratio  # late: reads a table

        if (result := not_run(raw, self.emits)) is not None:
            return result
        memory, host, pageable = _rates(raw)
        outcome, words, shares = judge_rates([*memory, *host], raw, params["limits"])
        of_memory = {key: share for key, share in shares.items() if key.endswith("own memory")}
        of_host = {key: share for key, share in shares.items() if key not in of_memory}
        signals = {
            "accelerator.memory_bandwidth": _slowest(memory, "bytes read and written a second by a copy"),
            "accelerator.memory_bandwidth_ratio": _share(worst_ratio(of_memory), of_memory),
            "accelerator.host_bandwidth": _slowest(host, "copies to and from pinned host memory"),
            "accelerator.host_bandwidth_pageable": _slowest(pageable, "copies to and from pageable host memory"),
            "gpu.host_bandwidth_ratio": _share(worst_ratio(of_host), of_host),
        }
        good = "; ".join(f"{rate.device}: {rate.label} {rate.value / 1e9:.0f} GB/s" for rate in [*memory, *host][:6])
        note = "; no limit is known for this device" if not shares and not words else ""
        return Result(outcome=outcome, summary="; ".join(words) or f"{good}{note}", signals=signals)


def _rates(raw: Raw) -> tuple[list[Rate], list[Rate], list[Rate]]:
    """Copies in the device, from and to pinned memory, from and to pageable memory."""
    from sickbay.checks.accelerator.active_judge import Rate  # late: reads a table

    memory: list[Rate] = []
    host: list[Rate] = []
    pageable: list[Rate] = []
    for line in raw["lines"]:
        if "memory_s" in line:
            memory.append(
                Rate.of(line["device_id"], "memory_bandwidth", "own memory", line["memory_bytes"], line["memory_s"])
            )
        if "to_device_s" in line:
            into = host if line["host_memory"] == "pinned" else pageable
            for key, label in (("to_device_s", "from the host"), ("from_device_s", "to the host")):
                into.append(Rate.of(line["device_id"], "pcie", label, line["host_bytes"], line[key]))
    return memory, host, pageable


def _slowest(rates: list[Rate], source: str) -> Reading:
    if not rates:
        return unknown(UnknownReason.UNSUPPORTED, "the processor was tested: its memory is the host's")
    by = {f"{rate.device} {rate.label}": rate.value for rate in rates}
    return measured(min(by.values()), f"best of {len(rates[0].all)} repeats; {source}", by=by)


def _share(value: float | None, by: Mapping[str, float]) -> Reading:
    if value is None:
        return unknown(UnknownReason.UNSUPPORTED, "no figure is known for this device")
    return measured(value, "measured over what the table of devices says it reaches", by=by)
