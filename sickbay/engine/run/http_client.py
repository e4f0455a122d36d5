"""The connections of one run: sessions, full URLs, and which headers go to whom."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sickbay._version import __version__
from sickbay.engine.model.base_url import base_url
from sickbay.engine.model.look import Clock
from sickbay.engine.model.shown_url import shown_url
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Secret, Target
from sickbay.engine.run.budget import RequestBudget
from sickbay.engine.run.http_error import HttpProbeError
from sickbay.engine.run.http_origin import origin_of
from sickbay.engine.run.secrets import reveal
from sickbay.engine.run.threads import DaemonThreads

if TYPE_CHECKING:
    import aiohttp

__all__ = ["HttpClient"]

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
        self._own_origins = {origin_of(url) for url in own if url}

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
            url = base_url(base) + url
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
        origin = origin_of(url)
        if origin in self._own_origins:
            if self.target.api_key is not None:
                headers["Authorization"] = f"Bearer {reveal(self.target.api_key, 'the API key')}"
            for name, value in self.target.headers.items():
                headers[name] = reveal(value, f"the header {name!r}") if isinstance(value, Secret) else value
        stored = self.target.prometheus
        if stored is not None and stored.api_key is not None and origin == origin_of(stored.url):
            headers["Authorization"] = f"Bearer {reveal(stored.api_key, 'the key of Prometheus')}"
        for name, text in (given or {}).items():
            if origin == first_origin or name.lower() in _HARMLESS:
                for present in [key for key in headers if key.lower() == name.lower()]:
                    del headers[present]
                headers[name] = text
        return {name: text for name, text in headers.items() if text}
