"""The look of `host.network`. Source: Documentation/ABI/stable/sysfs-class-infiniband of the Linux kernel."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Raw
from sickbay.engine.model.look import Look

__all__ = ["look_network"]

_FOLDER = "/sys/class/infiniband"
_COUNTERS = ("link_downed", "excessive_buffer_overrun_errors", "local_link_integrity_errors", "symbol_error")
PORTS_MAX = 128
DNS_TIMEOUT_S = 5.0


async def look_network(look: Look, *, window_s: float, name: str) -> Raw:
    """Ports with the growth of their counters, and how a name resolved (None: not asked)."""
    first = _ports(look)
    began_s = look.clock.monotonic()
    await look.clock.sleep(window_s)
    last = _ports(look)
    span_s = look.clock.monotonic() - began_s
    for key, port in last.items():
        before = first.get(key, {}).get("counters", {})
        counters = port.pop("counters")
        port["growth"] = {
            each: counters[each] - before[each] for each in counters if counters[each] >= before.get(each, 1e30)
        }
    return {"local": True, "window_s": span_s, "ports": last, "dns": await _resolve(look, name) if name else None}


def _text(look: Look, path: str) -> str:
    try:
        return look.files.read_text(path, bytes_max=200).strip()
    except ProbeError:
        return ""


def _ports(look: Look) -> dict[str, dict[str, Any]]:
    """`device/port` -> state, rate and counters."""
    found: dict[str, dict[str, Any]] = {}
    try:
        devices = look.files.names(_FOLDER)
    except ProbeError:
        return found
    for device in devices:
        try:
            ports = look.files.names(f"{_FOLDER}/{device}/ports")
        except ProbeError:
            continue
        for port in ports:
            folder = f"{_FOLDER}/{device}/ports/{port}"
            rate = _text(look, f"{folder}/rate").split()
            counters = {each: _text(look, f"{folder}/counters/{each}") for each in _COUNTERS}
            if len(found) < PORTS_MAX:
                found[f"{device}/{port}"] = {
                    "state": _text(look, f"{folder}/state"),
                    "rate_gbit": float(rate[0]) if rate and rate[0].replace(".", "", 1).isdigit() else None,
                    "counters": {key: int(value) for key, value in counters.items() if value.isdigit()},
                }
    return found


async def _resolve(look: Look, name: str) -> dict[str, Any]:
    began_s = look.clock.monotonic()
    error = ""
    try:
        await asyncio.wait_for(asyncio.to_thread(socket.getaddrinfo, name, 443), DNS_TIMEOUT_S)
    except TimeoutError:
        error = f"no answer within {DNS_TIMEOUT_S:g} s"
    except OSError as failure:
        error = failure.strerror or str(failure)
    return {"seconds": look.clock.monotonic() - began_s, "error": error}
