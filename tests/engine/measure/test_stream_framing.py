from __future__ import annotations

import pytest

from sickbay.engine.errors import ProbeError
from sickbay.engine.measure.stream_framing import DocumentFramer, Event, EventFramer, LineFramer, framer_for
from sickbay.engine.model.signal import UnknownReason

TEXT = ': ping\r\ndata: {"a": "é漢😀"}\r\n\r\nevent: error\ndata: x\ndata:y\n\nid: 7\nretry: 5\n\ndata: [DONE]\n\n'
STREAM = TEXT.encode()
WANTED = [Event('{"a": "é漢😀"}'), Event("x\ny", "error"), Event("[DONE]")]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64, 10_000])
def test_every_way_of_cutting_the_stream_gives_the_same_events(size: int) -> None:
    framer = EventFramer()
    pieces = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]
    events = [event for piece in pieces for event in framer.feed(piece)]
    assert events + framer.close() == WANTED


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_line_ends(end: bytes) -> None:
    framer = EventFramer()
    assert framer.feed(b"data: 1" + end + end + b"data: 2" + end + end) + framer.close() == [Event("1"), Event("2")]


def test_a_line_end_split_between_reads_is_one_line_end() -> None:
    framer = EventFramer()
    assert framer.feed(b"data: 1\r") == []
    assert framer.feed(b"\n\r") == [Event("1")]
    assert framer.feed(b"\ndata: 2\n\n") == [Event("2")]


def test_an_event_is_given_by_the_read_that_completes_it() -> None:
    framer = EventFramer()
    assert framer.feed(b"data: {") == []
    assert framer.feed(b"}\n") == []
    assert framer.feed(b"\n") == [Event("{}")]


def test_several_events_of_one_read_keep_their_order() -> None:
    assert EventFramer().feed(b"data: 1\n\ndata: 2\n\ndata: 3\n\n") == [Event("1"), Event("2"), Event("3")]


def test_a_comment_is_no_event_and_a_byte_order_mark_is_skipped() -> None:
    assert EventFramer().feed(b"\xef\xbb\xbfdata: 1\n\n: keep-alive\n\n") == [Event("1")]


def test_an_error_line_is_an_error_event() -> None:
    assert EventFramer().feed(b'error: {"code": 500}\n\n') == [Event('{"code": 500}', "error")]


def test_the_end_of_the_stream_completes_the_last_event() -> None:
    framer = EventFramer()
    assert framer.feed(b"data: [DONE]") == []
    assert framer.close() == [Event("[DONE]")]


def test_invalid_utf8_is_replaced() -> None:
    assert EventFramer().feed(b"data: \xff\n\n") == [Event("\ufffd")]


@pytest.mark.parametrize(
    "reads", [[b"data: " + b"x" * 60] * 2, [b"data: " + b"x" * 40 + b"\n"] * 3], ids=["line", "event"]
)
def test_an_event_without_end_is_refused(reads: list[bytes]) -> None:
    framer = EventFramer(bytes_max=100)
    for read in reads[:-1]:
        assert framer.feed(read) == []
    with pytest.raises(ProbeError) as caught:
        framer.feed(reads[-1])
    assert caught.value.reason is UnknownReason.TOO_LARGE
    assert str(caught.value) == "the stream: one event is over 100 bytes without an end"


def test_lines_of_json() -> None:
    framer = framer_for("application/x-ndjson; charset=utf-8")
    assert isinstance(framer, LineFramer)
    assert framer.feed(b'{"a": 1}\n\n{"b"') == [Event('{"a": 1}')]
    assert framer.feed(b": 2}") == []
    assert framer.close() == [Event('{"b": 2}')]


def test_a_document_is_one_event_at_its_end() -> None:
    framer = framer_for("application/json; charset=utf-8")
    assert framer.feed(b' {"a":') == framer.feed(b" 1}") == []
    assert framer.close() == [Event(' {"a": 1}')]
    assert framer_for("application/json").close() == []


def test_a_document_without_end_is_refused() -> None:
    with pytest.raises(ProbeError):
        DocumentFramer(bytes_max=10).feed(b'{"aaaaaaaaaaaa')


@pytest.mark.parametrize("kind", ["text/event-stream", ""])
def test_anything_else_is_an_event_stream(kind: str) -> None:
    assert isinstance(framer_for(kind), EventFramer)
