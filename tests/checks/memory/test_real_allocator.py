"""memory.allocator on what torch itself wrote on an H200 (tests/data/torch): recorded, not made up."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.memory.allocator import MemoryAllocator
from sickbay.engine.model.target import Target
from sickbay.testing import run_check

RECORDED = Path(__file__).parents[2] / "data" / "torch" / "h200-2026-11-26.json"
HERE = Target(name="x", local=True)


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RECORDED.read_text())
    return found


def signals(**params: Any) -> dict[str, Any]:
    return {name: each.value for name, each in run_check(MemoryAllocator(), params, target=HERE).signals.items()}


def test_the_snapshot_sums_to_torchs_own_statistics(tmp_path: Path, recorded: dict[str, Any]) -> None:
    late = tmp_path / "late.pickle"
    late.write_bytes(base64.b64decode(recorded["late"]))
    found = signals(path=str(late))
    stats = recorded["stats"]
    assert found["memory.allocator_reserved_bytes"] == stats["reserved_bytes.all.current"]
    assert found["memory.allocator_allocated_bytes"] == stats["allocated_bytes.all.current"]
    assert found["memory.oom"] is True
    assert found["memory.oom_requested_bytes"] == 2**41
    assert 0.5 < found["memory.fragmentation_ratio"] < 0.6  # every second of fifty pieces was given back


def test_the_statistics_alone_say_the_same(tmp_path: Path, recorded: dict[str, Any]) -> None:
    path = tmp_path / "stats.json"
    path.write_text(json.dumps(recorded["stats"]))
    found = signals(path=str(path))
    assert found["memory.allocator_reserved_bytes"] == recorded["stats"]["reserved_bytes.all.current"]
    assert found["memory.alloc_retries"] == recorded["stats"]["num_alloc_retries"]
    assert found["memory.oom"] is True


def test_what_grew_between_two_snapshots(tmp_path: Path, recorded: dict[str, Any]) -> None:
    paths = {}
    for name in ("early", "late"):
        paths[name] = tmp_path / name
        paths[name].write_bytes(base64.b64decode(recorded[name]))
    found = signals(path=str(paths["late"]), earlier=str(paths["early"]))
    assert found["memory.one_site_grows"] is False  # more was given back than was taken
