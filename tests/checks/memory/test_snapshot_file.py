"""Files of torch's allocator are data: a pickle that would run something is refused, and so is what is no snapshot."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.memory.snapshot_file import parse_file
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.signal import UnknownReason

WANTED = "wanted a snapshot of torch.cuda.memory._dump_snapshot or torch.cuda.memory_stats() as JSON"


class Payload:
    """What an attacker would put into a pickle."""

    def __init__(self, touched: Path) -> None:
        self.touched = touched

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.touched}",)


def test_a_pickle_that_would_run_something_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    touched = tmp_path / "ran"
    data = pickle.dumps({"segments": [Payload(touched)]})
    with pytest.raises(ProbeError) as caught:
        parse_file(data, "s.pickle")
    assert caught.value.reason is UnknownReason.MALFORMED
    assert caught.value.detail == (f"s.pickle: it names posix.system; a snapshot holds plain data only; {WANTED}")
    assert not touched.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_of_plain_data_is_read(protocol: int) -> None:
    snapshot = {"segments": [{"blocks": [], "total_size": 3, "segment_pool_id": (0, 0)}], "device_traces": [[]]}
    assert parse_file(pickle.dumps(snapshot, protocol), "s") == snapshot


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"", "Ran out of input", id="empty"),
        pytest.param(pickle.dumps({"segments": []})[:-4], "pickle data was truncated", id="cut"),
        pytest.param(b"\x00\xff\x00", "invalid load key, '\\x00'.", id="binary"),
        pytest.param(b'{"segments": [', "Expecting value: line 1 column 15 (char 14)", id="cut-json"),
        pytest.param(pickle.dumps([1, 2]), "holds list", id="a-list"),
        pytest.param(json.dumps({"weights": 1}).encode(), "holds weights", id="other-json"),
        pytest.param(b"Pdata\n.", "it refers to data outside itself", id="persistent"),
    ],
)
def test_what_is_no_snapshot_is_told(data: bytes, words: str) -> None:
    with pytest.raises(ProbeError) as caught:
        parse_file(data, "s")
    assert caught.value.detail == f"s: {words}; {WANTED}"
