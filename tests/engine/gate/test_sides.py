"""The two sides: keys that no output shows, servers that are one, models nobody serves, sides that are not there."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sickbay.engine.cli import gate_run
from sickbay.engine.cli.main import main
from sickbay.engine.evals.endpoint import CHAT_PATH
from sickbay.engine.gate import arm
from sickbay.engine.gate.one_server import same_counters
from sickbay.face import make_tools
from tests.engine.evals.stub import Answer, Stub, serving_beside

KEY = "plain-word-of-the-house-417"  # looks like no key to anybody who does not know it
SUFFIXES = ("md", "json", "xml", "html", "prom")


def right(body: dict[str, Any], _: int) -> str:
    return str(body["messages"][-1]["content"]).removeprefix("say ")


class Locked(Stub):
    """Wants the key, and repeats whatever it was sent: in refusals, answers and its list of models."""

    def __init__(self, key: str) -> None:
        super().__init__(right)
        self.key = key

    async def handle(self, request: web.Request) -> web.StreamResponse:
        sent = request.headers.get("authorization", "")
        if sent != f"Bearer {self.key}":
            return web.json_response({"error": {"message": f"no such key: {sent}"}}, status=401)
        message = {"role": "assistant", "content": f"{'x' * 40} {sent}"}
        return web.json_response({"choices": [{"index": 0, "message": message}], "usage": {}})


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    with ExitStack() as stack:
        yield lambda stub: stack.enter_context(serving_beside(stub if isinstance(stub, Stub) else Stub(stub)))


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    rows = [{"id": str(i), "ask": f"say {i}", "expected": str(i)} for i in range(60)]
    (tmp_path / "echo.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "echo.yaml").write_text("evalset: echo\nscore: [exact]\nitems: echo.jsonl\n")
    path = tmp_path / "gate.yaml"
    path.write_text("gate: chat\nretries: 0\nevals:\n  - {set: echo.yaml, margin: 0.2}\n")
    return path


def decided(gate: Path, *words: object) -> tuple[int, dict[str, Any]]:
    outputs = [word for suffix in SUFFIXES for word in ("--output", str(gate.parent / f"card.{suffix}"))]
    code = main(["gate", str(gate), "--no-progress", *outputs, *map(str, words)], make_tools)
    return code, json.loads((gate.parent / "card.json").read_text())


@pytest.mark.parametrize("theirs", [KEY, "another"], ids=["in-answers", "in-refusals"])
def test_a_key_that_the_server_repeats_is_in_no_output(
    theirs: str,
    gate: Path,
    serve: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SICKBAY_API_KEY", KEY)
    (gate.parent / "j").mkdir()
    code, _ = decided(
        gate, "--candidate", serve(Locked(theirs)), "--baseline", serve(right), "--journal", gate.parent / "j"
    )
    assert code in {2, 3}
    told = capsys.readouterr()
    written = [path for path in gate.parent.rglob("*") if path.is_file()]
    assert len(written) > len(SUFFIXES) + 3  # the journal and the history too
    for text in (told.out, told.err, *(path.read_text(errors="replace") for path in written)):
        assert KEY not in text
        assert KEY[:-1] not in text  # nor a piece of it, cut off somewhere


def test_a_server_may_be_compared_with_itself_to_see_its_noise(gate: Path, serve: Callable[..., str]) -> None:
    url = serve(right)
    assert decided(gate, "--candidate", url, "--baseline", url, "--allow-same")[0] == 0
    assert not (gate.parent / "state" / "sickbay" / "gates").exists()  # it is no baseline for the next


@pytest.mark.parametrize("theirs", ["{}", "{}/", "localhost"])
def test_a_release_compared_with_itself_is_no_pass(theirs: str, gate: Path, serve: Callable[..., str]) -> None:
    url = serve(right)
    other = theirs.format(url) if "{" in theirs else url.replace("127.0.0.1", theirs)
    code, card = decided(gate, "--candidate", url, "--baseline", other)
    assert (code, card["outcome"], card["requests"]) == (3, "inconclusive", 0)
    assert card["summary"].startswith("candidate and baseline are one server and one model (http://127.0.0.1:")


class Counted(Stub):
    """Two of them with one `count` are two addresses of one server."""

    def __init__(self, count: list[int]) -> None:
        super().__init__(right)
        self.count = count
        self.pages["/metrics"] = lambda: f'e:requests_total{{model="m"}} {count[0]}\ne:busy 0.5\n'

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.count[0] += 1
        return await super().handle(request)


def test_two_names_of_one_server_are_told_by_what_it_counts(gate: Path, serve: Callable[..., str]) -> None:
    count = [7]
    words = ("--candidate", serve(Counted(count)), "--baseline", serve(Counted(count)))
    code, card = decided(gate, *words)
    assert (code, card["outcome"]) == (3, "inconclusive")
    assert 'moved the baseline\'s own e:requests_total{model="m"}' in card["summary"]
    assert count[0] == 10  # three answers of one token
    assert decided(gate, *words, "--allow-same")[0] == 0
    gate.write_text(f"{gate.read_text()}requests: 60\n")  # as many as there are items: what tells them apart is beside
    assert decided(gate, "--candidate", serve(Counted([7])), "--baseline", serve(Counted([7])))[0] == 0


@pytest.mark.parametrize(
    ("reads", "counter"),
    [
        pytest.param([3, 3, 4, 4, 5, 5, 6, 6], "a_total", id="one"),
        pytest.param([3, 5, 9, 9, 14, 30, 31, 40], "a_total", id="one-with-other-traffic"),
        pytest.param([3, 3, 4, 3, 5, 3, 6, 3], "", id="two-that-were-equal"),
        pytest.param([3, 90, 4, 90, 5, 90, 6, 90], "", id="two"),
        pytest.param([0, 0, 0, 0, 0, 0, 0, 0], "", id="counts-nothing"),
    ],
)  # fmt: skip
def test_counters_of_one_server_never_fall(reads: list[int], counter: str) -> None:
    found = [{"a_total": float(read), "process_cpu_seconds_total": float(n)} for n, read in enumerate(reads)]
    assert same_counters(found) == counter


def test_a_side_that_becomes_another_is_no_release(gate: Path, serve: Callable[..., str]) -> None:
    asked = 0

    def restarted(body: dict[str, Any], _: int) -> web.Response:
        nonlocal asked
        asked += 1
        message = {"role": "assistant", "content": str(body["messages"][-1]["content"]).removeprefix("say ")}
        return web.json_response(
            {"model": "m" if asked <= 40 else "m-v2", "choices": [{"index": 0, "message": message}]}
        )

    code, card = decided(gate, "--candidate", serve(restarted), "--baseline", serve(right))
    assert (code, card["outcome"]) == (3, "inconclusive")
    assert (
        card["summary"]
        == "(candidate): the candidate changed while it was asked: its answers name 2 models: m (40), m-v2 (20)"
    )


def test_a_spent_budget_names_the_gates_own_setting(gate: Path, serve: Callable[..., str]) -> None:
    gate.write_text(f"{gate.read_text()}requests: 20\n")
    code, card = decided(gate, "--candidate", serve(right), "--baseline", serve(right))
    assert code == 3
    assert "the budget of 20 generating requests is spent; raise requests: in the gate" in card["summary"]


def test_answers_that_name_another_model_are_told(gate: Path, serve: Callable[..., str]) -> None:
    def alias(body: dict[str, Any], _: int) -> web.Response:
        message = {"role": "assistant", "content": right(body, 0)}
        return web.json_response({"model": "m-2026-01", "choices": [{"index": 0, "message": message}]})

    code, card = decided(gate, "--candidate", serve(alias), "--baseline", serve(right))
    assert code == 0  # an alias is none's fault
    assert card["candidate"]["answers_name"] == "m-2026-01"


def test_a_model_that_the_server_does_not_serve(gate: Path, serve: Callable[..., str]) -> None:
    words = ("--candidate", serve(right), "--baseline", serve(right), "--candidate-model", "chat-v2")
    code, card = decided(gate, *words)
    assert (code, card["requests"]) == (3, 0)
    assert "the candidate is asked for the model 'chat-v2', which http://127.0.0.1:" in card["summary"]
    assert card["summary"].endswith("does not serve; it serves: m")


@pytest.mark.parametrize("listed", ["[]", "null", '{"data": ["m"]}', '{"data": {}}', '{"data": [{"id": 7}, {}]}'])
def test_a_list_of_models_that_is_none_stops_nothing(
    listed: str, gate: Path, serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def odd(_: web.Request) -> web.Response:
        return web.Response(text=listed, content_type="application/json")

    monkeypatch.setattr("tests.engine.evals.stub.models", odd)
    assert decided(gate, "--candidate", serve(right), "--baseline", serve(right))[0] == 0


@pytest.mark.parametrize("side", ["candidate", "baseline"])
def test_a_side_that_is_not_there_has_a_scorecard_and_no_good_reading_is_left(
    side: str, gate: Path, serve: Callable[..., str]
) -> None:
    """No waiver covers it, and the metrics of the last pass are overwritten."""
    waiver = "{rule: echo, owner: ann, approver: bob, reason: it grows next week, expires: '2999-12-31'}"
    gate.write_text(f"{gate.read_text()}waivers:\n  - {waiver}\n")
    sides = {"candidate": serve(right), "baseline": serve(right)}
    words = [word for name, url in sides.items() for word in (f"--{name}", url)]
    assert decided(gate, *words)[0] == 0
    words[words.index(f"--{side}") + 1] = "http://127.0.0.1:9"
    code, card = decided(gate, *words)
    assert (code, card["outcome"]) == (3, "inconclusive")
    assert card["summary"].startswith(f"the {side} does not answer: ")
    assert card[side]["url"] == "http://127.0.0.1:9"
    metrics = (gate.parent / "card.prom").read_text()
    assert 'sickbay_gate_outcome{gate="chat",outcome="pass"} 0.0' in metrics
    assert 'sickbay_gate_rule_outcome{gate="chat",outcome="inconclusive",rule="echo"} 1.0' in metrics
    assert '<error type="inconclusive"' in (gate.parent / "card.xml").read_text()


def test_weights_in_a_folder_have_a_digest(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"a")
    (tmp_path / "notes.txt").write_text("x")
    one = arm._weights(tmp_path)["model_sha256"]
    assert arm._weights(tmp_path / "a.safetensors")["model_sha256"] != one
    (tmp_path / "notes.txt").write_text("y")
    assert arm._weights(tmp_path)["model_sha256"] == one
    (tmp_path / "b.safetensors").write_bytes(b"b")
    assert arm._weights(tmp_path)["model_sha256"] != one
    assert arm._weights(tmp_path / "none") == {"model_sha256": "no weight file there"}


def test_a_log_hears_now_and_then_that_it_goes_on(
    gate: Path, serve: Callable[..., str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["gate", str(gate), "--candidate", serve(right), "--baseline", serve(right)]
    assert main(words, make_tools) == 0
    assert "sickbay: echo:" not in capsys.readouterr().err  # nothing in the first half minute
    monkeypatch.setattr(gate_run, "LOG_EVERY_S", 0.0)
    assert main(words, make_tools) == 0
    assert "sickbay: echo: 120 of 120\n" in capsys.readouterr().err
    assert main([*words, "--no-progress"], make_tools) == 0
    assert capsys.readouterr().err == ""


def stopping_at(nth: int, how: Callable[[], None]) -> Answer:
    count = 0

    def answer(body: dict[str, Any], number: int) -> str:
        nonlocal count
        count += 1
        if count == nth:
            how()
        return right(body, number)

    return answer


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupted_gate_says_what_it_had(gate: Path, serve: Callable[..., str]) -> None:
    rules = "".join(f"  - {{id: {name}, set: echo.yaml, margin: 0.2}}\n" for name in ("first", "second", "third"))
    gate.write_text(f"gate: chat\nconcurrency: 1\nevals:\n{rules}")
    code, card = decided(gate, "--candidate", serve(stopping_at(80, interrupt)), "--baseline", serve(right))
    assert (code, card["exit_code"], card["cut"]) == (130, 130, "interrupted")
    found = {each["rule"]: (each["found"], each["summary"]) for each in card["findings"]}
    assert found["first"][0] == "pass"
    assert found["third"] == ("inconclusive", "interrupted before it had its answer")
    assert len(found) == 3


def test_an_interrupted_canary_says_what_it_had(gate: Path, serve: Callable[..., str]) -> None:
    gate.write_text(gate.read_text() + "canary: {rounds: 50, every_s: 0, items: 2}\n")
    code, card = decided(gate, "--canary", "--candidate", serve(stopping_at(9, interrupt)), "--baseline", serve(right))
    assert (code, card["outcome"], card["cut"]) == (130, "inconclusive", "interrupted")
    assert card["ended"].startswith("interrupted in round ")
    assert "on the first" in card["findings"][0]["summary"]


def test_a_deadline_ends_a_gate_that_hangs(gate: Path, serve: Callable[..., str]) -> None:
    class Hanging(Stub):
        async def handle(self, request: web.Request) -> web.StreamResponse:
            assert request.path == CHAT_PATH
            while request.transport is not None:  # noqa: ASYNC110  # until whoever asked has gone
                await asyncio.sleep(0.02)
            return web.Response()

    code, card = decided(gate, "--candidate", serve(Hanging(right)), "--baseline", serve(right), "--deadline", "2")
    assert (code, card["cut"]) == (75, "deadline")
    assert card["findings"][0]["summary"] == "the deadline came before it had its answer"


def test_a_deadline_that_is_none(gate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gate", str(gate), "--deadline", "soon"], make_tools) == 64
    assert "wanted more than 0 seconds, found soon" in capsys.readouterr().err
