"""memory.allocator on snapshots made by hand after the documented fields, one for each kind of trouble."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.memory.allocator import MemoryAllocator
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target
from tests.checks.conftest import Runs

MIB = 2**20


def block(size: int, *, used: bool, frame: str = "") -> dict[str, Any]:
    frames = [
        {"filename": "/site-packages/torch/nn/modules/linear.py", "line": 9, "name": "forward"},
        {"filename": f"/app/engine/{frame or 'model'}.py", "line": 40, "name": "run"},
    ]
    state = "active_allocated" if used else "inactive"
    return {"size": size * MIB, "requested_size": size * MIB - 100, "state": state, "frames": frames}


def segment(*blocks: dict[str, Any], pool: tuple[int, int] = (0, 0)) -> dict[str, Any]:
    return {"total_size": sum(each["size"] for each in blocks), "segment_pool_id": pool, "blocks": list(blocks)}


def snapshot(*segments: dict[str, Any], traces: list[Any] | None = None) -> dict[str, Any]:
    return {"segments": list(segments), "device_traces": traces or []}


IN_PIECES = snapshot(
    *(segment(block(4, used=True), block(16, used=False)) for _ in range(10)),
    segment(block(8, used=True), block(100, used=False), pool=(0, 1)),
    traces=[[{"action": "alloc", "size": 5}, {"action": "oom", "size": 64 * MIB, "device_free": 3 * MIB}]],
)


@pytest.fixture
def judged(tmp_path: Path, run_check: Runs) -> Any:
    def run(last: Any, earlier: Any = None) -> Result:
        given = {}
        for key, found in (("path", last), ("earlier", earlier)):
            if found is not None:
                path = tmp_path / key
                path.write_bytes(found if isinstance(found, bytes) else pickle.dumps(found))
                given[key] = str(path)
        return run_check(MemoryAllocator(), Target(name="x", local=True), **given)[1]

    return run


def test_memory_in_pieces(judged: Any) -> None:
    result = judged(IN_PIECES)
    assert result.outcome is Outcome.WARN
    assert result.summary == (
        "0.30 GiB reserved, 0.05 GiB in use; 94% of 0.25 GiB free lie in pieces; "
        "64 MiB could not be had with 3 MiB free on the device"
    )
    values = {name: reading.value for name, reading in result.signals.items() if reading.known}
    assert values["memory.fragmentation_ratio"] == pytest.approx(1 - 16 / 260)
    assert values["memory.allocator_largest_free_bytes"] == 16 * MIB  # the pool's 100 MiB serve only its own graph
    assert values["memory.oom_requested_bytes"] == 64 * MIB
    assert values["memory.oom_reserved_unused_bytes"] == 260 * MIB
    assert values["memory.oom_graph_pool_bytes"] == 108 * MIB
    assert values["memory.oom_place"] == "device"


def test_memory_in_one_piece_is_no_trouble(judged: Any) -> None:
    result = judged(snapshot(segment(block(100, used=True), block(900, used=False))))
    assert result.outcome is Outcome.PASS
    assert result.signals["memory.fragmentation_ratio"].value == 0.0
    assert result.signals["memory.oom"].reason is UnknownReason.ABSENT
    assert result.signals["memory.alloc_retries"].reason is UnknownReason.UNSUPPORTED


def test_the_site_that_grows_is_named(judged: Any) -> None:
    first = snapshot(segment(block(100, used=True), block(50, used=True, frame="cache")))
    last = snapshot(segment(block(110, used=True), block(250, used=True, frame="cache")))
    result = judged(last, first)
    assert result.outcome is Outcome.WARN
    assert result.signals["memory.one_site_grows"].value is True
    assert result.signals["memory.growing_site"].value == "app/engine/cache.py:40 run"
    assert result.signals["memory.growing_site"].source == "200 of 210 MiB of growth"
    calm = judged(first, first)
    assert calm.signals["memory.one_site_grows"].value is False


def test_statistics_tell_retries_and_no_pieces(judged: Any) -> None:
    stats = {
        "reserved_bytes.all.current": 900 * MIB, "allocated_bytes.all.current": 500 * MIB, "num_alloc_retries": 14,
        "num_ooms": 0, "requested_bytes.all.current": 450 * MIB,
    }  # fmt: skip
    result = judged(json.dumps(stats).encode())
    assert result.outcome is Outcome.WARN
    assert result.summary == "0.88 GiB reserved, 0.49 GiB in use; the cache was flushed 14 times"
    assert result.signals["memory.alloc_retries"].value == 14.0
    assert result.signals["memory.allocator_waste_ratio"].value == pytest.approx(0.1)
    assert result.signals["memory.fragmentation_ratio"].reason is UnknownReason.UNSUPPORTED


@pytest.mark.parametrize(
    "odd",
    [
        {"segments": [None, 3, {"blocks": "x", "total_size": "y"}], "device_traces": 5},
        {"segments": [{"blocks": [{"size": -4, "state": []}], "segment_pool_id": 7}], "device_traces": [None, [1]]},
        {"segments": [{"blocks": [{"size": True, "state": "active_allocated", "frames": [5]}]}]},
    ],
)
def test_odd_files_are_read_as_far_as_they_make_sense(judged: Any, odd: Any) -> None:
    assert judged(odd).outcome is Outcome.PASS


def test_no_file_and_a_missing_file(judged: Any, run_check: Runs) -> None:
    assert judged(None).outcome is Outcome.SKIP
    with pytest.raises(ProbeError) as caught:
        run_check(MemoryAllocator(), Target(name="x", local=True), path="/no/such")
    assert caught.value.reason is UnknownReason.ABSENT
