"""The journal of an eval run: a header line, then a line for each answer, written before the next one is asked for.

An answer whose scorer takes long (a judge, a command) has a line of its own before it is scored, with its text: when
the judge fails, or the process is killed, it is scored later and not asked for again. A line goes to the kernel at
once, so a killed process loses none that it had; the disk is synced in batches, so a power cut loses at most the last
of them. A torn end is cut off; a damaged line with whole ones behind it is an error: nobody's answers are thrown away.
One process at a time: the file is locked.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sickbay.engine.errors import ConfigError, DeliveryError
from sickbay.engine.evals.row import Row
from sickbay.engine.evals.scorer import Given

__all__ = ["EvalJournal"]

SYNC_EVERY = 64
Held = tuple[Given, tuple[str, ...], bool]
"""An answer that waits for its score, what went wrong before it came, and whether it is of the cache."""


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")


class EvalJournal:
    """Append-only. Opening one that exists gives back what it holds, if it is of the same run."""

    def __init__(self, path: Path, key: str, about: Mapping[str, Any] | None = None) -> None:
        """Open or begin.

        Args:
            path: the file; made with mode 0600.
            key: what the run is: set, endpoints, settings, scorers. Another key is another run.
            about: told in the header, for people.

        Raises:
            ConfigError: the file belongs to another run, is no journal, is damaged, or another process writes it.
            DeliveryError: it cannot be written.
        """
        self.path = path
        self.rows: dict[str, list[Row]] = {}
        self.held: dict[tuple[str, str, int], Held] = {}
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DeliveryError(f"the journal {str(path)!r} cannot be opened: {error.strerror or error}") from error
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):  # a device or a pipe never comes to its end
            os.close(self._descriptor)
            raise ConfigError(f"{path}: a journal is a file, and this is none; name another")
        self._unsynced = 0
        try:
            self._lock()
            end = self._read(key)
        except ConfigError:
            self.close()
            raise
        os.ftruncate(self._descriptor, end)
        os.lseek(self._descriptor, end, os.SEEK_SET)
        if end == 0:
            self._line({"sickbay_eval_journal": 1, "key": key, **(about or {})})
            self.sync()

    @property
    def resumed(self) -> int:
        """Answers it already held."""
        return sum(len(rows) for rows in self.rows.values())

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"{self.path}: another process writes this journal; wait for it, or name another"
            ) from error

    def _read(self, key: str) -> int:
        """Read what is there; where the next line goes."""
        end = damaged = 0
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            for number, line in enumerate(file):
                if not line.endswith(b"\n"):
                    break
                try:
                    data = json.loads(line, parse_constant=_refuse)
                    if number == 0:
                        self._same_run(data, key)
                    elif damaged:
                        raise ConfigError(
                            f"{self.path}:{damaged}: a damaged line with whole ones behind it; take it out to go on"
                        )
                    else:
                        self._take(data.pop("arm"), data)
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    if number == 0:
                        raise ConfigError(f"{self.path}: no eval journal; name another file") from error
                    damaged = damaged or number + 1
                if not damaged:
                    end += len(line)
        return end

    def _take(self, arm: str, data: dict[str, Any]) -> None:
        """A line: an answer that waits for its score, or the score."""
        if "held" in data:
            given = Given.from_json(data["given"])
            self.held[arm, data["held"], data["sample"]] = given, tuple(data["retried"]), bool(data["cached"])
        else:
            row = Row.from_json(data)
            self.rows.setdefault(arm, []).append(row)
            self.held.pop((arm, row.item, row.sample), None)

    def _same_run(self, data: Mapping[str, Any], key: str) -> None:
        if data["sickbay_eval_journal"] != 1:
            raise ConfigError(f"{self.path}: a journal of version {data['sickbay_eval_journal']!r}; wanted 1")
        if data["key"] != key:
            raise ConfigError(
                f"{self.path}: the journal of another run (another set, endpoint, setting or scorer); "
                "resume that one, or name another file"
            )

    def add(self, arm: str, row: Row) -> None:
        """One answer. Raises DeliveryError when it cannot be written."""
        self._line({"arm": arm, **row.to_json()})
        self._unsynced += 1
        if self._unsynced >= SYNC_EVERY:
            self.sync()

    def hold(self, key: tuple[str, str, int], held: Held) -> None:
        """An answer before its score. Raises DeliveryError when it cannot be written."""
        (arm, item, sample), (given, retried, cached) = key, held
        told = {"held": item, "sample": sample, "retried": retried, "cached": cached, "given": given.to_json()}
        self._line({"arm": arm, **told})

    def _line(self, data: Mapping[str, Any]) -> None:
        view = memoryview(json.dumps(data, ensure_ascii=True, separators=(",", ":")).encode() + b"\n")
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            raise DeliveryError(f"the journal {str(self.path)!r} cannot be written: {error.strerror}") from error

    def sync(self) -> None:
        """Put everything on the disk. Raises DeliveryError when it does not take it."""
        self._unsynced = 0
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise DeliveryError(f"the journal {str(self.path)!r} cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Sync and close."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):  # a full disk: told by the line that it did not take
                os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
