"""host.cpu: clock frequency and governor of the processors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.checks.host.judging import NOT_LOCAL, not_here
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Check, Cost, Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason, measured, unknown

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["HostCpu"]

_CPUS_READ_MAX = 64
_FOLDER = "/sys/devices/system/cpu"


class HostCpu(Check):
    """Present over highest frequency, and the governor that chooses it. Virtual machines do not tell, and skip."""

    name = "host.cpu"
    title = "Do the processors run at their speed"
    emits = ("host.cpu_frequency_ratio", "host.cpu_governor")
    params: ClassVar[Mapping[str, Any]] = {"type": "object", "additionalProperties": False}
    sources = ("powersave on a serving host slows every step of the frontend: facebookresearch/gcm, cpufreq check",)

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """No request."""
        return Cost(seconds=1.0)

    def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Read cpufreq of up to 64 processors."""
        if not look.target.is_local:
            return NOT_LOCAL
        try:
            names = [name for name in look.files.names(_FOLDER) if name[:3] == "cpu" and name[3:].isdigit()]
        except ProbeError as error:
            return {"local": True, "error": error.detail, "governors": [], "ratios": [], "drivers": []}
        rows = [_frequency(look, f"{_FOLDER}/{name}/cpufreq") for name in names[:_CPUS_READ_MAX]]
        return {
            "local": True,
            "error": f"{_FOLDER}/cpu*/cpufreq is not there (a virtual machine, or no driver)",
            "governors": sorted({row["governor"] for row in rows if row["governor"]}),
            "drivers": sorted({row["driver"] for row in rows if row["driver"]}),
            "ratios": [row["ratio"] for row in rows if row["ratio"] is not None],
        }

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Warn on a governor that saves power."""
        if (result := not_here(raw, self.emits)) is not None:
            return result
        if not raw["governors"] and not raw["ratios"]:
            nothing = dict.fromkeys(self.emits, unknown(UnknownReason.UNSUPPORTED, raw["error"]))
            return Result(outcome=Outcome.SKIP, summary=raw["error"], signals=nothing)
        ratios, governors = raw["ratios"], raw["governors"]
        mean = sum(ratios) / len(ratios) if ratios else None
        # intel_pstate and amd-pstate choose well under the name "powersave"; the old drivers do not.
        clever = any("pstate" in driver for driver in raw["drivers"])
        slow = "powersave" in governors and not clever
        words = f"governor {', '.join(governors) or 'unknown'}" + (f", {mean:.0%} of the highest clock" if mean else "")
        return Result(
            outcome=Outcome.WARN if slow else Outcome.PASS,
            summary=words,
            signals={
                "host.cpu_frequency_ratio": measured(mean, "scaling_cur_freq over cpuinfo_max_freq")
                if mean is not None
                else unknown(UnknownReason.UNSUPPORTED, raw["error"]),
                "host.cpu_governor": measured(", ".join(governors), "scaling_governor")
                if governors
                else unknown(UnknownReason.UNSUPPORTED, raw["error"]),
            },
            next_step="cpupower frequency-set -g performance (needs root)" if slow else "",
        )


def _frequency(look: Look, folder: str) -> dict[str, Any]:
    def text(name: str) -> str:
        try:
            return look.files.read_text(f"{folder}/{name}", bytes_max=200).strip()
        except ProbeError:
            return ""

    now, most = text("scaling_cur_freq"), text("cpuinfo_max_freq")
    return {
        "governor": text("scaling_governor"),
        "driver": text("scaling_driver"),
        "ratio": int(now) / int(most) if now.isdigit() and most.isdigit() and int(most) else None,
    }
