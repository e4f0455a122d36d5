"""The engine's process on this host: by its pid, or by the socket that listens on the target's port.

Sources: proc(5) for /proc/net/tcp, /proc/PID/stat and /proc/PID/fdinfo (field `ino`, Linux 5.14 and later).
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import Files
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target

__all__ = [
    "Listener",
    "Process",
    "command_line",
    "environment",
    "find_process",
    "listeners",
    "owner_of",
    "process_state",
    "stopped_child",
    "target_port",
]

LISTEN = "0A"  # include/net/tcp_states.h: TCP_LISTEN
FILES_READ_MAX = 20_000
PROCESSES_MAX = 5_000
FAMILY_DEPTH_MAX = 4
TICKS_PER_S = 100  # USER_HZ; 100 on every Linux that matters (sysconf(_SC_CLK_TCK))
_FORWARDERS = {"docker-proxy", "rootlessport", "slirp4netns", "gvproxy", "kube-proxy"}


@dataclass(frozen=True, slots=True)
class Listener:
    """One listening TCP socket of this network namespace. `loopback`: only this host can reach it."""

    port: int
    inode: int
    loopback: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process as /proc tells it. `state` is the letter of proc(5); `uptime_s` None when the clock is unread."""

    pid: int
    name: str
    state: str
    uptime_s: float | None
    frozen: bool = False

    @property
    def stopped(self) -> bool:
        """Stopped by a signal or a tracer, or frozen by its cgroup."""
        return self.state in {"T", "t"} or self.frozen


def target_port(url: str) -> int | None:
    """The port of a URL, or its scheme's; None when there is none."""
    try:
        parts = urlsplit(url)
        return parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None


def listeners(files: Files) -> list[Listener]:
    """Every listening TCP socket, by port; one entry a port.

    Raises:
        ProbeError: /proc/net/tcp cannot be read.
    """
    found: dict[int, Listener] = {}
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            text = files.read_text(path, bytes_max=4_000_000)
        except ProbeError:
            if path.endswith("6"):  # a host without IPv6
                continue
            raise
        for line in text.splitlines()[1:]:
            words = line.split()
            if len(words) < 10 or words[3] != LISTEN:
                continue
            address, _, port = words[1].rpartition(":")
            loopback = address.endswith("7F") or address == "0" * 24 + "01000000"
            found.setdefault(int(port, 16), Listener(int(port, 16), int(words[9]), loopback))
    return [found[port] for port in sorted(found)]


def find_process(files: Files, target: Target) -> Process | None:
    """The engine's process; None when nothing listens on the port, or no process can be told for the socket.

    Raises:
        ProbeError: the given pid does not exist (absent), or /proc may not be read.
    """
    if target.pid is not None:
        return process_state(files, target.pid)
    port = target_port(target.direct_url or target.url)
    listener = next((each for each in listeners(files) if each.port == port), None)
    if listener is None:
        return None
    pid = owner_of(files, listener.inode)
    process = process_state(files, pid) if pid is not None else None
    return None if process is None or process.name in _FORWARDERS else process


def owner_of(files: Files, inode: int) -> int | None:
    """The lowest process id that holds a socket; None when it is not seen (another user's, an old kernel)."""
    read = 0
    denied = False
    for name in sorted((name for name in files.names("/proc") if name.isdigit()), key=int):
        try:
            descriptors = files.names(f"/proc/{name}/fdinfo")
        except ProbeError as error:
            denied = denied or error.reason is UnknownReason.PERMISSION
            continue
        for descriptor in descriptors:
            read += 1
            if read > FILES_READ_MAX:
                return None
            if _inode_of(files, f"/proc/{name}/fdinfo/{descriptor}") == inode:
                return int(name)
    if denied:
        raise ProbeError(
            UnknownReason.PERMISSION,
            "the engine's process belongs to another user; run as that user or as root, or give its pid",
        )
    return None


def _inode_of(files: Files, path: str) -> int:
    try:
        text = files.read_text(path, bytes_max=2_000)
    except ProbeError:  # closed between listing and reading
        return -1
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key == "ino" and value.strip().isdigit():
            return int(value)
    return -1


def process_state(files: Files, pid: int) -> Process:
    """One process.

    Raises:
        ProbeError: it does not exist, or its state cannot be read.
    """
    try:
        text = files.read_text(f"/proc/{pid}/stat", bytes_max=4_000)
    except ProbeError as error:
        if error.reason is UnknownReason.ABSENT:
            raise ProbeError(UnknownReason.ABSENT, f"there is no process {pid} on this host") from error
        raise
    name = text[text.find("(") + 1 : text.rfind(")")]
    fields = text[text.rfind(")") + 2 :].split()
    if len(fields) < 20:
        raise ProbeError(UnknownReason.MALFORMED, f"/proc/{pid}/stat: wanted 22 fields or more, found {text[:60]!r}")
    return Process(pid=pid, name=name, state=fields[0], uptime_s=_uptime(files, fields[19]), frozen=_frozen(files, pid))


def stopped_child(files: Files, pid: int) -> Process | None:
    """The first stopped descendant: engines keep their loop in a process of its own, behind a healthy front."""
    parents: dict[int, int] = {}
    for name in files.names("/proc")[:PROCESSES_MAX]:
        if name.isdigit():
            parents[int(name)] = _parent(files, name)
    family = {pid}
    for _ in range(FAMILY_DEPTH_MAX):
        more = {child for child, parent in parents.items() if parent in family} - family
        if not more:
            break
        family |= more
    for child in sorted(family - {pid}):
        try:
            process = process_state(files, child)
        except ProbeError:  # ended meanwhile
            continue
        if process.stopped:
            return process
    return None


def _parent(files: Files, name: str) -> int:
    try:
        text = files.read_text(f"/proc/{name}/stat", bytes_max=4_000)
        return int(text[text.rfind(")") + 2 :].split()[1])
    except (ProbeError, ValueError, IndexError):
        return 0


def _uptime(files: Files, started_ticks: str) -> float | None:
    try:
        return max(
            0.0, float(files.read_text("/proc/uptime", bytes_max=200).split()[0]) - int(started_ticks) / TICKS_PER_S
        )
    except (ProbeError, ValueError, IndexError):
        return None


def _frozen(files: Files, pid: int) -> bool:
    """Whether the process' cgroup (version 2) is frozen; False when that cannot be read."""
    try:
        row = next(line for line in files.read_text(f"/proc/{pid}/cgroup").splitlines() if line.startswith("0::"))
        events = files.read_text(f"/sys/fs/cgroup{row[3:]}/cgroup.events", bytes_max=2_000)
    except (ProbeError, StopIteration):
        return False
    return "frozen 1" in events


def command_line(files: Files, pid: int) -> list[str]:
    """The words of a process' command line. They may hold secrets: keep only what is asked for."""
    return [word for word in files.read_text(f"/proc/{pid}/cmdline", bytes_max=100_000).split("\0") if word]


def environment(files: Files, pid: int) -> dict[str, str]:
    """A process' variables as it was started with. They hold secrets: keep only what is asked for."""
    rows = files.read_text(f"/proc/{pid}/environ", bytes_max=200_000).split("\0")
    return {name: value for name, _, value in (row.partition("=") for row in rows) if name}
