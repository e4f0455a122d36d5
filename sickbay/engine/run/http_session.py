"""aiohttp with the settings a sick or hostile server needs. Loaded late: aiohttp takes about 150 ms to import."""

from __future__ import annotations

import asyncio
import functools
import socket
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler

from sickbay.engine.model.look import Clock
from sickbay.engine.run.http_body import Mark
from sickbay.engine.run.threads import DaemonThreads

__all__ = ["Exchange", "StampedHandler", "make_session"]

_HEADERS_MAX = 128
_HEADER_BYTES_MAX = 16_384
_READ_BYTES = 65_536


@dataclass
class Exchange:
    """What the tracing of one request saw; monotonic seconds."""

    connecting_at_s: float | None = None
    connect_s: float | None = None  # resolve, connect and TLS; None when a connection was reused
    sent_at_s: float | None = None


@dataclass
class _Marks:
    items: deque[Mark] = field(default_factory=lambda: deque(maxlen=65_536))


class StampedHandler(ResponseHandler):
    """aiohttp's protocol, which also notes when each read of the socket came.

    The time is taken before the bytes are parsed and before any task wakes, so that many busy streams
    do not delay each other's stamps.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        super().__init__(loop)
        self._clock = clock
        self._stamps = _Marks()

    @property
    def marks(self) -> deque[Mark]:
        """Reads that nobody has taken yet, oldest first."""
        return self._stamps.items

    def data_received(self, data: bytes) -> None:
        """Stamp, then parse."""
        at_s = self._clock.monotonic()
        super().data_received(data)
        payload = self._payload
        self._stamps.items.append(Mark(at_s, None if payload is None else getattr(payload, "total_bytes", None)))


class ThreadResolver(AbstractResolver):
    """The system's resolver in a daemon thread: a hung DNS server must not hold up the end of the program."""

    def __init__(self, threads: DaemonThreads) -> None:
        self._threads = threads

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Addresses of a name. Raises OSError."""
        look_up = functools.partial(
            socket.getaddrinfo, host, port, type=socket.SOCK_STREAM, family=family, flags=socket.AI_ADDRCONFIG
        )
        found = await self._threads.start(look_up)
        return [
            ResolveResult(
                hostname=host, host=address[0], port=address[1], family=kind, proto=proto, flags=socket.AI_NUMERICHOST
            )
            for kind, _, proto, _, address in found
        ]

    async def close(self) -> None:
        """Nothing to release."""


def make_session(
    *, clock: Clock, threads: DaemonThreads, tls_verify: bool, fresh: bool, trust_proxies: bool
) -> aiohttp.ClientSession:
    """A session that decompresses nothing, follows nothing, keeps no cookies and bounds the headers.

    `fresh` makes a new connection for every request and closes it afterwards.
    """
    connector = aiohttp.TCPConnector(
        limit=0,
        ssl=True if tls_verify else False,  # noqa: SIM210  # aiohttp: False switches verification off
        resolver=ThreadResolver(threads),
        force_close=fresh,
        ttl_dns_cache=60,
    )
    if hasattr(connector, "_factory"):  # aiohttp has no public door to its protocol class
        stamped: Any = functools.partial(StampedHandler, asyncio.get_running_loop(), clock)
        connector._factory = stamped  # noqa: SLF001
    settings: dict[str, Any] = {"max_line_size": _HEADER_BYTES_MAX, "max_field_size": _HEADER_BYTES_MAX}
    if "_max_headers" in aiohttp.ClientSession.ATTRS:  # not in every release we allow
        settings["max_headers"] = _HEADERS_MAX
    return aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        trust_env=trust_proxies,
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[_tracing(clock)],
        timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
        read_bufsize=_READ_BYTES,
        skip_auto_headers=("User-Agent",),
        **settings,
    )


def _tracing(clock: Clock) -> aiohttp.TraceConfig:
    trace = aiohttp.TraceConfig()

    async def connecting(_: aiohttp.ClientSession, context: Any, __: object) -> None:
        _exchange(context).connecting_at_s = clock.monotonic()

    async def connected(_: aiohttp.ClientSession, context: Any, __: object) -> None:
        exchange = _exchange(context)
        exchange.sent_at_s = clock.monotonic()
        if exchange.connecting_at_s is not None:
            exchange.connect_s = exchange.sent_at_s - exchange.connecting_at_s

    async def reused(_: aiohttp.ClientSession, context: Any, __: object) -> None:
        _exchange(context).sent_at_s = clock.monotonic()

    trace.on_connection_create_start.append(connecting)
    trace.on_connection_create_end.append(connected)
    trace.on_connection_reuseconn.append(reused)
    return trace


def _exchange(context: Any) -> Exchange:
    exchange: Exchange = context.trace_request_ctx
    return exchange
