"""Who is who among the processes of this host: the engine's, sickbay's own, and everybody else's."""

from __future__ import annotations

from collections.abc import Mapping

from sickbay.checks.host.proc_files import ProcessStat, process_stat
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import Files
from sickbay.engine.model.signal import UnknownReason

__all__ = ["descendants", "engine_family", "named_like_engine", "own_family", "process_table"]

PROCESSES_MAX = 50_000
_FAMILIES = ("vllm", "sglang", "text-generatio", "tritonserver", "trtllm", "ollama", "llama")
"""Names of engines that run as several processes; a launcher carries the same name as its workers.
Cut to 15 bytes, as the kernel does."""
_OWN_CHILD = "sickbay.engine.run.child"


def process_table(files: Files) -> dict[int, ProcessStat]:
    """Every process that /proc shows; those that end while we read are left out.

    Raises:
        ProbeError: /proc cannot be listed.
    """
    numbers = [int(name) for name in files.names("/proc") if name.isdigit()]
    if len(numbers) > PROCESSES_MAX:
        raise ProbeError(UnknownReason.TOO_LARGE, f"/proc: {len(numbers)} processes, at most {PROCESSES_MAX} are read")
    found: dict[int, ProcessStat] = {}
    for number in numbers:
        try:
            found[number] = process_stat(files.read_text(f"/proc/{number}/stat", bytes_max=4_000))
        except ProbeError:
            continue
    return found


def descendants(table: Mapping[int, ProcessStat], pid: int) -> set[int]:
    """The process and everything below it."""
    children: dict[int, list[int]] = {}
    for each in table.values():
        children.setdefault(each.ppid, []).append(each.pid)
    found: set[int] = set()
    todo = [pid]
    while todo:
        current = todo.pop()
        if current not in found:
            found.add(current)
            todo += children.get(current, [])
    return found


def engine_family(table: Mapping[int, ProcessStat], pid: int) -> set[int]:
    """The engine's processes: from its launcher down, so that workers beside the listening one count too."""
    top = pid
    while True:
        here = table.get(top)
        above = table.get(here.ppid) if here is not None else None
        if here is None or above is None or not _related(here.name, above.name):
            return descendants(table, top)
        top = above.pid


def own_family(files: Files, table: Mapping[int, ProcessStat]) -> set[int]:
    """Sickbay's own process and the children in which it looks; nothing else it may have started."""
    try:
        own = process_stat(files.read_text("/proc/self/stat", bytes_max=4_000)).pid
    except ProbeError:
        return set()
    found = {own}
    for each in table.values():
        if each.ppid != own:
            continue
        try:
            words = files.read_text(f"/proc/{each.pid}/cmdline", bytes_max=4_000)
        except ProbeError:
            continue
        if _OWN_CHILD in words:
            found |= descendants(table, each.pid)
    return found


def named_like_engine(name: str) -> bool:
    """Whether a process (by its name in /proc, or in a kernel line) is called as inference engines are."""
    return name.lower().startswith(_FAMILIES)


def _related(name: str, parent: str) -> bool:
    mine = next((word for word in _FAMILIES if name.lower().startswith(word)), None)
    return mine is not None and parent.lower().startswith(mine)
