"""The engines that cannot run here, replayed on a real port from recorded or documented pages; the clock jumps."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import Context
from email.utils import formatdate
from pathlib import Path
from typing import Any, TypeVarTuple

from aiohttp import web

from sickbay.checks.probe.questions import QUESTIONS
from sickbay.lab.stub_server import StubEngine

__all__ = ["ENGINES", "JumpingClock", "Replayed", "replayed"]

Ts = TypeVarTuple("Ts")

PAGES = Path(__file__).parents[2] / "data" / "captures"
TRAFFIC = [{"from_s": 0, "requests_per_s": 2.0, "prompt_tokens": 180, "output_tokens": 60, "prefill_s": 0.04}]
QUICK = {
    "ttft_s": 0.002,
    "gap_s": 0.001,
    "answers": {known.text: f"{known.wanted[0].title()}." for known in QUESTIONS},
}

ENGINES: Mapping[str, Mapping[str, Any]] = {
    "vllm": {
        "pages": [
            {"path": "/health", "text": ""},
            {"path": "/version", "file": "vllm/version.json"},
            {"path": "/v1/models", "file": "vllm/models.json"},
            {"path": "/metrics", "file": "vllm/queue_metrics_after.txt", "traffic": TRAFFIC},
        ]
    },
    "sglang": {
        "pages": [
            {"path": "/health", "text": ""},
            {"path": "/v1/models", "file": "sglang/models.json"},
            {"path": "/server_info", "file": "sglang/server_info.json"},
            {"path": "/v1/loads", "file": "sglang/v1_loads.json"},
            {"path": "/model_info", "file": "sglang/model_info.json"},
            {"path": "/metrics", "file": "sglang/kv_pressure_metrics_after.txt", "traffic": TRAFFIC},
        ]
    },
    "llamacpp": {
        "pages": [
            {"path": "/health", "text": '{"status":"ok"}', "headers": {"Server": "llama.cpp"}},
            {"path": "/v1/models", "file": "llamacpp/models.json"},
            {"path": "/props", "file": "llamacpp/props.json"},
            {"path": "/slots", "file": "llamacpp/slots.json"},
            {"path": "/metrics", "file": "llamacpp/queue_metrics_after.txt", "traffic": TRAFFIC},
        ]
    },
    "tgi": {
        "pages": [
            {"path": "/health", "text": ""},
            {"path": "/info", "file": "tgi/info.json"},
            {"path": "/v1/models", "file": "tgi/models.json"},
            {"path": "/metrics", "file": "tgi/metrics_before.txt", "traffic": TRAFFIC},
        ]
    },
    "trtllm-serve": {
        "pages": [
            {"path": "/health", "text": ""},
            {"path": "/version", "file": "trtllm-serve/version.json"},
            {"path": "/v1/models", "file": "trtllm-serve/models.json"},
            {"path": "/server_info", "text": '{"disaggregated_params": {}}'},
            {"path": "/metrics", "file": "trtllm-serve/iteration_stats.json", "drains": True},
            {"path": "/perf_metrics", "text": "[]", "drains": True},
            {"path": "/prometheus/metrics", "file": "trtllm-serve/metrics_before.txt", "traffic": TRAFFIC},
        ]
    },
    "triton-trtllm": {
        "pages": [
            {"path": "/v2/health/ready", "text": ""},
            {"path": "/v2/health/live", "text": ""},
            {"path": "/v2", "file": "triton-trtllm/v2.json"},
            {"path": "/v2/repository/index", "method": "POST", "file": "triton-trtllm/index.json"},
            {"path": "/v2/models/tensorrt_llm/config", "file": "triton-trtllm/config_tensorrt_llm.json"},
            {"path": "/metrics", "file": "triton-trtllm/metrics_before.txt", "traffic": TRAFFIC},
        ]
    },
    "ollama": {
        "pages": [
            {"path": "/", "text": "Ollama is running"},
            {"path": "/api/version", "file": "ollama/version.json"},
            {"path": "/api/tags", "file": "ollama/tags.json"},
            {"path": "/api/ps", "file": "ollama/ps.json"},
            {"path": "/api/show", "method": "POST", "file": "ollama/show.json"},
        ]
    },
}
"""Each engine while it serves two short requests a second in good health."""


PATIENCE = 20
"""A deadline is no test of the machine: beside a build everything takes several times as long."""


class PatientLoop(asyncio.SelectorEventLoop):
    """Its long timers, which are deadlines, come late: nobody sleeps on it but by the clock that jumps."""

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """At `when`, or `PATIENCE` times as far away."""
        left = when - self.time()
        late = when + left * (PATIENCE - 1) if left > 0.2 else when
        return super().call_at(late, callback, *args, context=context)


class JumpingClock:
    """Nobody waits: when all who sleep do, the clock jumps to the earliest of their wake-ups.

    Between its jumps it goes slowly, so that a run on a busy machine meets the deadlines of its runbook.
    """

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self._wall_s = time.time()
        self._jumped_s = 0.0
        self._wakes: list[float] = []

    def monotonic(self) -> float:
        """Slow seconds and the jumps."""
        return self._began_s + self._gone_s()

    def wall(self) -> float:
        """Unix seconds, from the same count."""
        return self._wall_s + self._gone_s()

    def _gone_s(self) -> float:
        return (time.monotonic() - self._began_s) / PATIENCE + self._jumped_s

    async def sleep(self, seconds: float) -> None:
        """Until the clock has come there; others run first."""
        wake = self.monotonic() + seconds
        self._wakes.append(wake)
        try:
            while self.monotonic() < wake:
                await asyncio.sleep(0.001)
                if wake == min(self._wakes):
                    self._jumped_s += max(0.0, wake - self.monotonic())
        finally:
            self._wakes.remove(wake)


class Replayed:
    """One replayed engine: its address, its clock, and what it was asked."""

    def __init__(self, port: int, clock: JumpingClock, asked: list[tuple[str, str]]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.clock = clock
        self.asked = asked


@contextlib.contextmanager
def replayed(options: Mapping[str, Any]) -> Iterator[Replayed]:
    """The engine on a real port, in a thread of its own."""
    clock = JumpingClock()
    engine = StubEngine({"root": str(PAGES), "chat": QUICK, **options}, monotonic=clock.monotonic)
    asked: list[tuple[str, str]] = []
    ready, loop = threading.Event(), asyncio.SelectorEventLoop()
    ports: list[int] = []
    done = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        asked.append((request.method, request.path))
        answer = await engine.handle(request)
        if not answer.prepared:
            answer.headers["Date"] = formatdate(clock.wall(), usegmt=True)
        return answer

    async def serve() -> None:
        app = web.Application(client_max_size=16 * 2**20)
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ports.append(runner.addresses[0][1])
        ready.set()
        await done.wait()
        await runner.cleanup()
        for _ in range(3):  # closed transports give back their sockets in the next rounds of the loop
            await asyncio.sleep(0)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(60), "the replay server did not start"
    try:
        yield Replayed(ports[0], clock, asked)
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(10)
        loop.close()
