"""`sickbay eval` and `sickbay gate` whole: real HTTP, every form of the scorecard, exit codes, history, journal."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema_rs
import pytest
from aiohttp import web

from sickbay.engine.cli.main import main
from sickbay.engine.evals.read.results import read_results
from sickbay.face import make_tools
from tests.engine.evals.stub import Stub, serving_beside

WRONG_FROM = 60


def right(body: dict[str, Any], _: int) -> str:
    return str(body["messages"][-1]["content"]).removeprefix("say ")


def often_wrong(body: dict[str, Any], nth: int) -> str:
    said = right(body, nth)
    return "sorry" if said.isdigit() and int(said) >= WRONG_FROM else said


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(serving_beside(Stub(answer)))


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    rows = [{"id": str(i), "ask": f"say {i}", "expected": str(i), "fields": {"parity": "odd"}} for i in range(100)]
    (tmp_path / "echo.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "echo.yaml").write_text("evalset: echo\nversion: '7'\nscore: [exact]\nitems: echo.jsonl\n")
    path = tmp_path / "gate.yaml"
    path.write_text("gate: chat\nevals:\n  - {set: echo.yaml, margin: 0.1}\n")
    return path


def sickbay(*words: object) -> int:
    return main([str(word) for word in words], make_tools)


def test_a_good_release_passes_in_every_form(gate: Path, serve: Callable[..., str], tmp_path: Path) -> None:
    gate.write_text(
        gate.read_text() + "latency:\n  - {metric: ttft, ratio_max: 90, pairs: 6, output_tokens: 2, shadow: true}\n"
    )
    outputs = [tmp_path / f"card.{suffix}" for suffix in ("md", "json", "xml", "html", "prom")]
    flags = [word for path in outputs for word in ("--output", path)]
    assert sickbay("gate", gate, "--candidate", serve(right), "--baseline", serve(right), *flags) == 0
    markdown, data, junit, html, metrics = (path.read_text() for path in outputs)
    assert markdown.startswith("## PASS: chat\n")
    card = json.loads(data)
    assert (card["outcome"], card["exit_code"], card["schema"]) == ("pass", 0, "sickbay.scorecard.v1")
    assert card["sets"]["echo"]["version"] == "7"
    assert len(card["sets"]["echo"]["sha256"]) == 64
    schema = json.loads((files("sickbay") / "schemas" / "scorecard.v1.json").read_text())
    jsonschema_rs.Draft202012Validator(schema).validate(card)
    assert len(card["runs"]["candidate"][0]["rows"]) == 100
    assert card["candidate"]["model"] == "m"
    assert ET.fromstring(junit).get("failures") == "0"
    assert "<svg" in html
    assert "http" not in html.split("Provenance")[0]  # nothing is loaded from elsewhere
    assert 'sickbay_gate_outcome{gate="chat",outcome="pass"} 1.0' in metrics


def test_a_bad_release_is_blocked_and_says_what_was_lost(
    gate: Path, serve: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    junit = tmp_path / "card.xml"
    code = sickbay("gate", gate, "--candidate", serve(often_wrong), "--baseline", serve(right), "--output", junit)
    out = capsys.readouterr().out
    assert code == 2
    assert out.startswith("BLOCK  chat: echo: 100.0% -> 60.0% on 100 items, -40.0 points")
    assert "60: found 'sorry', wanted '60'" in out
    assert ET.fromstring(junit.read_text()).get("failures") == "2"


def test_history_is_the_last_pass_and_never_a_block(
    gate: Path, serve: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert sickbay("gate", gate, "--candidate", serve(right), "--baseline", "history") == 3
    assert "no run of the gate 'chat' has passed on this host yet" in " ".join(capsys.readouterr().out.split())
    assert sickbay("gate", gate, "--candidate", serve(right), "--baseline", serve(right)) == 0
    assert sickbay("gate", gate, "--candidate", serve(often_wrong), "--baseline", "history") == 2
    capsys.readouterr()
    assert sickbay("gate", gate, "--candidate", serve(right), "--baseline", "history") == 0
    assert "from history:" in capsys.readouterr().out


def test_a_read_baseline_says_what_it_is(
    gate: Path, serve: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of another version of the set, from a run that was blocked, and too old for what the gate allows."""
    kept = tmp_path / "kept.json"
    assert sickbay("gate", gate, "--candidate", serve(often_wrong), "--baseline", serve(right), "--output", kept) == 2
    lines = (tmp_path / "echo.jsonl").read_text().splitlines()
    lines[-1] = lines[-1].replace('"expected": "99"', '"expected": "98"')
    (tmp_path / "echo.jsonl").write_text("\n".join(lines) + "\n")
    capsys.readouterr()
    assert sickbay("gate", gate, "--candidate", serve(right), "--baseline", kept) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert f"from {kept} (the candidate of a run that ended in block), made 2" in out
    assert "differs set echo: 7 sha256 f2330a434315 -> 7 sha256 " in out
    assert "on 99 items" in out
    old = json.loads(kept.read_text())
    old["runs"]["candidate"][0]["started_at"] -= 40 * 86_400
    kept.write_text(json.dumps(old))
    gate.write_text(gate.read_text() + "baseline_days_max: 30\n")
    assert sickbay("gate", gate, "--candidate", serve(right), "--baseline", kept) == 3
    assert "the baseline is 40 days old, allowed are 30" in capsys.readouterr().out
    kept.write_text(kept.read_text()[:2000])
    assert sickbay("gate", gate, "--candidate", serve(right), "--baseline", kept) == 65
    assert f"{kept}:1:" in capsys.readouterr().err


def test_no_baseline_is_inconclusive_and_an_expired_waiver_blocks(
    gate: Path, serve: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    url = serve(right)
    assert sickbay("gate", gate, "--candidate", url) == 3
    waiver = "waivers:\n  - {rule: echo, owner: ann, approver: bob, reason: no baseline yet, expires: '%s'}\n"
    text = gate.read_text()
    gate.write_text(text + waiver % "2999-01-01")
    assert sickbay("gate", gate, "--candidate", url) == 1
    gate.write_text(text + waiver % "2020-01-01")
    assert sickbay("gate", gate, "--candidate", url) == 2
    assert "the waiver of 'echo' by ann expired on 2020-01-01" in capsys.readouterr().out


def test_a_set_that_cannot_judge_is_no_fault_of_the_release(
    gate: Path, serve: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "echo.yaml").write_text("evalset: echo\nscore: [{contains: {value: ['']}}]\nitems: echo.jsonl\n")
    code = sickbay("gate", gate, "--candidate", serve(right), "--baseline", serve(right))
    captured = capsys.readouterr()
    assert code in {3, 65}
    assert "expected answer is empty" in captured.err + captured.out or "the set cannot judge" in captured.out


def test_sequential_stops_early(gate: Path, serve: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    gate.write_text("gate: chat\nconcurrency: 1\nevals:\n  - {set: echo.yaml, margin: 0.3, sequential: true}\n")
    assert sickbay("gate", gate, "--candidate", serve(right), "--baseline", serve(right)) == 0
    out = capsys.readouterr().out
    assert "no drop of 30 points or more" in " ".join(out.split())
    assert int(out.split(" requests,")[0].split()[-1]) < 150


def test_nothing_answers(gate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sickbay("gate", gate, "--candidate", "http://127.0.0.1:9", "--baseline", "http://127.0.0.1:9") == 3
    assert "the candidate does not answer" in " ".join(capsys.readouterr().out.split())


PLANNED = """\
chat: 4 rules; where 5% of the items differ
  echo: 100 items, 3 samples each, 300 requests a side; can show a margin of
    11.2 points, wanted 10: TOO FEW: it will mostly be inconclusive; 118 are
    needed
  ttft: 6 pairs, 7 requests a side; may be 1.5 times the baseline's
  serving.config: the check serving.config, asks for no answer
  security: the check security.exposure, at most 2 requests to the candidate
requests: at most 309 to the candidate, 307 to a baseline that is asked too,
retries apart; allowed 308 to each side
TOO MANY for the candidate: raise requests: in the gate
"""


def test_plan_asks_nothing_and_tells_cost_and_what_can_be_shown(gate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gate.write_text(
        "gate: chat\nrequests: 308\nevals:\n  - {set: echo.yaml, margin: 0.1, samples: 3}\n"
        "latency: [{metric: ttft, ratio_max: 1.5, pairs: 6}]\n"
        "checks: [{check: serving.config}, {id: security, check: security.exposure}]\n"
    )
    assert sickbay("gate", gate, "--plan", "--discordance", "0.05") == 0
    assert capsys.readouterr().out == PLANNED
    text = gate.read_text()
    gate.write_text(f"{text}canary: {{rounds: 90, every_s: 60, items: 25}}\n")
    assert sickbay("gate", gate, "--plan") == 0
    assert "as a canary: at most 90 rounds in 1.5 hours, and of each set at most 25 items a round" in " ".join(
        capsys.readouterr().out.split()
    )
    gate.write_text(text)
    assert sickbay("plan", gate, "--format", "json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["schema"], plan["discordance"]) == ("sickbay.gate-plan.v1", 0.1)
    assert plan["requests"] == {"candidate": 309, "baseline": 307, "judge": 0}
    assert [rule["too_few"] for rule in plan["rules"]] == [True, False, False, False]
    assert plan["rules"][0]["margin_shown"] > 0.1


@pytest.mark.parametrize("share", ["0", "1", "5", "-0.1", "nan"])
def test_a_discordance_that_is_no_share(share: str, gate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sickbay("gate", gate, "--plan", "--discordance", share) == 64
    assert "wanted a share above 0 and below 1" in capsys.readouterr().err


def test_eval_and_again_against_its_own_result(
    gate: Path, serve: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad, kept = serve(right), serve(often_wrong), tmp_path / "kept.json"
    assert sickbay("eval", tmp_path / "echo.yaml", "--url", good, "--output", kept, "--minimum", "0.9") == 0
    assert "echo 7: 100.0% of 100 items pass (95 % interval 96.3% to 100.0%)" in capsys.readouterr().out
    assert sickbay("eval", tmp_path / "echo.yaml", "--url", good, "--against", kept, "--margin", "0.1") == 0
    assert "not worse at a margin of 10 points" in " ".join(capsys.readouterr().out.split())
    code = sickbay(
        "eval", tmp_path / "echo.yaml", "--url", bad, "--against", kept, "--margin", "0.1", "--format", "json"
    )
    summary = json.loads(capsys.readouterr().out)["summary"]
    assert (code, summary["exit_code"], summary["score"]["items"]) == (2, 2, 100)
    assert summary["score"]["interval"]["low"] < summary["score"]["passed"]
    assert ": worse at a margin of 10 points" in summary["compared"]


def test_a_comparison_says_why_it_says_nothing(
    gate: Path, serve: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, only = tmp_path / "kept.json", ("--only", "parity=odd")
    rows: list[dict[str, object]] = [
        {"item": str(i), "passed": True, "fields": {"parity": "odd" if i < 100 else "even"}} for i in range(200)
    ]

    def said(*flags: object) -> tuple[int, str]:
        code = sickbay("eval", tmp_path / "echo.yaml", "--url", url, "--against", kept, "--margin", "0.1", *flags)
        return code, " ".join(capsys.readouterr().out.split())

    url = serve(right)
    kept.write_text(json.dumps({"schema": "sickbay.eval.v1", "name": "echo", "rows": rows}))
    code, words = said()
    assert code == 3
    assert "not worse at a margin of 10 points; but too few pair for a word on the whole: 100 only there" in words
    code, words = said(*only)  # of the baseline the same slice
    assert (code, "too few pair" in words) == (0, False)
    rows = [{"item": name, "error": "HTTP 500"} for name in ("0", *(f"q{i}" for i in range(9)))]
    kept.write_text(json.dumps({"schema": "sickbay.eval.v1", "name": "echo", "rows": rows}))
    code, words = said()
    assert code == 3
    assert "no item pairs with the baseline: 9 only there, 99 only here, 1 without a score in one" in words


def test_a_plan_tells_what_the_size_can_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    items = "".join(f"  - {{id: i{n}, ask: q{n}, expected: x, fields: {{doc: d{n % 5}}}}}\n" for n in range(400))
    (tmp_path / "s.yaml").write_text(f"evalset: s\ncluster: doc\nscore: [exact]\nitems:\n{items}")
    assert sickbay("eval", tmp_path / "s.yaml", "--plan") == 0
    first, _, *shown, last = capsys.readouterr().out.splitlines()
    assert first == "s: 400 items, 400 requests"
    assert shown[0] == "  can show a margin of   3.2 points where 2% differ (same weights, other kernel)"
    assert last == "  in 5 clusters: items of one that fall together count as one; fewer than 10 decide nothing"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--temperature", "nan"], "--temperature: wanted 0 to 5, found nan"),
        (["--margin", "0"], "--margin: wanted a share between 0 and 1, found 0"),
        (["--minimum", "98"], "--minimum: wanted a share between 0 and 1, found 98; for 98 % write 0.98"),
        (["--minimum", "nan"], "--minimum: wanted a share between 0 and 1, found nan"),
        (["--minimum", "1"], "--minimum: no number of items shows that all answers are right; wanted less than 1"),
        (["--only", "parity"], "--only: wanted FIELD=VALUE, e.g. language=de, found 'parity'"),
        (["--against-score", "acc"], "--against-score: there is no --against to pick it from"),
        (["--concurrency", "0"], "--concurrency: wanted at least 1, found 0"),
        (["--samples", "0"], "--samples: wanted at least 1, found 0"),
        (["--max-tokens", "0"], "--max-tokens: wanted at least 1, found 0"),
        (["--retries", "-1"], "--retries: wanted at least 0, found -1"),
        (["--timeout", "inf"], "--timeout: wanted more than 0 seconds, found inf"),
        (["--output", "/no-such-folder/x.json"],
         "--output: '/no-such-folder/x.json' cannot be written: no such folder; nothing was asked yet"),
        (["--output", "{folder}/echo.jsonl"], "echo.jsonl' is the eval set too; name another file"),
        (["--journal", "{folder}/echo.yaml"], "echo.yaml' is the eval set too; name another file"),
        (["--journal", "{folder}/x", "--output", "{folder}/./x"], "x' is --journal too; name another file"),
        (["--output", "/"], "--output: '/' cannot be written: it is a folder; nothing was asked yet"),
        (["--price", "nan,1"], "--price: 'nan,1': wanted two prices, e.g. 0.15,0.60"),
    ],
)  # fmt: skip
def test_an_eval_that_cannot_be_meant_asks_nothing(
    flags: list[str], said: str, gate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [flag.replace("{folder}", str(gate.parent)) for flag in flags]
    code = sickbay("eval", gate.parent / "echo.yaml", "--url", "http://127.0.0.1:9", *flags)
    assert (code, said in capsys.readouterr().err) == (64, True)


def test_a_judge_that_nobody_names_is_missed_before_anything_is_asked(
    gate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (gate.parent / "echo.yaml").write_text("evalset: echo\nitems: echo.jsonl\nscore: [{judge: It is right.}]\n")
    assert sickbay("eval", gate.parent / "echo.yaml", "--url", "http://127.0.0.1:9") == 64
    assert "echo.jsonl:1:1: the item '0' is scored by a judge; name one with --judge-url" in capsys.readouterr().err


def test_what_a_judge_costs_is_told_apart_and_another_judge_goes_on_with_no_journal(
    gate: Path, serve: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (gate.parent / "echo.yaml").write_text("evalset: echo\nitems: echo.jsonl\nscore: [{judge: It is right.}]\n")
    flags = ["--url", serve(right), "--journal", tmp_path / "j", "--output", tmp_path / "run.json"]
    judges = [serve(lambda *_: '{"reason": "so", "pass": true}') for _ in range(2)]
    assert sickbay("eval", gate.parent / "echo.yaml", *flags, "--judge-url", judges[0]) == 0
    assert "the judge: 100 requests, 1000 + 200 tokens, not in the above" in capsys.readouterr().out
    run = read_results(tmp_path / "run.json")[0]
    assert (run.about["judge"], run.judging["requests"]) == (f"m at {judges[0]}", 100)
    assert sickbay("eval", gate.parent / "echo.yaml", *flags, "--judge-url", judges[1]) == 65
    assert "the journal of another run" in capsys.readouterr().err


def test_an_endpoint_that_fails_midway_leaves_no_answer(
    gate: Path, serve: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    def dying(body: dict[str, Any], nth: int) -> Any:
        said = right(body, nth)
        return (500, "gone") if int(said) % 10 == 9 else said

    code = sickbay("eval", gate.parent / "echo.yaml", "--url", serve(dying), "--retries", "0", "--minimum", "0.5")
    out = capsys.readouterr().out
    assert code == 3
    assert "100.0% of 90 items pass" in out
    assert "10 of 100 answers have no score" in " ".join(out.split())
    assert "at least the wanted 50.0%" in out


def test_answers_that_are_only_reasoning_are_told(
    gate: Path, serve: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    message = {"role": "assistant", "content": None, "reasoning": "Let me see."}
    sickbay("eval", gate.parent / "echo.yaml", "--url", serve(lambda *_: message))
    assert "100 answers are empty, with text in the reasoning field" in " ".join(capsys.readouterr().out.split())


def test_a_minimum_alone_is_no_comparison(
    gate: Path, serve: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --baseline it is told; a baseline that lacks the set, or that is empty, lets nothing pass."""
    gate.write_text(gate.read_text().replace("margin: 0.1", "margin: 0.1, minimum: 0.9"))
    url, other = serve(right), tmp_path / "other.json"
    assert sickbay("gate", gate, "--candidate", url) == 1
    assert "warn echo: not compared: no --baseline was given, so only its minimum counts" in " ".join(
        capsys.readouterr().out.split()
    )
    runs = {"candidate": [{"name": name, "rows": [{"item": "0", "passed": True}]} for name in ("eco", "safety")]}
    other.write_text(json.dumps({"schema": "sickbay.scorecard.v1", "runs": runs}))
    assert sickbay("gate", gate, "--candidate", url, "--baseline", other) == 3
    assert "no baseline holds this set, and it was to be compared with one" in " ".join(capsys.readouterr().out.split())
    assert sickbay("gate", gate, "--candidate", url, "--baseline", "") == 64
    assert "--baseline: it is empty; is the variable that it comes from set?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("side", "said"),
    [
        ("ftp://x", "--candidate: 'ftp://x': wanted http://host:port or https://host"),
        ("localhost", "--candidate: 'localhost' is no URL (http://host:port), and no target: no sickbay.yaml"),
        ("http://", "--candidate: 'http://': wanted http://host:port or https://host"),
    ],
)
def test_a_side_that_is_no_address(side: str, said: str, gate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sickbay("gate", gate, "--candidate", side) == 64
    assert said in capsys.readouterr().err


def test_a_scorecard_of_another_version(gate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "v2.json").write_text('{"schema": "sickbay.scorecard.v2", "runs": {"candidate": [{"name": "echo"}]}}')
    assert sickbay("gate", gate, "--candidate", "http://127.0.0.1:9", "--baseline", tmp_path / "v2.json") == 65
    assert "the scorecard is sickbay.scorecard.v2, this version reads sickbay.scorecard.v1" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "said"), [("no.json", "no file 'no.json'"), (".", "'.' is a folder")])
def test_a_baseline_that_is_no_host(name: str, said: str, gate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sickbay("gate", gate, "--candidate", "http://127.0.0.1:9", "--baseline", name) == 64
    assert f"--baseline: {said}; wanted a URL, a target of sickbay.yaml" in capsys.readouterr().err


def test_journal_goes_on_and_asks_nothing_twice(gate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stub = Stub(right)
    with serving_beside(stub) as url:
        flags = ("--url", url, "--journal", tmp_path / "j.jsonl")
        assert sickbay("eval", tmp_path / "echo.yaml", *flags, "--requests", "40") == 3
        assert sickbay("eval", tmp_path / "echo.yaml", *flags) == 0
    assert stub.total == 100
    assert "40 answers from" in capsys.readouterr().err


def test_a_gate_goes_on_from_its_journal(gate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "j").mkdir()
    first, second = Stub(right), Stub(right)
    with serving_beside(first) as one, serving_beside(second) as two:
        words = ("gate", gate, "--candidate", one, "--baseline", two, "--journal", tmp_path / "j")
        text = gate.read_text()
        gate.write_text(text + "requests: 30\n")
        assert sickbay(*words) == 3  # the budget ended it
        gate.write_text(text)
        assert sickbay(*words) == 0
    assert first.total == second.total == 100
    assert set(first.asked.values()) == {1}


def lm_eval(folder: Path) -> Path:
    """As written by lm-evaluation-harness 0.4 with --log_samples, shortened to the keys that matter."""
    path = folder / "samples_echo_2026-11-01T10-00-00.000000.jsonl"
    rows = [
        {"doc_id": i, "doc": {"id": str(i), "q": "x"}, "target": str(i), "filter": name, "metrics": ["exact_match"],
         "exact_match": 1.0, "doc_hash": "a"}
        for name in ("strict-match", "flexible-extract") for i in range(100)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def inspect_log(folder: Path) -> Path:
    """As inspect_ai writes it with deflate: header, and a file a sample."""
    path = folder / "log.eval"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", json.dumps({"status": "success", "eval": {"task": "echo", "model": "m"}}))
        for i in range(100):
            sample = {"id": i, "epoch": 1, "scores": {"match": {"value": "C"}}, "metadata": {"parity": "odd"}}
            archive.writestr(f"samples/{i}_epoch_1.json", json.dumps(sample))
    return path


@pytest.mark.parametrize("make", [lm_eval, inspect_log])
def test_other_tools_results_are_baselines(
    gate: Path, serve: Callable[..., str], tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    assert sickbay("gate", gate, "--candidate", serve(right), "--baseline", make(tmp_path)) == 0
    assert sickbay("gate", gate, "--candidate", serve(often_wrong), "--baseline", make(tmp_path)) == 2


def test_results_without_items_are_refused(gate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "results_2026.json"
    path.write_text(json.dumps({"results": {}, "configs": {}}))
    assert sickbay("gate", gate, "--candidate", "http://127.0.0.1:9", "--baseline", path) == 65
    assert "a paired comparison needs each item" in capsys.readouterr().err


def test_no_prompt_of_a_latency_probe_is_ever_asked_twice(gate: Path, tmp_path: Path) -> None:
    """A baseline that met the same prompts in an earlier gate would answer them from its prefix cache."""
    gate.write_text("gate: chat\nlatency:\n  - {metric: ttft, ratio_max: 90, pairs: 6, output_tokens: 2}\n")
    old = Stub(right)
    with serving_beside(old) as baseline:
        for _ in range(2):
            with serving_beside(Stub(right)) as candidate:
                sickbay("gate", gate, "--candidate", candidate, "--baseline", baseline)
    assert old.total == 14
    assert set(old.asked.values()) == {1}


def test_the_terminal_stays_within_its_columns_and_names_what_differs(
    gate: Path, serve: Callable[..., str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def both(_: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "m", "owned_by": "vllm"}, {"id": "an-older-model"}]})

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("tests.engine.evals.stub.models", both)
    words = ("--baseline-model", "an-older-model")
    assert sickbay("gate", gate, "--candidate", serve(often_wrong), "--baseline", serve(right), *words) == 2
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "  differs    model: an-older-model -> m\n" in out
