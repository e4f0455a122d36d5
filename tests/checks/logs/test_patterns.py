"""Known lines of real logs, the phase they fall into, and what is said when there is nothing to say."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.logs.counting import Counts, count_lines
from sickbay.checks.logs.knowledge import patterns
from sickbay.checks.logs.patterns import COUNTS, LogsPatterns
from sickbay.checks.logs.stamps import dates_of, stamp_of
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import LogSource, PrometheusSource, Target

# Read on llama.cpp servers of 2026-10: one that asked for a context of 100,000,000 tokens, and one that serves.
LLAMACPP_OOM = """\
0.00.003.431 I srv    load_model: loading model '/models/m.gguf'
0.20.509.419 W llama_context: n_ctx_seq (100000000) > n_ctx_train (8192) -- possible training context overflow
0.29.333.918 E ggml_aligned_malloc: insufficient memory (attempted to allocate 2197265.62 MB)
0.29.333.936 E ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 2304000000000
0.29.333.937 E ggml_backend_buft_alloc_buffer_n_default: failed to allocate CPU buffer of size 2304000000000
0.29.723.051 E llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache
"""
LLAMACPP_WELL = """\
0.00.009.283 I srv    load_model: loading model '/models/m.gguf'
0.00.639.209 I srv    load_model: initializing, n_slots = 2, n_ctx_slot = 1024, kv_unified = 'false'
0.02.351.977 I slot print_timing: id  1 | task 127 |        eval time =      62.65 ms /    10 tokens
0.02.608.252 I slot      release: id  1 | task 147 | stop processing: n_tokens = 49, truncated = 0
"""
# The shape of vLLM's start and of PyTorch's message (pytorch.org/docs/stable/notes/cuda.html).
VLLM_OOM = """\
INFO 07-15 12:00:00 [gpu_model_runner.py:1] Starting to load model x...
INFO 07-15 12:00:09 Model loading took 14.99 GiB and 5.1 seconds
INFO 07-15 12:00:20 Capturing CUDA graph shapes: 100%
INFO 07-15 12:00:40 Graph capturing finished in 20 secs, took 0.61 GiB
INFO 07-15 12:00:41 Application startup complete.
ERROR 07-15 14:00:00 torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total \
capacity of 79.00 GiB of which 1.00 GiB is free. Of the allocated memory 56.00 GiB is allocated by PyTorch, with \
120.00 MiB allocated in private pools (e.g., CUDA Graphs), and 20.00 GiB is reserved by PyTorch but unallocated.
"""


def judged(run_check: Any, tmp_path: Path, text: str, **given: Any) -> Any:
    place = tmp_path / "server.log"
    place.write_text(text)
    target = Target(name="t", logs=(LogSource(kind="file", where=str(place)),))
    raw, result = run_check(LogsPatterns(), target, **given)
    assert set(result.signals) == set(LogsPatterns.emits)
    assert not any(line in str(raw) for line in text.splitlines() if line)
    return result


def known(result: Any) -> dict[str, Any]:
    return {name: reading.value for name, reading in result.signals.items() if reading.known and reading.value}


def test_a_cache_that_does_not_fit(run_check: Any, tmp_path: Path) -> None:
    result = judged(run_check, tmp_path, LLAMACPP_OOM)
    assert result.outcome is Outcome.FAIL
    found = known(result)
    assert found.pop("memory.kv_pool_ratio") > 1.0
    assert found.pop("memory.oom_requested_ratio") > 1.0
    assert found == {
        "log.model_loads": 1.0,
        "log.error_lines": 4.0,
        "memory.oom": True,
        "memory.oom_phase": "kv-init",
        "memory.oom_place": "host",
        "memory.oom_requested_bytes": 2304000000000.0,
    }


def test_a_fragmented_device(run_check: Any, tmp_path: Path) -> None:
    found = known(judged(run_check, tmp_path, VLLM_OOM))
    assert (found["memory.oom_phase"], found["memory.oom_place"]) == ("serving", "device")
    assert found["memory.oom_requested_bytes"] == 2 * 2**30
    assert found["memory.oom_reserved_unused_bytes"] == 20 * 2**30
    assert found["memory.oom_free_bytes"] == 2**30
    assert found["memory.oom_graph_pool_bytes"] == 120 * 2**20
    assert found["memory.device_total_bytes"] == 79 * 2**30


def test_an_allocation_below_the_memory_tells_no_plan(run_check: Any, tmp_path: Path) -> None:
    result = judged(run_check, tmp_path, LLAMACPP_OOM.replace("2304000000000", "1000").replace("2197265.62", "0.01"))
    assert result.signals["memory.kv_pool_ratio"].reason is UnknownReason.INCONSISTENT


def test_a_sound_log(run_check: Any, tmp_path: Path) -> None:
    result = judged(run_check, tmp_path, LLAMACPP_WELL)
    assert result.outcome is Outcome.PASS
    assert known(result) == {"log.model_loads": 1.0}
    assert result.signals["memory.oom"].value is False
    assert result.signals["memory.oom_phase"].reason is UnknownReason.ABSENT


def test_a_server_that_sleeps_and_wakes(run_check: Any, tmp_path: Path) -> None:
    nap = """\
