from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from sickbay._version import __version__
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.model.shown_url import shown_url
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Secret, Target
from sickbay.engine.run.budget import RequestBudget
from sickbay.engine.run.clock import SystemClock
from sickbay.engine.run.http import StepHttp
from sickbay.engine.run.http_client import HttpClient
from sickbay.engine.run.threads import DaemonThreads

OK = b"HTTP/1.1 200 OK\r\n"


def using(target: Target, body: Callable[[StepHttp], Awaitable[Any]], budget: int = 5) -> Any:
    """Run the body with an HTTP capability; afterwards no task is left."""

    async def main() -> Any:
        clock = SystemClock()
        threads = DaemonThreads()
        client = HttpClient(
            target=target, clock=clock, threads=threads, budget=RequestBudget(budget), run_id="run-1",
            began_at_s=clock.monotonic(),
        )  # fmt: skip
        try:
            return await body(StepHttp(client))
        finally:
            await client.close()
            threads.close()
            assert asyncio.all_tasks() == {asyncio.current_task()}

    return asyncio.run(main())


def get(url: str, **more: Any) -> Any:
    return using(Target(name="t", url=url), lambda http: http.request("GET", "/x", **more))


def refused(url: str, **more: Any) -> ProbeError:
    with pytest.raises(ProbeError) as caught:
        get(url, **more)
    return caught.value


def answering(answer: bytes, *, then: str = "close") -> Any:
    async def handler(server: Any, reader: Any, writer: Any) -> None:
        await server.head(reader)
        await server.send(writer, answer)
        if then == "hold":
            await reader.read()

    return handler


def test_a_plain_answer(raw_server: Any) -> None:
    server = raw_server(answering(OK + b"Content-Length: 5\r\nX-A: 1\r\nX-a: 2\r\n\r\nhello"))
    answer = get(server.url)
    assert (answer.status, answer.body, answer.truncated) == (200, b"hello", False)
    assert answer.headers["x-a"] == "1, 2"
    assert answer.connect_s is not None
    assert 0 <= answer.first_byte_s <= answer.elapsed_s


def test_every_request_carries_our_marker(raw_server: Any) -> None:
    server = raw_server(answering(OK + b"Content-Length: 0\r\n\r\n"))
    get(server.url)
    lines = server.heads[0].lower().split("\r\n")
    assert f"user-agent: sickbay/{__version__}" in lines
    assert "x-sickbay-probe: run-1" in lines
    assert "accept-encoding: identity" in lines


def test_nothing_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, never listening: refused for as long as we hold it
        port = taken.getsockname()[1]
        error = refused(f"http://127.0.0.1:{port}")
    assert error.reason is UnknownReason.REFUSED
    assert error.detail == (f"GET http://127.0.0.1:{port}/x: nothing listens on 127.0.0.1:{port} (connection refused)")
    assert error.kind == "refused"  # type: ignore[attr-defined]


def test_a_name_that_does_not_resolve() -> None:
    error = refused("http://no-such-host.invalid:8000")
    assert error.reason is UnknownReason.UNREACHABLE
    assert error.kind == "dns"  # type: ignore[attr-defined]
    assert "the name of no-such-host.invalid:8000 does not resolve (DNS: " in error.detail


def test_no_answer_in_time(raw_server: Any) -> None:
    async def silent(server: Any, reader: Any, writer: Any) -> None:
        await server.head(reader)
        await reader.read()

    server = raw_server(silent)
    error = refused(server.url, timeout_s=0.2)
    assert error.reason is UnknownReason.TIMEOUT
    assert error.detail == (
        f"GET {server.url}/x: 127.0.0.1:{server.port} took the request and sent no answer within 0.2 s"
    )


def test_slow_drip_ends_at_the_deadline(raw_server: Any) -> None:
    async def drip(server: Any, reader: Any, writer: Any) -> None:
        await server.head(reader)
        await server.send(writer, OK + b"Content-Length: 1000000\r\n\r\n")
        while True:
            await server.send(writer, b"x")
            await asyncio.sleep(0.02)

    error = refused(raw_server(drip).url, timeout_s=0.3)
    assert error.reason is UnknownReason.TIMEOUT
    assert "the answer was not complete after 0.3 s: " in error.detail


