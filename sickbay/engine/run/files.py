"""Bounded reads of the host's files below one root."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.signal import UnknownReason

__all__ = ["NAMES_MAX", "RootedFiles"]

NAMES_MAX = 100_000

_REASONS = {
    errno.ENOENT: (UnknownReason.ABSENT, "no such file"),
    errno.ENOTDIR: (UnknownReason.ABSENT, "a part of the path is no folder"),
    errno.ESRCH: (UnknownReason.ABSENT, "the process has ended"),
    errno.ENODEV: (UnknownReason.ABSENT, "no such device"),
    errno.ENXIO: (UnknownReason.ABSENT, "no such device"),
    errno.EACCES: (UnknownReason.PERMISSION, "permission denied; run as a user who may read it"),
    errno.EPERM: (UnknownReason.PERMISSION, "not permitted; run as a user who may read it"),
    errno.EOPNOTSUPP: (UnknownReason.UNSUPPORTED, "the kernel does not offer it here"),
    errno.EINVAL: (UnknownReason.UNSUPPORTED, "the kernel does not offer it here"),
    errno.ELOOP: (UnknownReason.MALFORMED, "a loop of symbolic links"),
    errno.ENAMETOOLONG: (UnknownReason.MALFORMED, "the path is too long"),
}


class RootedFiles:
    """The `Files` capability. With another root than "/", no symbolic link leads out of it."""

    __slots__ = ("_root",)

    def __init__(self, root: str = "/") -> None:
        self._root = root

    def read_text(self, path: str, *, bytes_max: int = 1_000_000) -> str:
        """The (beginning of the) file as UTF-8; bytes that are not are replaced.

        Raises:
            ProbeError: absent, permission, or not a regular readable file.
        """
        return self.read_bytes(path, bytes_max=bytes_max).decode("utf-8", "replace")

    def read_bytes(self, path: str, *, offset: int = 0, bytes_max: int = 1_000_000) -> bytes:
        """Up to `bytes_max` bytes from `offset`; a negative one counts from the end.

        Raises:
            ProbeError: absent, permission, or not a regular readable file.
        """
        try:
            # Non-blocking: opening a pipe that nobody writes must not wait.
            descriptor = os.open(self._below(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except (OSError, ValueError) as error:
            raise _problem(path, error) from error
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ProbeError(UnknownReason.MALFORMED, f"{path}: not a regular file")
            if offset:
                os.lseek(descriptor, offset if offset > 0 else max(0, status.st_size + offset), os.SEEK_SET)
            return _read(descriptor, bytes_max)
        except OSError as error:
            raise _problem(path, error) from error
        finally:
            os.close(descriptor)

    def names(self, path: str) -> list[str]:
        """Names in a folder, sorted.

        Raises:
            ProbeError: absent, permission, not a folder, or more than `NAMES_MAX` names.
        """
        found: list[str] = []
        try:
            with os.scandir(self._below(path)) as entries:
                for entry in entries:
                    found.append(entry.name)
                    if len(found) > NAMES_MAX:
                        raise ProbeError(UnknownReason.TOO_LARGE, f"{path}: over {NAMES_MAX} names")
        except (OSError, ValueError) as error:
            raise _problem(path, error) from error
        return sorted(found)

    def modified_s(self, path: str) -> float:
        """When the file was written last (Unix seconds).

        Raises:
            ProbeError: absent, permission.
        """
        try:
            return os.stat(self._below(path)).st_mtime  # noqa: PTH116 - as the other calls here
        except (OSError, ValueError) as error:
            raise _problem(path, error) from error

    def _below(self, path: str) -> str:
        if not path.startswith("/"):
            raise ProbeError(UnknownReason.MALFORMED, f"{path!r}: wanted an absolute path")
        if self._root == "/":
            return path
        root = os.path.realpath(self._root)
        full = os.path.realpath(root + os.path.normpath(path))
        if not Path(full).is_relative_to(root):
            raise ProbeError(UnknownReason.PERMISSION, f"{path}: leads out of the target's root {self._root!r}")
        return full


def _read(descriptor: int, bytes_max: int) -> bytes:
    """Up to `bytes_max`; /proc and /sys give short reads and no sizes."""
    parts: list[bytes] = []
    left = bytes_max
    while left > 0:
        part = os.read(descriptor, min(left, 262_144))
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _problem(path: str, error: OSError | ValueError) -> ProbeError:
    if isinstance(error, ValueError):  # Python's own words for it differ from version to version
        return ProbeError(UnknownReason.MALFORMED, f"{path!r}: a path cannot hold a null byte")
    fallback = (UnknownReason.ABSENT, error.strerror or type(error).__name__)
    reason, words = _REASONS.get(error.errno or 0, fallback)
    return ProbeError(reason, f"{path}: {words}")
