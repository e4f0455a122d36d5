"""What the eval engine costs an item: 1,000 items against a stub server in a process of its own.

    python -m benchmarks.eval_overhead

The same requests are first sent by a bare HTTP client loop; the difference in processor time of this process is ours.
Wall times depend on the machine and are printed only. Memory is the growth of the peak from 1,000 to 4,000 items.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from sickbay.checks.evals.plugin import sickbay_scorers
from sickbay.engine.evals.endpoint import Endpoint, body_of
from sickbay.engine.evals.item import Asked, EvalSet, Item, ScorerUse
from sickbay.engine.evals.journal import EvalJournal
from sickbay.engine.evals.runner import Options, run_evals, run_key
from sickbay.engine.model.target import Target
from sickbay.engine.run.budget import RequestBudget
from sickbay.engine.run.clock import SystemClock
from sickbay.engine.run.http import StepHttp
from sickbay.engine.run.http_client import HttpClient
from sickbay.engine.run.threads import DaemonThreads

ANSWER = json.dumps(
    {"choices": [{"message": {"content": "Paris"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 9}}
)


def make_set(n: int) -> EvalSet:
    items = tuple(
        Item(
            id=str(i), messages=({"role": "user", "content": f"question {i}"},), expected="paris",
            scorers=(ScorerUse(scorer="normalised"), ScorerUse(scorer="contains", params={"ignore_case": True})),
            fields={"language": "en" if i % 2 else "fr"}, sha256=str(i),
        )
        for i in range(n)
    )  # fmt: skip
    return EvalSet(name="bench", items=items, asked=Asked(max_tokens=8), sha256="0")


async def serve() -> None:
    """The stub, as `python -m benchmarks.eval_overhead serve`."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(text=ANSWER, content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


async def bare(url: str, evalset: EvalSet, concurrency: int) -> None:
    work = iter(evalset.items)

    async def drain(session: aiohttp.ClientSession) -> None:
        for item in work:
            body = json.dumps(body_of(item, evalset.asked, "m", 0)).encode()
            headers = {"Content-Type": "application/json"}
            async with session.post(f"{url}/v1/chat/completions", data=body, headers=headers) as response:
                json.loads(await response.read())

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(drain(session) for _ in range(concurrency)))


async def ours(url: str, evalset: EvalSet, concurrency: int, journal: Path | None) -> None:
    clock, threads = SystemClock(), DaemonThreads()
    client = HttpClient(
        target=Target(name="stub", url=url), clock=clock, threads=threads, budget=RequestBudget(10**9), run_id="b",
        began_at_s=0.0,
    )  # fmt: skip
    scorers = {scorer.name: scorer for scorer in sickbay_scorers()}
    arms = {"it": Endpoint(http=lambda: StepHttp(client), model="m", identity=url)}
    kept = EvalJournal(journal, run_key(evalset, arms, scorers)) if journal else None
    options = Options(concurrency=concurrency, journal=kept)
    done = await run_evals(evalset, arms, scorers, clock=clock, options=options)
    assert all(row.passed for row in done["it"].rows)
    if kept:
        kept.close()
    await client.close()
    threads.close()


def timed(work: Any) -> tuple[float, float]:
    """Processor and wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    asyncio.run(work)
    return time.process_time() - cpu, time.perf_counter() - wall


async def main() -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.eval_overhead", "serve", stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    try:
        url = f"http://127.0.0.1:{int(await child.stdout.readline())}"
        await asyncio.to_thread(measure, url)
    finally:
        child.kill()
        await child.wait()


def measure(url: str) -> None:
    n, concurrency = 1000, 8
    evalset = make_set(n)
    timed(bare(url, evalset, concurrency))  # warm
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for number in range(5):
            base_cpu, base_wall = timed(bare(url, evalset, concurrency))
            cpu, wall = timed(ours(url, evalset, concurrency, Path(folder) / f"{number}.jsonl"))
            rows.append((cpu - base_cpu, wall - base_wall, cpu, wall))
    cpu, wall, all_cpu, all_wall = sorted(rows)[2]
    print(f"items {n}, {concurrency} at a time, with journal, median of 5")
    print(f"whole         {all_cpu / n * 1e3:.3f} ms processor, {all_wall / n * 1e3:.3f} ms wall an item")
    print(f"overhead      {cpu / n * 1e3:.3f} ms processor, {wall / n * 1e3:.3f} ms wall an item (over a bare client)")
    peaks = []
    for size in (1000, 4000):
        big = make_set(size)
        tracemalloc.start()
        asyncio.run(ours(url, big, concurrency, None))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    print(
        f"memory        {(peaks[1] - peaks[0]) / 3000:.0f} bytes kept an item (its row), peak {peaks[1] / 1e6:.1f} MB"
    )
    print(f"resident peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    asyncio.run(serve() if "serve" in sys.argv else main())
