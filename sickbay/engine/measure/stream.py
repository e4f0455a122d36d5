"""The trace of one streamed request: when bytes came and how many tokens they carried. Pure, and without text.

`TraceRecorder` is fed the reads as they arrive; `StreamTrace` is what remains: JSON-able, some kilobytes,
enough to recompute every latency (`stream_stats`). All times are seconds from the **intended** send.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from sickbay.engine.errors import ProbeError
from sickbay.engine.measure.stream_framing import Framer, framer_for
from sickbay.engine.measure.stream_piece import Piece, read_piece

__all__ = ["UNREADABLE", "ChunkSeen", "Failure", "ReadSeen", "StreamTrace", "TraceRecorder"]

READS_MAX = 20_000
"""Reads and token chunks kept of one stream; a probe asks for some dozen tokens."""


class Failure(StrEnum):
    """How a request failed; NONE when it did not."""

    NONE = ""
    HTTP = "http"  # an HTTP status that is no success
    ERROR_EVENT = "error-event"  # an error object inside a 200 stream
    INCOMPLETE = "incomplete"  # the stream ended without finish reason and without end marker
    MALFORMED = "malformed"  # not an event stream of a known shape
    TIMEOUT = "timeout"
    BROKEN = "broken"  # the connection failed or was closed midway
    TOO_LARGE = "too-large"


UNREADABLE = frozenset({Failure.MALFORMED, Failure.TOO_LARGE})
"""Failures that say nothing of the server's speed: what came is no answer that can be measured."""


