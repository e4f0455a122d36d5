"""How true the probe's times are: a server whose emission times are known, against what the probe measured.

A server process streams on many connections at once and stamps each event with the monotonic clock just before it
writes it; the probe's own client (`sickbay.engine.run.http`, `sickbay.checks.probe.streaming`) measures in another
process of the same host, so that both read one clock. Error of a first token: measured arrival minus stamp. Error of a
gap: measured gap minus gap of the stamps. Two patterns: "scattered" (every stream has random gaps of its own) and
"batched" (all streams get their token at the same time, as a batching engine sends them). Prints tables and one JSON
line.

    python benchmarks/probe_accuracy.py [--streams 64] [--tokens 48] [--gap-ms 20] [--rounds 8] [--goal-ms 5]

The exit code is 1 when the p99 of either error is over the goal in either pattern, or a token was lost.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import multiprocessing
import os
import random
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

from sickbay.checks.probe.streaming import Streamed, stream_once
from sickbay.engine.measure.stream_stats import quantile
from sickbay.engine.model.target import Target
from sickbay.engine.run.budget import RequestBudget
from sickbay.engine.run.clock import SystemClock
from sickbay.engine.run.files import RootedFiles
from sickbay.engine.run.http import StepHttp
from sickbay.engine.run.http_client import HttpClient
from sickbay.engine.run.look import RunLook, Shared
from sickbay.engine.run.threads import DaemonThreads

FILLER = {"id": "chatcmpl-" + "x" * 29, "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
"""As much around a token as real engines send."""


def event(body: dict[str, Any]) -> bytes:
    data = b"data: " + json.dumps(FILLER | body).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


ROLE = event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
TOKEN = event({"choices": [{"index": 0, "delta": {"content": " word"}, "finish_reason": None}]})
LAST = (
    event({"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}) + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"


class Emitter:
    """Streams tokens and keeps when it wrote each."""

    def __init__(self, tokens: int, gap_s: float, *, batched: bool) -> None:
        self.tokens, self.gap_s, self.batched = tokens, gap_s, batched
        self.stamps: dict[int, list[float]] = {}

    def wait_s(self, dice: random.Random) -> float:
        """Until the next token: random around the mean, or to the next tick that all streams share."""
        if self.batched:
            return self.gap_s - time.monotonic() % self.gap_s
        return dice.uniform(0.5, 1.5) * self.gap_s

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        body = await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
        number = int(json.loads(body)["number"])
        dice = random.Random(number)
        stamps = self.stamps[number] = []
        writer.write(HEAD + ROLE)
        for _ in range(self.tokens):
            await asyncio.sleep(self.wait_s(dice))
            stamps.append(time.monotonic())
            writer.write(TOKEN)
        writer.write(LAST)
        await writer.drain()
        writer.close()


def serve(pipe: Connection, tokens: int, gap_s: float, batched: bool) -> None:
    """The server process: says its port, streams until told to stop, then hands over its stamps."""

    async def main() -> None:
        emitter = Emitter(tokens, gap_s, batched=batched)
        server = await asyncio.start_server(emitter.handle, "127.0.0.1", 0, backlog=1024)
        pipe.send(server.sockets[0].getsockname()[1])
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
        pipe.send(emitter.stamps)
        server.close()

    asyncio.run(main())


async def measure(url: str, streams: int, rounds: int) -> tuple[dict[int, tuple[float, Streamed]], float]:
    """All streams at once, some rounds; by number: when it was to be sent, and what was seen. And our CPU seconds."""
    clock, threads = SystemClock(), DaemonThreads()
    target = Target(name="scripted", url=url)
    client = HttpClient(
        target=target, clock=clock, threads=threads, budget=RequestBudget(10**6), run_id="bench", began_at_s=0.0
    )
    look = RunLook(
        target=target, http=StepHttp(client), files=RootedFiles(), clock=clock, signals={}, ends_at=10**12,
        shared=Shared(), recognise=None,
    )  # fmt: skip
    seen: dict[int, tuple[float, Streamed]] = {}

    async def one(number: int) -> None:
        await asyncio.sleep(random.Random(number).uniform(0, 0.2))
        at_s = clock.monotonic()
        seen[number] = (at_s, await stream_once(look, "/v1/chat/completions", {"number": number}, timeout_s=60))

    before = time.process_time()
    for turn in range(rounds):
        await asyncio.gather(*(one(turn * streams + index) for index in range(streams)))
    spent = time.process_time() - before
    await client.close()
    threads.close()
    return seen, spent


def compare(
    seen: dict[int, tuple[float, Streamed]], stamps: dict[int, list[float]]
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Errors in seconds, and counts of what went wrong."""
    errors: dict[str, list[float]] = {"first token": [], "gap": [], "arrival": []}
    counts = {"streams": len(seen), "failed": 0, "tokens lost": 0, "merged reads": 0}
    for number, (zero_s, streamed) in seen.items():
        trace, sent = streamed.trace, stamps[number]
        counts["failed"] += not trace.ok
        # `stream_once` takes its zero a moment after we took ours, so this error is an upper bound by that moment.
        times = [zero_s + trace.reads[chunk.read].at_s for chunk in trace.chunks]
        counts["tokens lost"] += len(sent) - len(times)
        counts["merged reads"] += len(trace.chunks) - len({chunk.read for chunk in trace.chunks})
        if len(times) != len(sent):
            continue
        arrivals = [seen_s - sent_s for seen_s, sent_s in zip(times, sent, strict=True)]
        errors["first token"].append(abs(arrivals[0]))
        errors["arrival"] += [abs(error) for error in arrivals]
        errors["gap"] += [abs(later - earlier) for earlier, later in itertools.pairwise(arrivals)]
    return errors, counts


