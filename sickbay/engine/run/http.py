"""The `Http` capability: every request bounded, recorded, marked as ours, and explained when it fails."""

from __future__ import annotations

import asyncio
import json as _json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from sickbay._version import __version__
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import Chunk, Clock, HttpResponse
from sickbay.engine.model.report import RequestRecord
from sickbay.engine.model.shown_url import shown_url
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Secret, Target
from sickbay.engine.run.budget import RequestBudget
from sickbay.engine.run.http_body import Decoder, Mark, split_by_read
from sickbay.engine.run.http_error import HttpProbeError
from sickbay.engine.run.secrets import reveal
from sickbay.engine.run.threads import DaemonThreads

if TYPE_CHECKING:
    import aiohttp

    from sickbay.engine.run.http_session import Exchange

__all__ = ["HttpClient", "StepHttp"]

REDIRECTS_MAX = 3
_FOLLOWED = {301, 302, 303, 307, 308}
_HARMLESS = {"accept", "content-type"}


class HttpClient:
    """The connections of one run. Nothing is imported or opened before the first request."""

    def __init__(
        self,
        *,
        target: Target,
        clock: Clock,
        threads: DaemonThreads,
        budget: RequestBudget,
        run_id: str,
        began_at_s: float,
        trust_proxies: bool = False,
    ) -> None:
        self.target = target
        self.clock = clock
        self.budget = budget
        self.began_at_s = began_at_s
        self._threads = threads
        self._run_id = run_id
        self._trust_proxies = trust_proxies
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        own = (target.url, target.direct_url, target.metrics_url, *target.replicas)
        self._own_origins = {_origin(url) for url in own if url}

    def session(self, *, fresh: bool) -> aiohttp.ClientSession:
        """The session, opened on first use."""
        if fresh not in self._sessions:
            from sickbay.engine.run.http_session import make_session  # late: aiohttp takes 150 ms to import

            self._sessions[fresh] = make_session(
                clock=self.clock,
                threads=self._threads,
                tls_verify=self.target.tls_verify,
                fresh=fresh,
                trust_proxies=self._trust_proxies,
            )
        return self._sessions[fresh]

    async def close(self) -> None:
        """Close every connection."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()
        await asyncio.sleep(0)  # transports close one turn of the loop later

    def resolve(self, url: str, *, direct: bool) -> str:
        """The full URL of a path of the target; a full URL stays as it is.

        Raises:
            ProbeError: a path, and the target has no URL; or no http URL.
        """
        if url.startswith("/"):
            base = (self.target.direct_url if direct else "") or self.target.url
            if not base:
                raise HttpProbeError(
                    UnknownReason.NOT_CONFIGURED,
                    f"{url}: the target {self.target.name!r} has no url; give --url, or url: in sickbay.yaml",
                )
            url = base.rstrip("/").removesuffix("/v1") + url
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
            raise HttpProbeError(
                UnknownReason.NOT_CONFIGURED, f"{shown_url(url)!r} is no URL; wanted http://host:port/path"
            )
        return url

    def headers_for(self, url: str, given: Mapping[str, str] | None, *, first_origin: str) -> dict[str, str]:
        """What is sent: our marker always; credentials only to the target's own addresses.

        A header given as "" is left out, so that a check can ask without credentials.

        Raises:
            ProbeError: a secret cannot be read.
        """
        headers = {
            "User-Agent": f"sickbay/{__version__}",
            "X-Sickbay-Probe": self._run_id,
            "Accept-Encoding": "identity",
        }
        origin = _origin(url)
        if origin in self._own_origins:
            if self.target.api_key is not None:
                headers["Authorization"] = f"Bearer {reveal(self.target.api_key, 'the API key')}"
            for name, value in self.target.headers.items():
                headers[name] = reveal(value, f"the header {name!r}") if isinstance(value, Secret) else value
        stored = self.target.prometheus
        if stored is not None and stored.api_key is not None and origin == _origin(stored.url):
            headers["Authorization"] = f"Bearer {reveal(stored.api_key, 'the key of Prometheus')}"
        for name, text in (given or {}).items():
            if origin == first_origin or name.lower() in _HARMLESS:
                for present in [key for key in headers if key.lower() == name.lower()]:
                    del headers[present]
                headers[name] = text
        return {name: text for name, text in headers.items() if text}


@dataclass
class _Opened:
    """A request on its way, as far as it came."""

    method: str
    url: str
    exchange: Exchange
    started_at_s: float
    response: aiohttp.ClientResponse | None = None
    received_bytes: int = 0
    last_byte_at_s: float | None = None
    marks: deque[Mark] = field(default_factory=deque)

    @property
    def what(self) -> str:
        return f"{self.method} {shown_url(self.url)}"

    @property
    def sent_at_s(self) -> float:
        return self.exchange.sent_at_s or self.started_at_s

    def headers(self) -> Mapping[str, str]:
        assert self.response is not None
        found: dict[str, str] = {}
        for name, value in self.response.headers.items():
            low = name.lower()
            found[low] = f"{found[low]}, {value}" if low in found else value
        return MappingProxyType(found)


class _Stream:
    """The `HttpStream` of one answer."""

    def __init__(self, http: StepHttp, opened: _Opened, ends_at_s: float, timeout_s: float, bytes_max: int) -> None:
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
                raise self._http.too_late(opened, self._timeout_s) from error
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
            with _translated(self._opened):
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
        opened = _Opened(method, full, Exchange(), clock.monotonic())
        error = ""
        try:
            try:
                with _translated(opened):
                    async with asyncio.timeout(timeout_s):
                        await self._open(opened, json, headers, fresh=fresh)
            except TimeoutError as timeout:
                raise self.too_late(opened, timeout_s) from timeout
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

    async def _open(self, opened: _Opened, json: Any, given: Mapping[str, str] | None, *, fresh: bool) -> None:
        """Send the request and read the answer's headers, following redirects."""
        first_origin = _origin(opened.url)
        body = None if json is None else _json.dumps(json).encode()
        content_type = {} if json is None else {"Content-Type": "application/json"}
        for _ in range(REDIRECTS_MAX + 1):
            headers = self.client.headers_for(opened.url, {**content_type, **(given or {})}, first_origin=first_origin)
            response = await self._send(opened, body, headers, fresh=fresh)
            opened.response = response
            opened.marks = _marks_of(response, opened.sent_at_s)
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
        self, opened: _Opened, body: bytes | None, headers: Mapping[str, str], *, fresh: bool
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

    def too_late(self, opened: _Opened, timeout_s: float) -> ProbeError:
        """What the time-out means, by how far the request came."""
        where = _where(opened.url)
        if opened.exchange.sent_at_s is None:
            detail = (
                f"no connection to {where} within {timeout_s:g} s: the host is down or a firewall drops the packets"
            )
        elif opened.response is None:
            detail = f"{where} took the request and sent no answer within {timeout_s:g} s"
        else:
            silent_s = self.client.clock.monotonic() - (opened.last_byte_at_s or opened.sent_at_s)
            detail = (
                f"the answer was not complete after {timeout_s:g} s: "
                f"{opened.received_bytes} bytes came, the last {silent_s:.1f} s before"
            )
        return HttpProbeError(UnknownReason.TIMEOUT, f"{opened.what}: {detail}", kind="timeout")

    def _record(self, opened: _Opened, *, generates: bool, error: str) -> None:
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


