"""From a log after the death, and what is seen live, to the kind of running out of memory: one test a kind.

Each log has the form that engines and torch give it; the two log checks read it, and the catalogue ranks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.logs.patterns import LogsPatterns
from sickbay.checks.memory.aftermath import MemoryAftermath
from sickbay.engine.diagnose import diagnose
from sickbay.engine.model.signal import Reading, measured
from sickbay.engine.model.target import LogSource, Target
from tests.causes.conftest import catalogue
from tests.checks.conftest import Runs
from tests.checks.memory.test_aftermath import START, message, trace

LOADED = "INFO Model loading took 40.00 GiB and 5.1 seconds"
SERVING = [
    START,
    LOADED,
    "INFO Graph capturing finished in 20 secs, took 0.61 GiB",
    "INFO Application startup complete.",
]
FORWARD = (("vllm/runner.py", "execute_model"), ("models/llama.py", "forward"))
KINDS: list[Any] = [
    pytest.param(
        ["INFO Starting to load model x", *trace(
            ("vllm/worker.py", "load_model"),
            end=message("500.00 MiB", free="100.00 MiB", own="79.50 GiB", unused="10.00 MiB"),
        )],
        {}, "weights-too-large", id="weights-do-not-fit",
    ),
    pytest.param(
        [START, LOADED, "ValueError: No available memory for the cache blocks. Try increasing gpu_memory_utilization"],
        {"serving.memory_fraction": 0.95}, "kv-overallocation", id="kv-over-allocation",
    ),
    pytest.param(
        [*SERVING, *trace(*FORWARD, end=message("6.00 GiB", free="1.00 GiB", own="78.80 GiB"))],
        {"memory.fails_with_length": True}, "memory-estimate-wrong", id="activation-spike",
    ),
    pytest.param(
        [START, LOADED, "INFO Capturing CUDA graph shapes: 50%", *trace(
            ("vllm/runner.py", "capture_model"), *FORWARD, end=message("64.00 MiB", free="20.00 MiB", own="79.80 GiB")
        )],
        {}, "cuda-graph-memory", id="graph-memory",
    ),
    pytest.param(
        [*SERVING, *trace(*FORWARD, end=message("2.00 GiB", free="1.00 GiB", own="78.80 GiB", unused="12.00 GiB"))],
        {}, "gpu-memory-fragmentation", id="fragmentation",
    ),
    pytest.param(
        [*SERVING, *trace(*FORWARD, end=message("64.00 MiB", free="20.00 MiB", own="79.80 GiB"))],
        {
            "memory.device_growth_bytes_per_request": 2e5, "memory.one_site_grows": True,
            "serving.process_uptime_s": 86_400.0,
        },
        "memory-leak", id="device-leak",
    ),
    pytest.param(
        [*SERVING, *trace(*FORWARD, end=message(
            "2.00 GiB", free="1.00 GiB", own="47.00 GiB", others="Process 4711 has 31.00 GiB memory in use. "
        ))],
        {}, "other-process-memory", id="another-process",
    ),
    pytest.param(
        [START, "ValueError: Free memory on device cuda:0 (12.50/80.00 GiB) on startup is less than desired"],
        {"gpu.ownerless_bytes": 60e9, "gpu.other_process_bytes": 0.0}, "other-process-memory", id="left-over-context",
    ),
    pytest.param(
        [*SERVING, *trace(*FORWARD, end=message("64.00 MiB", free="20.00 MiB", own="71.00 GiB"))],
        {"gpu.ecc_uncorrected": 3.0, "gpu.xid_fault_count": 1.0, "gpu.lost": False}, "gpu-hardware-fault",
        id="broken-memory",
    ),
    pytest.param(
        ["INFO Application startup complete.", "Memory cgroup out of memory: Killed process 99 (python) anon-rss:1kB"],
        {"host.cgroup_oom_kills": 1.0, "memory.host_peak_ratio": 0.99, "host.kernel_oom_scope": "cgroup"},
        "host-memory-oom", id="container-limit",
    ),
    pytest.param(
        ["INFO Application startup complete.", "Out of memory: Killed process 99 (python) total-vm:1kB"],
        {"host.kernel_oom_scope": "host", "host.kernel_oom_engine": True, "host.memory_available_ratio": 0.01},
        "host-memory-oom", id="whole-host",
    ),
    pytest.param(
        ["INFO Application startup complete.", "Memory cgroup out of memory: Killed process 99 (python) anon-rss:1kB"],
        {"memory.host_growth_bytes_per_request": 5e5, "memory.host_growth_when_idle": True}, "memory-leak",
        id="host-leak",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "live", "cause"), KINDS)
def test_the_kind_is_told(tmp_path: Path, run_check: Runs, lines: list[str], live: dict[str, Any], cause: str) -> None:
    log = tmp_path / "engine.log"
    log.write_text("\n".join(lines) + "\n")
    target = Target(name="x", local=True, logs=(LogSource(kind="file", where=str(log)),))
    signals: dict[str, Reading] = {}
    for check in (LogsPatterns(), MemoryAftermath()):
        _, result = run_check(check, target)
        signals |= {name: reading for name, reading in result.signals.items() if reading.known}
    signals |= {name: measured(value) for name, value in live.items()}
    candidates = [each for each in catalogue().values() if "oom" in each.prior]
    found = diagnose(candidates, signals, symptom="oom", inputs={}, baseline={})
    order = [
        f"{f.cause} {f.band} {f.probability:.2f} for={[r.id for r in f.supporting]} against={[r.id for r in f.against]}"
        for f in found.causes[:4]
    ]
    assert found.fits, order
    assert found.causes[0].cause == cause, order
