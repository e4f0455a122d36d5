"""`sickbay engines compare` on two real llama.cpp servers that differ in slots and template."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sickbay.__main__ import main

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    pytest.importorskip("xllamacpp", reason="the extra `demo` is not installed")
    from sickbay.lab.child import start

    plain = {"ctx": 1024, "parallel": 1, "threads": 1}
    # A template's name given as its text: every conversation becomes the six letters.
    other = {"ctx": 1024, "parallel": 2, "threads": 1, "params": {"chat_template": "llama2"}}
    children = [
        start(name, "sickbay.lab.llamacpp_server", options, folder=tmp_path_factory.mktemp(name))
        for name, options in (("a", plain), ("b", other))
    ]
    yield children[0].url, children[1].url
    for child in children:
        child.stop()


def test_what_differs_is_shown(servers: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engines", "compare", *servers, "--pairs", "2", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    differ = {row["signal"]: (row["A"], row["B"]) for row in found["settings"]}
    assert differ["serving.requests_running_limit"] == (1.0, 2.0)
    assert "serving.template_sha" in differ
    assert found["same_prompt"] is False
    rows = {row.get("text") or row["conversation"]: row for row in found["tokens"]}
    assert all(row["same"] is True for row in found["tokens"] if "text" in row)
    assert rows["user"]["same"] is False
    assert rows["user"]["rendered_B"] == "llama2"
    assert [row["pairs"] for row in found["latency"]] == [2] * len(found["latency"])
    assert found["latency"]


def test_the_table_names_no_winner_of_one_pair(servers: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engines", "compare", servers[0], servers[0], "--pairs", "1"]) == 0
    out = capsys.readouterr().out
    assert "9 of 9 fixed texts and conversations give the same ids" in out
    assert "one pair shows no difference" in out
    assert "not of the same work" not in out
    assert "A and B are one address" in out


def test_a_server_that_is_gone(servers: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engines", "compare", servers[0], "http://me:hidden@127.0.0.1:9", "--pairs", "1"]) == 3
    out, err = capsys.readouterr()
    assert "B  http://127.0.0.1:9: not recognised" in out
    assert out.count("nothing listens on 127.0.0.1:9") == 1
    assert out.endswith("Nothing is compared: B does not answer.\n")
    assert "hidden" not in out + err


def test_two_that_are_gone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engines", "compare", "127.0.0.1:9", "127.0.0.1:9", "--format", "json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert [(side["answers"], side["signals_known"], len(side["problems"])) for side in found["sides"]] == [
        (False, 0, 1)
    ] * 2
    assert (found["settings"], found["only"], found["tokens"], found["latency"]) == ([], {"A": [], "B": []}, [], [])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["compare", "http://a"], "engines compare: wanted two addresses, found 1: http://a"),
        (["compare", "a", "b", "--pairs", "51"], "--pairs: 51; wanted 0 to 50"),
        (["vllm", "tgi"], "engines: one filter, or `compare A B`; found 'vllm tgi'"),
    ],
)
def test_wrong_words(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engines", *words]) == 64
    assert capsys.readouterr().err == f"sickbay: {said}\n"


def test_memory_of_a_real_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="the extra `demo` is not installed")
    from sickbay.lab.model import find_model

    path = str(find_model())
    assert (
        main(["memory", path, "--context", "2048", "--concurrency", "4", "--memory", "1GiB", "--format", "json"]) == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert (found["kv_bytes"], found["kv_bytes_per_token"], found["fits"]) == (4 * 2048 * 23_040, 23_040, True)
    assert main(["memory", path, "--memory", "100MB"]) == 2
    assert "it does not fit" in capsys.readouterr().out
    assert main(["memory", str(tmp_path)]) == 3
    assert main(["memory", path, "--kv-type", "q9"]) == 64
