"""The engine's processes on this host, for checks that ask whose a process is."""

from __future__ import annotations

from typing import Any

from sickbay.checks.host.process_table import engine_family, process_table
from sickbay.checks.serving.local_process import find_process
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import Look

__all__ = ["engine_pids"]


def engine_pids(look: Look) -> dict[str, Any]:
    """`{"engine_pids": […], "engine_error": ""}`; no pids and the reason when they are not known."""
    target = look.target
    if target.pid is None and not target.url and not target.direct_url:
        return {"engine_pids": [], "engine_error": "the target names neither a pid nor a URL"}
    try:
        process = find_process(look.files, target)
        if process is None:
            return {"engine_pids": [], "engine_error": "no process of this host is seen behind the target's port"}
        return {"engine_pids": sorted(engine_family(process_table(look.files), process.pid)), "engine_error": ""}
    except ProbeError as error:
        return {"engine_pids": [], "engine_error": error.detail}
