"""The helper for authors of checks: it forgives what the engine forgives, and nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from aiohttp import web

from sickbay import Check, Look, Outcome, ProbeError, Raw, Result, UnknownReason, measured
from sickbay.engine.errors import ProblemsError
from sickbay.engine.model.target import Target
from sickbay.testing import BrokenCheckError, run_check


class Counted(Check):
    """Fails above a ceiling."""

    name = "mine.counted"
    title = "counts"
    emits = ("mine.count",)
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {"count_max": {"type": "integer", "minimum": 0, "default": 2}},
        "additionalProperties": False,
    }

    def look(self, look: Any, params: Mapping[str, Any]) -> Raw:
        return {"count": look.count(), "ceiling": params["count_max"]}

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        good = raw["count"] <= params["count_max"]
        return Result(
            outcome=Outcome.PASS if good else Outcome.FAIL,
            summary=f"{raw['count']} counted, {params['count_max']} allowed",
            signals={"mine.count": measured(raw["count"], "counted")},
        )


def seeing(count: int) -> SimpleNamespace:
    return SimpleNamespace(count=lambda: count)


@pytest.mark.parametrize(
    ("count", "params", "outcome", "summary"),
    [
        pytest.param(2, None, Outcome.PASS, "2 counted, 2 allowed", id="default-at-the-ceiling"),
        pytest.param(3, {}, Outcome.FAIL, "3 counted, 2 allowed", id="one-over"),
        pytest.param(3, {"count_max": 3}, Outcome.PASS, "3 counted, 3 allowed", id="given"),
    ],
)
def test_a_look_of_your_own(count: int, params: dict[str, Any] | None, outcome: Outcome, summary: str) -> None:
    result = run_check(Counted(), params, look=seeing(count))
    assert (result.outcome, result.summary) == (outcome, summary)
    assert result.signals["mine.count"].value == count


def test_recorded_data_is_judged_alone() -> None:
    assert run_check(Counted(), raw={"count": 9}).summary == "9 counted, 2 allowed"


def test_a_coroutine_is_awaited() -> None:
    class Later(Counted):
        async def look(self, look: Any, params: Mapping[str, Any]) -> Raw:  # type: ignore[override]
            await asyncio.sleep(0)
            return {"count": 1}

    assert run_check(Later(), look=seeing(1)).outcome is Outcome.PASS


def test_a_probe_error_is_unknown_as_in_a_run() -> None:
    class Blind(Counted):
        def look(self, look: Any, params: Mapping[str, Any]) -> Raw:
            raise ProbeError(UnknownReason.PERMISSION, "GET /x: not allowed")

    result = run_check(Blind(), look=seeing(0))
    assert (result.outcome, result.summary) == (Outcome.UNKNOWN, "GET /x: not allowed")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        pytest.param({"count_mx": 1}, "unknown key 'count_mx'; did you mean 'count_max'? [unknown-key]", id="misspelt"),
        pytest.param({"count_max": "2"}, "wanted a whole number, found text '2' [wrong-type]", id="type"),
        pytest.param({"count_max": -1}, "wanted 0 or more, found number -1 [out-of-range]", id="range"),
    ],
)
def test_parameters_are_refused_in_the_words_of_lint(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ProblemsError) as caught:
        run_check(Counted(), params, look=seeing(0))
    assert [str(problem).partition("error: ")[2] for problem in caught.value.problems] == [message]


def changed(**methods: Any) -> Check:
    made: Check = type("Changed", (Counted,), methods)()
    return made


def adding(self: Check, raw: Raw, params: Mapping[str, Any]) -> Result:
    raw["seen"] = True
    return Result(outcome=Outcome.PASS, summary="")


def counting() -> Any:
    calls: list[int] = []

    def judge(self: Check, raw: Raw, params: Mapping[str, Any]) -> Result:
        calls.append(1)
        return Result(outcome=Outcome.PASS, summary=f"call {len(calls)}")

    return judge


@pytest.mark.parametrize(
    ("check", "message"),
    [
        pytest.param(
            changed(look=lambda *_: {"at": object}),
            "check 'mine.counted': what look() returns must be plain JSON data: "
            "Object of type type is not JSON serializable",
            id="no-json",
        ),
        pytest.param(
            changed(look=lambda *_: {"at": float("nan")}),
            "check 'mine.counted': what look() returns must be plain JSON data: Out of range float values are not JSON "
            "compliant",
            id="nan",
        ),
        pytest.param(
            changed(judge=lambda *_: None),
            "check 'mine.counted': judge() returned NoneType; wanted a Result",
            id="no-result",
        ),
        pytest.param(
            changed(judge=adding),
            "check 'mine.counted': judge() changed the data it judged; it must only read it",
            id="changes-data",
        ),
        pytest.param(
            changed(judge=counting()),
            "check 'mine.counted': judge() gave two answers for the same data; it must be pure",
            id="not-pure",
        ),
        pytest.param(
            changed(emits=()),
            "check 'mine.counted' returns 'mine.count', which `emits` does not promise; add it there",
            id="not-promised",
        ),
    ],
)
def test_what_a_replay_would_not_forgive(check: Check, message: str) -> None:
    with pytest.raises(BrokenCheckError) as caught:
        run_check(check, look=seeing(1))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("given", [{}, {"raw": {}, "look": seeing(1)}])
def test_exactly_one_thing_to_look_at(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"^run_check\(\) takes exactly one of look, raw and target$"):
        run_check(Counted(), **given)


@pytest.fixture
def url() -> Iterator[str]:
    """A real server with one page."""
    loop = asyncio.new_event_loop()

    async def count(request: web.Request) -> web.Response:
        return web.json_response({"count": 2})

    async def start() -> tuple[web.AppRunner, int]:
        app = web.Application()
        app.router.add_get("/count", count)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return runner, runner.addresses[0][1]

    runner, port = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{port}"
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


class Asked(Counted):
    """Reads the number from a page."""

    name = "mine.asked"
    needs = ("url",)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:  # type: ignore[override]
        answer = await look.http.request("GET", "/count")
        return {"count": answer.json()["count"]}


def test_the_real_engine_against_a_real_server(url: str) -> None:
    result = run_check(Asked(), {"count_max": 1}, target=Target(name="here", url=url))
    assert (result.outcome, result.summary) == (Outcome.FAIL, "2 counted, 1 allowed")
    assert result.signals["mine.count"].step == "mine.asked"


def test_a_server_that_is_not_there_is_unknown() -> None:
    result = run_check(Asked(), target=Target(name="gone", url="http://127.0.0.1:9"))
    assert result.outcome is Outcome.UNKNOWN
    assert result.summary.startswith("GET http://127.0.0.1:9/count")
