"""The kernel's log: from /dev/kmsg, from journald, or from a file. Only lines that some check wants are kept.

Formats: Documentation/ABI/testing/dev-kmsg of the Linux kernel; journalctl -o short-unix; syslog files with ISO 8601,
RFC 3164 or kernel time stamps.
"""

from __future__ import annotations

import calendar
import errno
import os
import re
import subprocess
import time
from typing import Any

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import Look
from sickbay.engine.model.signal import UnknownReason

__all__ = ["line_time", "read_kernel_log"]

BYTES_MAX = 32_000_000
RECORD_BYTES_MAX = 16_384  # larger than any record the kernel writes (LOG_LINE_MAX)
LINES_KEPT = 2_000
CHARACTERS_KEPT = 400
JOURNAL_TIMEOUT_S = 10.0
FILES = ("/var/log/kern.log", "/var/log/messages", "/var/log/syslog")
_PERMISSION = (
    "the kernel log may not be read: run as root, with CAP_SYSLOG, or as a member of the group systemd-journal or adm, "
    "or give the step a log file"
)
_WANTED = re.compile(
    r"NVRM|SXid|oom|Out of memory|Killed process|blocked for more than|soft lockup|hard LOCKUP|rcu.*stall|"
    r"[Mm]achine [Cc]heck|mce:|EDAC|Hardware Error|AER:|PCIe Bus Error|limited by|mlx5|nvme|I/O error|EXT4-fs|XFS|"
    r"BTRFS|[Rr]emount|md/raid|[Ll]ost carrier|[Ll]ink is [Dd]own|NETDEV WATCHDOG",
)
_ISO = re.compile(r"^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,]\d+)?(Z|[+-]\d\d:?\d\d)?")
_SYSLOG = re.compile(r"^([A-Z][a-z]{2}) +(\d+) (\d\d):(\d\d):(\d\d) ")
_KERNEL = re.compile(r"\[ *(\d+\.\d+)\]")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def read_kernel_log(look: Look, *, source: str, path: str) -> dict[str, Any]:
    """The kept lines, oldest first.

    Args:
        look: reads files below the target's root; kmsg and journald only when that is the real root.
        source: "auto", "kmsg", "journald" or "file".
        path: the file, for "file" (and for "auto" when given).

    Returns:
        `{"source": …, "now_s": …, "truncated": bool, "lines": [[Unix seconds or None, text], …]}`.

    Raises:
        ProbeError: nothing of it can be read, with the permission that is missing.
    """
    now_s, boot_s = look.clock.wall(), _boot_s(look)
    if path or source == "file":
        return _from_file(look, path or FILES[0], now_s, boot_s)
    real = look.target.root == "/"
    tried: list[str] = []
    if real and source in {"auto", "kmsg"}:
        try:
            return {"source": "/dev/kmsg", "now_s": now_s, **_kept(_kmsg(boot_s))}
        except OSError as error:
            tried.append(f"/dev/kmsg: {error.strerror}")
    if real and source in {"auto", "journald"}:
        try:
            return {"source": "journald", "now_s": now_s, **_kept(_journal())}
        except (OSError, subprocess.SubprocessError) as error:
            tried.append(f"journalctl: {error}")
    for name in FILES if source == "auto" else ():
        try:
            return _from_file(look, name, now_s, boot_s)
        except ProbeError as error:
            tried.append(error.detail)
    raise ProbeError(UnknownReason.PERMISSION, f"{_PERMISSION} (tried: {'; '.join(tried)})")


def _kept(rows: list[tuple[float | None, str]]) -> dict[str, Any]:
    wanted = [[at_s, text[:CHARACTERS_KEPT]] for at_s, text in rows if _WANTED.search(text)]
    return {"truncated": len(wanted) > LINES_KEPT, "lines": wanted[-LINES_KEPT:]}


def _boot_s(look: Look) -> float | None:
    """Unix time of the start of the kernel's clock."""
    try:
        return look.clock.wall() - float(look.files.read_text("/proc/uptime", bytes_max=100).split()[0])
    except (ProbeError, ValueError, IndexError):
        return None


def _kmsg(boot_s: float | None) -> list[tuple[float | None, str]]:
    """Every record of the kernel's ring buffer; the read never waits for a new one."""
    rows: list[tuple[float | None, str]] = []
    descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        read = 0
        while read < BYTES_MAX:
            try:
                record = os.read(descriptor, RECORD_BYTES_MAX)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno == errno.EPIPE:  # overwritten while we read; go on with the next
                    continue
                raise
            read += len(record)
            rows.append(_record(record.decode("utf-8", "replace"), boot_s))
    finally:
        os.close(descriptor)
    return rows


def _record(text: str, boot_s: float | None) -> tuple[float | None, str]:
    """`6,339,5140900,-;message`: priority, sequence, microseconds since boot, flags."""
    head, _, message = text.partition(";")
    fields = head.split(",")
    at_s = boot_s + int(fields[2]) / 1e6 if boot_s is not None and len(fields) > 2 and fields[2].isdigit() else None
    return at_s, message.split("\n", 1)[0]


def _journal() -> list[tuple[float | None, str]]:
    done = subprocess.run(
        ["journalctl", "-k", "-b", "-q", "--no-pager", "-o", "short-unix", "-n", "200000"],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=JOURNAL_TIMEOUT_S,
        check=True,
    )
    if not done.stdout.strip():
        raise OSError(errno.EACCES, "no kernel line; this user may not read the journal")
    rows: list[tuple[float | None, str]] = []
    for line in done.stdout[-BYTES_MAX:].splitlines():
        stamp, _, rest = line.partition(" ")
        rows.append((float(stamp) if stamp.replace(".", "", 1).isdigit() else None, rest))
    return rows


def _from_file(look: Look, path: str, now_s: float, boot_s: float | None) -> dict[str, Any]:
    text = look.files.read_text(path, bytes_max=BYTES_MAX)
    found = _kept([(line_time(line, now_s, boot_s), line) for line in text.splitlines()])
    if len(text) >= BYTES_MAX:
        found["truncated"] = True
    return {"source": path, "now_s": now_s, **found}


def line_time(line: str, now_s: float, boot_s: float | None) -> float | None:
    """Unix seconds of a log line, or None. A stamp without a zone is local time, without a year the last such day."""
    if iso := _ISO.match(line):
        year, month, day, hour, minute, second = (int(part) for part in iso.groups()[:6])
        zone = iso.group(7)
        if zone is None:
            return time.mktime((year, month, day, hour, minute, second, 0, 0, -1))
        at_s = float(calendar.timegm((year, month, day, hour, minute, second)))
        if zone == "Z":
            return at_s
        shift = int(zone[1:3]) * 3600 + int(zone[-2:]) * 60
        return at_s - shift if zone[0] == "+" else at_s + shift
    if old := _SYSLOG.match(line):
        month = _MONTHS.index(old.group(1)) + 1 if old.group(1) in _MONTHS else 1
        day, hour, minute, second = (int(part) for part in old.groups()[1:])
        year = time.localtime(now_s).tm_year
        at_s = time.mktime((year, month, day, hour, minute, second, 0, 0, -1))
        return at_s if at_s <= now_s + 86_400 else time.mktime((year - 1, month, day, hour, minute, second, 0, 0, -1))
    if boot_s is not None and (kernel := _KERNEL.search(line[:60])):
        return boot_s + float(kernel.group(1))
    return None
