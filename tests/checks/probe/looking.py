"""Real HTTP, the clock of the loop, real limits: a look at whatever URL a test gives."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Check, Result
from sickbay.engine.model.engine_spec import Endpoint, EngineSpec, MetricMap
from sickbay.engine.model.look import EngineFound
from sickbay.engine.model.signal import Reading, UnknownReason, measured
from sickbay.engine.model.target import Target
from sickbay.engine.run.budget import RequestBudget
from sickbay.engine.run.files import RootedFiles
from sickbay.engine.run.http import StepHttp
from sickbay.engine.run.http_client import HttpClient
from sickbay.engine.run.look import RunLook, Shared
from sickbay.engine.run.threads import DaemonThreads
from tests.virtual_loop import LoopClock

LLAMACPP = EngineSpec(
    name="llamacpp",
    title="llama.cpp",
    default_port=8080,
    fingerprints=(),
    endpoints={"health": Endpoint(path="/health"), "tokenize": Endpoint(path="/tokenize", method="POST")},
)
VLLM = EngineSpec(
    name="vllm",
    title="vLLM",
    default_port=8000,
    fingerprints=(),
    endpoints={"health": Endpoint(path="/health"), "metrics": Endpoint(path="/metrics")},
    metrics={"ttft_s": MetricMap(names=("vllm:time_to_first_token_seconds",), kind="histogram")},
)


def defaults(check: Check, **given: Any) -> dict[str, Any]:
    """The check's parameters as the engine fills them in."""
    return {name: part["default"] for name, part in check.params["properties"].items()} | given


@contextlib.asynccontextmanager
async def looking(
    url: str,
    *,
    direct_url: str = "",
    spec: EngineSpec | None = LLAMACPP,
    signals: Mapping[str, float] | None = None,
    requests: int = 12,
    seconds: float = 20.0,
    reference: str = "",
    replicas: tuple[str, ...] = (),
) -> AsyncIterator[RunLook]:
    """A look with a budget of requests and seconds. `spec` None: no known engine answers."""
    clock, threads = LoopClock(), DaemonThreads()
    target = Target(
        name="scripted", url=url, direct_url=direct_url, model="m", reference_path=reference, replicas=replicas
    )
    client = HttpClient(
        target=target, clock=clock, threads=threads, budget=RequestBudget(requests), run_id="test",
        began_at_s=clock.monotonic(),
    )  # fmt: skip

    def found(*_: object) -> EngineFound:
        if spec is None:
            raise ProbeError(UnknownReason.UNSUPPORTED, "no known engine")
        return EngineFound(spec=spec, model="m")

    readings: dict[str, Reading] = {name: measured(value) for name, value in (signals or {}).items()}
    try:
        yield RunLook(
            target=target, http=StepHttp(client), files=RootedFiles(), clock=clock, signals=readings,
            ends_at=clock.monotonic() + seconds, shared=Shared(), recognise=found,
        )  # fmt: skip
    finally:
        await client.close()
        threads.close()


async def run_check(check: Check, look: RunLook, **given: Any) -> tuple[dict[str, Any], Result]:
    """Look, store as the engine does (JSON), judge what was stored."""
    params = defaults(check, **given)
    raw = json.loads(json.dumps(await check.look(look, params)))  # type: ignore[misc]
    result = check.judge(raw, params)
    assert set(result.signals) == set(check.emits)
    return raw, result


def value(result: Result, name: str) -> Any:
    """A known signal's value; an unknown one fails with its reason."""
    reading = result.signals[name]
    assert reading.known, f"{name}: {reading.reason}: {reading.detail}"
    return reading.value


def reason(result: Result, name: str) -> UnknownReason | None:
    """Why a signal is unknown; None when it is known."""
    return result.signals[name].reason
