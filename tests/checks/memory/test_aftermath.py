"""memory.aftermath: the kinds of running out of device memory, each from a log as an engine leaves it.

The messages have the form of pytorch's allocator and vLLM's start (sources in the check); the numbers are made up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.memory.aftermath import MemoryAftermath
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.target import LogSource, Target
from sickbay.testing import run_check
from tests.checks.conftest import Runs

START = "INFO 11-26 worker.py:1] non-default args: {'model': 'm', 'gpu_memory_utilization': 0.9}"


def message(asked: str, *, free: str, own: str, others: str = "", unused: str = "200.00 MiB") -> str:
    return (
        f"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate {asked}. GPU 0 has a total capacity of "
        f"80.00 GiB of which {free} is free. {others}Including non-PyTorch memory, this process has {own} memory in "
        f"use. Of the allocated memory 70.00 GiB is allocated by PyTorch, with 1.00 GiB allocated in private pools "
        f"(e.g., CUDA Graphs), and {unused} is reserved by PyTorch but unallocated."
    )


def trace(*frames: tuple[str, str], end: str) -> list[str]:
    rows = [f'ERROR   File "/venv/{file}", line {n}, in {function}' for n, (file, function) in enumerate(frames)]
    return ["ERROR Traceback (most recent call last):", *rows, f"ERROR {end}"]


SMALL = message("64.00 MiB", free="20.00 MiB", own="79.90 GiB")
CASES: list[Any] = [
    pytest.param(
        trace(("vllm/worker.py", "load_model"), ("torch/nn.py", "forward"), end=SMALL), "weights", id="weights"
    ),
    pytest.param(trace(("vllm/runner.py", "_allocate_kv_cache_tensors"), end=SMALL), "kv", id="kv"),
    pytest.param(
        trace(("vllm/runner.py", "capture_model"), ("m/llama.py", "forward"), end=SMALL), "graph", id="graph"
    ),
    pytest.param(
        trace(("vllm/runner.py", "execute_model"), ("m/llama.py", "forward"), end=SMALL), "activation", id="activation"
    ),
    pytest.param(trace(("torch/dist.py", "init_process_group"), end=SMALL), "side-pool", id="side-pool"),
    pytest.param([SMALL], None, id="no-traceback"),
    pytest.param(
        [*trace(("vllm/worker.py", "load_model"), end="ValueError: no"), *trace(("x.py", "f"), end=SMALL)], None,
        id="another-traceback-before",
    ),
]  # fmt: skip


@pytest.fixture
def judged(tmp_path: Path, run_check: Runs) -> Any:
    def run(*lines: str) -> Any:
        log = tmp_path / "engine.log"
        log.write_text("\n".join(lines) + "\n")
        target = Target(name="x", local=True, logs=(LogSource(kind="file", where=str(log)),))
        return run_check(MemoryAftermath(), target)[1]

    return run


@pytest.mark.parametrize(("lines", "what"), CASES)
def test_what_was_being_allocated(judged: Any, lines: list[str], what: str | None) -> None:
    assert judged(*lines).signals["memory.oom_object"].value == what


def values(result: Any) -> dict[str, Any]:
    return {name.removeprefix("memory."): reading.value for name, reading in result.signals.items() if reading.known}


def test_more_than_the_engine_planned(judged: Any) -> None:
    result = judged(START, message("2.00 GiB", free="1.00 GiB", own="78.00 GiB"))
    assert result.outcome is Outcome.WARN
    found = values(result)
    assert found["estimate_error_ratio"] == pytest.approx((78 - 200 / 1024) / 72)
    assert found["oom_other_process_bytes"] == pytest.approx(1 * 2**30)
    assert (
        result.summary
        == "something unknown was being allocated; the engine held 78.0 GiB; others held 1.0 GiB; 1.08 times its plan"
    )


def test_memory_in_pieces_is_no_broken_plan(judged: Any) -> None:
    found = values(judged(START, message("2.00 GiB", free="1.00 GiB", own="78.00 GiB", unused="20.00 GiB")))
    assert found["estimate_error_ratio"] < 0.9


def test_another_process_that_is_listed_or_only_missing_from_the_sum(judged: Any) -> None:
    listed = "Process 4711 has 30.00 GiB memory in use. Process 8 has 1.00 GiB memory in use. "
    seen = values(judged(message("2.00 GiB", free="1.00 GiB", own="47.50 GiB", others=listed)))
    assert seen["oom_other_process_bytes"] == pytest.approx(31.5 * 2**30)
    hidden = values(judged(message("2.00 GiB", free="1.00 GiB", own="40.00 GiB")))
    assert hidden["oom_other_process_bytes"] == pytest.approx(39 * 2**30)


def test_what_was_free_at_the_start(judged: Any) -> None:
    line = (
        "ValueError: Free memory on device cuda:0 (12.50/80.00 GiB) on startup is less than desired GPU memory "
        "utilization (0.9, 72.0 GiB)."
    )
    result = judged(line)
    assert result.outcome is Outcome.PASS
    assert values(result)["free_at_start_ratio"] == pytest.approx(12.5 / 80)


def test_a_quiet_log(judged: Any) -> None:
    result = judged("INFO all is well")
    assert result.outcome is Outcome.PASS
    assert result.summary.endswith("engine.log: no failed device allocation is told")
    assert values(result) == {}


def test_the_plan_is_known_from_the_engine_itself() -> None:
    raw = {
        "sources": ["log"], "start": {}, "fraction": 0.95,
        "failure": {"asked": 1.0, "own": 95.0, "total": 100.0, "free": 1.0, "others": [], "object": ""},
    }  # fmt: skip
    result = run_check(MemoryAftermath(), {}, raw=raw)
    assert result.signals["memory.estimate_error_ratio"].value == pytest.approx(1.0)
