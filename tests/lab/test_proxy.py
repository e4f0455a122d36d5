"""The proxy in front of a real HTTP server that streams five pieces, one when the last was asked for."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from sickbay.lab.proxy import Behaviour, FaultyProxy
from sickbay.lab.proxy_parts import Bucket, burn_cpu, events_of, held_back, packed


class Upstream:
    """Counts what reaches it, and answers with a stream that ends when `finish` is set."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.running = 0
        self.running_max = 0
        self.completed = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.finish = asyncio.Event()

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.json())
        self.running += 1
        self.running_max = max(self.running_max, self.running)
        response = web.StreamResponse()
        try:
            await response.prepare(request)
            await response.write(b"data: one\n\n")
            await self.finish.wait()
            await response.write(b"data: two\n\n")
            await response.write_eof()
        except (asyncio.CancelledError, ConnectionResetError):
            self.cancelled.set()
            raise
        else:
            self.completed.set()
        finally:
            self.running -= 1
        return response

    async def tokenize(self, request: web.Request) -> web.Response:
        return web.json_response({"tokens": (await request.json())["content"].split()})

    async def detokenize(self, request: web.Request) -> web.Response:
        return web.json_response({"content": " ".join((await request.json())["tokens"])})


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def behind(test: Callable[[Upstream, str, aiohttp.ClientSession], Awaitable[None]], **behaviour: Any) -> None:
    async def run() -> None:
        upstream = Upstream()
        app = web.Application()
        app.router.add_post("/v1/chat/completions", upstream.chat)
        app.router.add_post("/tokenize", upstream.tokenize)
        app.router.add_post("/detokenize", upstream.detokenize)
        async with serving(app) as upstream_url:
            proxy = FaultyProxy(Behaviour(upstream=upstream_url, **behaviour))
            await proxy.open()
            front = web.Application()
            front.router.add_route("*", "/{path:.*}", proxy.handle)
            async with serving(front) as url, aiohttp.ClientSession() as session:
                await asyncio.wait_for(test(upstream, f"{url}/v1/chat/completions", session), 20)
            await proxy.close()

    asyncio.run(run())


def chat(text: str = "a b c", model: str = "m") -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}]}


def test_a_good_proxy_passes_each_piece_on_at_once() -> None:
    async def test(upstream: Upstream, url: str, session: aiohttp.ClientSession) -> None:
        async with session.post(url, json=chat()) as answer:
            assert await answer.content.readline() == b"data: one\n"  # before the server has finished
            upstream.finish.set()
            assert await answer.read() == b"\ndata: two\n\n"
            assert answer.headers["Via"] == "1.1 gateway"

    behind(test)


def test_a_buffering_proxy_passes_nothing_on_before_the_end() -> None:
    async def test(upstream: Upstream, url: str, session: aiohttp.ClientSession) -> None:
        asking = asyncio.create_task(session.post(url, json=chat()))
        await until(lambda: upstream.running == 1)
        assert not asking.done()
        upstream.finish.set()
        async with await asking as answer:
            assert await answer.read() == b"data: one\n\ndata: two\n\n"

    behind(test, buffer=True)


def test_a_user_who_leaves_cancels_the_request_behind() -> None:
    async def test(upstream: Upstream, url: str, session: aiohttp.ClientSession) -> None:
        async with session.post(url, json=chat()) as answer:
            await answer.content.readline()
            answer.close()
        await upstream.cancelled.wait()
        assert not upstream.completed.is_set()

    behind(test)


def test_a_proxy_that_keeps_the_request_behind_lets_it_run_to_its_end() -> None:
    async def test(upstream: Upstream, url: str, session: aiohttp.ClientSession) -> None:
        async with session.post(url, json=chat()) as answer:
            await answer.content.readline()
            answer.close()
        upstream.finish.set()
        await upstream.completed.wait()
        assert not upstream.cancelled.is_set()

    behind(test, keep_upstream_on_disconnect=True)


def test_the_connection_limit_holds_back_the_rest() -> None:
    async def test(upstream: Upstream, url: str, session: aiohttp.ClientSession) -> None:
        async def ask() -> int:
            async with session.post(url, json=chat()) as answer:
                await answer.read()
                return answer.status

        asking = [asyncio.create_task(ask()) for _ in range(4)]
        await until(lambda: upstream.running == 2)
        upstream.finish.set()
        assert await asyncio.gather(*asking) == [200] * 4
        assert upstream.running_max == 2

    behind(test, limit_connections=2)


def test_a_dropped_request_never_arrives() -> None:
    async def test(upstream: Upstream, url: str, session: aiohttp.ClientSession) -> None:
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.post(url, json=chat())
        assert upstream.bodies == []

    behind(test, drop=1.0)


