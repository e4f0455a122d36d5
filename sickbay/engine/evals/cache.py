"""Answers by content: the same request to the same endpoint is asked once. Off unless a file is named.

A cached answer says nothing of today's server: rows say that they are cached, and gates use none. The file holds
digests of prompts, and answers. Each answer is committed by itself, so that a killed run loses none and several runs
may use one file (SQLite's write-ahead log, where the disk allows it).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sickbay.engine.errors import ConfigError, DeliveryError
from sickbay.engine.evals.item import digest
from sickbay.engine.evals.scorer import Given

__all__ = ["AnswerCache"]

BUSY_S = 30.0
"""How long to wait for another run that writes."""


class AnswerCache:
    """One SQLite file."""

    def __init__(self, path: Path) -> None:
        """Open or make it. Raises ConfigError when the file is none of ours."""
        self._path = path
        try:
            self._connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL)")
        except sqlite3.Error as error:
            raise ConfigError(f"the cache {str(path)!r} cannot be used: {error}; name another file") from error

    @staticmethod
    def key(identity: str, body: Mapping[str, Any], sample: int) -> str:
        """What an answer belongs to. Samples differ, so that repeats are never answered by one answer."""
        return digest([identity, body, sample])

    def get(self, key: str) -> Given | None:
        """The answer, if it was asked before. One that cannot be read is asked for again.

        Raises:
            ConfigError: the file is damaged.
        """
        try:
            found = self._connection.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            raise ConfigError(f"the cache {str(self._path)!r} cannot be read: {error}; name another file") from error
        return None if found is None else _given(found[0])

    def put(self, key: str, given: Given) -> None:
        """Keep a whole answer; failures are never kept. Raises DeliveryError when it cannot be written."""
        if given.failure:
            return
        try:
            self._connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, json.dumps(given.to_json())))
        except sqlite3.Error as error:
            raise DeliveryError(f"the cache {str(self._path)!r} cannot be written: {error}") from error

    def close(self) -> None:
        """Close."""
        self._connection.close()


def _given(text: str) -> Given | None:
    """What `put` wrote; fields of another version are left out."""
    try:
        return Given.from_json(json.loads(text))
    except (ValueError, TypeError, AttributeError):
        return None
