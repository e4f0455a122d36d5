"""Logs from a real file, a real journalctl, and a server that answers as Loki's documented API does."""

from __future__ import annotations

import asyncio
import gzip
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import LogSource, Target
from sickbay.plugins.sources.log_rows import clock_note
from sickbay.plugins.sources.logs import LINE_CHARS_MAX, LogLines, read_lines
from sickbay.plugins.sources.logs_journald import journal_rows
from tests.checks.serving.looking import looking
from tests.plugins.sources.conftest import Serve

NOW_S = 1_795_473_000.0


def read(source: LogSource, *, lines_max: int = 100, ends_s: float | None = NOW_S, root: str = "/") -> LogLines:
    async def run() -> LogLines:
        async with looking(Target(name="t", logs=(source,), root=root)) as look:
            return await read_lines(look, source, since_s=600.0, lines_max=lines_max, ends_s=ends_s)

    return asyncio.run(run())


def refused(source: LogSource, *, root: str = "/") -> ProbeError:
    with pytest.raises(ProbeError) as caught:
        read(source, root=root)
    return caught.value


def test_the_end_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "vllm.log"
    path.write_text("".join(f"line {index}\n" for index in range(500)) + "x" * 9_000)
    found = read(LogSource(kind="file", where=str(path)), lines_max=3, ends_s=None)
    assert found.lines == ("line 498", "line 499", "x" * LINE_CHARS_MAX)
    assert (found.cut, found.source) == (True, f"{path}: its last 3 lines")


def test_a_file_larger_than_is_read_begins_with_a_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "big.log"
    path.write_text("a" * 1_999_990 + "\n" + "b" * 50 + "\nend\n")
    found = read(LogSource(kind="file", where=str(path)), ends_s=None)
    assert (found.lines, found.cut) == (("b" * 50, "end"), True)


def test_a_file_that_is_no_text_is_not_read_as_a_sound_log(tmp_path: Path) -> None:
    path = tmp_path / "vllm.log.1.gz"
    path.write_bytes(gzip.compress(b"CUDA out of memory"))
    with pytest.raises(ProbeError, match=r"vllm\.log\.1\.gz: it is packed \(gzip\); give the unpacked file"):
        read(LogSource(kind="file", where=str(path)), ends_s=None)


def test_a_file_knows_no_past(tmp_path: Path) -> None:
    error = refused(LogSource(kind="file", where=str(tmp_path / "x")))
    assert error.reason is UnknownReason.UNSUPPORTED


# Recorded from `journalctl -o json --output-fields=MESSAGE` of systemd 252, shortened; the byte array holds ESC [ 1 m.
JOURNAL = b"""
{"__REALTIME_TIMESTAMP":"1795472999000000","MESSAGE":"Uvicorn running on http://0.0.0.0:8000","__CURSOR":"s=1"}
{"__REALTIME_TIMESTAMP":"1795472999500000","MESSAGE":[27,91,49,109,111,117,116,32,111,102,32,109,101,109,111,114,121]}
{"__REALTIME_TIMESTAMP":"1795472999600000","MESSAGE":null}
{"__REALTIME_TIMESTAMP":"1795472999700000","MESSAGE":["two","values"]}
not json
{"MESSAGE":"no time"}
"""


def test_entries_of_a_journal() -> None:
    assert journal_rows(JOURNAL) == [
        (1795472999.0, "Uvicorn running on http://0.0.0.0:8000"),
        (1795472999.5, "\x1b[1mout of memory"),
        (1795472999.7, "two\nvalues"),
    ]


def test_a_unit_name_is_no_option() -> None:
    error = refused(LogSource(kind="journald", where="--file=/etc/shadow"))
    assert error.detail == "journald: '--file=/etc/shadow' is no unit name, e.g. vllm.service"


@pytest.mark.skipif(not shutil.which("journalctl"), reason="needs journalctl")
def test_a_host_without_a_journal_says_so(tmp_path: Path) -> None:
    (tmp_path / "var" / "log" / "journal").mkdir(parents=True)  # else journalctl itself refuses the folder
    error = refused(LogSource(kind="journald", where="vllm.service"), root=str(tmp_path))
    assert error.reason is UnknownReason.ABSENT
    assert error.detail == (
        "journald vllm.service: this host keeps no journal (/var/log/journal and /run/log/journal are empty)"
    )


def journal_has_entries() -> bool:
    if not shutil.which("journalctl"):
        return False
    found = subprocess.run(["journalctl", "-n", "1", "-o", "json", "-q"], capture_output=True, check=False, timeout=20)
    return b"_SYSTEMD_UNIT" in found.stdout


@pytest.mark.skipif(not journal_has_entries(), reason="this host keeps no journal with units")
def test_a_real_journal() -> None:
    newest = subprocess.run(["journalctl", "-n", "1", "-o", "json", "-q"], capture_output=True, check=True, timeout=20)
    unit = json.loads(newest.stdout)["_SYSTEMD_UNIT"]
    found = read(LogSource(kind="journald", where=unit), ends_s=time.time())
    assert found.read_as.startswith("journalctl --output=json")


