"""Real HTTP, a real clock, real recognition: a look at whatever URL a test gives."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from sickbay.engine.measure.recognise import recognise
from sickbay.engine.model.check import Check, Result
from sickbay.engine.model.look import Clock
from sickbay.engine.model.signal import Reading, UnknownReason
from sickbay.engine.model.target import Target
from sickbay.engine.run.budget import RequestBudget
from sickbay.engine.run.clock import SystemClock
from sickbay.engine.run.files import RootedFiles
from sickbay.engine.run.http import StepHttp
from sickbay.engine.run.http_client import HttpClient
from sickbay.engine.run.look import RunLook, Shared
from sickbay.engine.run.threads import DaemonThreads
from sickbay.plugins.engines.plugin import sickbay_engines

SPECS = tuple(sickbay_engines())


@contextlib.asynccontextmanager
async def looking(
    target: Target, *, requests: int = 4, seconds: float = 40.0, clock: Clock | None = None,
    signals: Mapping[str, Reading] | None = None,
) -> AsyncIterator[RunLook]:  # fmt: skip
    """A look with a budget of requests and seconds, after steps that measured these signals."""
    clock, threads = clock or SystemClock(), DaemonThreads()
    client = HttpClient(
        target=target, clock=clock, threads=threads, budget=RequestBudget(requests), run_id="test",
        began_at_s=clock.monotonic(),
    )  # fmt: skip
    try:
        yield RunLook(
            target=target, http=StepHttp(client), files=RootedFiles(target.root), clock=clock,
            signals=dict(signals or {}), ends_at=clock.monotonic() + seconds, shared=Shared(),
            recognise=lambda http, at: recognise(http, at, SPECS),
        )  # fmt: skip
    finally:
        await client.close()
        threads.close()


async def run_check(check: Check, look: RunLook, **given: Any) -> tuple[dict[str, Any], Result]:
    """Look, store as the engine does (JSON), judge what was stored."""
    params = {name: part["default"] for name, part in check.params.get("properties", {}).items()} | given
    raw = json.loads(json.dumps(await check.look(look, params)))  # type: ignore[misc]
    result = check.judge(raw, params)
    assert set(result.signals) == set(check.emits)
    return raw, result


def value(result: Result, name: str) -> Any:
    """A known signal's value; an unknown one fails with its reason."""
    reading = result.signals[f"serving.{name}"]
    assert reading.known, f"{name}: {reading.reason}: {reading.detail}"
    return reading.value


def reason(result: Result, name: str) -> UnknownReason | None:
    """Why a signal is unknown; None when it is known."""
    return result.signals[f"serving.{name}"].reason
