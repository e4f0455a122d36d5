"""gpu.nvlink: links that should be up, errors on them, and the fabric they form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.checks.gpu.devices import answering, blind, growth, label, over, rate, refusals, seen_outcome, worst_of
from sickbay.checks.gpu.reading import LOADS, cost_of, not_judged, read_devices, schema
from sickbay.checks.gpu.spec import spec_of
from sickbay.engine.model.check import Check, Cost, Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["GpuNvlink", "fabric_words"]

_STATES = {0: "not supported", 1: "not started", 2: "in progress", 3: "completed"}
_SUMMARIES = {0: "not supported", 1: "healthy", 2: "unhealthy", 3: "limited"}
_TWO_BIT = (("degraded bandwidth", 0), ("route recovery", 2), ("route unhealthy", 4), ("access timeout recovery", 6))
_UNHEALTHY = 2
_LIMITED = 3
_ONLY_LIMITED = "the fabric calls itself limited"


class GpuNvlink(Check):
    """Links down, link errors in the window, and the fabric's state.

    How many links there should be: the step's number, else the table by PCI device id, else the most that any equal
    device of this node has up. Cards without NVLink, cards whose bridge is optional and lone devices of a virtual
    machine are not judged by the rules of NVSwitch nodes.
    """

    name = "gpu.nvlink"
    title = "Are all NVLinks up and the fabric ready"
    emits = ("gpu.nvlink_down", "gpu.nvlink_active", "gpu.nvlink_error_rate", "gpu.fabric_ready", "gpu.fabric_health")
    isolated = True
    loads = LOADS
    params: ClassVar[Mapping[str, Any]] = schema(
        links_expected={"type": "integer", "minimum": 0, "maximum": 36, "default": 0, "description": "0: by the table"},
        error_rate_fail={
            "type": "number",
            "minimum": 0,
            "default": 100,
            "description": "replays, recoveries and CRC errors a second",
        },
    )
    sources = (
        "links down and still 'healthy', and the expected count configurable: leptonai/gpud#1085, #1087",
        "PCIe cards judged by NVSwitch rules: leptonai/gpud#1147",
        "fabric manager dead for 20 days unseen: NVIDIA/NVSentinel#883",
        "100 link errors a second: limit of NVIDIA DCGM for CRC errors (NVIDIA/DCGM)",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """No request."""
        return cost_of(params)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """The link part of the inventory."""
        return await read_devices(look, params, "nvlink", also=("identity",))

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Fail on a link that should be up and is not, and on a fabric that is not ready."""
        if (result := not_judged(raw, self.emits)) is not None:
            return result
        devices, window_s = answering(raw), raw["inventory"]["window_s"]
        linked = [device for device in devices if "links" in device["values"]]
        if not linked:
            return _without_links(devices, self.emits, params)
        fail, warn = [], []
        hidden = blind(devices, ("links", "fabric"))
        down: dict[str, float] = {}
        for device in linked:
            bad, odd, missing = _device(device, linked, params)
            down[device["uuid"]] = float(missing)
            fail += [f"{label(device)}: {words}" for words in bad]
            warn += [f"{label(device)}: {words}" for words in odd]
        signals = {
            "gpu.nvlink_down": measured(sum(down.values()), "links expected less links active", by=down),
            "gpu.nvlink_active": worst_of(over(linked, _active), "active links", pick=min),
            "gpu.nvlink_error_rate": worst_of(
                over(linked, _rate), "replays, recoveries, CRC errors", window_s=window_s
            ),
            **_fabric(devices),
        }
        good = f"all NVLinks of {len(linked)} GPUs are up"
        return Result(
            outcome=seen_outcome(fail, warn, hidden),
            summary="; ".join(fail + warn + hidden) or good,
            signals=signals,
            next_step="nvidia-smi nvlink -s; systemctl status nvidia-fabricmanager" if fail else "",
        )


def _without_links(devices: list[Any], emits: tuple[str, ...], params: Mapping[str, Any]) -> Result:
    """No device tells of links: none of this kind, none given to this machine, or they should be there."""
    why = refusals(devices, "links")
    nothing: dict[str, Reading] = dict.fromkeys(emits, unknown(UnknownReason.UNSUPPORTED, f"NVLink state: {why}"))
    if why != "NotSupported":
        return Result(outcome=Outcome.UNKNOWN, summary=f"the driver does not tell of NVLink: {why}", signals=nothing)
    built = max((_built_in(device) for device in devices), default=0)
    if params["links_expected"]:
        wanted = int(params["links_expected"])
        missing = measured(float(wanted * len(devices)), "links expected, and the driver offers none")
        words = f"{wanted} NVLinks a GPU are expected, and the driver offers none"
        return Result(outcome=Outcome.FAIL, summary=words, signals=nothing | {"gpu.nvlink_down": missing})
    if built and len(devices) > 1:
        words = f"{len(devices)} GPUs of a kind with {built} NVLinks each, and the driver offers none"
        return Result(outcome=Outcome.WARN, summary=words, signals=nothing)
    none = {"gpu.nvlink_down": measured(0.0, "these devices have no NVLink"), **_fabric(devices)}
    words = (
        f"its {built} NVLinks are not given to this machine, which has one GPU"
        if built
        else "these GPUs have no NVLink"
    )
    return Result(outcome=Outcome.SKIP, summary=words, signals=nothing | none)


