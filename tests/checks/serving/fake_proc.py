"""A small /proc below a folder: listening sockets, processes, who holds what."""

from __future__ import annotations

from pathlib import Path

__all__ = ["listen", "proc_root", "process"]

_HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def proc_root(root: Path) -> Path:
    """An empty host: no socket, up for 1,000 s."""
    (root / "proc" / "net").mkdir(parents=True)
    for name in ("tcp", "tcp6"):
        (root / "proc" / "net" / name).write_text(_HEAD)
    (root / "proc" / "uptime").write_text("1000.00 1900.00\n")
    return root


def listen(root: Path, port: int, inode: int) -> None:
    """A socket that listens on every address."""
    with (root / "proc" / "net" / "tcp").open("a") as table:
        none = "00000000:00000000"
        table.write(
            f"   0: 00000000:{port:04X} 00000000:0000 0A {none} 00:00000000 00000000     0        0 {inode} 1\n"
        )


def process(
    root: Path, pid: int, *, state: str = "S", parent: int = 1, inodes: tuple[int, ...] = (), name: str = "python",
    command: tuple[str, ...] = (), cgroup: str = "",
) -> None:  # fmt: skip
    """A process that began 400 s after boot and holds these sockets."""
    folder = root / "proc" / str(pid)
    (folder / "fdinfo").mkdir(parents=True)
    fields = [state, str(parent), *["0"] * 17, "40000", *["0"] * 30]
    (folder / "stat").write_text(f"{pid} ({name}) {' '.join(fields)}\n")
    (folder / "cmdline").write_text("\0".join(command) + "\0")
    if cgroup:
        (folder / "cgroup").write_text(f"0::{cgroup}\n")
    for number, inode in enumerate(inodes, start=3):
        (folder / "fdinfo" / str(number)).write_text(f"pos:\t0\nflags:\t02\nmnt_id:\t10\nino:\t{inode}\n")
