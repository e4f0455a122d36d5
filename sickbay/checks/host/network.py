"""host.network: RDMA ports and their error counters (InfiniBand and RoCE), and name resolution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from sickbay.checks.host.judging import NOT_LOCAL, not_here, outcome_of
from sickbay.engine.model.check import Check, Cost, Raw, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

if TYPE_CHECKING:
    from sickbay.engine.model.look import Look

__all__ = ["HostNetwork"]

_ACTIVE = "4: ACTIVE"
_FATAL = ("link_downed", "excessive_buffer_overrun_errors", "local_link_integrity_errors")


class HostNetwork(Check):
    """State, rate and error growth of the RDMA ports, and whether a name resolves.

    Error counters decide by growth over the window. A host without RDMA devices says so and is not judged for them
    unless ports are expected. Only sysfs is read, because asking some cards' firmware disturbs them.
    """

    name = "host.network"
    title = "Are RDMA ports up and names resolved"
    emits = (
        "host.rdma_ports",
        "host.rdma_ports_down",
        "host.rdma_rate_gbit_min",
        "host.rdma_fatal_errors",
        "host.rdma_symbol_error_rate",
        "host.dns_ok",
        "host.dns_s",
    )
    isolated = True
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "window_s": {"type": "number", "minimum": 0.05, "maximum": 60, "default": 0.5},
            "ports_expected": {"type": "integer", "minimum": 0, "default": 0, "description": "0: all there are"},
            "rate_gbit_min": {"type": "number", "minimum": 0, "default": 0, "description": "slowest allowed port"},
            "symbol_rate_warn": {"type": "number", "minimum": 0, "default": 10, "description": "a second"},
            "resolve": {"type": "string", "default": "", "description": "a name to resolve; empty: none"},
            "dns_warn_s": {"type": "number", "minimum": 0, "default": 1},
        },
    }  # fmt: skip
    sources = (
        "counters that must not grow, and 10 symbol errors a second: NVIDIA/NVSentinel's InfiniBand monitor",
        "a monitor's query made a card's driver log errors, so only sysfs is read: leptonai/gpud#1164",
        "1 s for a name: own choice",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """No request; the window and a name."""
        return Cost(seconds=float(params["window_s"]) + 6.0)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Two reads of the ports, and one resolution."""
        if not look.target.is_local:
            return NOT_LOCAL
        from sickbay.checks.host.network_look import look_network  # late: what a check says of itself must load fast

        return await look_network(look, window_s=float(params["window_s"]), name=params["resolve"])

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Fail on ports down or failing, warn on slow ones."""
        if (result := not_here(raw, self.emits)) is not None:
            return result
        fail: list[str] = []
        warn: list[str] = []
        signals = {**_ports(raw, params, fail, warn), **_dns(raw, params, fail, warn)}
        outcome = outcome_of(fail, warn, signals.values())
        nothing_to_judge = not raw["ports"] and raw["dns"] is None
        if outcome is Outcome.PASS and nothing_to_judge:
            outcome = Outcome.SKIP
        words = "; ".join(fail + warn) or f"{len(raw['ports'])} RDMA ports"
        return Result(outcome=outcome, summary=words, signals=signals)


def _ports(raw: Raw, params: Mapping[str, Any], fail: list[str], warn: list[str]) -> dict[str, Reading]:
    ports = raw["ports"]
    down = [name for name, port in ports.items() if port["state"] != _ACTIVE]
    active = len(ports) - len(down)
    if params["ports_expected"] and active < params["ports_expected"]:
        fail.append(
            f"{active} active RDMA ports, expected {params['ports_expected']} (down: {', '.join(down) or 'none'})"
        )
    elif down and not params["ports_expected"]:
        states = ", ".join(f"{name} ({ports[name]['state'] or 'unreadable'})" for name in down)
        warn.append(f"RDMA ports not active: {states}")
    rates = {name: port["rate_gbit"] for name, port in ports.items() if port["rate_gbit"] and name not in down}
    slow = [f"{name} {rate:g} Gbit/s" for name, rate in rates.items() if rate < params["rate_gbit_min"]]
    if slow:
        fail.append(f"RDMA ports slower than {params['rate_gbit_min']:g} Gbit/s: {', '.join(slow)}")
    grown = {name: sum(port["growth"].get(key, 0) for key in _FATAL) for name, port in ports.items()}
    fail += [f"{name}: {count} link downs or buffer errors while we looked" for name, count in grown.items() if count]
    symbols = {name: port["growth"].get("symbol_error", 0) / raw["window_s"] for name, port in ports.items()}
    warn += [
        f"{name}: {rate:.0f} symbol errors a second"
        for name, rate in symbols.items()
        if rate > params["symbol_rate_warn"]
    ]
    none = unknown(UnknownReason.ABSENT, "this host has no RDMA port")
    return {
        "host.rdma_ports": measured(len(ports), "/sys/class/infiniband"),
        "host.rdma_ports_down": measured(len(down), "port state"),
        "host.rdma_rate_gbit_min": measured(min(rates.values()), "port rate", by=rates) if rates else none,
        "host.rdma_fatal_errors": measured(sum(grown.values()), ", ".join(_FATAL), window_s=raw["window_s"])
        if ports
        else none,
        "host.rdma_symbol_error_rate": measured(max(symbols.values()), "symbol_error", window_s=raw["window_s"])
        if ports
        else none,
    }


def _dns(raw: Raw, params: Mapping[str, Any], fail: list[str], warn: list[str]) -> dict[str, Reading]:
    dns = raw["dns"]
    if dns is None:
        nothing = unknown(UnknownReason.NOT_ASKED, "the step names nothing to resolve (parameter resolve)")
        return {"host.dns_ok": nothing, "host.dns_s": nothing}
    if dns["error"]:
        fail.append(f"{params['resolve']!r} cannot be resolved: {dns['error']}")
    elif dns["seconds"] > params["dns_warn_s"]:
        warn.append(f"resolving {params['resolve']!r} took {dns['seconds']:.1f} s")
    return {
        "host.dns_ok": measured(not dns["error"], "getaddrinfo"),
        "host.dns_s": measured(dns["seconds"], "getaddrinfo"),
    }
