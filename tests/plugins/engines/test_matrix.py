"""Every engine under every serving runbook: a sensible verdict, no crash, and never healthy where nothing was seen."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sickbay.engine.cli.setting import find_runbook
from sickbay.engine.load.runbook import resolve_inputs
from sickbay.engine.model.outcome import Outcome, VerdictState
from sickbay.engine.model.report import Report
from sickbay.engine.model.target import Target
from sickbay.engine.run.executor import run
from sickbay.engine.run.plan import make_plan
from sickbay.face import make_tools
from tests.plugins.engines.replayed import ENGINES, PatientLoop, Replayed, replayed

TOOLS = make_tools()
RUNBOOKS = (
    "triage", "high-ttft", "slow-itl", "oom", "queue-buildup", "low-throughput", "cache-pressure", "wrong-output",
    "release-regression",
)  # fmt: skip
GENERATES = ("triage", "queue-buildup", "wrong-output")
DRAINING = {("GET", "/perf_metrics")}
RATIOS = {"probe.path", "probe.itl", "probe.schema", "probe.cache", "probe.cold"}
"""Probes that divide two times: of a stand-in that takes a millisecond a token they measure this machine's noise."""

NO_MODEL = {"probe.structured"}
"""What only a model can do: the stand-in answers a request with a schema as it answers any other."""

NO_TOKEN_GAPS = {"llamacpp", "ollama", "tgi", "triton-trtllm", "trtllm-serve"}
"""Engines whose own page says nothing of slow streams: without the probe they are not healthy, but not seen."""


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "new_event_loop", PatientLoop)


def not_seen(engine: str, name: str) -> bool:
    """Of another host no kills and no memory can be seen; Ollama and TGI tell nothing of their caches."""
    return (
        name == "oom"
        or (name == "slow-itl" and engine in NO_TOKEN_GAPS)
        or (name == "cache-pressure" and engine in {"ollama", "tgi"})
    )


def run_book(server: Replayed, name: str, *, skip: Sequence[str] = (), **given: Any) -> Report:
    given.setdefault("metrics_url", f"{server.url}/metrics" if given.pop("own_port", False) else "")
    target = Target(name="replayed", url=server.url, local=False, gpus="none", **given)
    book, _ = find_runbook(name, TOOLS)
    plan = make_plan(book, target, resolve_inputs(book, {}), TOOLS.knowledge, skip=tuple(skip))
    return run(plan, environment=dataclasses.replace(TOOLS.environment(), clock=server.clock))


def blamed(report: Report) -> list[str]:
    found = report.verdict.diagnosis
    return [each.cause for each in found.causes if each.band in {"confirmed", "likely"}] if found else []


def steps_of(name: str) -> set[str]:
    return {each.id for each in find_runbook(name, TOOLS)[0].steps}


def healthy_run(engine: str, name: str) -> tuple[Report, set[tuple[str, str]]]:
    with replayed(ENGINES[engine]) as server:
        skip = sorted((RATIOS | NO_MODEL) & steps_of(name))
        report = run_book(server, name, skip=skip, own_port=engine == "triton-trtllm")
        return report, set(server.asked)


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_a_healthy_engine_is_healthy_under_every_runbook(engine: str) -> None:
    draining = DRAINING | ({("GET", "/metrics")} if engine == "trtllm-serve" else set())
    with ThreadPoolExecutor(3) as pool:
        runs = zip(RUNBOOKS, pool.map(lambda name: healthy_run(engine, name), RUNBOOKS), strict=True)
        for name, (report, asked) in runs:
            where = f"{engine} {name}: {report.verdict.summary}"
            wanted = VerdictState.INCONCLUSIVE if not_seen(engine, name) else VerdictState.HEALTHY
            assert report.engine == engine, where
            assert report.verdict.state is wanted, where
            assert blamed(report) == [], where
            assert not [step.trace for step in report.steps if step.trace], where
            assert not draining & asked, where


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_the_probes_that_measure_times_crash_on_no_dialect(engine: str) -> None:
    with replayed(ENGINES[engine]) as server:
        for name in ("slow-itl", "cache-pressure"):
            report = run_book(server, name, own_port=engine == "triton-trtllm")
            assert not [step.trace for step in report.steps if step.trace]
            assert {step.check for step in report.steps if step.requests} >= RATIOS & steps_of(name) - {"probe.cold"}


def without(options: Mapping[str, Any], *paths: str) -> dict[str, Any]:
    return {**options, "pages": [page for page in options["pages"] if page["path"] not in paths]}


def dead_run(engine: str, name: str) -> Report:
    with replayed({**ENGINES[engine], "chat": {"status": 500, "error": "CUDA error: an illegal address"}}) as server:
        return run_book(server, name, own_port=engine == "triton-trtllm")


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_an_engine_that_gives_no_token_is_healthy_under_no_runbook(engine: str) -> None:
    """Its pages are those of a healthy one; only the generation fails."""
    with ThreadPoolExecutor(3) as pool:
        for name, report in zip(GENERATES, pool.map(lambda name: dead_run(engine, name), GENERATES), strict=True):
            assert report.verdict.state is not VerdictState.HEALTHY, f"{engine} {name}: {report.verdict.summary}"
            assert not [step.trace for step in report.steps if step.trace]


@pytest.mark.parametrize("engine", sorted(set(ENGINES) - {"ollama"}))
def test_without_its_metrics_page_the_verdict_says_what_was_not_seen(engine: str) -> None:
    paths = ("/metrics", "/prometheus/metrics", "/slots")
    with replayed(without(ENGINES[engine], *paths)) as server:
        report = run_book(server, "queue-buildup", skip=("probe.ttft", "probe.disconnect"))
    window = next(step for step in report.steps if step.check == "serving.window")
    assert window.outcome is Outcome.UNKNOWN
    assert "the engine's metrics cannot be read" in window.summary
    assert "serving.requests_waiting_min" in report.verdict.summary, report.verdict.summary


def test_ollama_says_that_it_has_no_queue_to_look_at() -> None:
    with replayed(ENGINES["ollama"]) as server:
        report = run_book(server, "queue-buildup", skip=("probe.ttft", "probe.disconnect"))
    assert report.verdict.state is VerdictState.HEALTHY
    assert "This engine does not tell: " in report.verdict.summary
    assert "serving.requests_waiting_min" in report.verdict.summary
