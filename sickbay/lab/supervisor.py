"""The log a service manager keeps of the server: how it ended, in systemd's own words (src/core/service.c)."""

from __future__ import annotations

import signal
from pathlib import Path

from sickbay.lab.child import Child

__all__ = ["note_end"]

UNIT = "sickbay-lab.service"


def note_end(log: Path, child: Child, *, oom_kills: int) -> None:
    """Write how the server's process ended; nothing while it runs."""
    code = child.process.poll()
    if code is None:
        return
    lines = []
    if oom_kills:
        lines.append("A process of this unit has been killed by the OOM killer.")
    if code < 0:
        name = signal.Signals(-code).name.removeprefix("SIG")
        verb = "dumped" if name in ("ABRT", "SEGV", "BUS") else "killed"
        lines.append(f"Main process exited, code={verb}, status={-code}/{name}")
        reason = "oom-kill" if oom_kills else "core-dump" if verb == "dumped" else "signal"
    else:
        lines.append(f"Main process exited, code=exited, status={code}/FAILURE")
        reason = "exit-code"
    lines.append(f"Failed with result '{reason}'.")
    with log.open("a", encoding="utf-8") as sink:
        sink.writelines(f"{UNIT}: {line}\n" for line in lines)
