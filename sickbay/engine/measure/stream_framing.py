"""The framing of a streamed answer: bytes as they were read, in; whole events, out. Pure.

One read may hold several events and one event may take several reads, so the framer keeps what is
unfinished. It works on bytes: a character of several bytes that is split over two reads is decoded
only when its line is whole. Source of the format: WHATWG HTML, section "Server-sent events".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.signal import UnknownReason

__all__ = ["EVENT_BYTES_MAX", "DocumentFramer", "Event", "EventFramer", "Framer", "LineFramer", "framer_for"]

EVENT_BYTES_MAX = 1_000_000
"""The largest event that is read. A token's event is some hundred bytes; the last one may hold the whole answer."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its data, and its name ("" when the stream names none)."""

    data: str
    name: str = ""


class Framer(Protocol):
    """Cuts a stream of bytes into events."""

    def feed(self, data: bytes) -> list[Event]:
        """The events that this read completed, in order.

        Raises:
            ProbeError: an event is longer than `EVENT_BYTES_MAX` (reason too-large).
        """
        ...

    def close(self) -> list[Event]:
        """What the end of the stream completes: a last event whose blank line never came."""
        ...


class _Lines:
    """Whole lines from reads; a line ends with LF, CRLF or CR."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._rest = b""
        self._after_cr = False

    def feed(self, data: bytes) -> list[bytes]:
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]  # the second half of a CRLF that two reads split
        if data:
            self._after_cr = data.endswith(b"\r")
        text = self._rest + data
        lines = text.splitlines()
        self._rest = b"" if not text or text.endswith((b"\n", b"\r")) else lines.pop()
        refuse_over(len(self._rest), self._bytes_max)
        return lines

    def close(self) -> list[bytes]:
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


def refuse_over(size: int, bytes_max: int) -> None:
    """Stop a stream that never ends its line or its event."""
    if size > bytes_max:
        raise ProbeError(UnknownReason.TOO_LARGE, f"the stream: one event is over {bytes_max} bytes without an end")


class EventFramer:
    """Server-sent events. Comments and unknown fields are skipped; an `error:` line (older llama.cpp) is an error."""

    def __init__(self, bytes_max: int = EVENT_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._lines = _Lines(bytes_max)
        self._first = True
        self._data: list[bytes] = []
        self._size = 0
        self._name = ""

    def feed(self, data: bytes) -> list[Event]:
        """The events that this read completed, in order."""
        events: list[Event] = []
        for line in self._lines.feed(data):
            self._take(line, events)
        return events

    def close(self) -> list[Event]:
        """The last event, when the stream ended without its blank line."""
        events: list[Event] = []
        for line in [*self._lines.close(), b""]:
            self._take(line, events)
        return events

    def _take(self, line: bytes, events: list[Event]) -> None:
        if self._first:
            self._first = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            self._flush(events)
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field in {b"data", b"error"}:
            self._data.append(value)
            self._size += len(value)
            refuse_over(self._size, self._bytes_max)
        if field == b"error":
            self._name = "error"
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")[:80]

    def _flush(self, events: list[Event]) -> None:
        if self._data:
            events.append(Event(b"\n".join(self._data).decode("utf-8", "replace"), self._name))
        self._data, self._size, self._name = [], 0, ""


class LineFramer:
    """One JSON object a line, as Ollama's native routes send."""

    def __init__(self, bytes_max: int = EVENT_BYTES_MAX) -> None:
        self._lines = _Lines(bytes_max)

    def feed(self, data: bytes) -> list[Event]:
        """The lines that this read completed."""
        return [Event(line.decode("utf-8", "replace")) for line in self._lines.feed(data) if line.strip()]

    def close(self) -> list[Event]:
        """The last line, when the stream ended without its line end."""
        return [Event(line.decode("utf-8", "replace")) for line in self._lines.close() if line.strip()]


class DocumentFramer:
    """One JSON document, as an answer that is no stream; anything else under this name is read as events."""

    def __init__(self, bytes_max: int = EVENT_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._document = b""
        self._events: EventFramer | None = None

    def feed(self, data: bytes) -> list[Event]:
        """Nothing before the end, unless it turns out to be a stream."""
        if self._events is None:
            self._document += data
            refuse_over(len(self._document), self._bytes_max)
            begin = self._document.lstrip()[:1]
            if begin in {b"", b"{"}:
                return []
            self._events, data, self._document = EventFramer(self._bytes_max), self._document, b""
        return self._events.feed(data)

    def close(self) -> list[Event]:
        """The document."""
        if self._events is not None:
            return self._events.close()
        return [Event(self._document.decode("utf-8", "replace"))] if self._document.strip() else []


def framer_for(content_type: str) -> Framer:
    """The framer for an answer's content type; anything but JSON is read as server-sent events."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json":
        return DocumentFramer()
    return (
        LineFramer() if kind in {"application/x-ndjson", "application/ndjson", "application/jsonl"} else EventFramer()
    )
