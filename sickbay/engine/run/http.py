"""The `Http` capability: every request bounded, recorded, marked as ours, and explained when it fails."""

from __future__ import annotations

import asyncio
import json as _json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import Chunk, HttpResponse
from sickbay.engine.model.report import RequestRecord
from sickbay.engine.model.shown_url import shown_url
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.run.http_body import Decoder, split_by_read
from sickbay.engine.run.http_client import HttpClient
from sickbay.engine.run.http_error import HttpProbeError
from sickbay.engine.run.http_opened import Opened, marks_of, translated
from sickbay.engine.run.http_origin import origin_of

if TYPE_CHECKING:
    import aiohttp

__all__ = ["StepHttp"]

REDIRECTS_MAX = 3
_FOLLOWED = {301, 302, 303, 307, 308}


class _Stream:
    """The `HttpStream` of one answer."""

    def __init__(self, http: StepHttp, opened: Opened, ends_at_s: float, timeout_s: float, bytes_max: int) -> None:
        assert opened.response is not None
        self.status = opened.response.status
        self.headers = opened.headers()
        self.sent_at_s = opened.sent_at_s
        self.connect_s = opened.exchange.connect_s
        self.truncated = False
        self._http = http
        self._opened = opened
        self._ends_at_s = ends_at_s
        self._timeout_s = timeout_s
        self._decoder = Decoder(
            "" if opened.method == "HEAD" else self.headers.get("content-encoding", ""),
            bytes_max=bytes_max,
            what=opened.what,
        )
        self._bytes_max = bytes_max

    async def reads(self) -> AsyncIterator[Chunk]:
        """The reads as they arrive, one for each read of the socket; ends at the end of the stream."""
        async for chunk in self.bounded():
            yield chunk
        if self.truncated:
            raise HttpProbeError(
                UnknownReason.TOO_LARGE,
                f"{self._opened.what}: the answer is over {self._bytes_max} bytes; stopped reading",
                kind="too-large",
            )

    async def bounded(self) -> AsyncIterator[Chunk]:
        """Like `reads`, but the byte limit ends it and sets `truncated`."""
        opened = self._opened
        clock = self._http.client.clock
        while not self.truncated:
            try:
                data = await self._next()
            except TimeoutError as error:
                raise opened.too_late(self._timeout_s, clock.monotonic()) from error
            if not data:
                return
            offset = opened.received_bytes
            opened.received_bytes += len(data)
            for chunk in split_by_read(data, offset, opened.marks, clock.monotonic()):
                opened.last_byte_at_s = chunk.at_s
                decoded = self._decoder.feed(chunk.data)
                self.truncated = self._decoder.truncated
                if decoded:
                    yield Chunk(chunk.at_s, decoded)
                if self.truncated:
                    break

    async def _next(self) -> bytes:
        assert self._opened.response is not None
        content = self._opened.response.content
        while True:
            if content.at_eof():
                return b""
            left = self._ends_at_s - self._http.client.clock.monotonic()
            if left <= 0:
                raise TimeoutError
            with translated(self._opened):
                async with asyncio.timeout(left):
                    data = await content.readany()
            if data:
                return data