@dataclass(frozen=True, slots=True)
class ReadSeen:
    """One read from the socket."""

    at_s: float
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ChunkSeen:
    """One event that carried tokens. `tokens` is None when the server does not say how many."""

    read: int  # index of the read that completed it
    tokens: int | None
    content: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTrace:
    """One request, measured.

    Attributes:
        sent_s: actual minus intended send; includes `connect_s` when a connection was opened for it.
        connect_s: resolve, connect and TLS; None when the connection was reused.
        headers_s: when the response's headers were there (first response byte); None when none came.
        end_s: when the stream ended or failed.
        reads, chunks: what arrived; a chunk's time is its read's time.
        counts: prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens as the server reports them.
        timings: the server's own clock for this request (`Piece.timings`), seconds.
        failure, message: how it failed and the server's words for it, shortened.
        status: HTTP status, 0 when there was none.
        finish: finish reason, "" when none came.
        own_s: our own processing time, from a read's return to its events counted, summed.
        malformed: events that could not be read.
        encoding: the response's content encoding, "" for none.
        whole: the answer came as one document, although a stream was asked for; its one chunk holds all tokens.
    """

    sent_s: float = 0.0
    connect_s: float | None = None
    headers_s: float | None = None
    end_s: float = 0.0
    reads: tuple[ReadSeen, ...] = ()
    chunks: tuple[ChunkSeen, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    failure: Failure = Failure.NONE
    message: str = ""
    status: int = 0
    finish: str = ""
    own_s: float = 0.0
    malformed: int = 0
    encoding: str = ""
    whole: bool = False

    @property
    def ok(self) -> bool:
        """Whether the request ended as it should; a short or empty answer is one."""
        return self.failure is Failure.NONE

    def to_json(self) -> dict[str, Any]:
        """Plain data; times rounded to the microsecond."""
        data = asdict(self)
        data["reads"] = [[round(read.at_s, 6), read.size_bytes] for read in self.reads]
        data["chunks"] = [[chunk.read, chunk.tokens, chunk.content] for chunk in self.chunks]
        data["failure"] = self.failure.value
        for name in ("sent_s", "connect_s", "headers_s", "end_s", "own_s"):
            data[name] = None if data[name] is None else round(data[name], 6)
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StreamTrace:
        """The trace that `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is no such trace.
        """
        known = dict(data)
        known["reads"] = tuple(ReadSeen(float(at_s), int(size)) for at_s, size in data["reads"])
        known["chunks"] = tuple(ChunkSeen(int(read), tokens, bool(content)) for read, tokens, content in data["chunks"])
        known["failure"] = Failure(data["failure"])
        return cls(**known)


class TraceRecorder:
    """Turns reads into a trace. One recorder a request; `start`, then `feed` for each read, then `finish`."""

    def __init__(self, intended_at_s: float) -> None:
        """Begin at the intended send time (monotonic seconds)."""
        self._zero = intended_at_s
        self._framer: Framer = framer_for("")
        self._reads: list[ReadSeen] = []
        self._chunks: list[ChunkSeen] = []
        self._counts: dict[str, int] = {}
        self._timings: dict[str, float] = {}
        self._sent_s = 0.0
        self._connect_s: float | None = None
        self._headers_s: float | None = None
        self._status = 0
        self._kind = ""
        self._encoding = ""
        self._total = 0
        self._error = ""
        self._finish = ""
        self._done = False
        self._by_close = False
        self._malformed = 0
        self.own_s = 0.0

    @property
    def done(self) -> bool:
        """The end marker was seen; what follows is read and not counted."""
        return self._done

    def start(
        self, *, sent_at_s: float, headers_at_s: float, connect_s: float | None, status: int, headers: Mapping[str, str]
    ) -> None:
        """The response's headers are there (names in lower case)."""
        self._sent_s = sent_at_s - self._zero
        self._headers_s = headers_at_s - self._zero
        self._connect_s = connect_s
        self._status = status
        self._encoding = headers.get("content-encoding", "").strip().lower().replace("identity", "")
        self._kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        self._framer = framer_for(self._kind)

    def feed(self, at_s: float, data: bytes) -> None:
        """One read.

        Raises:
            ProbeError: an event without end (reason too-large).
        """
        if len(self._reads) < READS_MAX:
            self._reads.append(ReadSeen(at_s - self._zero, len(data)))
        for event in self._framer.feed(data):
            self._take(read_piece(event))

    def _take(self, piece: Piece) -> None:
        if self._done:
            return
        self._counts |= piece.counts
        self._timings |= piece.timings
        self._error = self._error or piece.error
        self._finish = piece.finish or self._finish
        self._done = piece.done
        self._by_close = self._by_close or piece.ends_by_close
        self._malformed += piece.malformed
        self._count(piece)

    def _count(self, piece: Piece) -> None:
        rise = None if piece.total is None else piece.total - self._total
        if piece.total is not None:
            self._total = max(self._total, piece.total)
        if piece.summary or not (piece.spoke or (rise or 0) > 0 or (piece.count or 0) > 0):
            return
        # Text with no rise (a character finished late) came with no new token; the first such text still is one.
        tokens = rise if rise is not None and rise > 0 else piece.count
        if tokens is None and rise is not None and self._chunks:
            tokens = 0
        if len(self._chunks) < READS_MAX:
            self._chunks.append(ChunkSeen(max(len(self._reads) - 1, 0), tokens, piece.content))

    def finish(self, at_s: float, failure: Failure = Failure.NONE, message: str = "") -> StreamTrace:
        """The stream ended, or failed from outside (`failure`). Gives the trace."""
        if failure is Failure.NONE:
            for event in self._framer.close():
                self._take(read_piece(event))
            failure, message = self._verdict()
        return StreamTrace(
            sent_s=self._sent_s,
            connect_s=self._connect_s,
            headers_s=self._headers_s,
            end_s=at_s - self._zero,
            reads=tuple(self._reads),
            chunks=tuple(self._chunks),
            counts=dict(self._counts),
            timings=dict(self._timings),
            failure=failure,
            message=message[:200],
            status=self._status,
            finish=self._finish,
            own_s=self.own_s,
            malformed=self._malformed,
            encoding=self._encoding,
            whole=self._kind == "application/json" and len(self._chunks) == 1 and failure is Failure.NONE,
        )

    def _verdict(self) -> tuple[Failure, str]:
        if self._error:
            return Failure.ERROR_EVENT, self._error
        if not self._chunks and not self._done and self._kind in {"application/json", "text/html", "text/plain"}:
            return Failure.MALFORMED, f"wanted an event stream, found content type {self._kind!r}"
        if self._malformed and not self._chunks:
            return Failure.MALFORMED, f"{self._malformed} events of no known shape and no token"
        if not (self._done or self._finish or (self._by_close and self._chunks)):
            seen = f"{len(self._chunks)} token chunks in {len(self._reads)} reads"
            return Failure.INCOMPLETE, f"the stream ended without finish reason or end marker after {seen}"
        return Failure.NONE, ""

    def refuse(self, at_s: float, error: ProbeError) -> StreamTrace:
        """The trace of a request that the client gave up, with the reason as its failure."""
        reason = error.reason.value
        failure = {"timeout": Failure.TIMEOUT, "too-large": Failure.TOO_LARGE, "malformed": Failure.MALFORMED}
        return self.finish(at_s, failure.get(reason, Failure.BROKEN), error.detail)
