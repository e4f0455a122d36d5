"""The users: one process that sends streaming chats and writes what each of them felt.

`python -m sickbay.lab.load --json-config '{"url": ..., "file": ..., "clients": 6}'`. Closed loop (`clients`: each
sends, reads to the end, sends again), open loop (`rate_rps`: Poisson arrivals, whatever is still running), or one
`burst` at once. Times are taken on the client with a monotonic clock; one JSON line an event goes to `file`:

    {"event": "sent", "id": 3, "at_s": 1.204}
    {"event": "done", "id": 3, "at_s": 2.5, "ttft_s": 0.9, "e2e_s": 1.3, "tokens": 40, "gap_s_p50": 0.01,
     "gap_s_max": 0.1, "status": 200, "model": "...", "finish": "length", "error": "", "right": null, "limit": 50}

`at_s` counts from the start of the load. `ttft_s` is null when no token came. A user who leaves early
(`disconnect_after_s`) is done with `error` "left".
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import statistics
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

import aiohttp

from sickbay.lab.child import announce, pin, read_config
from sickbay.lab.prompts import Prompter
from sickbay.lab.questions import Chat, Questions, is_right

__all__ = ["Users", "Workload", "main"]

IN_FLIGHT_MAX = 256  # an open loop against a dead server must not fill the memory
FAILED_PAUSE_S = 0.25  # a refused user tries again after this, so that refusals do not spin
CONTENT = re.compile(rb'"content":"(?!")|"tool_calls":\[\{')
FINISH = re.compile(rb'"finish_reason":"(\w+)"')
MODEL = re.compile(rb'"model":"([^"]*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What the users do. Exactly one of clients, rate_rps and burst is set."""

    url: str
    file: str
    model: str = ""
    api_key: str = ""
    clients: int = 0
    rate_rps: float = 0.0
    burst: int = 0
    pause_s: float = 0.0  # mean of the (exponential) pause between two requests of one closed-loop client
    in_step: bool = False  # the closed-loop clients all send at once, wait for the last answer, and pause together
    prompt_tokens: int = 100
    output_tokens: int = 50
    shared_prefix_tokens: int = 0
    cases: str | list[dict[str, Any]] = ""  # questions with known answers: the name of a shipped set, or a list
    code_at_head: bool = False  # a code at the head of each prompt is asked for at its end
    turns: int = 0  # a chat of so many turns, carried on
    system: str = ""
    system_tokens: int = 0  # a system prompt of so many random words
    clock: bool = False  # the client's template puts the time on the first line
    omit: tuple[str, ...] = ()  # fields left out of the request body
    disconnect_after_s: float = 0.0
    connections_max: int = 0  # size of the client's own pool; 0 is no limit
    duration_s: float = 600.0
    timeout_s: float = 300.0
    seed: int = 1
    tokens_per_word: float = 1.0
    cpus: tuple[int, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)  # further fields of the request body


@dataclass(slots=True)
class _Stream:
    """One answer as it comes in."""

    status: int = 0
    times: list[float] = field(default_factory=list)
    finish: str = ""
    model: str = ""
    error: str = ""
    text: list[str] | None = None  # kept only when the answer is graded or carried on
    calls: list[str] = field(default_factory=list)  # names and arguments of tool calls, kept as the text is

    def line(self, line: bytes) -> None:
        """Take one line; a token is a chunk with text in it. The body is parsed only for its text, to save CPU."""
        if CONTENT.search(line):
            self.times.append(time.perf_counter())
            if self.text is not None:
                delta = json.loads(line[line.index(b"{") :])["choices"][0]["delta"]
                self.text.append(str(delta.get("content") or ""))
                for call in delta.get("tool_calls") or ():
                    self.calls += [str(part) for part in call.get("function", {}).values() if part]
            if not self.model and (name := MODEL.search(line)):
                self.model = name[1].decode("utf-8", "replace")
        if end := FINISH.search(line):
            self.finish = end[1].decode("ascii", "replace")