def _built_in(device: Mapping[str, Any]) -> int:
    """Links that a device of this kind has in every machine, by the table; 0 where bridges are optional or unknown."""
    row = spec_of(device["values"].get("pci", {}).get("device_id"))
    return 0 if row is None or row.get("nvlinks_optional") else int(row["nvlinks"])


def _active(device: Mapping[str, Any]) -> float:
    return float(sum(state == 1 for state in device["values"]["links"]))


def _expected(device: Mapping[str, Any], linked: list[Any], params: Mapping[str, Any]) -> int:
    """How many links should be up; 0 when nothing says so."""
    if params["links_expected"]:
        return int(params["links_expected"])
    most = int(max(_active(peer) for peer in linked if len(peer["values"]["links"]) == len(device["values"]["links"])))
    row = spec_of(device["values"].get("pci", {}).get("device_id"))
    if row is None or row.get("nvlinks_optional") or (most == 0 and len(linked) == 1):
        return most  # bridges may be missing by design; a lone device of a virtual machine has its links off
    return int(row["nvlinks"])


def _device(
    device: Mapping[str, Any], linked: list[Any], params: Mapping[str, Any]
) -> tuple[list[str], list[str], int]:
    fail, warn = [], []
    active, expected = int(_active(device)), _expected(device, linked, params)
    missing = max(0, expected - active)
    if missing:
        off = [str(link) for link, state in enumerate(device["values"]["links"]) if state != 1]
        fail.append(f"{active} of {expected} NVLinks are up (down: {', '.join(off) or 'not listed'})")
    errors = _rate(device) or 0.0
    if errors >= params["error_rate_fail"]:
        fail.append(f"{errors:.0f} NVLink errors a second")
    elif errors > 0:
        warn.append(f"{errors:.1f} NVLink errors a second")
    if failed := growth(device, "link5_errors", "recoveries_failed"):
        fail.append(f"{failed:.0f} NVLink recoveries failed in the window")
    fabric = device["values"].get("fabric")
    if fabric is not None and (bad := fabric_words(fabric)):
        (warn if bad == _ONLY_LIMITED else fail).append(bad)
    return fail, warn, missing


def _rate(device: Mapping[str, Any]) -> float | None:
    """Errors of all links a second, as the device's generation counts them; None when it counts none."""
    newer = [rate(device, "link5_errors", name) for name in ("recoveries", "effective_errors")]
    if known := [value for value in newer if value is not None]:
        return sum(known)
    first, last = device["values"].get("link_errors"), device["later"].get("link_errors")
    span_s = device["spans_s"].get("link_errors", 0.0)
    if not first or not last or span_s <= 0:
        return None
    grown = sum(max(0, last[link] - first[link]) for link in last if link in first)
    return float(grown / span_s)


def fabric_words(fabric: Mapping[str, int]) -> str:
    """What is wrong with the fabric, in words; "" when nothing is, or when there is no fabric."""
    state, status, mask, summary = (fabric[key] for key in ("state", "status", "mask", "summary"))
    if state == 0:
        return ""
    if state != 3:  # completed
        return f"the fabric is {_STATES.get(state, state)}; is the fabric manager running?"
    if status:
        return f"the fabric was set up with error {status}"
    bad = [words for words, shift in _TWO_BIT if mask >> shift & 3 == 1]  # 1 is "true", 2 "false", 0 "cannot say"
    if mask >> 8 & 0xF > 1:
        bad.append(f"configuration error {mask >> 8 & 0xF}")
    if summary in {_UNHEALTHY, _LIMITED}:
        bad.append(f"the fabric calls itself {_SUMMARIES[summary]}")
    return ", ".join(bad)


def _fabric(devices: list[Any]) -> dict[str, Reading]:
    found = {device["uuid"]: device["values"]["fabric"] for device in devices if "fabric" in device["values"]}
    ready = {uuid: not fabric_words(fabric) for uuid, fabric in found.items()}
    if not found:
        why = refusals(devices, "fabric")
        if why in {"NotSupported", "FunctionNotFound"}:
            absent = "these devices form no fabric"
            return {"gpu.fabric_ready": measured(True, absent), "gpu.fabric_health": measured("none", absent)}
        nothing = unknown(UnknownReason.UNSUPPORTED, f"fabric state: {why}")
        return {"gpu.fabric_ready": nothing, "gpu.fabric_health": nothing}
    words = sorted({fabric_words(fabric) for fabric in found.values()} - {""})
    by = {uuid: float(good) for uuid, good in ready.items()}
    return {
        "gpu.fabric_ready": measured(all(ready.values()), "fabric state, status and health of every device", by=by),
        "gpu.fabric_health": measured("; ".join(words) or "healthy", "fabric state, status and health"),
    }
