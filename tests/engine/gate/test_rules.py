# ruff: noqa: E501 - whole messages stand on one line
"""Rules beside eval sets: any check on one side or both, a judge that must be fit, and the canary. Real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sickbay.engine.cli.main import main
from sickbay.face import make_tools
from tests.engine.evals.stub import Stub, serving_beside


def right(body: dict[str, Any], _: int) -> str:
    return str(body["messages"][-1]["content"]).removeprefix("say ")


def often_wrong(body: dict[str, Any], nth: int) -> str:
    said = right(body, nth)
    return "sorry" if said.isdigit() and int(said) % 2 else said


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(serving_beside(Stub(answer)))


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    rows = [{"id": str(i), "ask": f"say {i}", "expected": str(i)} for i in range(300)]
    (tmp_path / "echo.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "echo.yaml").write_text("evalset: echo\nscore: [exact]\nitems: echo.jsonl\n")
    return tmp_path / "gate.yaml"


def decided(gate: Path, *words: object) -> tuple[int, dict[str, Any]]:
    card = gate.parent / "card.json"
    code = main(["gate", str(gate), "--no-progress", "--output", str(card), *map(str, words)], make_tools)
    return code, json.loads(card.read_text()) if card.exists() else {}


def found(card: dict[str, Any]) -> dict[str, str]:
    return {each["rule"]: each["found"] for each in card["findings"]}


CANARY = "gate: chat\nconcurrency: 2\ncanary: {rounds: 12, every_s: 0, items: 25, pairs: 4}\nevals:\n  - {set: echo.yaml, margin: 0.1}\n"


def test_a_canary_passes_a_sound_release_early(gate: Path, serve: Callable[..., str]) -> None:
    gate.write_text(CANARY + "latency:\n  - {metric: e2e, ratio_max: 50, output_tokens: 2, prompt_tokens: 2}\n")
    code, card = decided(gate, "--canary", "--candidate", serve(right), "--baseline", serve(right))
    assert (code, found(card)) == (0, {"echo": "pass", "e2e": "pass"})
    assert 1 < card["rounds"] < 12
    assert card["ended"] == "every rule has its answer"
    assert len(card["runs"]["candidate"][0]["rows"]) < 300
    series = card["findings"][0]["series"]
    assert series["evidence_fine"][-1] >= card["findings"][0]["numbers"]["evidence_needed"]


def test_a_canary_stops_a_bad_release_early(gate: Path, serve: Callable[..., str]) -> None:
    gate.write_text(CANARY)
    code, card = decided(gate, "--canary", "--candidate", serve(often_wrong), "--baseline", serve(right))
    assert (code, found(card), card["ended"]) == (2, {"echo": "block"}, "echo shows the release to be worse")
    assert len(card["runs"]["candidate"][0]["rows"]) <= 100


def test_a_canary_goes_on_where_somebody_answers_for_the_block(gate: Path, serve: Callable[..., str]) -> None:
    waiver = "{rule: echo, owner: ann, approver: bob, reason: the set is being repaired, expires: '2999-12-31', covers: [block]}"
    latency = "latency:\n  - {metric: e2e, ratio_max: 50, output_tokens: 2, prompt_tokens: 2}\n"
    gate.write_text(f"{CANARY}{latency}waivers:\n  - {waiver}\n")
    code, card = decided(gate, "--canary", "--candidate", serve(often_wrong), "--baseline", serve(right))
    assert (code, found(card)) == (1, {"echo": "block", "e2e": "pass"})
    assert card["ended"] == "every rule has its answer"


def test_a_canary_that_learns_too_little_is_inconclusive(gate: Path, serve: Callable[..., str]) -> None:
    gate.write_text(CANARY.replace("rounds: 12", "rounds: 2").replace("items: 25", "items: 3"))
    code, card = decided(gate, "--canary", "--candidate", serve(right), "--baseline", serve(right))
    assert (code, found(card), card["ended"]) == (3, {"echo": "inconclusive"}, "all 2 rounds are used up")


def test_a_canary_whose_candidate_dies_is_blocked(gate: Path, serve: Callable[..., str]) -> None:
    gate.write_text(CANARY.replace("concurrency: 2", "concurrency: 1\nretries: 0"))
    count = 0

    def dies(body: dict[str, Any], nth: int) -> Any:
        nonlocal count
        count += 1
        return right(body, nth) if count < 20 else (500, "gone")

    code, card = decided(gate, "--canary", "--candidate", serve(dies), "--baseline", serve(right))
    assert (code, found(card)) == (2, {"echo": "block"})
    assert "of the candidate's answers have no score" in card["findings"][0]["summary"]


CHECKS = """\
gate: chat
checks:
  - {id: config, check: serving.config, compare: [{signal: serving.model}]}
  - {id: alive, check: serving.alive, compare: [{signal: serving.health_s, ratio_max: 100}], critical: false}