class Users:
    """All users of one workload."""

    def __init__(self, workload: Workload, sink: TextIO) -> None:
        self._workload = workload
        self._sink = sink
        prompts = Prompter(
            seed=workload.seed,
            tokens_per_word=workload.tokens_per_word,
            shared_prefix_tokens=workload.shared_prefix_tokens,
        )
        self._questions = Questions(asdict(workload), prompts, seed=workload.seed)
        self._dice = random.Random(workload.seed)  # noqa: S311 - not a secret
        self._start = time.perf_counter()
        self._sent = 0

    async def run(self) -> None:
        """Be users until the duration is over."""
        work = self._workload
        async with aiohttp.ClientSession(
            # A new connection for each request: llama.cpp closes idle ones, and a request that meets such a
            # closing connection fails for a reason that is not the fault on stage.
            connector=aiohttp.TCPConnector(limit=work.connections_max, force_close=True),
            timeout=aiohttp.ClientTimeout(total=work.timeout_s),
        ) as session:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(work.duration_s):
                    await self._arrive(session)

    async def _arrive(self, session: aiohttp.ClientSession) -> None:
        work = self._workload
        async with asyncio.TaskGroup() as group:
            for _ in range(0 if work.in_step else work.clients):
                group.create_task(self._client(session))
            if work.in_step:
                group.create_task(self._rounds(session))
            for _ in range(work.burst):
                group.create_task(self._one(session))
            running: set[asyncio.Task[bool]] = set()
            while work.rate_rps:
                if len(running) < IN_FLIGHT_MAX:
                    task = group.create_task(self._one(session))
                    running.add(task)
                    task.add_done_callback(running.discard)
                await asyncio.sleep(self._dice.expovariate(work.rate_rps))

    async def _client(self, session: aiohttp.ClientSession) -> None:
        chat = Chat()
        while True:
            answered = await self._one(session, chat)
            pause_s = self._workload.pause_s and self._dice.expovariate(1 / self._workload.pause_s)
            await asyncio.sleep(pause_s if answered else max(FAILED_PAUSE_S, pause_s))

    async def _rounds(self, session: aiohttp.ClientSession) -> None:
        """All clients at the same time, again and again."""
        while True:
            answered = await asyncio.gather(*(self._one(session) for _ in range(self._workload.clients)))
            pause_s = self._workload.pause_s and self._dice.expovariate(1 / self._workload.pause_s)
            await asyncio.sleep(pause_s if all(answered) else max(FAILED_PAUSE_S, pause_s))

    async def _one(self, session: aiohttp.ClientSession, chat: Chat | None = None) -> bool:
        work = self._workload
        number, self._sent = self._sent, self._sent + 1
        chat = chat if chat is not None else Chat()
        question = self._questions.draw(chat)
        stream = _Stream(text=[] if question.want is not None or work.turns else None)
        body: dict[str, Any] = {
            "model": work.model,
            "messages": question.messages,
            "max_tokens": work.output_tokens,
            "temperature": 0,
            "seed": work.seed,
            "stream": True,
            "ignore_eos": True,
            **work.extra,
        }
        body = {name: value for name, value in body.items() if name not in work.omit}
        sent = time.perf_counter()
        self._write({"event": "sent", "id": number, "at_s": sent - self._start})
        try:
            async with asyncio.timeout(work.disconnect_after_s or None):
                await self._read(session, body, stream)
        except TimeoutError:
            stream.error = "left" if work.disconnect_after_s else "timeout"
        except (aiohttp.ClientError, OSError) as error:
            stream.error = type(error).__name__
        if work.turns and stream.text is not None:
            chat.messages.append({"role": "assistant", "content": "".join(stream.text)})
        record = _record(number, sent, time.perf_counter(), self._start, stream)
        graded = stream.calls if question.call else stream.text or ()
        right = None if question.want is None else is_right("".join(graded), question.want)
        self._write({**record, "right": right, "limit": work.output_tokens})
        return stream.status == 200 and not stream.error

    async def _read(self, session: aiohttp.ClientSession, body: dict[str, Any], stream: _Stream) -> None:
        work = self._workload
        headers = {"Authorization": f"Bearer {work.api_key}"} if work.api_key else {}
        async with session.post(f"{work.url}/v1/chat/completions", json=body, headers=headers) as answer:
            stream.status = answer.status
            if answer.status != 200:
                stream.error = f"http {answer.status}"
                await answer.read()
                return
            async for line in answer.content:
                stream.line(line)
        if not stream.finish:
            stream.error = "cut off"

    def _write(self, record: dict[str, Any]) -> None:
        self._sink.write(json.dumps(record) + "\n")


def _record(number: int, sent: float, end: float, start: float, stream: _Stream) -> dict[str, Any]:
    gaps = [b - a for a, b in zip(stream.times, stream.times[1:], strict=False)]
    return {
        "event": "done",
        "id": number,
        "at_s": round(end - start, 4),
        "ttft_s": round(stream.times[0] - sent, 4) if stream.times else None,
        "e2e_s": round(end - sent, 4),
        "tokens": len(stream.times),
        "gap_s_p50": round(statistics.median(gaps), 5) if gaps else None,
        "gap_s_max": round(max(gaps), 4) if gaps else None,
        "status": stream.status,
        "model": stream.model,
        "finish": stream.finish,
        "error": stream.error,
    }


def main(argv: list[str] | None = None) -> int:
    """Run the users until the duration is over or the process is killed."""
    config = read_config(argv)
    pin(config.options.get("cpus", ()))
    tuples: dict[str, Any] = {key: tuple(config.options.get(key, ())) for key in ("cpus", "omit")}
    workload = Workload(**{**config.options, **tuples})

    async def run(sink: TextIO) -> None:
        users = Users(workload, sink)
        announce(config, file=workload.file)
        await users.run()

    with Path(workload.file).open("a", encoding="utf-8", buffering=1) as sink:
        asyncio.run(run(sink))
    return 0


if __name__ == "__main__":
    sys.exit(main())