@pytest.mark.parametrize("status", [0, 503])
def test_every_second_request_is_refused(status: int) -> None:
    async def test(upstream: Upstream, url: str, session: aiohttp.ClientSession) -> None:
        upstream.finish.set()
        seen = []
        for _ in range(4):
            try:
                async with session.post(url, json=chat()) as answer:
                    seen.append(answer.status)
            except aiohttp.ClientConnectionError:
                seen.append(0)
        assert seen == [200, status, 200, status]

    behind(test, drop_every=2, refuse_status=status)


def test_events_that_arrive_together_are_held_one_by_one() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"data: a\n\nda"
        yield b"ta: b\n\ndata: c"

    async def gather() -> list[bytes]:
        return [event async for event in events_of(pieces())]

    assert asyncio.run(gather()) == [b"data: a\n\n", b"data: b\n\n", b"data: c"]


def test_an_unknown_model_is_refused_and_a_known_one_is_not() -> None:
    async def test(upstream: Upstream, url: str, session: aiohttp.ClientSession) -> None:
        async with session.post(url, json=chat(model="x")) as answer:
            assert answer.status == 404
            assert (await answer.json())["error"]["code"] == "model_not_found"
        upstream.finish.set()
        async with session.post(url, json=chat()) as answer:
            assert answer.status == 200
        assert [body["model"] for body in upstream.bodies] == ["m"]

    behind(test, models=("m",))


def test_a_truncating_proxy_keeps_the_tail() -> None:
    async def test(upstream: Upstream, url: str, session: aiohttp.ClientSession) -> None:
        upstream.finish.set()
        async with session.post(url, json=chat("a b c d")) as answer:
            await answer.read()
        assert upstream.bodies[0]["messages"] == [{"role": "user", "content": "c d"}]

    behind(test, truncate_prompt_tokens=2)


def test_a_truncating_proxy_may_keep_the_head() -> None:
    async def test(upstream: Upstream, url: str, session: aiohttp.ClientSession) -> None:
        upstream.finish.set()
        async with session.post(url, json=chat("a b c d")) as answer:
            await answer.read()
        assert upstream.bodies[0]["messages"] == [{"role": "user", "content": "a b"}]

    behind(test, truncate_prompt_tokens=2, keep_head=True)


def test_a_meddling_proxy_changes_fields_and_adds_a_system_message() -> None:
    async def test(upstream: Upstream, url: str, session: aiohttp.ClientSession) -> None:
        upstream.finish.set()
        async with session.post(url, json={**chat("a"), "temperature": 0, "response_format": {}}) as answer:
            await answer.read()
        [body] = upstream.bodies
        assert body["messages"] == [{"role": "system", "content": "S"}, {"role": "user", "content": "a"}]
        assert body["temperature"] == 2
        assert "response_format" not in body

    behind(test, system="S", set_fields={"temperature": 2}, drop_fields=("response_format",))


def test_only_the_last_messages_of_a_conversation_go_on() -> None:
    async def test(upstream: Upstream, url: str, session: aiohttp.ClientSession) -> None:
        upstream.finish.set()
        said = [{"role": "user", "content": text} for text in "abc"]
        async with session.post(url, json={**chat("a"), "messages": said}) as answer:
            await answer.read()
        assert upstream.bodies[0]["messages"] == said[1:]

    behind(test, keep_messages=2)


def test_an_answer_cache_gives_one_answer_to_all_that_begin_alike() -> None:
    async def test(upstream: Upstream, url: str, session: aiohttp.ClientSession) -> None:
        upstream.finish.set()
        for text in ("what is a", "what is b", "who is c"):
            async with session.post(url, json=chat(text)) as answer:
                assert await answer.read() == b"data: one\n\ndata: two\n\n"
        assert [body["messages"][0]["content"] for body in upstream.bodies] == ["what is a", "who is c"]

    behind(test, answer_cache=7)


def test_a_cache_of_similar_questions_answers_the_next_one_too_but_not_another_kind() -> None:
    async def test(upstream: Upstream, url: str, session: aiohttp.ClientSession) -> None:
        upstream.finish.set()
        for text in ("what is the capital of a", "What is the capital of b?", "who is c"):
            for stream in (False, True):
                async with session.post(url, json=chat(text) | {"stream": stream}) as answer:
                    assert await answer.read() == b"data: one\n\ndata: two\n\n"
        asked = [(body["messages"][0]["content"][:5], body["stream"]) for body in upstream.bodies]
        assert asked == [("what ", False), ("what ", True), ("who i", False), ("who i", True)]

    behind(test, similar_cache=0.7)


