"""Many GETs at once with a plain client: what asks another exporter for its probes."""

from __future__ import annotations

import asyncio

import aiohttp

__all__ = ["many_gets"]


def many_gets(url: str, count: int, *, at_once: int, wanted: bytes) -> int:
    """How many of the answers hold `wanted`."""

    async def main() -> int:
        limit = asyncio.Semaphore(at_once)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once)) as session:

            async def one() -> bool:
                async with limit, session.get(url) as answer:
                    return wanted in await answer.read()

            return sum(await asyncio.gather(*(one() for _ in range(count))))

    return asyncio.run(main())
