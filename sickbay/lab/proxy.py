"""A real HTTP proxy with a fault in it: `python -m sickbay.lab.proxy --json-config '{"upstream": "http://..."}'`.

Options (all optional but `upstream`):
    buffer: true holds back the whole answer, a number holds back so many bytes.
    cpu_s_per_request: seconds of pure CPU spent inside the event loop for each POST, so that everything waits.
    delay_s: seconds each request waits before it goes on.
    delay_s_per_chunk: seconds each event of an answer waits, one after the other.
    drop_every: one POST request of so many is closed without an answer, or answered with refuse_status.
    drop: share (0 to 1) of POST requests whose connection is closed without an answer.
    limit_connections: so many requests at once to the server behind; the others wait here.
    bytes_per_s: the answer's speed.
    truncate_prompt_tokens: only the last so many tokens of the last message go on.
    keep_head: with it, the first so many tokens go on instead.
    set_fields, drop_fields: fields of the request's body that are overwritten, or left out.
    keep_messages: only the last so many messages of a conversation go on.
    system: a system message that is silently put before the conversation.
    mask: {pattern, with}: what matches in any message is replaced.
    middle_cut_chars: a longer message keeps its begin and its end, so many characters together.
    answer_cache: an answer is kept and given again to every later request that begins with the same so many characters.
    similar_cache: an answer is kept and given again to every later question this like (0 to 1), streamed or not.
    keep_upstream_on_disconnect: the request behind goes on when the user has left.
    cut_after_s: an answer that is not whole after so many seconds is cut, or 504 where none has begun.
    compress: the stream is packed with gzip for clients that accept it, and goes out when the packer is full.
    body_bytes_max: a larger request is answered with 413.
    rate_per_s: so many POST requests a second pass (a bucket of `rate_burst`); the others are answered with 429.
    models: names that are let through; another one is refused with 404.
    via: false leaves out the `Via` header.
    upstreams, weights: several servers and the share of requests each gets; 0 is a drained one.
    port, cpus, seed, upstream_api_key.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from sickbay.lab.child import announce, pin, read_config
from sickbay.lab.proxy_parts import Bucket, burn_cpu, events_of, held_back, packed
from sickbay.lab.proxy_texts import cut_in_the_middle, likeness, masked, with_texts

__all__ = ["Behaviour", "FaultyProxy", "main"]

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "host", "content-length"}
BODY_BYTES_MAX = 64 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What is wrong with this proxy; the defaults are a good one."""

    upstream: str
    buffer: bool | int = False
    cpu_s_per_request: float = 0.0
    delay_s: float = 0.0
    delay_s_per_chunk: float = 0.0
    drop: float = 0.0
    drop_every: int = 0
    refuse_status: int = 0
    limit_connections: int = 0
    bytes_per_s: float = 0.0
    truncate_prompt_tokens: int = 0
    keep_head: bool = False
    set_fields: Mapping[str, Any] = field(default_factory=dict)
    drop_fields: tuple[str, ...] = ()
    keep_messages: int = 0
    system: str = ""
    mask: Mapping[str, str] = field(default_factory=dict)
    middle_cut_chars: int = 0
    answer_cache: int = 0
    similar_cache: float = 0.0
    keep_upstream_on_disconnect: bool = False
    cut_after_s: float = 0.0
    compress: bool = False
    body_bytes_max: int = 0
    rate_per_s: float = 0.0
    rate_burst: int = 1
    models: tuple[str, ...] = ()
    upstreams: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    via: bool = True
    port: int = 0
    cpus: tuple[int, ...] = ()
    seed: int = 0
    upstream_api_key: str = ""


@dataclass(slots=True)
class FaultyProxy:
    """One upstream, one behaviour, one event loop."""

    behaviour: Behaviour
    _session: aiohttp.ClientSession | None = None
    _gate: asyncio.Semaphore | None = None
    _dice: random.Random = field(default_factory=random.Random)
    _posts: int = 0
    _bucket: Bucket | None = None
    _answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    _known: dict[tuple[str, bool], tuple[int, str, bytes]] = field(default_factory=dict)
    _kept: set[asyncio.Task[web.StreamResponse]] = field(default_factory=set)

    async def open(self) -> None:
        """Make the connection pool; call inside the event loop."""
        # A new connection for each request: a good proxy must not add failures of its own.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )
        self._gate = asyncio.Semaphore(self.behaviour.limit_connections or 10**6)
        if self.behaviour.rate_per_s:
            self._bucket = Bucket(self.behaviour.rate_per_s, self.behaviour.rate_burst)
        self._dice.seed(self.behaviour.seed)

    async def close(self) -> None:
        """Close the pool."""
        if self._session is not None:
            await self._session.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Carry one request through."""
        behaviour = self.behaviour
        body = await request.read()
        if request.method == "POST":
            if behaviour.drop and self._dice.random() < behaviour.drop:
                return self._hang_up(request)
            self._posts += 1
            if behaviour.drop_every and self._posts % behaviour.drop_every == 0:
                return self._hang_up(request) if not behaviour.refuse_status else _refused(behaviour.refuse_status)
            refusal = self._refuse(body)
            if refusal is not None:
                return refusal
            burn_cpu(behaviour.cpu_s_per_request)
            body = await self._truncate(self._rewrite(body))
            if behaviour.answer_cache:
                return await self._from_cache(request, body)
            if behaviour.similar_cache:
                return await self._from_similar(request, body)
        if behaviour.delay_s:
            await asyncio.sleep(behaviour.delay_s)
        work = asyncio.ensure_future(self._forward(request, body))
        if not behaviour.keep_upstream_on_disconnect:
            return await work
        self._kept.add(work)
        work.add_done_callback(self._kept.discard)
        return await asyncio.shield(work)

    async def _forward(self, request: web.Request, body: bytes) -> web.StreamResponse:
        assert self._session is not None
        assert self._gate is not None
        headers = {k: v for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP}
        if self.behaviour.upstream_api_key:
            headers["Authorization"] = f"Bearer {self.behaviour.upstream_api_key}"
        url = self._upstream() + request.path_qs
        begun = asyncio.Event()
        try:
            async with (
                asyncio.timeout(self.behaviour.cut_after_s or None),
                self._gate,
                self._session.request(
                    request.method, url, headers=headers, data=body or None, allow_redirects=False
                ) as upstream,
            ):
                return await self._answer(request, upstream, begun)
        except TimeoutError:
            return self._hang_up(request) if begun.is_set() else _refused(504)
        except aiohttp.ClientConnectionError as error:
            return web.json_response({"error": {"message": f"bad gateway: {type(error).__name__}"}}, status=502)

    def _upstream(self) -> str:
        behaviour = self.behaviour
        if not behaviour.weights:
            return behaviour.upstream
        return self._dice.choices(behaviour.upstreams, weights=behaviour.weights)[0]

    async def _answer(
        self, request: web.Request, upstream: aiohttp.ClientResponse, begun: asyncio.Event
    ) -> web.StreamResponse:
        behaviour = self.behaviour
        headers = {k: v for k, v in upstream.headers.items() if k.lower() not in HOP_BY_HOP}
        if behaviour.via:
            headers["Via"] = "1.1 gateway"
        if behaviour.buffer is True:
            return web.Response(status=upstream.status, headers=headers, body=await upstream.read())
        pieces = held_back(upstream.content.iter_any(), int(behaviour.buffer))
        if behaviour.compress and "gzip" in request.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"] = "gzip"
            pieces = packed(pieces)
        response = web.StreamResponse(status=upstream.status, headers=headers)
        gone = False
        with contextlib.suppress(ConnectionResetError):
            await response.prepare(request)
        begun.set()
        async for piece in events_of(pieces) if behaviour.delay_s_per_chunk else pieces:
            if behaviour.delay_s_per_chunk:
                await asyncio.sleep(behaviour.delay_s_per_chunk)
            if behaviour.bytes_per_s:
                await asyncio.sleep(len(piece) / behaviour.bytes_per_s)
            if gone:
                continue  # the user has left; the answer is read to its end all the same
            try:
                await response.write(piece)
            except ConnectionResetError:
                if not behaviour.keep_upstream_on_disconnect:
                    raise
                gone = True
        if not gone:
            await response.write_eof()
        return response

    def _rewrite(self, body: bytes) -> bytes:
        """Other fields, fewer messages, and a system message of its own."""
        behaviour = self.behaviour
        chat = parse_object(body)
        changes = (
            *(behaviour.set_fields, behaviour.drop_fields, behaviour.keep_messages, behaviour.system),
            *(behaviour.mask, behaviour.middle_cut_chars),
        )
        if not chat or not any(changes):
            return body
        kept = {key: value for key, value in chat.items() if key not in behaviour.drop_fields}
        chat = {**kept, **behaviour.set_fields}
        if behaviour.keep_messages and isinstance(chat.get("messages"), list):
            chat["messages"] = chat["messages"][-behaviour.keep_messages :]
        if behaviour.system and isinstance(chat.get("messages"), list):
            chat["messages"] = [{"role": "system", "content": behaviour.system}, *chat["messages"]]
        if mask := behaviour.mask:
            chat = with_texts(chat, lambda text: masked(text, mask["pattern"], mask["with"]))
        if behaviour.middle_cut_chars:
            chat = with_texts(chat, lambda text: cut_in_the_middle(text, behaviour.middle_cut_chars))
        return json.dumps(chat).encode()

    async def _from_cache(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """The first answer to this beginning, whatever else the request holds. Streams pass."""
        chat = parse_object(body)
        messages = chat.get("messages")
        if not isinstance(messages, list) or not messages or chat.get("stream"):
            return await self._forward(request, body)
        key = str(messages[-1].get("content", ""))[: self.behaviour.answer_cache]
        if key not in self._answers:
            assert self._session is not None
            headers = {k: v for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP}
            url = self._upstream() + request.path_qs
            async with self._session.post(url, headers=headers, data=body) as upstream:
                self._answers[key] = (upstream.status, await upstream.read())
        status, answer = self._answers[key]
        return web.Response(status=status, body=answer, content_type="application/json", headers={"Via": "1.1 gateway"})

    async def _from_similar(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """The kept answer to the likest question, when it is like enough; else this answer is kept."""
        chat = parse_object(body)
        messages = chat.get("messages")
        if not isinstance(messages, list) or not messages:
            return await self._forward(request, body)
        asked, streams = str(messages[-1].get("content", "")), bool(chat.get("stream"))
        known = max(
            (key for key in self._known if key[1] == streams), key=lambda key: likeness(key[0], asked), default=None
        )
        if known is None or likeness(known[0], asked) < self.behaviour.similar_cache:
            assert self._session is not None
            known = (asked, streams)
            headers = {k: v for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP}
            async with self._session.post(self._upstream() + request.path_qs, headers=headers, data=body) as upstream:
                if upstream.status != 200:
                    return web.Response(status=upstream.status, body=await upstream.read())
                self._known[known] = (upstream.status, upstream.content_type, await upstream.read())
        status, kind, answer = self._known[known]
        return web.Response(status=status, body=answer, content_type=kind, headers={"Via": "1.1 gateway"})

    def _hang_up(self, request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=502)

    def _refuse(self, body: bytes) -> web.Response | None:
        """An answer of the gateway's own, when the request is not to go on."""
        if self.behaviour.body_bytes_max and len(body) > self.behaviour.body_bytes_max:
            return _refused(413)
        if self._bucket is not None and not self._bucket.take(time.monotonic()):
            return _refused(429)
        return self._refuse_model(body)

    def _refuse_model(self, body: bytes) -> web.Response | None:
        if not self.behaviour.models:
            return None
        name = parse_object(body).get("model", "")
        if name in self.behaviour.models:
            return None
        message = f"The model `{name}` does not exist."
        return web.json_response({"error": {"message": message, "code": "model_not_found"}}, status=404)

    async def _truncate(self, body: bytes) -> bytes:
        keep = self.behaviour.truncate_prompt_tokens
        chat = parse_object(body)
        messages = chat.get("messages")
        if not keep or not isinstance(messages, list) or not messages:
            return body
        ids = (await self._upstream_json("/tokenize", {"content": str(messages[-1].get("content", ""))}))["tokens"]
        text = (
            await self._upstream_json(
                "/detokenize", {"tokens": ids[:keep] if self.behaviour.keep_head else ids[-keep:]}
            )
        )["content"]
        chat["messages"] = [*messages[:-1], {**messages[-1], "content": text}]
        return json.dumps(chat).encode()

    async def _upstream_json(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert self._session is not None
        async with self._session.post(self.behaviour.upstream + path, json=body) as answer:
            found: dict[str, Any] = await answer.json()
            return found


def _refused(status: int) -> web.Response:
    return web.json_response({"error": {"message": "refused by the gateway"}}, status=status)


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body; empty when it is none."""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


async def _serve(options: dict[str, Any]) -> tuple[web.AppRunner, int]:
    names = [key for key in ("models", "cpus", "upstreams", "weights", "drop_fields") if key in options]
    tuples: dict[str, Any] = {key: tuple(options[key]) for key in names}
    proxy = FaultyProxy(Behaviour(**(options | tuples)))
    await proxy.open()
    app = web.Application(client_max_size=BODY_BYTES_MAX)
    app.router.add_route("*", "/{path:.*}", proxy.handle)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", options.get("port", 0))
    await site.start()
    return runner, runner.addresses[0][1]


def main(argv: list[str] | None = None) -> int:
    """Serve until killed."""
    config = read_config(argv)
    pin(config.options.get("cpus", ()))

    async def run() -> None:
        _runner, port = await _serve(config.options)
        announce(config, port=port)
        await asyncio.Event().wait()

    asyncio.run(run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
