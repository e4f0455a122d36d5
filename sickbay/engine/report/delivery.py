"""Bring a report to where it is wanted: a file, a node-exporter textfile, a Pushgateway."""

from __future__ import annotations

import base64
import errno
import os
import select
import tempfile
import time
from collections.abc import Callable
from functools import partial
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit, urlunsplit

from prometheus_client import generate_latest, push_to_gateway
from prometheus_client.exposition import default_handler

from sickbay.engine.bounded_call import within
from sickbay.engine.errors import DeliveryError
from sickbay.engine.model.report import Report
from sickbay.engine.report.plain_text import plain
from sickbay.engine.report.prometheus import registry_of

__all__ = ["push", "write_file", "write_textfile"]

_METRICS_MODE = 0o644
"""node-exporter runs as a user of its own."""
_PIPE_WAIT_S = 10.0
_DISK_WAIT_S = 20.0
"""After this a disk is held not to answer; what it has is on stdout all the same."""
_Send = Callable[[], None]


def write_textfile(path: str | os.PathLike[str], report: Report) -> None:
    """Write the report's metrics where node-exporter's textfile collector reads them (`*.prom`).

    Raises:
        DeliveryError: the file could not be written; the old one, if any, is untouched.
    """
    target = Path(path)
    _tried(partial(_replace, target, generate_latest(registry_of(report)), _METRICS_MODE), target, "the metrics file")


def write_file(path: str | os.PathLike[str], text: str) -> None:
    """Write one form of the report, whole or not at all; missing folders are made.

    Raises:
        DeliveryError: the file could not be written; the old one, if any, is untouched.
    """
    target = Path(path)
    data = text.encode("utf-8", "backslashreplace")

    def write() -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        _replace(target, data, 0o666 & ~_umask())

    _tried(write, target, "the report")


def _tried(write: Callable[[], None], path: Path, what: str) -> None:
    try:
        within(_DISK_WAIT_S, write)
    except OSError as error:
        raise _not_written(path, what, error) from error


def _replace(path: Path, data: bytes, mode: int) -> None:
    """Replace `path` in one step. The temporary file lies beside it and does not end in its suffix."""
    if path.is_dir():
        raise IsADirectoryError(f"it is a folder; give a file in it, e.g. {str(path / 'sickbay.prom')!r}")
    if path.exists() and not path.is_file():
        _write_into(path, data)  # a device or pipe (/dev/stdout) cannot be replaced, and must not be
        return
    place = Path(os.path.realpath(path))  # a link stays a link
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(place)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(place.parent)


def _write_into(path: Path, data: bytes) -> None:
    """Write to a pipe or device, without waiting for ever for one who reads it."""
    until = time.monotonic() + _PIPE_WAIT_S
    descriptor = _opened(path, until)
    try:
        view = memoryview(data)
        while view:
            _, ready, _ = select.select([], [descriptor], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise TimeoutError(f"it was not read to its end within {_PIPE_WAIT_S:g} s")
            view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)


def _opened(path: Path, until: float) -> int:
    while True:
        try:
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            if time.monotonic() > until:
                raise TimeoutError(f"nobody reads this pipe; waited {_PIPE_WAIT_S:g} s") from error
            time.sleep(0.05)


def _umask() -> int:
    found = os.umask(0o077)
    os.umask(found)
    return found


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _not_written(path: Path, what: str, error: OSError) -> DeliveryError:
    return DeliveryError(
        f"{what} {str(path)!r} could not be written: {error.strerror or error}; "
        "make the folder writable or name another"
    )


def push(url: str, report: Report, *, timeout_s: float = 10.0) -> None:
    """Put the report's metrics on a Pushgateway, in place of this runbook's and target's earlier ones.

    Args:
        url: "http://host:9091"; a user and password in it become basic authentication.
        report: what to push; the group is job="sickbay", runbook and target.
        timeout_s: seconds for the whole exchange.

    Raises:
        DeliveryError: the gateway did not take it. The message names no password.
    """
    address, authorization = _without_credentials(url)
    try:
        # The timeout of a socket begins anew with every byte that drips in.
        within(timeout_s + 1.0, partial(_push, address, authorization, report, timeout_s))
    except (OSError, HTTPException, ValueError) as error:
        raise DeliveryError(
            f"metrics could not be pushed to {address!r}: {_refusal(error)}; "
            "is the Pushgateway up, and is this its address?"
        ) from error


def _push(address: str, authorization: list[tuple[str, str]], report: Report, timeout_s: float) -> None:
    def handler(url: str, method: str, timeout: float | None, headers: list[tuple[str, str]], data: bytes) -> _Send:
        return default_handler(url, method, timeout, [*headers, *authorization], data)

    try:
        push_to_gateway(
            address,
            job="sickbay",
            registry=registry_of(report),
            grouping_key={"runbook": report.runbook, "target": report.target},
            timeout=timeout_s,
            handler=handler,
        )
    except HTTPError as error:
        raise OSError(None, _said_no(error)) from error


def _without_credentials(url: str) -> tuple[str, list[tuple[str, str]]]:
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.username is None:
        return urlunsplit(parts), []
    host = parts.netloc.rpartition("@")[2]
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    token = base64.b64encode(pair.encode()).decode("ascii")
    return urlunsplit(parts._replace(netloc=host)), [("Authorization", f"Basic {token}")]


def _refusal(error: Exception) -> str:
    cause = getattr(error, "reason", "") or error
    return plain(getattr(cause, "strerror", "") or cause) or type(error).__name__


def _said_no(error: HTTPError) -> str:
    """A gateway's HTTP error and the beginning of what it said."""
    try:
        said = plain(error.read(2000).decode("utf-8", "replace"), 200)
    except (OSError, HTTPException):
        said = ""
    finally:
        error.close()
    return f"HTTP {error.code}" + (f": {said}" if said else "")
