"""The world-facing half of serving.still."""

from __future__ import annotations

from typing import Any

from sickbay.checks.serving.alive_look import ask_health, local_process
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import Look

__all__ = ["look_still"]


async def look_still(look: Look, timeout_s: float) -> dict[str, Any]:
    """Health, again when it does not answer; the local process."""
    try:
        found = await look.engine()
        endpoint = found.spec.endpoints.get("health")
    except ProbeError:  # nothing that is known answered at the begin; the usual path is asked
        endpoint = None
    path = endpoint.path if endpoint is not None else "/health"
    health = await ask_health(look, path, timeout_s)
    if health.get("status") is None:
        health = await ask_health(look, path, timeout_s)
    age = look.signals.get("serving.process_uptime_s")
    raw: dict[str, Any] = {
        "health": health,
        "engine": {"problem": {"reason": "not-asked", "detail": "the engine was recognised at the begin", "kind": ""}},
        "pid": look.target.pid,
        "uptime_before_s": age.value if age is not None else None,
        "passed_s": round(look.clock.wall() - age.at_s, 3) if age is not None and age.at_s is not None else 0.0,
    }
    if look.target.is_local:
        raw["local"] = local_process(look)
    return raw