"""


def test_checks_look_at_both_sides(gate: Path, serve: Callable[..., str]) -> None:
    gate.write_text(CHECKS)
    code, card = decided(gate, "--candidate", serve(right), "--baseline", serve(right))
    kinds = found(card)
    assert kinds["config/serving.model"] == "pass"
    assert kinds["alive"] == "warn"  # the stub has no health page
    assert code == 1
    assert card["candidate"]["model"] == card["baseline"]["model"] == "m"


def test_a_signal_that_cannot_be_compared_is_never_a_pass(gate: Path, serve: Callable[..., str]) -> None:
    gate.write_text("gate: chat\nchecks:\n  - {check: serving.rendering, compare: [{signal: serving.tokens_sha}]}\n")
    code, card = decided(gate, "--candidate", serve(right), "--baseline", serve(right))
    assert (code, found(card)["serving.rendering/serving.tokens_sha"]) == (3, "inconclusive")
    code, card = decided(gate, "--candidate", serve(right))
    assert code == 3
    assert "give --baseline a URL" in card["summary"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("checks:\n  - {check: serving.confg}\n", "gate.yaml:3:13: error: no check named 'serving.confg'; did you mean 'serving.config'? [unknown-check]"),
        ("checks:\n  - {check: process.memory, with: {window: 3}}\n", "gate.yaml:3:36: error: unknown key 'window'"),
        ("checks:\n  - {check: process.memory, compare: [{signal: process.rss_byte}]}\n", "gate.yaml:3:48: error: the check 'process.memory' does not report 'process.rss_byte'; did you mean 'process.rss_bytes'? [unknown-signal]"),
        ("checks:\n  - {check: process.memory, compare: [{signal: process.rss_bytes, ratio_max: 0}]}\n", "gate.yaml:3:78: error: wanted more than 0, found number 0 [out-of-range]"),
        ("runbooks:\n  - {runbook: no-such}\n", "gate.yaml:3:5: error: the rule 'no-such': no runbook 'no-such'; see `sickbay list`"),
        ("runbooks:\n  - {runbook: high-ttft, set: {nope: 1}}\n", "gate.yaml:3:5: error: the rule 'high-ttft': --set nope: runbook 'high-ttft' has no input 'nope'"),
        ("evals:\n  - {set: judged.yaml, margin: 0.1, train: no.jsonl}\n", "gate.yaml:3:44: error: the file 'no.jsonl' cannot be read: No such file or directory [not-readable]"),
        ("evals:\n  - {set: judged.yaml, margin: 0.1, train: train.txt}\n", "judged.yaml:3:9: error: the item 'a' is in the training data: 100% of it stands at train.txt:2; take it out of one of them"),
        ("canary: {rounds: 0}\nchecks:\n  - {check: serving.config}\n", "gate.yaml:2:18: error: wanted 1 or more, found number 0"),
        ("judge: {url: judge.example}\nchecks:\n  - {check: serving.config}\n", "gate.yaml:2:14: error: wanted a URL such as http://judge:8000, found text 'judge.example'"),
        ("judge: {url: 'http://j', agreement: no.json}\nchecks:\n  - {check: serving.config}\n", "gate.yaml:2:37: error: no file "),
        ("evals:\n  - {set: judged.yaml, margin: 0.1}\n", "gate.yaml:3:5: error: the rule 'judged' is scored by a judge, and the gate names none; add judge: {url: ..., agreement: ...} [missing-key]"),
    ],
)  # fmt: skip
def test_what_is_wrong(text: str, wanted: str, gate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (gate.parent / "train.txt").write_text("something else\nx\n")
    (gate.parent / "judged.yaml").write_text(
        "evalset: judged\nscore: [{judge: It is right.}]\nitems: [{id: a, ask: x}]\n"
    )
    gate.write_text("gate: chat\n" + text)
    assert main(["gate", str(gate), "--candidate", "http://127.0.0.1:9"], make_tools) == 65
    said = capsys.readouterr().err.replace(str(gate.parent) + "/", "")
    assert any(line.startswith(wanted) for line in said.splitlines()), said


def grader(body: dict[str, Any], _: int) -> str:
    return json.dumps(
        {"reason": "so", "pass": "sorry" not in body["messages"][-1]["content"].rpartition("ANSWER\n")[2]}
    )


def test_a_judge_decides_only_when_people_were_compared_with_it(gate: Path, serve: Callable[..., str]) -> None:
    (gate.parent / "echo.yaml").write_text("evalset: echo\nscore: [{judge: It is right.}]\nitems: echo.jsonl\n")
    judge = serve(grader)
    gate.write_text(f"gate: chat\njudge: {{url: '{judge}'}}\nevals:\n  - {{set: echo.yaml, margin: 0.1}}\n")
    code, card = decided(gate, "--candidate", serve(right), "--baseline", serve(right))
    assert (code, found(card)) == (3, {"echo": "pass", "echo/judge": "inconclusive"})
    assert "nobody has compared the judge with people" in card["summary"]

    graded = [f"q{i},{'sorry' if i % 2 else 'fine'},{'fail' if i % 2 else 'pass'}" for i in range(120)]
    (gate.parent / "graded.csv").write_text("question,given,human\n" + "\n".join(graded) + "\n")
    (gate.parent / "graded.yaml").write_text("evalset: graded\nscore: [{judge: It is right.}]\nitems: graded.csv\n")
    fit = gate.parent / "fit.json"
    assert (
        main(["judge", str(gate.parent / "graded.yaml"), "--judge-url", judge, "--output", str(fit)], make_tools) == 0
    )
    gate.write_text(gate.read_text().replace("'}", "', agreement: fit.json}"))
    code, card = decided(gate, "--candidate", serve(often_wrong), "--baseline", serve(right))
    assert (code, found(card)) == (2, {"echo": "block", "echo/judge": "pass"})
    assert card["findings"][0]["examples"][0] == "1: so"
    (gate.parent / "echo.yaml").write_text("evalset: echo\nscore: [{judge: It is kind.}]\nitems: echo.jsonl\n")
    code, card = decided(gate, "--candidate", serve(right), "--baseline", serve(right))
    assert (code, card["summary"]) == (3, "echo/judge: people were compared with the judge under another rubric")


def test_a_canary_of_checks_alone_watches_to_its_end(gate: Path, serve: Callable[..., str]) -> None:
    gate.write_text(
        "gate: chat\ncanary: {rounds: 4, every_s: 0}\n"
        "checks: [{id: config, check: serving.config, compare: [{signal: serving.model}]}]\n"
    )
    code, card = decided(gate, "--canary", "--candidate", serve(right), "--baseline", serve(right))
    assert (code, card["rounds"], card["ended"]) == (0, 4, "all 4 rounds are used up")


def test_a_canary_passes_no_earlier_than_its_least_rounds(gate: Path, serve: Callable[..., str]) -> None:
    gate.write_text(CANARY.replace("rounds: 12,", "rounds: 12, rounds_min: 9,"))
    code, card = decided(gate, "--canary", "--candidate", serve(right), "--baseline", serve(right))
    assert (code, card["rounds"], card["ended"]) == (0, 9, "every rule has its answer")


def test_a_canary_that_watches_on_sees_what_goes_wrong_later(gate: Path, serve: Callable[..., str]) -> None:
    gate.write_text(CANARY.replace("rounds: 12,", "rounds: 12, rounds_min: 12,"))
    count = 0

    def tires(body: dict[str, Any], nth: int) -> str:
        nonlocal count
        count += 1
        return right(body, nth) if count <= 125 else "sorry"

    code, card = decided(gate, "--canary", "--candidate", serve(tires), "--baseline", serve(right))
    assert (code, found(card), card["ended"]) == (2, {"echo": "block"}, "echo shows the release to be worse")
    assert 6 <= card["rounds"] < 12
    assert "not worse at first, and worse later" in card["findings"][0]["summary"]


def test_a_burst_asks_several_at_once(gate: Path) -> None:
    class Counting(Stub):
        running = most = 0

        async def handle(self, request: web.Request) -> web.StreamResponse:
            self.running += 1
            self.most = max(self.most, self.running)
            while self.most < 4:  # noqa: ASYNC110  # until all of the burst are here
                await asyncio.sleep(0.005)
            try:
                return await super().handle(request)
            finally:
                self.running -= 1

    gate.write_text(
        "gate: chat\nlatency:\n"
        "  - {metric: throughput, ratio_max: 90, pairs: 6, output_tokens: 2, prompt_tokens: 2, concurrency: 4}\n"
    )
    ours, theirs = Counting(right), Counting(right)
    with serving_beside(ours) as one, serving_beside(theirs) as two:
        code, card = decided(gate, "--candidate", one, "--baseline", two)
    assert (code, ours.most, theirs.most, ours.total, theirs.total) == (0, 4, 4, 28, 28)
    assert "pairs, 4 at a time (at worst" in card["findings"][0]["summary"]
