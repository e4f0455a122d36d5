"""accelerator.tpu: are Google TPUs here, how full is their memory, how much do they work.

Source: the monitoring library inside libtpu (cloud.google.com/tpu/docs/tpu-monitoring-library): duty_cycle_pct and
hbm_capacity_total / hbm_capacity_usage, one text for each chip; they are filled while a program uses the TPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Check, Cost, Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

if TYPE_CHECKING:
    from sickbay.engine.model.look import Files, Look

__all__ = ["AcceleratorTpu"]

_VENDOR = "0x1ae0"
_METRICS = {"duty": "duty_cycle_pct", "total": "hbm_capacity_total", "used": "hbm_capacity_usage"}
FULL = 0.98


class AcceleratorTpu(Check):
    """Chips by PCI, and what libtpu's monitoring tells of them. Without libtpu they are only counted."""

    name = "accelerator.tpu"
    title = "Are TPUs here, how full is their memory, how much do they work"
    isolated = True
    needs = ("host",)
    emits = ("accelerator.tpu_count", "accelerator.tpu_memory_used_ratio", "accelerator.tpu_duty_cycle_ratio")
    params: ClassVar[Mapping[str, Any]] = {"type": "object", "additionalProperties": False, "properties": {}}
    sources = ("cloud.google.com/tpu/docs/tpu-monitoring-library", "98 % as full: own choice; XLA plans ahead")

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """No request."""
        return Cost(seconds=5.0)

    def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """PCI's list, and the library's metrics."""
        if not look.target.is_local:
            return {"local": False}
        return {"local": True, "chips": _chips(look.files), **_library()}

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Warn on full memory."""
        if not raw["local"]:
            return _skip(
                self.emits, "accelerator checks need to run on the engine's host", UnknownReason.NOT_CONFIGURED
            )
        chips = raw["chips"]
        if not chips and not raw["metrics"]:
            return _skip(self.emits, f"no TPU here: PCI lists none; {raw['why']}", UnknownReason.ABSENT)
        duty, total, used = (_numbers(raw["metrics"].get(key, [])) for key in ("duty", "total", "used"))
        shares = {f"chip {n}": u / t for n, (u, t) in enumerate(zip(used, total, strict=False)) if t > 0}
        work = {f"chip {n}": each / 100 for n, each in enumerate(duty)}
        why = raw["why"] or "libtpu tells nothing: no program uses the TPU"
        signals: dict[str, Reading] = {
            "accelerator.tpu_count": measured(max(chips or 0, len(total)), "PCI and libtpu"),
            "accelerator.tpu_memory_used_ratio": _worst(shares, max, why, bool(raw["why"])),
            "accelerator.tpu_duty_cycle_ratio": _worst(work, min, why, bool(raw["why"])),
        }
        if not shares and not work:
            words = f"{max(chips or 0, len(total)):.0f} TPU chips; {why}"
            return Result(outcome=Outcome.SKIP, summary=words, signals=signals)
        full = max(shares.values(), default=0.0)
        said = [f"memory at most {full:.0%} full"] if shares else []
        said += [f"at work {min(work.values()):.0%} to {max(work.values()):.0%}"] if work else []
        outcome = Outcome.WARN if full > FULL else Outcome.PASS
        return Result(outcome=outcome, summary=f"{len(total) or chips} TPU chips: {', '.join(said)}", signals=signals)


def _skip(emits: tuple[str, ...], words: str, reason: UnknownReason) -> Result:
    return Result(outcome=Outcome.SKIP, summary=words, signals=dict.fromkeys(emits, unknown(reason, words)))


def _worst(by: Mapping[str, float], pick: Any, why: str, missing: bool) -> Reading:
    if not by:
        return unknown(UnknownReason.MISSING_LIBRARY if missing else UnknownReason.NO_TRAFFIC, why)
    return measured(pick(by.values()), "libtpu's monitoring", by=by)


def _chips(files: Files) -> int | None:
    """TPU devices that PCI lists; None when sysfs cannot be read."""
    try:
        names = files.names("/sys/bus/pci/devices")[:2_000]
    except ProbeError:
        return None
    count = 0
    for name in names:
        try:
            count += files.read_text(f"/sys/bus/pci/devices/{name}/vendor", bytes_max=20).strip() == _VENDOR
        except ProbeError:
            continue
    return count


def _library() -> dict[str, Any]:
    try:
        from libtpu.sdk import tpumonitoring  # late: optional, and only an isolated child needs it
    except ImportError:
        return {"metrics": {}, "why": "the Python package libtpu is not installed"}
    found: dict[str, list[str]] = {}
    for key, name in _METRICS.items():
        try:
            found[key] = [str(each) for each in tpumonitoring.get_metric(name).data()][:256]
        except Exception as error:  # the library raises plain errors of its own where a metric is not there
            return {"metrics": found, "why": f"libtpu does not tell {name}: {type(error).__name__}"}
    return {"metrics": found, "why": ""}


def _numbers(texts: list[str]) -> list[float]:
    """The chips' values; a text that is no number ends the list, so that chips and values stay together."""
    found = []
    for text in texts:
        try:
            found.append(float(text))
        except ValueError:
            break
    return found