def test_drip_in_the_headers_ends_at_the_deadline(raw_server: Any) -> None:
    async def drip(server: Any, reader: Any, writer: Any) -> None:
        await server.head(reader)
        await server.send(writer, OK)
        while True:
            await server.send(writer, b"X")
            await asyncio.sleep(0.02)

    assert refused(raw_server(drip).url, timeout_s=0.3).reason is UnknownReason.TIMEOUT


@pytest.mark.parametrize(
    "head", [b"\r\n", b"Content-Length: 1000000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"]
)
def test_an_endless_answer_is_cut_at_the_limit(raw_server: Any, head: bytes) -> None:
    """No length, one gigabyte announced, and chunks for ever: we stop reading, and the server cannot push more."""
    chunked = b"chunked" in head
    piece = (b"10000\r\n" + b"y" * 65_536 + b"\r\n") if chunked else b"y" * 65_536

    async def endless(server: Any, reader: Any, writer: Any) -> None:
        await server.head(reader)
        await server.send(writer, OK + (head if head != b"\r\n" else b"\r\n"))
        while server.sent_bytes < 1_000_000_000:
            await server.send(writer, piece)

    server = raw_server(endless)
    answer = get(server.url, bytes_max=200_000)
    assert answer.truncated
    assert answer.body == b"y" * 200_000
    assert server.sent_bytes < 20_000_000  # our limit and the kernel's buffers, not the page
    with pytest.raises(ProbeError) as caught:
        answer.json()
    assert caught.value.reason is UnknownReason.TOO_LARGE


def test_a_gzip_bomb_is_decoded_under_the_limit(raw_server: Any) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    assert len(bomb) < 100_000
    head = OK + f"Content-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    answer = get(raw_server(answering(head + bomb)).url, bytes_max=100_000)
    assert (len(answer.body), answer.truncated) == (100_000, True)


def test_a_compressed_answer_is_read_all_the_same(raw_server: Any) -> None:
    body = gzip.compress(b"metrics 1\n" * 20_000)
    head = OK + f"Content-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    assert get(raw_server(answering(head + body)).url).body == b"metrics 1\n" * 20_000


@pytest.mark.parametrize(
    ("encoding", "words"),
    [("br", "is encoded as 'br', though none was accepted"), ("gzip", "the compressed answer is broken")],
)
def test_an_encoding_we_cannot_read(raw_server: Any, encoding: str, words: str) -> None:
    head = OK + f"Content-Encoding: {encoding}\r\nContent-Length: 8\r\n\r\nnotgzip!".encode()
    error = refused(raw_server(answering(head)).url)
    assert error.reason is UnknownReason.MALFORMED
    assert words in error.detail


def test_invalid_utf8_is_an_answer(raw_server: Any) -> None:
    answer = get(raw_server(answering(OK + b"Content-Length: 3\r\n\r\na\xff\xfe")).url)
    assert answer.text == "a\ufffd\ufffd"


@pytest.mark.parametrize(
    ("answer", "reason", "words"),
    [
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", UnknownReason.MALFORMED, "is not HTTP", id="another-protocol"),
        pytest.param(b"HTTP/1.1 banana\r\n\r\n", UnknownReason.MALFORMED, "is not HTTP", id="garbage-status"),
        pytest.param(b"", UnknownReason.REFUSED, "closed the connection before it answered", id="closes-at-once"),
        pytest.param(OK, UnknownReason.REFUSED, "closed the connection before it answered", id="closes-in-headers"),
        pytest.param(
            OK + b"Content-Length: 10\r\n\r\nabc",
            UnknownReason.REFUSED,
            "the connection ended in the middle of the answer",
            id="half-a-body",
        ),
        pytest.param(
            OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
            UnknownReason.REFUSED,
            "in the middle of the answer",
            id="half-a-chunk",
        ),
        pytest.param(
            OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhel\r\n",
            UnknownReason.MALFORMED,
            "",
            id="no-chunk-size",
        ),
        pytest.param(
            OK + b"".join(b"X-%d: y\r\n" % n for n in range(5000)) + b"\r\n",
            UnknownReason.TOO_LARGE,
            "headers are over the limits",
            id="many-headers",
        ),
        pytest.param(
            OK + b"X-Long: " + b"y" * 1_000_000 + b"\r\n\r\n",
            UnknownReason.TOO_LARGE,
            "headers are over the limits",
            id="long-header",
        ),
    ],
)
def test_broken_answers(raw_server: Any, answer: bytes, reason: UnknownReason, words: str) -> None:
    error = refused(raw_server(answering(answer)).url, timeout_s=5)
    assert error.reason is reason, error.detail
    assert words in error.detail