def loki(seen: list[dict[str, list[str]]], lines: int = 3) -> Mapping[str, str] | object:
    def answers(path: str) -> tuple[int, Mapping[str, str], str]:
        parts = urlsplit(path)
        if parts.path != "/loki/api/v1/query_range":
            return 404, {}, "404 page not found\n"
        asked = parse_qs(parts.query)
        seen.append(asked)
        end = int(asked["end"][0])
        values = [[str(end - index * 1_000_000_000), f"line {lines - index}"] for index in range(lines)]
        result = [
            {"stream": {"app": "vllm", "pod": "a"}, "values": values[::2]},
            {"stream": {"app": "vllm", "pod": "b"}, "values": [[*value, {"level": "info"}] for value in values[1::2]]},
        ]
        body = {"status": "success", "data": {"resultType": "streams", "result": result, "stats": {}}}
        return 200, {}, json.dumps(body)

    return answers


def test_lines_of_loki_in_the_order_of_time(serve: Serve) -> None:
    seen: list[dict[str, list[str]]] = []
    url = serve(loki(seen))  # type: ignore[arg-type]
    found = read(LogSource(kind="loki", where=f"{url}/", query='{app="vllm"} |= "error"'))
    assert found.lines == ("line 1", "line 2", "line 3")
    assert (found.cut, found.from_s) == (False, NOW_S - 2)
    assert seen == [{
        "query": ['{app="vllm"} |= "error"'], "start": ["1795472400000000000"], "end": ["1795473000000000000"],
        "limit": ["100"], "direction": ["backward"],
    }]  # fmt: skip


def test_more_lines_than_were_asked_for_are_told(serve: Serve) -> None:
    url = serve(loki([], lines=9))  # type: ignore[arg-type]
    found = read(LogSource(kind="loki", where=url, query='{app="vllm"}'), lines_max=4)
    assert (found.lines, found.cut) == (("line 6", "line 7", "line 8", "line 9"), True)


def test_a_loki_that_gives_less_than_was_asked_for_is_asked_for_that(serve: Serve) -> None:
    """What Loki says when `max_entries_limit_per_query` is below the limit asked for (pkg/querier)."""
    asked: list[str] = []

    def answers(path: str) -> tuple[int, Mapping[str, str], str]:
        limit = parse_qs(urlsplit(path).query)["limit"][0]
        asked.append(limit)
        if int(limit) > 2:
            return 400, {}, f"max entries limit per query exceeded, limit > max_entries_limit_per_query ({limit} > 2)\n"
        rows = [[str(round((NOW_S - index) * 1e9)), f"line {index}"] for index in range(2)]
        data = {"resultType": "streams", "result": [{"stream": {}, "values": rows}]}
        return (
            200,
            {},
            json.dumps({"status": "success", "data": data, "warnings": ["partial result: a querier is gone"]}),
        )

    url = serve(answers)
    found = read(LogSource(kind="loki", where=url, query='{app="vllm"}'))
    assert asked == ["100", "2"]
    assert (found.lines, found.cut, found.stamps) == (("line 1", "line 0"), True, (NOW_S - 1, NOW_S))
    assert found.notes == (f"Loki at {url} says: partial result: a querier is gone",)


@pytest.mark.parametrize(
    ("date", "words"),
    [
        pytest.param(lambda now_s: formatdate(now_s + 900, usegmt=True), "s ahead of this host;", id="ahead"),
        pytest.param(lambda now_s: formatdate(now_s - 900, usegmt=True), "s behind this host;", id="behind"),
        pytest.param(lambda now_s: formatdate(now_s, usegmt=True), "", id="agrees"),
        pytest.param(lambda _: "yesterday", "", id="no-date"),
    ],
)
def test_the_clock_of_loki(date: Callable[[float], str], words: str) -> None:
    note = clock_note(date(NOW_S), NOW_S, "Loki")
    assert words in note
    assert bool(note) is bool(words)


@pytest.mark.parametrize(
    ("answer", "reason", "words"),
    [
        pytest.param((401, "no org id\n"), UnknownReason.AUTH, "several tenants: send X-Scope-OrgID", id="tenants"),
        pytest.param((403, "denied"), UnknownReason.AUTH, "(denied); it wants credentials", id="auth"),
        pytest.param(
            (400, "parse error at line 1, col 1: syntax error"), UnknownReason.MALFORMED,
            "refuses '{a=\"b\"}' (400): parse error at line 1", id="bad-query",
        ),
        pytest.param((429, "too many outstanding requests"), UnknownReason.TIMEOUT, "(429): too many", id="overloaded"),
        pytest.param(
            (200, '{"status":"success","data":{"resultType":"matrix","result":[]}}'), UnknownReason.NOT_CONFIGURED,
            "gives numbers ('matrix'), not lines", id="a-metric-query",
        ),
        pytest.param((200, "<html>"), UnknownReason.MALFORMED, "wanted JSON, found", id="no-loki"),
        pytest.param((200, "[]"), UnknownReason.MALFORMED, "wanted data.result, found '[]'", id="no-result"),
    ],
)  # fmt: skip
def test_what_is_no_answer_of_loki(serve: Serve, answer: tuple[int, str], reason: UnknownReason, words: str) -> None:
    url = serve(lambda _: (answer[0], {}, answer[1]))
    error = refused(LogSource(kind="loki", where=url, query='{a="b"}'))
    assert (error.reason, words in error.detail) == (reason, True), error.detail


def test_loki_without_a_query() -> None:
    error = refused(LogSource(kind="loki", where="http://loki:3100"))
    assert error.detail == "loki http://loki:3100: no query; give one, e.g. query: '{app=\"vllm\"}'"
