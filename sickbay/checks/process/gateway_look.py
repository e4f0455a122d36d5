"""The reads of process.gateway: the process where the users call, its processor time, connections on both its sides."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from sickbay.checks.host.process_table import descendants, engine_family, process_table
from sickbay.checks.serving.local_process import find_process, listeners, owner_of, target_port
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Raw
from sickbay.engine.model.look import Files, Look
from sickbay.engine.model.signal import UnknownReason

__all__ = ["connection_counts", "look_gateway"]

ESTABLISHED = "01"  # include/net/tcp_states.h
TABLE_BYTES_MAX = 8_000_000
TURNS = 8


async def look_gateway(look: Look, window_s: float) -> Raw:
    """Processor time at both ends of the window, connections a few times within it.

    Raises:
        ProbeError: there is no second address, or no process of this host is seen behind the first.
    """
    front, engine = target_port(look.target.url), target_port(look.target.direct_url)
    if not look.target.direct_url or front is None or engine is None:
        raise ProbeError(
            UnknownReason.NOT_CONFIGURED, "the target has no direct_url: the engine's address behind the gateway"
        )
    if front == engine:
        raise ProbeError(UnknownReason.NOT_CONFIGURED, f"url and direct_url name the same port {front}")
    pid = await asyncio.to_thread(_listening_process, look.files, front)
    own = await asyncio.to_thread(find_process, look.files, look.target)
    if own is not None and own.pid == pid:
        raise ProbeError(UnknownReason.NOT_CONFIGURED, f"the engine's own process listens on port {front}")
    first = await asyncio.to_thread(_ticks, look.files, pid, own.pid if own is not None else None)
    start_s = look.clock.monotonic()
    counts = []
    for _ in range(TURNS):
        counts.append(await asyncio.to_thread(connection_counts, look.files, front, engine))
        await look.clock.sleep(min(window_s / TURNS, max(0.0, look.remaining_s - 1.0)))
    last = await asyncio.to_thread(_ticks, look.files, pid, own.pid if own is not None else None)
    return {
        "pid": pid,
        "ports": [front, engine],
        "plain": look.target.url.startswith("http://"),
        "window_s": look.clock.monotonic() - start_s,
        "ticks": [first, last],
        "connections": counts,
    }


def _listening_process(files: Files, port: int) -> int:
    listener = next((each for each in listeners(files) if each.port == port), None)
    pid = owner_of(files, listener.inode) if listener is not None else None
    if pid is None:
        raise ProbeError(UnknownReason.ABSENT, f"no process of this host is seen behind port {port}")
    return pid


def _ticks(files: Files, pid: int, engine_pid: int | None) -> dict[str, int]:
    """Clock ticks of the gateway and everything below it, without the engine that it may have started."""
    table = process_table(files)
    family = descendants(table, pid) - (engine_family(table, engine_pid) if engine_pid is not None else set())
    return {str(each): table[each].ticks for each in sorted(family) if each in table}


def connection_counts(files: Files, front: int, engine: int) -> list[int]:
    """Established connections [from users to the gateway, from this host to the engine].

    Raises:
        ProbeError: /proc/net/tcp cannot be read.
    """
    rows = list(_established(files))
    return [
        sum(local == front for local, _ in rows),
        sum(remote == engine for _, remote in rows),
    ]


def _established(files: Files) -> Iterable[tuple[int, int]]:
    """Local and remote port of every established connection of this network namespace."""
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            text = files.read_text(path, bytes_max=TABLE_BYTES_MAX)
        except ProbeError:
            if path.endswith("6"):  # a host without IPv6
                continue
            raise
        for line in text.splitlines()[1:]:
            words = line.split()
            if len(words) > 3 and words[3] == ESTABLISHED:
                yield int(words[1].rpartition(":")[2], 16), int(words[2].rpartition(":")[2], 16)
