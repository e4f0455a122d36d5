"""The host: processes, cgroups, pressure, kernel log, limits, disks, clock."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from sickbay.checks.host.adjtimex import read_clock
from sickbay.checks.host.kernel_log import FILES as LOG_FILES
from sickbay.doctor.ability import Ability, Answer, Can, readable
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import Files
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.run.journal import default_folder

__all__ = ["host_abilities"]

_ROOT = "root, or CAP_SYS_PTRACE; in a container the host's process namespace (hostPID: true)"
_LOG = "root, CAP_SYSLOG, or the group adm or systemd-journal; in a container mount /dev/kmsg and add SYSLOG"
JOURNAL_TIMEOUT_S = 5.0
SPACE_MIN_BYTES = 100_000_000


def host_abilities(files: Files) -> list[Ability]:
    """Everything of this host that a check reads."""
    pressure, processes = "host.pressure", "host.processes"
    return [
        Ability(name="processes", ask=lambda: _processes(files), checks=(processes, pressure, "gpu.memory")),
        Ability(
            name="processes of other users",
            ask=lambda: _others(files),
            checks=(pressure, "process.memory", "gpu.memory", "serving.config"),
        ),
        Ability(name="cgroup", ask=lambda: _cgroup(files), checks=(pressure, "process.memory", "host.limits")),
        Ability(
            name="pressure (PSI)",
            ask=lambda: readable(
                files, "/proc/pressure/cpu", needs="root, or a kernel with PSI",
                absent="this kernel has no PSI, or it is off (psi=1)",
            ),
            checks=(pressure,),
        ),
        Ability(
            name="scheduler wait",
            ask=lambda: readable(files, "/proc/self/schedstat", needs="a kernel with CONFIG_SCHED_INFO"),
            checks=(pressure,),
        ),
        Ability(name="kernel log", ask=lambda: _kernel_log(files), checks=("gpu.xid", "host.kernel")),
        Ability(name="disks", ask=_disks, checks=("host.disk",)),
        Ability(name="clock", ask=_clock, checks=("host.clock",)),
        Ability(
            name="processor clocks",
            ask=lambda: readable(
                files, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", needs="root",
                absent="no cpufreq: a virtual machine, or no driver",
            ),
            checks=("host.cpu",),
        ),
        Ability(name="RDMA ports", ask=lambda: _rdma(files), checks=("host.network",)),
        Ability(name="journal of runs", ask=_journal),
    ]  # fmt: skip


def _processes(files: Files) -> Answer:
    count = sum(name.isdigit() for name in files.names("/proc"))
    hidden = _hides_processes(files)
    if hidden:
        return Answer(Can.PARTLY, f"{count} processes; /proc is mounted with {hidden}", _ROOT)
    return Answer(Can.YES, f"{count} processes")


def _hides_processes(files: Files) -> str:
    for line in files.read_text("/proc/self/mounts").splitlines():
        place = line.split()
        if place[1:3] == ["/proc", "proc"]:
            return next((word for word in place[3].split(",") if word.startswith("hidepid=") and word[8:] != "0"), "")
    return ""


def _others(files: Files) -> Answer:
    """Whether another user's process can be read as closely as one's own."""
    seen, refused = 0, 0
    for name in files.names("/proc"):
        if not name.isdigit():
            continue
        try:
            if Path(f"/proc/{name}").stat().st_uid == os.geteuid() and os.geteuid():
                continue
            files.names(f"/proc/{name}/fdinfo")
            seen += 1
        except ProbeError as error:
            refused += error.reason is UnknownReason.PERMISSION
        except OSError:
            continue
    if not seen and not refused:
        return Answer(Can.NOT_HERE, "no process of another user is seen")
    if refused:
        words = f"{refused} of {seen + refused} keep their files, sockets and environment to themselves"
        return Answer(Can.PARTLY if seen else Can.NO, words, f"the engine's own user, or {_ROOT}")
    return Answer(Can.YES, f"{seen} processes of all users")


def _cgroup(files: Files) -> Answer:
    try:
        rows = files.read_text("/proc/self/cgroup").splitlines()
    except ProbeError as error:
        return Answer(Can.NOT_HERE, error.detail)
    second = any(row.startswith("0::") for row in rows)
    try:
        files.names("/sys/fs/cgroup")
    except ProbeError as error:
        return Answer(Can.NO, error.detail, "mount /sys/fs/cgroup (read-only is enough)")
    first = any(not row.startswith("0::") for row in rows)
    version = "2" if second and not first else "1 and 2" if second else "1"
    for path in ("/sys/fs/cgroup/cgroup.controllers", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified"):
        if Path(path).exists():
            return Answer(Can.YES, f"version {version}")
    return Answer(Can.PARTLY, f"version {version}, and no controller is mounted", "mount the host's /sys/fs/cgroup")


def _kernel_log(files: Files) -> Answer:
    tried = []
    try:
        os.close(os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        tried.append(f"/dev/kmsg: {error.strerror}")
    else:
        return Answer(Can.YES, "/dev/kmsg is readable")
    if (said := _journald()) is not None:
        if not said:
            return Answer(Can.YES, "journald gives the kernel's lines")
        tried.append(f"journald: {said}")
    for path in LOG_FILES:
        if readable(files, path, needs="").can is Can.YES:
            return Answer(Can.YES, f"{path} is readable")
    return Answer(Can.NO, "; ".join(tried), _LOG)


def _journald() -> str | None:
    """Why it gives nothing; "" when it gives lines, None when it is not installed."""
    if shutil.which("journalctl") is None:
        return None
    command = ["journalctl", "-k", "-b", "-q", "--no-pager", "-n", "1"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=JOURNAL_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return "" if done.stdout.strip() else done.stderr.strip().split("\n")[0] or "no line for this user"


def _disks() -> Answer:
    usage = shutil.disk_usage("/")
    return Answer(Can.YES, f"/ has {usage.free / 1e9:.1f} of {usage.total / 1e9:.1f} GB free")


def _clock() -> Answer:
    found = read_clock()
    if "error" in found:
        return Answer(Can.NO, found["error"], "a container profile that allows adjtimex")
    words = "disciplined" if found["synchronised"] else "not disciplined from inside"
    return Answer(Can.YES, f"the kernel tells of its clock: {words}")


def _rdma(files: Files) -> Answer:
    try:
        devices = files.names("/sys/class/infiniband")
    except ProbeError as error:
        if error.reason is UnknownReason.ABSENT:
            return Answer(Can.NOT_HERE, "no RDMA device")
        return Answer(Can.NO, error.detail, "root")
    return Answer(Can.YES, ", ".join(devices)) if devices else Answer(Can.NOT_HERE, "no RDMA device")


def _journal() -> Answer:
    """Where `resume` finds runs that were killed."""
    folder = default_folder()
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if not os.access(place, os.W_OK | os.X_OK):
        return Answer(Can.NO, f"{place} is not writable", "set XDG_STATE_HOME to a folder of this user")
    free = shutil.disk_usage(place).free
    if free < SPACE_MIN_BYTES:
        return Answer(Can.PARTLY, f"{place} has {free / 1e6:.0f} MB free", "free space, or set XDG_STATE_HOME")
    return Answer(Can.YES, f"{folder}, {free / 1e9:.1f} GB free")