def test_an_endless_header_flood_is_bounded(raw_server: Any) -> None:
    async def flood(server: Any, reader: Any, writer: Any) -> None:
        await server.head(reader)
        await server.send(writer, OK)
        while True:
            await server.send(writer, b"X-Flood: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 100)

    server = raw_server(flood)
    assert refused(server.url, timeout_s=5).reason is UnknownReason.TOO_LARGE
    assert server.sent_bytes < 20_000_000


def test_a_half_closed_socket(raw_server: Any) -> None:
    """The server ends its side without an answer and leaves the connection half open."""

    async def half(server: Any, reader: Any, writer: Any) -> None:
        await server.head(reader)
        writer.write_eof()
        await reader.read()

    error = refused(raw_server(half).url, timeout_s=5)
    assert error.reason is UnknownReason.REFUSED


@pytest.mark.parametrize("status", [401, 404, 503])
def test_any_status_is_an_answer(raw_server: Any, status: int) -> None:
    assert (
        get(raw_server(answering(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())).url).status == status
    )


def test_a_redirect_loop(raw_server: Any) -> None:
    server = raw_server(answering(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"))
    error = refused(server.url)
    assert error.reason is UnknownReason.MALFORMED
    assert error.detail == f"GET {server.url}/again: more than 3 redirects; is it a loop?"
    assert len(server.heads) == 4


def test_the_key_goes_to_no_other_host(raw_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "k-123456")
    other = raw_server(answering(OK + b"Content-Length: 2\r\n\r\nhi"))
    location = f"http://127.0.0.1:{other.port}/stolen".encode()
    first = raw_server(answering(b"HTTP/1.1 307 Go\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n"))
    target = Target(
        name="t", url=first.url, api_key=Secret(env="THE_KEY"), headers={"X-Tenant": Secret(value="tenant-secret")}
    )
    answer = using(target, lambda http: http.request("GET", "/x", headers={"X-Mine": "given"}))
    assert (answer.status, answer.body) == (200, b"hi")
    assert "Authorization: Bearer k-123456" in first.heads[0]
    assert "X-Tenant: tenant-secret" in first.heads[0]
    for secret in ("k-123456", "tenant-secret", "given"):
        assert secret not in other.heads[0]


def test_a_prompt_is_not_sent_elsewhere(raw_server: Any) -> None:
    other = raw_server(answering(OK + b"Content-Length: 2\r\n\r\nhi"))
    location = f"http://127.0.0.1:{other.port}/".encode()
    first = raw_server(answering(b"HTTP/1.1 307 Go\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n"))
    target = Target(name="t", url=first.url)
    answer = using(target, lambda http: http.request("POST", "/x", json={"prompt": "p"}))
    assert answer.status == 307
    assert other.heads == []


def test_a_redirect_to_no_web_address(raw_server: Any) -> None:
    server = raw_server(answering(b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n"))
    error = refused(server.url)
    assert error.detail == f"GET {server.url}/x: redirects to 'file:///etc/passwd', which is no web address"


def test_a_check_can_ask_without_credentials(raw_server: Any) -> None:
    server = raw_server(answering(OK + b"Content-Length: 0\r\n\r\n"))
    target = Target(name="t", url=server.url, api_key=Secret(value="k-123456"))
    using(target, lambda http: http.request("GET", "/x", headers={"authorization": ""}))
    assert "k-123456" not in server.heads[0]


def test_a_secret_that_is_not_set(raw_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THE_KEY", raising=False)
    server = raw_server(answering(OK + b"Content-Length: 0\r\n\r\n"))
    target = Target(name="t", url=server.url, api_key=Secret(env="THE_KEY"))
    with pytest.raises(ProbeError) as caught:
        using(target, lambda http: http.request("GET", "/x"))
    assert caught.value.reason is UnknownReason.NOT_CONFIGURED
    assert caught.value.detail == (
        "the API key stands in the environment variable 'THE_KEY', which is not set; set it: export THE_KEY=…"
    )
    assert server.heads == []


def test_a_secret_from_a_file(raw_server: Any, tmp_path: Path) -> None:
    server = raw_server(answering(OK + b"Content-Length: 0\r\n\r\n"))
    (tmp_path / "key").write_text("k-from-file\n")
    target = Target(name="t", url=server.url, api_key=Secret(file=str(tmp_path / "key")))
    using(target, lambda http: http.request("GET", "/x"))
    assert "Authorization: Bearer k-from-file\r\n" in server.heads[0]
    missing = Target(name="t", url=server.url, api_key=Secret(file=str(tmp_path / "none")))
    with pytest.raises(ProbeError) as caught:
        using(missing, lambda http: http.request("GET", "/x"))
    assert caught.value.detail.endswith("which cannot be read: No such file or directory")


def test_the_request_budget(raw_server: Any) -> None:
    server = raw_server(answering(OK + b"Content-Length: 0\r\n\r\n"))

    async def body(http: StepHttp) -> None:
        await http.request("GET", "/free")
        await http.request("POST", "/x", json={}, generates=True)
        with pytest.raises(BudgetExceededError) as caught:
            await http.request("POST", "/x", json={}, generates=True)
        assert caught.value.detail == (
            f"POST {server.url}/x: not sent, the budget of 1 generating requests is spent; "
            "raise budget.requests in the runbook, or --requests, if the service can bear it"
        )
        assert [record.generates for record in http.records] == [False, True]

    using(Target(name="t", url=server.url), body, budget=1)
    assert len(server.heads) == 2


def test_requests_are_recorded(raw_server: Any) -> None:
    server = raw_server(answering(OK + b"Content-Length: 5\r\n\r\nhello"))

    async def body(http: StepHttp) -> None:
        await http.request("GET", "/x?key=abc&query=up")
        with pytest.raises(ProbeError):
            await http.request("GET", "http://127.0.0.1:1/")
        good, bad = http.records
        assert (good.method, good.status, good.bytes, good.error) == ("GET", 200, 5, "")
        assert good.url == f"{server.url}/x?key=***&query=up"
        assert (bad.status, bad.bytes) == (None, 0)
        assert "connection refused" in bad.error

    using(Target(name="t", url=server.url), body)


def test_connections_are_reused_unless_fresh(raw_server: Any) -> None:
    async def keeping(server: Any, reader: Any, writer: Any) -> None:
        while True:
            await server.head(reader)
            await server.send(writer, OK + b"Content-Length: 2\r\n\r\nhi")

    server = raw_server(keeping)

    async def body(http: StepHttp) -> None:
        first = await http.request("GET", "/")
        again = await http.request("GET", "/")
        fresh = await http.request("GET", "/", fresh=True)
        assert first.connect_s is not None
        assert again.connect_s is None
        assert fresh.connect_s is not None
        assert again.first_byte_s >= 0

    using(Target(name="t", url=server.url), body)
    assert server.connections == 2


def test_a_connection_that_was_closed_while_idle_is_no_failure(raw_server: Any) -> None:
    server = raw_server(answering(OK + b"Content-Length: 2\r\n\r\nhi"))  # promises to stay, and closes

    async def body(http: StepHttp) -> None:
        for _ in range(5):
            answer = await http.request("POST", "/x", json={"prompt": "p"})
            assert answer.body == b"hi"

    using(Target(name="t", url=server.url), body)
    assert len(server.heads) == 5


def test_a_stream_gives_each_read_its_own_time(raw_server: Any) -> None:
    """Reads are told apart even if nobody took them when they came."""

    async def stream(server: Any, reader: Any, writer: Any) -> None:
        await server.head(reader)
        await server.send(writer, OK + b"Transfer-Encoding: chunked\r\n\r\n")
        for piece in (b"one", b"two", b"three"):
            await server.send(writer, b"%x\r\n%s\r\n" % (len(piece), piece))
            await asyncio.sleep(0.05)
        await server.send(writer, b"0\r\n\r\n")

    server = raw_server(stream)

    async def body(http: StepHttp) -> None:
        async with http.stream("GET", "/", generates=False) as answer:
            await asyncio.sleep(0.5)  # everything has come; nothing has been taken
            chunks = [chunk async for chunk in answer.reads()]
        assert b"".join(chunk.data for chunk in chunks) == b"onetwothree"
        assert [chunk.data for chunk in chunks] == [b"one", b"two", b"three"]
        times = [chunk.at_s for chunk in chunks]
        assert times == sorted(times)
        assert times[0] > answer.sent_at_s
        assert times[1] - times[0] > 0.02  # the server's pace, not the moment we looked

    using(Target(name="t", url=server.url), body)


def test_a_stream_over_the_limit_is_an_error(raw_server: Any) -> None:
    server = raw_server(answering(OK + b"Content-Length: 5000\r\n\r\n" + b"z" * 5000))

    async def body(http: StepHttp) -> None:
        async with http.stream("GET", "/", generates=False, bytes_max=1000) as answer:
            with pytest.raises(ProbeError) as caught:
                [chunk async for chunk in answer.reads()]
        assert caught.value.reason is UnknownReason.TOO_LARGE

    using(Target(name="t", url=server.url), body)


def test_leaving_a_stream_closes_the_connection(raw_server: Any) -> None:
    async def hold(server: Any, reader: Any, writer: Any) -> None:
        await server.head(reader)
        await server.send(writer, OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await reader.read()
        server.heads.append("closed")

    server = raw_server(hold)

    async def body(http: StepHttp) -> None:
        async with http.stream("GET", "/", generates=False) as answer:
            async for chunk in answer.reads():
                assert chunk.data == b"one"
                break
        for _ in range(500):
            if "closed" in server.heads:
                return
            await asyncio.sleep(0.01)
        pytest.fail("the server never saw the end of the connection")

    using(Target(name="t", url=server.url), body)


def test_tls_with_an_unknown_certificate(raw_server: Any, tmp_path: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")

    server = raw_server(answering(OK + b"Content-Length: 2\r\n\r\nhi"), context)
    url = server.url.replace("http:", "https:")
    error = refused(url)
    assert error.kind == "certificate"  # type: ignore[attr-defined]
    assert error.detail.startswith(
        f"GET {url}/x: the TLS certificate of 127.0.0.1:{server.port} is not accepted (self-signed certificate"
    )
    answer = using(Target(name="t", url=url, tls_verify=False), lambda http: http.request("GET", "/x"))
    assert answer.body == b"hi"


def test_https_to_a_plain_server(raw_server: Any) -> None:
    async def talk(server: Any, reader: Any, writer: Any) -> None:
        await reader.read(100)
        await server.send(writer, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    server = raw_server(talk)
    error = refused(server.url.replace("http:", "https:"))
    assert error.kind == "tls"  # type: ignore[attr-defined]
    assert "no TLS with" in error.detail


@pytest.mark.parametrize(
    ("target", "url", "words"),
    [
        (Target(name="prod"), "/x", "/x: the target 'prod' has no url; give --url, or url: in sickbay.yaml"),
        (Target(name="t"), "ftp://host/x", "'ftp://host/x' is no URL; wanted http://host:port/path"),
        (Target(name="t"), "http://", "'http://' is no URL; wanted http://host:port/path"),
    ],
)
def test_no_url(target: Target, url: str, words: str) -> None:
    with pytest.raises(ProbeError) as caught:
        using(target, lambda http: http.request("GET", url))
    assert (caught.value.reason, caught.value.detail) == (UnknownReason.NOT_CONFIGURED, words)


def test_direct_url_and_a_base_that_ends_in_v1(raw_server: Any) -> None:
    engine = raw_server(answering(OK + b"Content-Length: 0\r\n\r\n"))
    gateway = raw_server(answering(OK + b"Content-Length: 0\r\n\r\n"))
    target = Target(name="t", url=f"{gateway.url}/v1/", direct_url=engine.url)
    using(target, lambda http: http.request("GET", "/v1/models"))
    using(target, lambda http: http.request("GET", "/metrics", direct=True))
    assert gateway.heads[0].startswith("GET /v1/models ")
    assert engine.heads[0].startswith("GET /metrics ")


def test_a_line_break_in_a_header_cannot_be_sent(raw_server: Any) -> None:
    server = raw_server(answering(OK + b"Content-Length: 0\r\n\r\n"))
    error = refused(server.url, headers={"X-A": "b\r\nInjected: yes"})
    assert error.reason is UnknownReason.NOT_CONFIGURED
    assert server.heads == []


def test_what_a_report_may_show_of_a_url() -> None:
    assert shown_url("http://me:pw@host:80/a?api_key=1&b=2#frag") == "http://host:80/a?api_key=***&b=2"
