"""The signals of a terminal, of a cancelled job, and of GNU `timeout`, which sends each twice."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from sickbay.engine.run import interrupt


def test_an_echo_kills_nothing_and_a_later_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupt, "_ECHO_S", 0.05)

    async def told() -> None:
        heard = asyncio.Event()
        undo = interrupt.listen(asyncio.get_running_loop(), heard)
        os.kill(os.getpid(), signal.SIGTERM)
        await heard.wait()
        os.kill(os.getpid(), signal.SIGTERM)  # the group's
        while signal.getsignal(signal.SIGTERM) is not mine:  # noqa: ASYNC110  # what a later one meets
            await asyncio.sleep(0.01)
        undo()

    seen: list[int] = []

    def mine(number: int, _: object) -> None:
        seen.append(number)

    before = signal.signal(signal.SIGTERM, mine)
    try:
        asyncio.run(told())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == []
