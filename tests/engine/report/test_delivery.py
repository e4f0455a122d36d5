from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sickbay.engine.errors import DeliveryError
from sickbay.engine.model.report import Report
from sickbay.engine.report import delivery
from sickbay.engine.report.delivery import push, write_file, write_textfile
from sickbay.engine.report.formats import render


def test_textfile_is_whole_readable_and_leaves_nothing_else(healthy: Report, tmp_path: Path) -> None:
    path = tmp_path / "sickbay.prom"
    path.write_text("old")
    write_textfile(path, healthy)
    assert path.read_text() == render(healthy, "prometheus")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [entry.name for entry in tmp_path.iterdir()] == ["sickbay.prom"]


def test_missing_folder(healthy: Report, tmp_path: Path) -> None:
    path = tmp_path / "no" / "sickbay.prom"
    with pytest.raises(DeliveryError) as caught:
        write_textfile(path, healthy)
    assert str(caught.value) == (
        f"the metrics file {str(path)!r} could not be written: No such file or directory; "
        "make the folder writable or name another"
    )


def test_a_folder_is_no_file(healthy: Report, tmp_path: Path) -> None:
    with pytest.raises(DeliveryError) as caught:
        write_textfile(tmp_path, healthy)
    assert str(caught.value) == (
        f"the metrics file {str(tmp_path)!r} could not be written: it is a folder; give a file in it, "
        f"e.g. {str(tmp_path / 'sickbay.prom')!r}; make the folder writable or name another"
    )


def test_a_failed_replace_keeps_the_old_file(healthy: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sickbay.prom"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DeliveryError, match="No space left on device"):
        write_textfile(path, healthy)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["sickbay.prom"]


def test_write_file_makes_folders(tmp_path: Path) -> None:
    write_file(tmp_path / "a" / "b" / "report.md", "größer \ud800\n")
    assert (tmp_path / "a" / "b" / "report.md").read_text() == "größer \\ud800\n"


def test_write_file_through_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    write_file(pipe, "text\n")
    reader.join(10)
    assert got == ["text\n"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_write_file_to_a_pipe_nobody_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "_PIPE_WAIT_S", 0.1)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(DeliveryError, match=r"could not be written: nobody reads this pipe; waited 0\.1 s"):
        write_file(pipe, "text\n")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(DeliveryError, match=r"it was not read to its end within 0\.1 s"):
            write_file(pipe, "x" * 1_000_000)
    finally:
        os.close(reader)


def test_write_file_through_a_link_keeps_the_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.md", tmp_path / "link.md"
    link.symlink_to(real)
    write_file(link, "text\n")
    assert link.is_symlink()
    assert real.read_text() == "text\n"


def test_a_report_is_as_private_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_file(tmp_path / "report.json", "{}")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "report.json").stat().st_mode) == 0o600


def test_push_to_a_gateway_that_drips(healthy: Report) -> None:
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            conversation, _ = server.accept()
            with conversation, suppress(OSError):
                while not over.wait(0.02):
                    conversation.sendall(b"H" if not over.is_set() else b"")

        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(DeliveryError, match=r"no whole answer within 0\.2 s|could not be pushed"):
            push(f"127.0.0.1:{server.getsockname()[1]}", healthy, timeout_s=0.2)
        over.set()
        thread.join()


class Gateway(BaseHTTPRequestHandler):
    status = 200
    got: list[tuple[str, str, str, bytes]]

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((self.command, self.path, self.headers.get("Authorization", ""), body))
        self.send_response(self.status)
        self.end_headers()
        if self.status != 200:
            self.wfile.write(b"bad \x1b[31mmetrics\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def gateway() -> Iterator[tuple[str, type[Gateway]]]:
    handler = type("OneGateway", (Gateway,), {"got": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_port}", handler
        server.shutdown()
        thread.join()


def test_push_replaces_the_group(healthy: Report, gateway: tuple[str, type[Gateway]]) -> None:
    address, handler = gateway
    push(f"http://{address}", healthy)
    method, path, authorization, body = handler.got[0]
    assert (method, path) == ("PUT", "/metrics/job/sickbay/runbook/high-ttft/target/chat-prod")
    assert authorization == ""
    assert body.decode() == render(healthy, "prometheus")


def test_push_with_credentials(healthy: Report, gateway: tuple[str, type[Gateway]]) -> None:
    address, handler = gateway
    push(f"http://on%40call:pass@{address}", healthy)
    assert handler.got[0][2] == "Basic b25AY2FsbDpwYXNz"


def test_push_that_is_refused_says_why(healthy: Report, gateway: tuple[str, type[Gateway]]) -> None:
    address, handler = gateway
    handler.status = 400
    with pytest.raises(DeliveryError) as caught:
        push(f"http://user:hunter2@{address}", healthy)
    assert str(caught.value) == (
        f"metrics could not be pushed to 'http://{address}': HTTP 400: bad metrics; "
        "is the Pushgateway up, and is this its address?"
    )


def test_push_to_nobody(healthy: Report) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(DeliveryError) as caught:
            push(f"127.0.0.1:{port}", healthy)
    assert str(caught.value) == (
        f"metrics could not be pushed to 'http://127.0.0.1:{port}': Connection refused; "
        "is the Pushgateway up, and is this its address?"
    )


def test_push_to_no_url(healthy: Report) -> None:
    with pytest.raises(DeliveryError, match="metrics could not be pushed to 'ftp://x'"):
        push("ftp://x", healthy)