0.12.000.000 I srv  handle_sleeping_state: server is entering sleeping state
0.15.000.000 I srv  handle_sleeping_state: server is exiting sleeping state
0.15.000.400 I srv    load_model: loading model '/models/m.gguf'
"""
    result = judged(run_check, tmp_path, LLAMACPP_WELL + nap * 2)
    assert {name: known(result)[name] for name in ("log.model_loads", "log.wakes")} == {
        "log.model_loads": 3.0,
        "log.wakes": 2.0,
    }
    assert result.signals["log.wake_ratio"].value == 2 / 3  # one request ended in between


def test_an_empty_log_is_unknown_and_not_sound(run_check: Any, tmp_path: Path) -> None:
    result = judged(run_check, tmp_path, "")
    assert result.outcome is Outcome.UNKNOWN
    assert result.summary == f"{tmp_path}/server.log: it is empty"


def test_a_log_that_is_not_there(run_check: Any, tmp_path: Path) -> None:
    target = Target(name="t", logs=(LogSource(kind="file", where=str(tmp_path / "gone.log")),))
    with pytest.raises(ProbeError) as caught:
        run_check(LogsPatterns(), target)
    assert caught.value.detail == f"{tmp_path}/gone.log: no such file"


def count(*lines: str, since_s: float | None = None) -> Any:
    dates = dates_of(lines, near_s=1735776000.0)
    return count_lines(Counts(), zip(lines, dates.stamps, strict=True), patterns(), since_s=since_s)


def test_compilation_counts_only_while_users_are_served() -> None:
    start = ("Starting to load model x", "torch.compile takes 30 s in total", "Application startup complete.")
    assert "log.compile_lines" not in count(*start).counts
    assert count(*start, "torch.compile takes 3 s in total").counts["log.compile_lines"] == 1


def test_old_lines_do_not_count_and_those_without_a_date_go_with_them() -> None:
    lines = ("2025-01-01T00:00:00Z CUDA out of memory", "  more of it: Tried to allocate 2.00 GiB")
    found = count(*lines, "2025-01-02T00:00:00Z all is well", since_s=1735776000.0)
    assert (found.oom, found.lines, found.skipped) == ({}, 1, 2)


@pytest.mark.parametrize(
    ("line", "signal"),
    [
        ("srv  update_slots: forcing full prompt re-processing due to lack of cache data", "log.full_reprocess_lines"),
        ("failed to find free space in the KV cache, retrying", "log.kv_space_errors"),
        ("KV cache pool is full. Retract requests. #retracted_reqs: 3", "log.kv_space_errors"),
        ("slot release: stop processing: n_tokens = 512, truncated = 1", "log.context_shift_lines"),
        ('msg="truncating input prompt" limit=2048 prompt=9000', "log.context_shift_lines"),
        ("Default vLLM sampling parameters have been overridden by the model's", "log.sampling_override_lines"),
        ("No available shared memory broadcast block found in 60 seconds", "log.worker_stall_lines"),
        ("token_to_kv_pool_allocator memory leak detected!", "log.leak_lines"),
        ("RuntimeError: CUDA error: device-side assert triggered", "log.device_assert_lines"),
        ("Using default MoE config. Performance might be sub-optimal!", "log.untuned_kernel_lines"),
        ("server busy, please try again.  maximum pending requests exceeded", "log.connection_limit_lines"),
        ("request (718 tokens) exceeds the available context size (512 tokens)", "log.context_refused_lines"),
        ("INFO async_llm.py: Aborted request chatcmpl-1234.", "log.abort_lines"),
        ("srv          stop: cancel task, id_task = 7", "log.abort_lines"),
        ("ggml_cuda_init: failed to initialize CUDA: system not yet initialized", "log.fabric_errors"),
        ("OSError: [Errno 28] No space left on device: '/data/cache/vllm/x'", "log.disk_full_lines"),
        ("write failed: Disk quota exceeded", "log.disk_full_lines"),
        ("pcieport 0000:00:01.1: PCIe Bus Error: severity=Corrected, type=Physical Layer", "log.pcie_errors"),
        ("ERROR:  different vector dimensions 768 and 1536", "log.vector_width_errors"),
        ("Wrong input: Vector dimension error: expected dim: 768, got 1024", "log.vector_width_errors"),
        ("chat template parsing error", "log.template_error_lines"),
        ("The NVIDIA driver on your system is too old (found version 11040).", "log.driver_too_old"),
        ("ERROR embedding call failed: timeout", "log.retriever_errors"),
    ],
)
def test_lines_of_real_engines(line: str, signal: str) -> None:
    assert count(line).counts[signal] == 1


def test_graphs_and_layers() -> None:
    found = count("Decode batch. cuda graph: True", "Decode batch. cuda graph: False", "offloaded 20/33 layers to GPU")
    assert (found.sides["log.graph_off_ratio"], found.offloaded) == ([1, 1], [20, 33])


@pytest.mark.parametrize(
    ("line", "place", "kills"),
    [
        ("Out of memory: Killed process 4711 (llama-server)", "host", 1),
        ("container exited with code 137", "host", 1),
        ("Bus error (core dumped)", "shared-memory", 0),
        ("OSError: [Errno 28] No space left on device: '/psm_d2a1f0'", "shared-memory", 0),
        ("NCCL WARN Error while creating shared memory segment /dev/shm/nccl-f4 (size 9637888)", "shared-memory", 0),
        ("unable to allocate shared memory(shm) for file </torch_1>: No space left on device", "shared-memory", 0),
        ("It is possible that dataloader's workers have insufficient shared memory (shm).", "shared-memory", 0),
        ("cudaMalloc failed: out of memory", "device", 0),
    ],
)
def test_where_memory_ran_out(line: str, place: str, kills: int) -> None:
    found = count(line)
    assert (found.oom["place"], found.kills) == (place, kills)


def test_every_pattern_names_a_signal_of_the_check() -> None:
    assert set(patterns().signals) <= {*COUNTS, "log.driver_too_old"}
    assert set(patterns().ratios) <= set(LogsPatterns.emits)


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("asked", "counted"),
    [
        pytest.param("2025-07-15 13:00:00", False, id="before-it-happened"),
        pytest.param("2025-07-15 14:00:00", True, id="when-it-happened"),
    ],
)
def test_the_log_of_the_time_asked_for(run_check: Any, tmp_path: Path, asked: str, counted: bool) -> None:
    """vLLM writes no year: it is the one nearest to that time."""
    place = tmp_path / "vllm.log"
    place.write_text(VLLM_OOM)
    source = PrometheusSource(url="http://127.0.0.1:9", at_s=at(asked))
    target = Target(name="t", logs=(LogSource(kind="file", where=str(place)),), prometheus=source)
    _, result = run_check(LogsPatterns(), target)
    assert result.signals["memory.oom"].value is counted


def test_a_log_without_dates_tells_of_no_time(run_check: Any, tmp_path: Path) -> None:
    place = tmp_path / "server.log"
    place.write_text(LLAMACPP_OOM)
    source = PrometheusSource(url="http://127.0.0.1:9", at_s=at("2025-07-15 14:00:00"))
    target = Target(name="t", logs=(LogSource(kind="file", where=str(place)),), prometheus=source)
    with pytest.raises(ProbeError, match="no line has a date, so none can be said to be of the time asked for"):
        run_check(LogsPatterns(), target)


def looked(run_check: Any, *logs: LogSource, asked: str = "2025-07-15 14:00:00") -> Any:
    source = PrometheusSource(url="http://127.0.0.1:9", at_s=at(asked))
    return run_check(LogsPatterns(), Target(name="t", logs=logs, prometheus=source))[1]


def test_each_log_is_read_to_the_time_asked_for(run_check: Any, tmp_path: Path) -> None:
    """The first log goes on after that time; the second one holds the failure."""
    (tmp_path / "gateway.log").write_text("2025-07-15 13:00:00 a\n2025-07-15 19:00:00 b\n")
    (tmp_path / "vllm.log").write_text(VLLM_OOM)
    logs = [LogSource(kind="file", where=str(tmp_path / name)) for name in ("gateway.log", "vllm.log")]
    assert looked(run_check, *logs).signals["memory.oom"].value is True


def test_a_log_that_begins_later_was_rotated(run_check: Any, tmp_path: Path) -> None:
    place = tmp_path / "vllm.log"
    place.write_text(VLLM_OOM)
    result = looked(run_check, LogSource(kind="file", where=str(place)), asked="2025-07-15 09:00:00")
    assert result.outcome is Outcome.UNKNOWN
    assert re.fullmatch(
        r"\S+/vllm.log: its lines begin at \S+Z, after the time asked for; was it rotated\? give the older file",
        result.summary,
    )


def test_silence_before_the_time_asked_for_is_told(run_check: Any, tmp_path: Path) -> None:
    place = tmp_path / "vllm.log"
    place.write_text(VLLM_OOM)
    result = looked(run_check, LogSource(kind="file", where=str(place)), asked="2025-07-15 16:00:00")
    assert "no line for 7200 s before the time asked for" in result.summary


def test_what_one_log_does_not_say_may_stand_in_one_that_was_not_read(run_check: Any, tmp_path: Path) -> None:
    (tmp_path / "gateway.log").write_text("all is well\n")
    logs = tuple(LogSource(kind="file", where=str(tmp_path / name)) for name in ("gateway.log", "engine.log"))
    _, result = run_check(LogsPatterns(), Target(name="t", logs=logs))
    assert result.outcome is Outcome.UNKNOWN
    assert result.signals["memory.oom"].reason is UnknownReason.ABSENT
    assert result.summary.endswith(f"not read: {tmp_path}/engine.log: no such file")
    (tmp_path / "gateway.log").write_text("CUDA out of memory. Tried to allocate 2.00 GiB\n")
    _, told = run_check(LogsPatterns(), Target(name="t", logs=logs))
    assert told.signals["memory.oom"].value is True


def test_last_weeks_lines_of_a_log_without_years_are_old(run_check: Any, tmp_path: Path) -> None:
    result = judged(
        run_check,
        tmp_path,
        "ERROR 07-01 14:00:00 torch.OutOfMemoryError: CUDA out of memory\nINFO 07-15 12:00:00 well\n",
    )
    assert result.signals["memory.oom"].value is False


def test_a_day_that_only_some_years_have() -> None:
    assert stamp_of("INFO 02-29 10:00:00 x", near_s=at("2025-02-28 12:00:00")) == at("2024-02-29 10:00:00")
    assert stamp_of("INFO 13-45 10:00:00 x", near_s=at("2025-02-28 12:00:00")) is None