class _translated:  # noqa: N801  # reads as the `with` statement it is
    """Turn whatever the HTTP client raises into a ProbeError; cancellation and our own errors pass."""

    def __init__(self, opened: _Opened) -> None:
        self._opened = opened

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if error is None or isinstance(error, (ProbeError, asyncio.CancelledError)) or type(error) is TimeoutError:
            return  # our own time-out is told by how far the request came
        from aiohttp import ClientError  # late; the request has loaded it already
        from aiohttp.http_exceptions import HttpProcessingError

        from sickbay.engine.run.http_explain import problem_of

        if isinstance(error, (ClientError, HttpProcessingError, OSError)):
            raise problem_of(error, what=self._opened.what, where=_where(self._opened.url)) from error
        if isinstance(error, ValueError) and self._opened.response is None:  # e.g. a line break in a header's value
            raise HttpProbeError(
                UnknownReason.NOT_CONFIGURED, f"{self._opened.what}: cannot be sent: {error}"
            ) from error


def _origin(url: str) -> str:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    return f"{parts.scheme}://{parts.hostname}:{port or {'https': 443}.get(parts.scheme, 80)}"


def _where(url: str) -> str:
    host, _, port = _origin(url).split("://", 1)[1].rpartition(":")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _marks_of(response: aiohttp.ClientResponse, sent_at_s: float) -> deque[Mark]:
    """The socket reads of this answer; those of an earlier one on the same connection are dropped."""
    protocol = getattr(response, "_protocol", None) or getattr(response.connection, "protocol", None)
    marks: deque[Mark] | None = getattr(protocol, "marks", None)
    if marks is None:
        return deque()
    while marks and marks[0].at_s < sent_at_s:
        marks.popleft()
    return marks


def _onward(opened: _Opened, status: int, location: str) -> str:
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
    if opened.method not in {"GET", "HEAD"} and (status < 307 or _origin(onward) != _origin(opened.url)):
        return ""
    return onward
