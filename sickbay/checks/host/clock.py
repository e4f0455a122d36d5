"""host.clock: whether the kernel's clock is disciplined, its error, its source, and how long the host runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.checks.host.judging import NOT_LOCAL, not_here, outcome_of
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Check, Cost, Raw, Result
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["HostClock"]

_SOURCE = "/sys/devices/system/clocksource/clocksource0/current_clocksource"


class HostClock(Check):
    """Clock discipline as the kernel tells it (adjtimex, reading only), its largest error, and the clock source.

    Latency across hosts, token expiry and log order need clocks that agree. A slow clock source makes every time
    stamp of an engine cost microseconds.
    """

    name = "host.clock"
    title = "Is the host's clock right"
    emits = ("host.clock_synchronised", "host.clock_error_s", "host.clocksource", "host.uptime_s")
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "error_warn_s": {"type": "number", "minimum": 0, "default": 0.5},
            "require_synchronised": {
                "type": "boolean", "default": False,
                "description": "an undisciplined clock warns (a virtual machine may be kept right from outside)",
            },
        },
    }  # fmt: skip
    sources = (
        "STA_UNSYNC and maxerror: adjtimex(2); 0.5 s: own choice, far below what breaks logs and tokens",
        "unexpected clock source: facebookresearch/gcm",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """No request."""
        return Cost(seconds=1.0, usual_s=0.1)

    def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Ask the kernel."""
        if not look.target.is_local:
            return NOT_LOCAL
        from sickbay.checks.host.adjtimex import read_clock  # late: ctypes

        return {
            "local": True,
            "kernel": read_clock(),
            "source": _text(look, _SOURCE),
            "uptime": _text(look, "/proc/uptime"),
        }

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Warn on a clock that is off."""
        if (result := not_here(raw, self.emits)) is not None:
            return result
        kernel = raw["kernel"]
        signals: dict[str, Reading] = {}
        warn = []
        if "error" in kernel:
            nothing = unknown(UnknownReason.UNSUPPORTED, kernel["error"])
            signals |= {"host.clock_synchronised": nothing, "host.clock_error_s": nothing}
        else:
            synchronised, error_s = kernel["synchronised"], kernel["max_error_s"]
            signals["host.clock_synchronised"] = measured(synchronised, "adjtimex status")
            signals["host.clock_error_s"] = (
                measured(error_s, "adjtimex maxerror")
                if synchronised
                else unknown(UnknownReason.UNSUPPORTED, "nobody disciplines the clock, so its error is not known")
            )
            if synchronised and error_s > params["error_warn_s"]:
                warn.append(f"the clock may be {error_s:.2f} s off")
            if not synchronised and params["require_synchronised"]:
                warn.append("no time service disciplines the clock")
        signals["host.clocksource"] = (
            measured(raw["source"], _SOURCE)
            if raw["source"]
            else unknown(UnknownReason.ABSENT, f"{_SOURCE}: unreadable")
        )
        signals["host.uptime_s"] = (
            measured(float(raw["uptime"].split()[0]), "/proc/uptime")
            if raw["uptime"]
            else unknown(UnknownReason.ABSENT, "/proc/uptime: unreadable")
        )
        words = "disciplined" if signals["host.clock_synchronised"].value else "not disciplined by this host"
        return Result(
            outcome=outcome_of([], warn, signals.values()),
            summary="; ".join(warn) or f"clock {words}, source {raw['source'] or 'unknown'}",
            signals=signals,
        )


def _text(look: Look, path: str) -> str:
    try:
        return look.files.read_text(path, bytes_max=200).strip()
    except ProbeError:
        return ""