def report(errors: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    table = {}
    print(f"{'error of':<14}{'n':>8}{'p50 ms':>10}{'p99 ms':>10}{'max ms':>10}")
    for name, values in errors.items():
        row = {"n": float(len(values))}
        for label, share in (("p50_ms", 0.5), ("p99_ms", 0.99), ("max_ms", 1.0)):
            row[label] = round(1000 * (quantile(values, share) or 0.0), 3)
        table[name] = row
        print(f"{name:<14}{len(values):>8}{row['p50_ms']:>10.3f}{row['p99_ms']:>10.3f}{row['max_ms']:>10.3f}")
    return table


def run_pattern(given: argparse.Namespace, *, batched: bool) -> dict[str, Any]:
    """One pattern, measured and printed."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve, args=(theirs, given.tokens, given.gap_ms / 1000, batched), daemon=True)
    server.start()
    try:
        url = f"http://127.0.0.1:{ours.recv()}"
        began = time.monotonic()
        seen, cpu_s = asyncio.run(measure(url, given.streams, given.rounds))
        wall_s = time.monotonic() - began
        ours.send("stop")
        errors, counts = compare(seen, ours.recv())
    finally:
        server.join(5)
        server.kill()
    pattern = "batched" if batched else "scattered"
    print(f"\n{pattern}: {given.streams} streams at once, {given.tokens} tokens each, {given.gap_ms:g} ms apart")
    table = report(errors)
    met = all(table[name]["p99_ms"] <= given.goal_ms for name in ("first token", "gap")) and not counts["tokens lost"]
    return {"met": met, "wall_s": round(wall_s, 2), "client_cpu_s": round(cpu_s, 2), "counts": counts, "errors": table}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=64, help="streams at once")
    parser.add_argument("--tokens", type=int, default=48, help="tokens of each")
    parser.add_argument("--gap-ms", type=float, default=20.0, help="mean time between tokens")
    parser.add_argument("--rounds", type=int, default=8, help="how often all streams are opened")
    parser.add_argument("--goal-ms", type=float, default=5.0, help="largest p99 error that is fine")
    given = parser.parse_args()
    patterns = {name: run_pattern(given, batched=name == "batched") for name in ("scattered", "batched")}
    met = all(pattern["met"] for pattern in patterns.values())
    settings = {"streams": given.streams, "tokens": given.tokens, "gap_ms": given.gap_ms, "goal_p99_ms": given.goal_ms}
    cores = len(os.sched_getaffinity(0))
    print(json.dumps({"benchmark": "probe_accuracy", "met": met, "cores": cores, **settings, "patterns": patterns}))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
