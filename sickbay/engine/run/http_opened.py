"""One request on its way: what was sent, what came, and what it means when it does not go on."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.shown_url import shown_url
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.run.http_body import Mark
from sickbay.engine.run.http_error import HttpProbeError
from sickbay.engine.run.http_origin import where_of

if TYPE_CHECKING:
    import aiohttp

    from sickbay.engine.run.http_session import Exchange

__all__ = ["Opened", "marks_of", "translated"]


@dataclass
class Opened:
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
        """Method and URL, as messages name them."""
        return f"{self.method} {shown_url(self.url)}"

    @property
    def sent_at_s(self) -> float:
        """When the request was sent, monotonic seconds; when it was begun, if it never was."""
        return self.exchange.sent_at_s or self.started_at_s

    def headers(self) -> Mapping[str, str]:
        """The answer's headers, names in small letters, repeated ones joined."""
        assert self.response is not None
        found: dict[str, str] = {}
        for name, value in self.response.headers.items():
            low = name.lower()
            found[low] = f"{found[low]}, {value}" if low in found else value
        return MappingProxyType(found)

    def too_late(self, timeout_s: float, now_s: float) -> ProbeError:
        """What the time-out means, by how far the request came."""
        where = where_of(self.url)
        if self.exchange.sent_at_s is None:
            detail = (
                f"no connection to {where} within {timeout_s:.3g} s: the host is down or a firewall drops the packets"
            )
        elif self.response is None:
            detail = f"{where} took the request and sent no answer within {timeout_s:.3g} s"
        else:
            silent_s = now_s - (self.last_byte_at_s or self.sent_at_s)
            detail = (
                f"the answer was not complete after {timeout_s:.3g} s: "
                f"{self.received_bytes} bytes came, the last {silent_s:.1f} s before"
            )
        return HttpProbeError(UnknownReason.TIMEOUT, f"{self.what}: {detail}", kind="timeout")


class translated:  # noqa: N801  # reads as the `with` statement it is
    """Turn whatever the HTTP client raises into a ProbeError; cancellation and our own errors pass."""

    def __init__(self, opened: Opened) -> None:
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
            raise problem_of(error, what=self._opened.what, where=where_of(self._opened.url)) from error
        if isinstance(error, ValueError) and self._opened.response is None:  # e.g. a line break in a header's value
            raise HttpProbeError(
                UnknownReason.NOT_CONFIGURED, f"{self._opened.what}: cannot be sent: {error}"
            ) from error


def marks_of(response: aiohttp.ClientResponse, sent_at_s: float) -> deque[Mark]:
    """The socket reads of this answer; those of an earlier one on the same connection are dropped."""
    protocol = getattr(response, "_protocol", None) or getattr(response.connection, "protocol", None)
    marks: deque[Mark] | None = getattr(protocol, "marks", None)
    if marks is None:
        return deque()
    while marks and marks[0].at_s < sent_at_s:
        marks.popleft()
    return marks
