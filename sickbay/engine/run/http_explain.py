"""What went wrong with a request, as a sentence for a person at 3 a.m. and a reason a machine can count."""

from __future__ import annotations

import errno
import socket
import ssl

import aiohttp
from aiohttp import http_exceptions

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.run.http_error import HttpProbeError

__all__ = ["closed_early", "problem_of"]

_NO_ROUTE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN, errno.EADDRNOTAVAIL}


def problem_of(error: BaseException, *, what: str, where: str) -> ProbeError:
    """The probe error for what the HTTP client raised.

    Args:
        error: what was raised.
        what: the request, e.g. "GET http://127.0.0.1:8000/health".
        where: host and port.
    """
    if isinstance(error, aiohttp.ClientConnectorError):
        return _no_connection(error, what=what, where=where)
    if isinstance(error, (aiohttp.ClientResponseError, http_exceptions.HttpProcessingError)):
        return _not_http(error, what=what, where=where)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return HttpProbeError(
            UnknownReason.REFUSED, f"{what}: {where} closed the connection before it answered", kind="closed"
        )
    if isinstance(error, aiohttp.ClientPayloadError):
        return _broken_body(error, what=what)
    if isinstance(error, aiohttp.InvalidURL):
        return HttpProbeError(UnknownReason.NOT_CONFIGURED, f"{what}: this is no URL; wanted http://host:port/path")
    if isinstance(error, (ConnectionResetError, BrokenPipeError, aiohttp.ClientOSError)):
        return HttpProbeError(
            UnknownReason.REFUSED, f"{what}: {where} broke the connection off ({_os_words(error)})", kind="closed"
        )
    if isinstance(error, TimeoutError):
        return HttpProbeError(UnknownReason.TIMEOUT, f"{what}: {where} did not answer in time", kind="timeout")
    return HttpProbeError(UnknownReason.MALFORMED, f"{what}: {type(error).__name__}: {error}", kind="malformed")


def closed_early(what: str, received_bytes: int) -> ProbeError:
    """The server ended the connection in the middle of an answer."""
    return HttpProbeError(
        UnknownReason.REFUSED,
        f"{what}: the connection ended in the middle of the answer, after {received_bytes} bytes",
        kind="closed",
    )


def _no_connection(error: aiohttp.ClientConnectorError, *, what: str, where: str) -> ProbeError:
    cause = error.os_error
    if isinstance(error, aiohttp.ClientConnectorDNSError) or isinstance(cause, socket.gaierror):
        return HttpProbeError(
            UnknownReason.UNREACHABLE,
            f"{what}: the name of {where} does not resolve (DNS: {_os_words(cause)}); check it and this host's DNS",
            kind="dns",
        )
    if isinstance(cause, ssl.SSLError) or isinstance(
        error, (aiohttp.ClientConnectorSSLError, aiohttp.ClientConnectorCertificateError)
    ):
        return _no_tls(error, what=what, where=where)
    if cause.errno == errno.ECONNREFUSED:
        return HttpProbeError(
            UnknownReason.REFUSED, f"{what}: nothing listens on {where} (connection refused)", kind="refused"
        )
    if cause.errno in _NO_ROUTE:
        return HttpProbeError(
            UnknownReason.UNREACHABLE, f"{what}: no route to {where} ({_os_words(cause)})", kind="unreachable"
        )
    if cause.errno == errno.ETIMEDOUT:
        return HttpProbeError(UnknownReason.TIMEOUT, f"{what}: {where} does not answer to a connection", kind="timeout")
    return HttpProbeError(
        UnknownReason.UNREACHABLE, f"{what}: no connection to {where} ({_os_words(cause)})", kind="unreachable"
    )


def _no_tls(error: aiohttp.ClientConnectorError, *, what: str, where: str) -> ProbeError:
    cause: BaseException = getattr(error, "certificate_error", None) or error.os_error
    words = getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or str(cause)
    if isinstance(cause, ssl.CertificateError):
        advice = "give the right name, or set tls_verify: false (--insecure) if you know the host"
        return HttpProbeError(
            UnknownReason.UNREACHABLE, f"{what}: the TLS certificate of {where} is not accepted ({words}); {advice}",
            kind="certificate",
        )  # fmt: skip
    hint = "; does it speak plain http?" if "WRONG_VERSION" in words or "RECORD_LAYER" in words else ""
    return HttpProbeError(UnknownReason.UNREACHABLE, f"{what}: no TLS with {where} ({words}){hint}", kind="tls")


def _not_http(error: Exception, *, what: str, where: str) -> ProbeError:
    words = " ".join(str(getattr(error, "message", "") or error).split())[:160]
    lower = words.lower()
    if "too many" in lower or "more than" in lower or "too long" in lower or "too large" in lower:
        return HttpProbeError(
            UnknownReason.TOO_LARGE, f"{what}: the answer's headers are over the limits ({words})", kind="too-large"
        )
    return HttpProbeError(
        UnknownReason.MALFORMED, f"{what}: what answers at {where} is not HTTP ({words})", kind="malformed"
    )


def _broken_body(error: aiohttp.ClientPayloadError, *, what: str) -> ProbeError:
    cause = error.__cause__
    words = " ".join(str(cause or error).split())[:160]
    if isinstance(cause, http_exceptions.ContentLengthError) or "not enough data" in words.lower():
        return HttpProbeError(
            UnknownReason.REFUSED, f"{what}: the connection ended in the middle of the answer", kind="closed"
        )
    if isinstance(cause, OSError):
        return HttpProbeError(
            UnknownReason.REFUSED, f"{what}: the connection broke in the middle of the answer", kind="closed"
        )
    return HttpProbeError(
        UnknownReason.MALFORMED, f"{what}: the answer's body cannot be read ({words})", kind="malformed"
    )


def _os_words(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower() if error.strerror[:1].isupper() else error.strerror
    return str(error) or type(error).__name__
