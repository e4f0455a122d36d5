"""The capabilities a check looks through. Everything it does through them is bounded and recorded."""

from __future__ import annotations

import json as _json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.signal import Reading, UnknownReason

if TYPE_CHECKING:
    from sickbay.engine.model.engine_spec import EngineSpec
    from sickbay.engine.model.target import Target

__all__ = ["Chunk", "Clock", "EngineFound", "Files", "Http", "HttpResponse", "HttpStream", "Look"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """A whole answer, read up to the byte limit. Times are seconds since the request was sent."""

    method: str
    url: str
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes = b""
    truncated: bool = False  # the byte limit was reached; body is the beginning
    connect_s: float | None = None  # None when the connection was reused
    first_byte_s: float = 0.0
    elapsed_s: float = 0.0

    @property
    def text(self) -> str:
        """The body as UTF-8; bytes that are not are replaced."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ProbeError: it is truncated or not JSON (reason too-large or malformed).
        """
        if self.truncated:
            raise ProbeError(
                UnknownReason.TOO_LARGE, f"{self.method} {self.url}: answer is over {len(self.body)} bytes"
            )
        try:
            return _json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise ProbeError(
                UnknownReason.MALFORMED, f"{self.method} {self.url}: wanted JSON, found {self.body[:60]!r}"
            ) from error


@dataclass(frozen=True, slots=True)
class Chunk:
    """One read from a stream: when it arrived (monotonic seconds) and its bytes."""

    at_s: float
    data: bytes


class HttpStream(Protocol):
    """An answer that is read piece by piece."""

    status: int
    headers: Mapping[str, str]
    sent_at_s: float  # monotonic, just before the request bytes were written
    connect_s: float | None

    def reads(self) -> AsyncIterator[Chunk]:
        """The reads as they arrive; ends at the end of the stream.

        Raises:
            ProbeError: timeout, byte limit or a broken connection.
        """
        ...


class Http(Protocol):
    """HTTP with limits on bytes, redirects, headers and seconds. Adds the target's credentials itself.

    A `url` that starts with "/" is resolved against the target's `url`, or, with `direct=True`,
    against `direct_url` (the engine behind the gateway) where the target has one.
    `generates=True` marks a request that makes the engine work; it counts against the request budget.
    `json` is data, or bytes that are JSON already.
    """

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
        """One request, one whole answer; any status is an answer. `fresh` opens a new connection.

        Raises:
            ProbeError: no answer (refused, unreachable, timeout, malformed).
            BudgetExceededError: the request budget is spent.
        """
        ...

    def stream(
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
    ) -> AbstractAsyncContextManager[HttpStream]:
        """One request whose answer is read as it arrives. Leaving the block closes the connection."""
        ...


class Files(Protocol):
    """The host's files, read-only and bounded. Paths are absolute; a test may put another root below them."""

    def read_text(self, path: str, *, bytes_max: int = 1_000_000) -> str:
        """The (beginning of the) file.

        Raises:
            ProbeError: absent, permission, or not a regular readable file.
        """
        ...

    def read_bytes(self, path: str, *, offset: int = 0, bytes_max: int = 1_000_000) -> bytes:
        """Up to `bytes_max` bytes from `offset`; a negative one counts from the end (a log's tail).

        Raises:
            ProbeError: like `read_text`.
        """
        ...

    def names(self, path: str) -> list[str]:
        """Names in a folder, sorted. Raises ProbeError like `read_text`."""
        ...

    def modified_s(self, path: str) -> float:
        """When the file was written last (Unix seconds). Raises ProbeError like `read_text`."""
        ...


class Clock(Protocol):
    """Time, passed in so that tests need no real one."""

    def monotonic(self) -> float: ...
    def wall(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFound:
    """Which inference engine answers at the target, and how it was recognised."""

    spec: EngineSpec
    version: str = ""
    how: str = ""  # e.g. "GET /props has total_slots and build_info"
    model: str = ""  # the model to ask for: the target's, or the first served
    models: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


class Look(Protocol):
    """What a check may use to look. One `Look` per step; what is shared is shared by the run.

    Attributes:
        target: what is looked at.
        http, files, clock: bounded access to the world.
        signals: what earlier steps measured; read-only.
        remaining_s: seconds left for this step.
    """

    target: Target
    http: Http
    files: Files
    clock: Clock
    signals: Mapping[str, Reading]

    @property
    def remaining_s(self) -> float: ...

    async def engine(self) -> EngineFound:
        """The engine behind the target, recognised once per run.

        Raises:
            ProbeError: nothing answers, or what answers is no known engine.
        """
        ...

    async def share(self, key: str, make: Callable[[], Awaitable[T]]) -> T:
        """Measure once: the first caller makes it, everyone else of the run gets the same value."""
        ...
