"""Answers by content: the same request to the same endpoint is asked once. Off unless a file is named.

A cached answer says nothing of today's server: rows say that they are cached, and gates use none. The file holds
digests of prompts, and answers.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sickbay.engine.errors import ConfigError
from sickbay.engine.evals.item import digest
from sickbay.engine.evals.scorer import Given

__all__ = ["AnswerCache"]

COMMIT_EVERY = 64


class AnswerCache:
    """One SQLite file."""

    def __init__(self, path: Path) -> None:
        """Open or make it. Raises ConfigError when the file is none of ours."""
        try:
            self._connection = sqlite3.connect(path)
            self._connection.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL)")
        except sqlite3.Error as error:
            raise ConfigError(f"the cache {str(path)!r} cannot be used: {error}; name another file") from error
        self._waiting = 0

    @staticmethod
    def key(identity: str, body: Mapping[str, Any], sample: int) -> str:
        """What an answer belongs to. Samples differ, so that repeats are never answered by one answer."""
        return digest([identity, body, sample])

    def get(self, key: str) -> Given | None:
        """The answer, if it was asked before."""
        found = self._connection.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        if found is None:
            return None
        data = json.loads(found[0])
        data["tool_calls"] = tuple(data["tool_calls"])
        return Given(**data)

    def put(self, key: str, given: Given) -> None:
        """Keep a whole answer; failures are never kept."""
        if given.failure:
            return
        self._connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, json.dumps(asdict(given))))
        self._waiting += 1
        if self._waiting >= COMMIT_EVERY:
            self._connection.commit()
            self._waiting = 0

    def close(self) -> None:
        """Commit and close."""
        self._connection.commit()
        self._connection.close()
