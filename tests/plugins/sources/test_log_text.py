"""Lines as their program wrote them, whatever they were wrapped in; and files that are no text."""

from __future__ import annotations

import gzip

import pytest

from sickbay.plugins.sources.log_text import plain_line, refused_bytes


@pytest.mark.parametrize(
    ("stored", "written"),
    [
        pytest.param("\x1b[1;36m(Engine)\x1b[0;0m E: \x1b[31mCUDA\x1b[0m out", "(Engine) E: CUDA out", id="colours"),
        pytest.param("\x1b]0;title\x07text", "text", id="a-terminals-title"),
        pytest.param("\0\0\0\0INFO after a truncation", "INFO after a truncation", id="a-hole"),
        pytest.param(
            '{"log":"OutOfMemoryError: \\u001b[1mCUDA\\u001b[0m\\n","stream":"stderr","time":"2026-11-26T12:00:00Z"}',
            "2026-11-26T12:00:00Z OutOfMemoryError: CUDA", id="docker",
        ),
        pytest.param(
            '{"level":"error","ts":1795521600.5,"msg":"no space"}', "2026-11-24T12:00:00.500000+00:00 ERROR no space",
            id="zap-seconds",
        ),
        pytest.param(
            '{"timestamp":1795521600500,"message":"INFO x","level":"info"}', "2026-11-24T12:00:00.500000+00:00 INFO x",
            id="milliseconds",
        ),
        pytest.param('{"choices": []}', '{"choices": []}', id="json-that-is-no-record"),
        pytest.param('{"log": ', '{"log": ', id="no-json"),
        pytest.param("[1, 2]", "[1, 2]", id="a-list"),
    ],
)  # fmt: skip
def test_a_line_as_it_was_written(stored: str, written: str) -> None:
    assert plain_line(stored) == written


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(gzip.compress(b"CUDA out of memory"), "it is packed (gzip); give the unpacked file", id="rotated"),
        pytest.param(b"\0" * 5000, "it holds zero bytes only", id="truncated-while-written"),
        pytest.param("INFO all is well\n".encode("utf-16"), "it is no UTF-8 text", id="utf-16"),
        pytest.param(bytes(range(128, 256)) * 9, "it is no UTF-8 text", id="binary"),
        pytest.param(b"\0" * 5000 + b"INFO all is well\n", "", id="a-hole-and-text"),
        pytest.param("Prüfung läuft\n".encode(), "", id="text"),
        pytest.param(b"", "", id="empty"),
    ],
)
def test_what_is_no_text(data: bytes, words: str) -> None:
    found = refused_bytes(data[:8], data)
    assert words in found
    assert bool(found) is bool(words)
