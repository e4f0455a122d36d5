"""Weights that fall out of memory, from what the kernel counts of a process."""

from __future__ import annotations

from pathlib import Path

import pytest

from sickbay.checks.host.weights_read import judge_weights_read, mapped_bytes, read_weights
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.run.files import RootedFiles

MIB = 1024 * 1024
MAPS = f"""\
55d000000000-55d000100000 r-xp 00000000 fe:00 11 /usr/bin/llama-server
7f0000000000-{0x7F0000000000 + 60 * MIB:x} r--s 00000000 fe:00 12 /models/a model.gguf
7f1000000000-{0x7F1000000000 + 40 * MIB:x} r--s {60 * MIB:08x} fe:00 12 /models/a model.gguf
7f2000000000-{0x7F2000000000 + 500 * MIB:x} r-xp 00000000 fe:00 13 /usr/lib/libcublasLt.so.12
7f3000000000-{0x7F3000000000 + 64 * MIB:x} rw-s 00000000 00:01 14 /dev/nvidia0
7f4000000000-{0x7F4000000000 + 64 * MIB:x} rw-s 00000000 00:01 15 /memfd:ring (deleted)
7f5000000000-7f5000001000 rw-p 00000000 00:00 0
"""


def test_only_large_files_that_are_no_code_are_weights() -> None:
    assert mapped_bytes(MAPS) == {"/models/a model.gguf": 100 * MIB}


def process(root: Path, read: int, maps: str = MAPS) -> RootedFiles:
    folder = root / "proc" / "7"
    folder.mkdir(parents=True)
    (folder / "io").write_text(f"rchar: 5\nread_bytes: {read}\nwrite_bytes: 0\n")
    (folder / "maps").write_text(maps)
    return RootedFiles(str(root))


def test_how_often_they_were_read(tmp_path: Path) -> None:
    seen = read_weights(process(tmp_path, 350 * MIB), [7])
    found = judge_weights_read(seen)
    assert found.value == 3.5
    assert found.source == "/proc/PID/io: 367001600 bytes read since its start, 104857600 bytes mapped"


@pytest.mark.parametrize(
    ("pids", "maps", "reason"),
    [
        pytest.param([7], "", UnknownReason.UNSUPPORTED, id="nothing-is-mapped"),
        pytest.param([8], MAPS, UnknownReason.ABSENT, id="it-is-gone"),
    ],
)
def test_what_cannot_be_told(tmp_path: Path, pids: list[int], maps: str, reason: UnknownReason) -> None:
    assert judge_weights_read(read_weights(process(tmp_path, 1, maps), pids)).reason is reason
    assert judge_weights_read({}).reason is UnknownReason.ABSENT
