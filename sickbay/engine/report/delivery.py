"""Bring a report to where it is wanted: a file, a node-exporter textfile, a Pushgateway."""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit, urlunsplit

from prometheus_client import generate_latest, push_to_gateway
from prometheus_client.exposition import default_handler

from sickbay.engine.errors import DeliveryError
from sickbay.engine.model.report import Report
from sickbay.engine.report.plain_text import plain
from sickbay.engine.report.prometheus import registry_of

__all__ = ["push", "write_file", "write_textfile"]

_MODE = 0o644
_Send = Callable[[], None]


def write_textfile(path: str | os.PathLike[str], report: Report) -> None:
    """Write the report's metrics where node-exporter's textfile collector reads them (`*.prom`).

    Raises:
        DeliveryError: the file could not be written; the old one, if any, is untouched.
    """
    _write(Path(path), generate_latest(registry_of(report)), "the metrics file")


def write_file(path: str | os.PathLike[str], text: str) -> None:
    """Write one form of the report, whole or not at all; missing folders are made.

    Raises:
        DeliveryError: the file could not be written; the old one, if any, is untouched.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_written(target, "the report", error) from error
    _write(target, text.encode("utf-8", "backslashreplace"), "the report")


def _write(path: Path, data: bytes, what: str) -> None:
    """Replace `path` in one step. The temporary file lies beside it and does not end in its suffix."""
    try:
        if path.is_dir():
            raise IsADirectoryError(f"it is a folder; give a file in it, e.g. {str(path / 'sickbay.prom')!r}")
        if path.exists() and not path.is_file():
            path.write_bytes(data)  # a device or pipe (/dev/stdout) cannot be replaced, and must not be
            return
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                os.fchmod(file.fileno(), _MODE)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise _not_written(path, what, error) from error


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
    except (OSError, HTTPException, ValueError) as error:
        raise DeliveryError(
            f"metrics could not be pushed to {address!r}: {_refusal(error)}; "
            "is the Pushgateway up, and is this its address?"
        ) from error


def _without_credentials(url: str) -> tuple[str, list[tuple[str, str]]]:
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.username is None:
        return urlunsplit(parts), []
    host = parts.netloc.rpartition("@")[2]
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    token = base64.b64encode(pair.encode()).decode("ascii")
    return urlunsplit(parts._replace(netloc=host)), [("Authorization", f"Basic {token}")]


def _refusal(error: Exception) -> str:
    """What happened; of a gateway's HTTP error also the beginning of what it said."""
    if not isinstance(error, HTTPError):
        cause = getattr(error, "reason", "") or error
        return plain(getattr(cause, "strerror", "") or cause) or type(error).__name__
    try:
        said = plain(error.read(2000).decode("utf-8", "replace"), 200)
    except (OSError, HTTPException):
        said = ""
    finally:
        error.close()
    return f"HTTP {error.code}" + (f": {said}" if said else "")
