"""The lines of a failed allocation and of an engine's start. Pure; keeps numbers and one word, no line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

__all__ = ["read_aftermath"]

TRACE_LINES = 150
"""A traceback of an engine is shorter; what lies further back belongs to something else."""
_SIZE = r"([\d.]+) ([KMGT]i?B)"
_UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
_FAILED = re.compile(r"Tried to allocate " + _SIZE)
_NUMBERS = {
    "free": re.compile(r"of which " + _SIZE + r" is free"),
    "total": re.compile(r"total capac?ity of " + _SIZE),
    "own": re.compile(r"this process has " + _SIZE + r" memory in use"),
    "reserved_unused": re.compile(_SIZE + r" is reserved by PyTorch but unallocated"),
}
_OTHER = re.compile(r"Process \d+ has " + _SIZE + r" memory in use")
_FRAME = re.compile(r'File "(?P<file>[^"]+)", line \d+, in (?P<function>[\w<>]+)')
_FREE_AT_START = re.compile(r"Free memory on device[^(]*\(([\d.]+)/([\d.]+) GiB\) on startup")
_FRACTION = re.compile(r"gpu[_-]memory[_-]utilization['\"]?\s*[=:]?\s*(0?\.\d+|1\.0)")
# What a function of the traceback allocates; the innermost match of the first list wins over all of the second,
# because everything in the end runs some layer's forward.
_OWNERS = (
    ("kv", re.compile(r"kv_?cache|kv_?pool|TokenToKV|init_memory_pool|allocate_kv|cache_engine", re.IGNORECASE)),
    ("graph", re.compile(r"capture_(?:model|graph|one|begin)|cuda_?graph|graph_?runner|graph_capture", re.IGNORECASE)),
    ("weights", re.compile(r"load_weights|load_model|create_weights|weight_loader|weights_after_loading|model_loader")),
    ("side-pool", re.compile(r"init_process_group|nccl|lora|workspace|encoder_cache|cross_layer", re.IGNORECASE)),
)
_WORK = re.compile(
    r"forward|execute_model|profile_run|dummy_run|logits|sampl|prefill|decode|run_batch|attention", re.IGNORECASE
)


def read_aftermath(lines: Sequence[str]) -> dict[str, Any]:
    """`failure` (the last one: asked, free, total, own, reserved_unused, others, object; or {}) and `start`."""
    failure: dict[str, Any] = {}
    start: dict[str, float] = {}
    for index, line in enumerate(lines):
        if match := _FREE_AT_START.search(line):
            start["free"], start["total"] = (float(part) * 2**30 for part in match.groups())
        if match := _FRACTION.search(line):
            start["fraction"] = float(match[1])
        if match := _FAILED.search(line):
            failure = _failure(line, _bytes(match)) | {"object": _object(lines, index)}
    return {"failure": failure, "start": start}


def _bytes(match: re.Match[str]) -> float:
    return float(match[1]) * _UNITS[match[2]]


def _failure(line: str, asked: float) -> dict[str, Any]:
    found: dict[str, Any] = {"asked": asked}
    for key, regex in _NUMBERS.items():
        if match := regex.search(line):
            found[key] = _bytes(match)
    found["others"] = [_bytes(match) for match in _OTHER.finditer(line)][:100]
    return found


def _object(lines: Sequence[str], index: int) -> str:
    """What was being allocated, by the traceback that ends at this line; "" when nothing in it is known."""
    work = ""
    for line in reversed(lines[max(0, index - TRACE_LINES) : index + 1]):
        if "Traceback (most recent call last)" in line:
            break
        if (frame := _FRAME.search(line)) is None:
            continue
        text = f"{frame['file'].rpartition('/')[2]} {frame['function']}"
        for word, regex in _OWNERS:
            if regex.search(text):
                return word
        if not work and _WORK.search(text):
            work = "activation"
    return work
