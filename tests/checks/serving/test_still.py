"""serving.still: there, gone, frozen, late, or another process than before."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from sickbay.checks.serving.still import ServingStill
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target
from tests.checks.serving.looking import looking, reason, run_check, value
from tests.checks.serving.pages_server import Answer, serving


def still(url: str, **target: Any) -> tuple[dict[str, Any], Result]:
    async def main() -> tuple[dict[str, Any], Result]:
        async with looking(Target(name="t", url=url, **target), requests=0, seconds=20.0) as look:
            return await run_check(ServingStill(), look, timeout_s=1.0)

    return asyncio.run(main())


def raw(*, age_s: float | None = 100.0, before_s: float | None = 70.0, **fields: Any) -> dict[str, Any]:
    process = {"found": True, "pid": 9, "name": "llama", "state": "S", "stopped": "", "uptime_s": age_s}
    told = {
        "health": {"path": "/health", "status": 200, "elapsed_s": 0.01, "said": ""},
        "engine": {"problem": {"reason": "not-asked", "detail": "at the begin", "kind": ""}},
        "pid": None, "uptime_before_s": before_s, "passed_s": 30.0,
        "local": {"listening": True, "pid_given": False, "process": process},
    }  # fmt: skip
    return told | fields


def timed_out() -> dict[str, Any]:
    problem = {"reason": "timeout", "detail": "no answer within 2.5 s", "kind": "timeout"}
    return {"path": "/health", "problem": problem}


def test_it_is_still_there() -> None:
    with serving({"/health": Answer()}) as server:
        _, result = still(server.url)
    assert result.outcome is Outcome.PASS
    assert value(result, "answers_http") is True
    assert reason(result, "restarted_meanwhile") is UnknownReason.ABSENT  # nobody looked at its age before


def test_it_is_gone() -> None:
    with serving({"/health": Answer()}) as server:
        url = server.url
    _, result = still(url, pid=2**22 + 1)
    assert result.outcome is Outcome.FAIL
    assert result.summary.startswith("it answered when the run began and does not any more: ")
    assert value(result, "connect_error") == "refused"
    assert value(result, "known_process_gone") is True
    assert value(result, "first_token_ok") is False  # what was true at the begin must not contradict the end


@pytest.mark.parametrize(
    ("age_s", "restarted"),
    [
        pytest.param(98.1, False, id="the-same"),
        pytest.param(97.9, True, id="younger"),
        pytest.param(None, None, id="unknown"),
    ],
)
def test_the_age_of_its_process(age_s: float | None, restarted: bool | None) -> None:
    result = ServingStill().judge(raw(age_s=age_s), {})
    assert result.signals["serving.restarted_meanwhile"].value is restarted
    assert result.outcome is (Outcome.WARN if restarted else Outcome.PASS)


def test_another_process_answers_than_the_one_that_was_named() -> None:
    local = {"listening": True, "pid_given": True, "process": {"found": False, "detail": "there is no process 7"}}
    result = ServingStill().judge(raw(pid=7, local=local), {})
    assert result.summary == "it was restarted while we looked: the process 7 is gone, and another answers"


def test_a_late_health_route_is_not_dead() -> None:
    result = ServingStill().judge(raw(health=timed_out()), {})
    assert (result.outcome, result.summary) == (Outcome.WARN, "the health route is late: no answer within 2.5 s")
    assert result.signals["serving.answers_http"].reason is UnknownReason.TIMEOUT


def test_a_stopped_process_is_frozen() -> None:
    process = {"found": True, "pid": 9, "name": "llama", "state": "T", "stopped": "/proc/9/stat", "uptime_s": 5.0}
    result = ServingStill().judge(raw(health=timed_out(), local={"listening": True, "process": process}), {})
    assert result.outcome is Outcome.FAIL
    assert result.signals["serving.answers_http"].value is False
    assert result.signals["serving.process_stopped"].value is True


def test_this_process_is_the_one_that_answers() -> None:
    with serving({"/health": Answer()}) as server:
        found, result = still(server.url, pid=os.getpid())
    assert found["local"]["process"]["pid"] == os.getpid()
    assert value(result, "known_process_gone") is False
