"""Hostile servers on raw sockets, and short ways to a plan."""

from __future__ import annotations

import asyncio
import inspect
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.expression import Expression
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.report import Report
from sickbay.engine.model.runbook import Budget, Group, Input, Runbook, Step
from sickbay.engine.model.signal import SignalKind, SignalSpec, SignalType, measured
from sickbay.engine.model.target import Target
from sickbay.engine.run.executor import Environment, run
from sickbay.engine.run.plan import Plan, make_plan

Handler = Callable[["RawServer", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class RawServer:
    """A TCP server in a thread that speaks whatever its handler writes."""

    handler: Handler
    context: ssl.SSLContext | None = None
    url: str = ""
    port: int = 0
    heads: list[str] = field(default_factory=list)  # every request's head
    sent_bytes: int = 0
    connections: int = 0
    open_now: int = 0
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(10)

    def _serve(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._talk, "127.0.0.1", 0, ssl=self.context))
        self.port = server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._settle())
        server.close()
        self._loop.run_until_complete(self._drain())
        self._loop.close()

    @staticmethod
    async def _settle() -> None:
        """A connection that was just accepted gets its handler, which closes it."""
        for _ in range(5):
            await asyncio.sleep(0)

    @staticmethod
    async def _drain() -> None:
        """Until no task is left and every transport has said goodbye; clients have gone, so most end by themselves."""
        if tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(tasks, timeout=2)
        for _ in range(20):
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_now += 1
        try:
            await self.handler(self, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open_now -= 1
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def head(self, reader: asyncio.StreamReader) -> str:
        """Read one request's head (and body, by its length) and keep the head."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.heads.append(head)
        for line in head.split("\r\n"):
            name, _, value = line.partition(":")
            if name.lower() == "content-length":
                await reader.readexactly(int(value))
        return head

    async def send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(data)
        await writer.drain()
        self.sent_bytes += len(data)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        assert self._thread is not None
        self._thread.join(10)


@pytest.fixture
def raw_server() -> Iterator[Callable[..., RawServer]]:
    servers: list[RawServer] = []

    def make(handler: Handler, context: ssl.SSLContext | None = None) -> RawServer:
        server = RawServer(handler, context)
        server.start()
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.stop()


class Simple(Check):
    """A check made of two functions."""

    title = "simple"

    def __init__(
        self,
        name: str,
        look: Callable[..., Any] | None = None,
        judge: Callable[[Raw, Mapping[str, Any]], Result] | None = None,
        **attributes: Any,
    ) -> None:
        self.name = name  # type: ignore[misc]
        self._look = look
        if inspect.iscoroutinefunction(look):
            self.look = look  # type: ignore[method-assign]
        self._judge = judge
        for key, value in attributes.items():
            setattr(self, key, value)

    def cost(self, params: Mapping[str, Any]) -> Cost:
        found: Cost = getattr(self, "costs", Cost())
        return found

    def look(self, look: Any, params: Mapping[str, Any]) -> Any:
        return self._look(look, params) if self._look is not None else {"value": 1.0}

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        if self._judge is not None:
            return self._judge(raw, params)
        signals = {name: measured(raw["value"], "raw.value") for name in self.emits if raw.get("value") is not None}
        return Result(outcome=Outcome(raw.get("outcome", "pass")), summary=f"value {raw.get('value')}", signals=signals)


@dataclass
class Bench:
    """Checks and vocabulary of one test, and ways to run them."""

    checks: dict[str, Check] = field(default_factory=dict)
    vocabulary: dict[str, SignalSpec] = field(default_factory=dict)
    causes: dict[str, Any] = field(default_factory=dict)

    def check(self, name: str, look: Callable[..., Any] | None = None, **attributes: Any) -> Simple:
        made = Simple(name, look, **attributes)
        self.checks[name] = made
        for signal in made.emits:
            self.vocabulary[signal] = SignalSpec(
                name=signal, type=SignalType.NUMBER, unit="s", kind=SignalKind.GAUGE, meaning=signal
            )
        return made

    def runbook(self, *groups: Step | Sequence[Step], **more: Any) -> Runbook:
        more.setdefault("budget", Budget(deadline_s=120.0, effect=Effect.INTRUSIVE, requests=12))
        return Runbook(
            name="book",
            title="A book",
            why="a test",
            causes=(),
            groups=tuple(Group((each,) if isinstance(each, Step) else tuple(each)) for each in groups),
            **more,
        )

    def plan(
        self, *groups: Step | Sequence[Step], target: Target | None = None, inputs: Mapping[str, Any] | None = None,
        effect_ceiling: Effect | None = None, only: Sequence[str] = (), skip: Sequence[str] = (),
        declared: Sequence[Input] = (), **more: Any,
    ) -> Plan:  # fmt: skip
        return make_plan(
            self.runbook(*groups, inputs=tuple(declared), **more), target or Target(name="here"), inputs or {}, self,
            effect_ceiling=effect_ceiling, only=only, skip=skip,
        )  # fmt: skip

    def run(self, *groups: Step | Sequence[Step], environment: Environment | None = None, **more: Any) -> Report:
        return run(self.plan(*groups, **more), environment=environment or Environment(redaction_key=b"k" * 16))


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def expression() -> Callable[..., Expression]:
    """An expression over named values in Python's syntax; None when a name is missing. CEL has its own tests."""

    def make(source: str, *names: str, shown: str = "") -> Expression:
        def program(values: Mapping[str, float | bool | str]) -> Any:
            text = source
            for name in names:
                if name not in values:
                    return None
                text = text.replace(name, repr(values[name]))
            return eval(text, {"__builtins__": {}})

        return Expression(source=shown or source, names=names, program=program)

    return make