class StepHttp:
    """The `Http` capability of one step; `records` are the requests it made."""

    def __init__(self, client: HttpClient) -> None:
        self.client = client
        self.records: list[RequestRecord] = []

    async def request(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 10.0,
        bytes_max: int = 8_000_000,
        direct: bool = False,
        generates: bool = False,
        fresh: bool = False,
    ) -> HttpResponse:
        """One request, one whole answer (up to `bytes_max`, then `truncated`); any status is an answer.

        Raises:
            ProbeError: no answer (refused, unreachable, timeout, malformed).
            BudgetExceededError: the request budget is spent.
        """
        opening = self._stream(
            method, url, json=json, headers=headers, timeout_s=timeout_s, bytes_max=bytes_max,
            direct=direct, generates=generates, fresh=fresh,
        )  # fmt: skip
        async with opening as stream:
            opened = stream._opened  # noqa: SLF001
            first_at_s = opened.marks[0].at_s if opened.marks else self.client.clock.monotonic()
            body = b"".join([chunk.data async for chunk in stream.bounded()])
            return HttpResponse(
                method=method,
                url=shown_url(opened.url),
                status=stream.status,
                headers=stream.headers,
                body=body,
                truncated=stream.truncated,
                connect_s=stream.connect_s,
                first_byte_s=max(0.0, first_at_s - opened.sent_at_s),
                elapsed_s=max(0.0, self.client.clock.monotonic() - opened.sent_at_s),
            )

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
        bytes_max: int = 4_000_000,
        direct: bool = False,
        generates: bool = True,
        fresh: bool = False,
    ) -> AsyncIterator[_Stream]:
        """One request whose answer is read as it arrives. Leaving the block closes the connection."""
        opening = self._stream(
            method, url, json=json, headers=headers, timeout_s=timeout_s, bytes_max=bytes_max,
            direct=direct, generates=generates, fresh=fresh,
        )  # fmt: skip
        async with opening as stream:
            yield stream

    @asynccontextmanager
    async def _stream(
        self, method: str, url: str, *, json: Any, headers: Mapping[str, str] | None, timeout_s: float,
        bytes_max: int, direct: bool, generates: bool, fresh: bool,
    ) -> AsyncIterator[_Stream]:  # fmt: skip
        from sickbay.engine.run.http_session import Exchange  # late: aiohttp takes 150 ms to import

        clock = self.client.clock
        full = self.client.resolve(url, direct=direct)
        if generates:
            self.client.budget.take(f"{method} {shown_url(full)}")
        opened = Opened(method, full, Exchange(), clock.monotonic())
        error = ""
        try:
            try:
                with translated(opened):
                    async with asyncio.timeout(timeout_s):
                        await self._open(opened, json, headers, fresh=fresh)
            except TimeoutError as timeout:
                raise opened.too_late(timeout_s, clock.monotonic()) from timeout
            yield _Stream(self, opened, opened.started_at_s + timeout_s, timeout_s, bytes_max)
        except ProbeError as problem:
            error = problem.detail
            raise
        except BaseException as stopped:
            error = f"given up ({type(stopped).__name__})"
            raise
        finally:
            self._record(opened, generates=generates, error=error)
            response = opened.response
            if response is not None and not (response.content.at_eof() and response.connection is None):
                response.close()

    async def _open(self, opened: Opened, json: Any, given: Mapping[str, str] | None, *, fresh: bool) -> None:
        """Send the request and read the answer's headers, following redirects."""
        first_origin = origin_of(opened.url)
        body = None if json is None else json if isinstance(json, bytes) else _json.dumps(json).encode()
        content_type = {} if json is None else {"Content-Type": "application/json"}
        for _ in range(REDIRECTS_MAX + 1):
            headers = self.client.headers_for(opened.url, {**content_type, **(given or {})}, first_origin=first_origin)
            response = await self._send(opened, body, headers, fresh=fresh)
            opened.response = response
            opened.marks = marks_of(response, opened.sent_at_s)
            onward = _onward(opened, response.status, response.headers.get("Location", ""))
            if not onward:
                return
            response.close()
            opened.response = None
            opened.url = onward
            opened.exchange = type(opened.exchange)()
        raise HttpProbeError(
            UnknownReason.MALFORMED,
            f"{opened.method} {shown_url(opened.url)}: more than {REDIRECTS_MAX} redirects; is it a loop?",
            kind="redirect",
        )

    async def _send(
        self, opened: Opened, body: bytes | None, headers: Mapping[str, str], *, fresh: bool
    ) -> aiohttp.ClientResponse:
        """One request to its answer's headers.

        A server may close an idle connection at the very moment we use it again. That says nothing of its health,
        so the request is sent once more on a connection of its own.
        """
        from aiohttp import ClientConnectorError, ClientOSError, ServerDisconnectedError  # late, with the session

        async def send(session: aiohttp.ClientSession) -> aiohttp.ClientResponse:
            return await session.request(
                opened.method,
                opened.url,
                data=body,
                headers=headers,
                allow_redirects=False,
                trace_request_ctx=opened.exchange,
            )

        try:
            return await send(self.client.session(fresh=fresh))
        except (ServerDisconnectedError, ClientOSError) as error:
            reused = opened.exchange.sent_at_s is not None and opened.exchange.connect_s is None
            if isinstance(error, ClientConnectorError) or not reused:
                raise
        opened.exchange = type(opened.exchange)()
        return await send(self.client.session(fresh=True))

    def _record(self, opened: Opened, *, generates: bool, error: str) -> None:
        self.records.append(
            RequestRecord(
                method=opened.method,
                url=shown_url(opened.url),
                status=opened.response.status if opened.response is not None else None,
                started_s=opened.started_at_s - self.client.began_at_s,
                elapsed_s=self.client.clock.monotonic() - opened.started_at_s,
                bytes=opened.received_bytes,
                generates=generates,
                error=error,
            )
        )


def _onward(opened: Opened, status: int, location: str) -> str:
    """Where a redirect leads; "" when this is the answer.

    A request with a body is not sent elsewhere: only 307 and 308 on the same origin are followed for it.
    """
    if status not in _FOLLOWED or not location:
        return ""
    onward = urljoin(opened.url, location)
    if urlsplit(onward).scheme not in {"http", "https"} or not urlsplit(onward).hostname:
        raise HttpProbeError(
            UnknownReason.MALFORMED, f"{opened.what}: redirects to {location[:80]!r}, which is no web address",
            kind="redirect",
        )  # fmt: skip
    if opened.method not in {"GET", "HEAD"} and (status < 307 or origin_of(onward) != origin_of(opened.url)):
        return ""
    return onward
