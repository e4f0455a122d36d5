"""KV cache as computed from a model's files against what real servers allocate: every attention, type and layout.

`python -m benchmarks.model_memory` runs llama.cpp (a second a case); with `--vllm` real vLLM on CPU too (a minute a
case). The figure is the difference in per cent, as the check `model.memory` itself tells it; the goal is 2.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, table
from benchmarks.tiny_models import write_tiny
from sickbay.checks.model.memory import ModelMemory
from sickbay.engine.model.target import LogSource, Target
from sickbay.lab.child import start
from sickbay.lab.model import find_model
from sickbay.lab.servers import free_port
from sickbay.testing import run_check

__all__ = ["CASES", "VLLM_CASES", "Case", "memory_figures"]

GOAL_PERCENT = 2.0
QUANTISED = {"cache_type_k": "q8_0", "cache_type_v": "q4_0", "flash_attn_type": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One server: which model ("" is the lab's own), with which options, and how a reader calls it."""

    name: str
    model: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


CASES = (
    *(Case(name=f"SmolLM2-135M (GQA), {ctx} tokens, {slots} slots", options={"ctx": ctx, "parallel": slots})
      for ctx, slots in ((512, 1), (4096, 2), (6000, 3), (16384, 4))),
    *(Case(name=f"SmolLM2-135M, {kind}", options={"params": {"cache_type_k": kind, "cache_type_v": kind, **flash}})
      for kind, flash in (("f32", {}), ("q8_0", {"flash_attn_type": 1}), ("q4_0", {"flash_attn_type": 1}))),
    Case(name="SmolLM2-135M, keys q8_0, values q4_0", options={"params": QUANTISED}),
    Case(name="SmolLM2-135M, 4 slots in one pool", options={"ctx": 4096, "params": {"kv_unified": True}}),
    *(Case(name=f"tiny, {kind}", model=kind, options={"ctx": 8192, "parallel": 2})
      for kind in ("MHA", "GQA", "MQA", "MLA", "sliding window")),
    Case(name="tiny, sliding window, 3 slots in one pool", model="sliding window",
         options={"ctx": 8192, "parallel": 3, "params": {"kv_unified": True}}),
    Case(name="tiny, sliding window kept whole", model="sliding window",
         options={"ctx": 8192, "parallel": 2, "params": {"swa_full": True}}),
    Case(name="tiny, sliding window, steps of 128", model="sliding window",
         options={"ctx": 8192, "parallel": 2, "params": {"n_ubatch": 128}}),
)  # fmt: skip

VLLM_CASES = (
    Case(name="SmolLM2-135M (GQA), bf16, 1 GiB", options={"parallel": 4}),
    Case(name="SmolLM2-135M (GQA), bf16, blocks of 32, 2 GiB",
         options={"parallel": 4, "flags": ["--enforce-eager", "--block-size", "32"],
                  "env": {"VLLM_CPU_KVCACHE_SPACE": "2"}}),
    Case(name="SmolLM2-135M (GQA), fp8, 1 GiB",
         options={"parallel": 4, "flags": ["--enforce-eager", "--kv-cache-dtype", "fp8_e5m2"]}),
)  # fmt: skip


def memory_figures(cases: tuple[Case, ...], engine: str) -> Iterator[Figure]:
    """One figure a case; a server that does not start is told, not skipped."""
    for case in cases:
        sys.stderr.write(f"{engine}: {case.name}\n")
        with tempfile.TemporaryDirectory() as folder:
            value, note = _measured(case, engine, Path(folder))
        yield Figure(
            name=case.name, value=value, unit="%", goal=GOAL_PERCENT, note=note,
            group=f"KV cache as computed, against {'llama.cpp' if engine == 'llamacpp' else 'vLLM on CPU'}",
        )  # fmt: skip


def _measured(case: Case, engine: str, folder: Path) -> tuple[float | None, str]:
    """Per cent off, and the two sizes; None with why."""
    path, options = _model(case, engine, folder), {"parallel": 4, "threads": 1, "port": free_port(), **case.options}
    if engine == "llamacpp":
        options |= {"model": path, "params": {"verbosity": 4, **options.get("params", {})}}
    child = start(engine, f"sickbay.lab.{engine}_server", options, folder=folder, timeout_s=400.0)
    try:
        target = Target(
            name="t", url=child.url, model_path=path, logs=(LogSource(kind="file", where=str(child.log)),), gpus="none"
        )
        found = run_check(ModelMemory(), target=target).signals["model.kv_reported_ratio"]
    finally:
        child.stop()
    if not isinstance(found.value, float):
        return None, found.detail
    return abs(found.value - 1.0) * 100.0, found.source


def _model(case: Case, engine: str, folder: Path) -> str:
    if engine == "vllm":
        from sickbay.lab.vllm_server import converted_model, find_vllm_python  # late: only this lane needs it

        return str(converted_model(find_vllm_python()))
    return str(write_tiny(case.model, folder / "tiny.gguf")) if case.model else str(find_model())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.model_memory", description=__doc__)
    parser.add_argument("--vllm", action="store_true", help="real vLLM on CPU too")
    args = parser.parse_args()
    found = list(memory_figures(CASES, "llamacpp"))
    if args.vllm:
        found += memory_figures(VLLM_CASES, "vllm")
    sys.stdout.write(table(found) + "\n")
    return int(any(figure.met is not True for figure in found))


if __name__ == "__main__":
    sys.exit(main())