def test_texts_are_masked_and_cut_on_the_way() -> None:
    async def test(upstream: Upstream, url: str, session: aiohttp.ClientSession) -> None:
        upstream.finish.set()
        async with session.post(url, json=chat("where is Rome on the map")) as answer:
            await answer.read()
        assert upstream.bodies[0]["messages"] == [{"role": "user", "content": "where ... e map"}]

    behind(test, mask={"pattern": "(?<= )[A-Z][a-z]+", "with": "[X]"}, middle_cut_chars=10)


def test_a_dead_server_behind_is_a_bad_gateway() -> None:
    async def test(_upstream: Upstream, url: str, session: aiohttp.ClientSession) -> None:
        proxy = FaultyProxy(Behaviour(upstream="http://127.0.0.1:9"))
        await proxy.open()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", proxy.handle)
        async with serving(app) as dead, session.post(f"{dead}/x", json=chat()) as answer:
            assert answer.status == 502
            assert json.loads(await answer.text()) == {"error": {"message": "bad gateway: ClientConnectorError"}}
        await proxy.close()

    behind(test)


def test_an_answer_that_takes_too_long_is_cut() -> None:
    async def test(upstream: Upstream, url: str, session: aiohttp.ClientSession) -> None:
        async with session.post(url, json=chat()) as answer:
            assert await answer.content.readline() == b"data: one\n"
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()
        await upstream.cancelled.wait()

    behind(test, cut_after_s=0.3)


def test_an_answer_that_never_begins_is_a_gateway_time_out() -> None:
    async def test(_upstream: Upstream, url: str, session: aiohttp.ClientSession) -> None:
        async with session.post(url, json=chat()) as answer:
            assert answer.status == 504

    behind(test, cut_after_s=0.1, buffer=True)


def test_a_packing_proxy_holds_the_stream_of_who_accepts_gzip() -> None:
    async def test(upstream: Upstream, url: str, session: aiohttp.ClientSession) -> None:
        async with session.post(url, json=chat(), headers={"Accept-Encoding": "identity"}) as answer:
            assert await answer.content.readline() == b"data: one\n"
            upstream.finish.set()
            await answer.read()
        async with session.post(url, json=chat(), headers={"Accept-Encoding": "gzip"}) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            assert await answer.read() == b"data: one\n\ndata: two\n\n"

    behind(test, compress=True)


def test_a_large_body_is_refused() -> None:
    async def test(upstream: Upstream, url: str, session: aiohttp.ClientSession) -> None:
        upstream.finish.set()
        for text, status in (("short", 200), ("long " * 100, 413)):
            async with session.post(url, json=chat(text)) as answer:
                assert answer.status == status
        assert len(upstream.bodies) == 1

    behind(test, body_bytes_max=300)


def test_what_comes_above_the_rate_is_refused() -> None:
    async def test(upstream: Upstream, url: str, session: aiohttp.ClientSession) -> None:
        upstream.finish.set()
        statuses = []
        for _ in range(3):
            async with session.post(url, json=chat()) as answer:
                statuses.append(answer.status)
        assert statuses == [200, 200, 429]

    behind(test, rate_per_s=0.001, rate_burst=2)


def test_a_bucket_fills_with_time_and_holds_no_more_than_its_size() -> None:
    bucket = Bucket(rate_per_s=0.5, size=2)
    assert [bucket.take(at_s) for at_s in (0, 0, 0, 1, 2, 100, 100, 100)] == [
        *(True, True, False),
        *(False, True),
        *(True, True, False),
    ]


def test_packed_pieces_come_when_the_packer_is_full() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b"data: token\n\n"

    async def gather() -> list[bytes]:
        return [piece async for piece in packed(pieces())]

    out = asyncio.run(gather())
    assert len(out) <= 2  # the header may come alone
    assert gzip.decompress(b"".join(out)) == b"data: token\n\n" * 50


def test_burning_is_processor_time() -> None:
    start = time.thread_time()
    burn_cpu(0.02)
    assert time.thread_time() - start >= 0.02


def test_bytes_are_held_back_until_there_are_enough() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"ab", b"c", b"def", b"g"):
            yield piece

    async def gather(size: int) -> list[bytes]:
        return [piece async for piece in held_back(pieces(), size)]

    assert asyncio.run(gather(0)) == [b"ab", b"c", b"def", b"g"]
    assert asyncio.run(gather(3)) == [b"abc", b"def", b"g"]


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - the condition lives in another server's handler
        await asyncio.sleep(0.005)
