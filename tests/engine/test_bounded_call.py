from __future__ import annotations

import threading

import pytest

from sickbay.engine.bounded_call import within


def test_gives_what_the_call_gives_and_raises_what_it_raises() -> None:
    assert within(10.0, lambda: 7) == 7
    assert within(10.0, lambda: None) is None

    def bad() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        within(10.0, bad)


def test_a_call_that_hangs_is_abandoned() -> None:
    over = threading.Event()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s"):
        within(0.05, over.wait)
    over.set()
