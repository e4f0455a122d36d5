"""Retrieval on records: recall, order, empty results, forbidden passages, the prompt, and an index out of date."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sickbay.checks.retrieval.context import RetrievalContext
from sickbay.checks.retrieval.index import RetrievalIndex
from sickbay.checks.retrieval.quality import RetrievalQuality
from sickbay.checks.retrieval.quality_judge import ndcg
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Check, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target
from tests.checks.serving.looking import looking, run_check


def lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def passive(check: Check, **given: Any) -> Result:
    async def run() -> Result:
        async with looking(Target(name="t")) as look:
            params = {name: part["default"] for name, part in check.params["properties"].items()} | given
            found = check.look(look, params)
            raw = json.loads(json.dumps(found if isinstance(found, dict) else await found))
        return check.judge(raw, params)

    return asyncio.run(run())


def quality(path: Path, rows: Sequence[Mapping[str, Any]], **given: Any) -> Result:
    return passive(RetrievalQuality(), records=lines(path / "rows.jsonl", rows), **given)


def test_recall_and_order_by_hand(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"query": "a", "relevant": ["1", "2"], "retrieved": ["9", "1", "2"]},
        {"query": "b", "relevant": ["3"], "retrieved": [{"id": "4"}]},
        {"query": "c", "relevant": ["5"], "retrieved": []},
    ]
    result = quality(tmp_path, rows)
    assert result.signals["rag.recall_ratio"].value == pytest.approx(1 / 3)
    one = (1 / math.log2(3) + 1 / math.log2(4)) / (1 + 1 / math.log2(3))
    assert result.signals["rag.ndcg_ratio"].value == pytest.approx(one / 3)
    assert result.outcome is Outcome.FAIL


def test_k_bounds_what_counts() -> None:
    assert ndcg(["x", "1"], ["1"], 1) == 0.0
    assert ndcg(["1", "1"], ["1", "2"], 2) == pytest.approx(1 / (1 + 1 / math.log2(3)))


def test_an_id_that_came_twice_counts_once(tmp_path: Path) -> None:
    rows = [{"query": "a", "relevant": ["1", "1", "2"], "retrieved": ["1", "1"]}]
    assert quality(tmp_path, rows).signals["rag.recall_ratio"].value == pytest.approx(0.5)


def test_long_questions_come_back_empty(tmp_path: Path) -> None:
    rows = [{"question_tokens": n, "passages": 3 if n < 200 else 0} for n in (10, 50, 199, 200, 240, 300)]
    signals = quality(tmp_path, rows).signals
    assert (signals["rag.empty_long_ratio"].value, signals["rag.empty_short_ratio"].value) == (1.0, 0.0)


def test_empty_results_that_have_nothing_to_do_with_length(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"question_tokens": n, "passages": 0 if n % 5 == 2 else 3} for n in range(1, 101)]
    signals = quality(tmp_path, rows).signals
    long, short = signals["rag.empty_long_ratio"], signals["rag.empty_short_ratio"]
    assert not long.known or float(long.value or 0) - float(short.value or 0) < 0.3


def test_a_passage_that_its_asker_may_not_see(tmp_path: Path) -> None:
    rows = [{"query": "a", "forbidden": ["secret"], "retrieved": ["public", "secret"]}]
    result = quality(tmp_path, rows)
    assert result.signals["rag.forbidden_passages"].value == 1.0
    assert result.outcome is Outcome.FAIL


def test_passages_that_never_reach_the_prompt(tmp_path: Path) -> None:
    texts = [{"id": "1", "text": "The plan  costs\n25 euros."}, {"id": "2", "text": "Open from ten."}]
    rows = [{"retrieved": texts, "messages": [{"role": "user", "content": "The plan costs 25 euros. How much?"}]}]
    assert quality(tmp_path, rows).signals["rag.in_prompt_ratio"].value == pytest.approx(0.5)


def test_what_stays_out_of_the_prompt_is_not_recalled(tmp_path: Path) -> None:
    texts = [{"id": "1", "text": "in it"}, {"id": "2", "text": "left out"}]
    rows = [{"query": "a", "relevant": ["1", "2"], "retrieved": texts, "prompt": "here: in it. a"}]
    assert quality(tmp_path, rows).signals["rag.recall_ratio"].value == 0.5


def test_scores_that_are_all_zero(tmp_path: Path) -> None:
    rows = [{"retrieved": [{"id": "1", "score": 0.0}, {"id": "2", "score": 0}]}]
    assert quality(tmp_path, rows).signals["rag.scores_all_zero"].value is True


def test_what_is_not_recorded_is_unknown_and_never_well(tmp_path: Path) -> None:
    result = quality(tmp_path, [{"query": "a"}])
    assert result.outcome is Outcome.UNKNOWN
    assert not any(reading.known for reading in result.signals.values())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "{path}: it holds no row", id="empty"),
        pytest.param('{"a": 1}\nno\n', "{path}:2: wanted a JSON object, found 'no'", id="no-json"),
        pytest.param("[1]\n", "{path}:1: wanted a JSON object, found '[1]'", id="a-list"),
    ],
)
def test_broken_records_say_their_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    with pytest.raises(ProbeError) as caught:
        passive(RetrievalQuality(), records=str(path))
    assert caught.value.detail == said.format(path=path)


def test_nothing_told_is_not_configured() -> None:
    for check in (RetrievalQuality(), RetrievalIndex()):
        with pytest.raises(ProbeError) as caught:
            passive(check)
        assert caught.value.reason is UnknownReason.NOT_CONFIGURED


async def _serve(handler: Any, path: str) -> tuple[web.AppRunner, str]:
    app = web.Application()
    app.router.add_post(path, handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


def test_a_live_endpoint_is_asked(tmp_path: Path) -> None:
    async def find(request: web.Request) -> web.Response:
        asked = await request.json()
        return web.json_response({"results": [{"id": asked["query"], "score": 1.0}][: asked["k"]]})

    async def run() -> Result:
        runner, url = await _serve(find, "/search")
        rows = lines(tmp_path / "r.jsonl", [{"query": "1", "relevant": ["1"]}, {"query": "2", "relevant": ["7"]}])
        async with looking(Target(name="t", url=url)) as look:
            _, result = await run_check(RetrievalQuality(), look, records=rows, url=f"{url}/search")
        await runner.cleanup()
        return result

    assert asyncio.run(run()).signals["rag.recall_ratio"].value == 0.5


def test_an_endpoint_that_answers_prose_is_malformed(tmp_path: Path) -> None:
    async def run() -> None:
        runner, url = await _serve(_prose, "/search")
        rows = lines(tmp_path / "r.jsonl", [{"query": "1", "relevant": ["1"]}])
        async with looking(Target(name="t", url=url)) as look:
            with pytest.raises(ProbeError, match="no query was answered: wanted a list of passages"):
                await run_check(RetrievalQuality(), look, records=rows, url=f"{url}/search")
        await runner.cleanup()

    asyncio.run(run())


async def _prose(_request: web.Request) -> web.Response:
    return web.json_response({"answer": "sorry"})


# --- the index ---


def index(folder: Path, rows: Sequence[Mapping[str, Any]], **given: Any) -> Result:
    (folder / "docs").mkdir()
    (folder / "docs" / "hours.md").write_text("Open from 10  to 16.\n")
    (folder / "docs" / "price.md").write_text("25 euros a month.\n")
    path = lines(folder / "index.jsonl", rows)
    return passive(RetrievalIndex(), documents=str(folder / "docs"), index=path, **given)


def test_an_index_that_is_current(tmp_path: Path) -> None:
    rows = [{"document": "hours.md", "text": "Open from\n10 to 16."}, {"document": "x/price.md", "text": "25 euros"}]
    result = index(tmp_path, rows)
    assert result.outcome is Outcome.PASS
    assert result.signals["rag.documents_newer_ratio"].value == 0.0
    assert result.signals["rag.stored_text_current"].value is True


@pytest.mark.parametrize(
    ("rows", "ratio"),
    [
        pytest.param([{"document": "hours.md", "text": "Open from 9"}, {"document": "price.md", "text": "25"}], 0.5,
                     id="text-changed"),
        pytest.param([{"document": "hours.md", "sha256": "0" * 64}, {"document": "price.md", "text": "25"}], 0.5,
                     id="hash-differs"),
        pytest.param([{"document": "price.md", "text": "25 euros"}], 0.5, id="document-not-indexed"),
        pytest.param([{"document": "hours.md", "text": "10"}, {"document": "price.md", "text": "25"},
                      {"document": "old.md", "text": "gone"}], 1 / 3, id="document-gone"),
    ],
)  # fmt: skip
def test_an_index_that_is_stale(tmp_path: Path, rows: Sequence[Mapping[str, Any]], ratio: float) -> None:
    result = index(tmp_path, rows)
    assert result.signals["rag.documents_newer_ratio"].value == pytest.approx(ratio)
    assert result.outcome is Outcome.FAIL


def test_documents_by_their_time(tmp_path: Path) -> None:
    documents = lines(tmp_path / "d.jsonl", [{"id": "1", "text": "a", "updated_at": "2026-01-02"}])
    stored = lines(tmp_path / "i.jsonl", [{"id": "1", "indexed_at": "2026-01-01"}])
    result = passive(RetrievalIndex(), documents=documents, index=stored)
    assert result.signals["rag.documents_newer_ratio"].value == 1.0
    assert not result.signals["rag.stored_text_current"].known


@pytest.mark.parametrize(
    ("stored", "asked", "matches"),
    [
        pytest.param({"embedding_model": "e1"}, {"embedding_model": "e1"}, True, id="equal"),
        pytest.param({"embedding_model": "e1"}, {"embedding_model": "e2"}, False, id="other-model"),
        pytest.param({"vector": [0.0] * 3}, {"dimensions": 4}, False, id="other-width"),
        pytest.param({"dimensions": 4}, {"dimensions": 4}, True, id="width-equal"),
        pytest.param({}, {"embedding_model": "e1"}, None, id="not-told"),
    ],
)
def test_embedding(tmp_path: Path, stored: Mapping[str, Any], asked: Mapping[str, Any], matches: bool | None) -> None:
    rows = [{"document": "hours.md", "text": "10", **stored}, {"document": "price.md", "text": "25", **stored}]
    assert index(tmp_path, rows, **asked).signals["rag.embedding_matches"].value is matches


def test_an_index_of_two_embeddings(tmp_path: Path) -> None:
    rows = [{"document": "hours.md", "embedding_model": "a"}, {"document": "price.md", "embedding_model": "b"}]
    told = index(tmp_path, rows).signals["rag.embedding_matches"]
    assert (told.value, told.source) == (False, "the index mixes embeddings of a, b")


# --- what the gold passage changes ---


def _recovery(tmp_path: Path, answers: Mapping[str, str], cases: int) -> Result:
    async def chat(request: web.Request) -> web.Response:
        body = await request.json()
        asked = body["messages"][-1]["content"]
        text = next((answer for mark, answer in answers.items() if mark in asked), "no idea")
        return web.json_response({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]})

    async def run() -> Result:
        runner, url = await _serve(chat, "/v1/chat/completions")
        row = {"question": "When?", "want": ["ten"], "gold": "GOLD opens at ten", "retrieved": [{"text": "OLD nine"}]}
        rows = lines(tmp_path / "r.jsonl", [row] * cases)
        async with looking(Target(name="t", url=url), requests=20) as look:
            _, result = await run_check(RetrievalContext(), look, records=rows)
        await runner.cleanup()
        return result

    return asyncio.run(run())


def test_the_gold_passage_cures(tmp_path: Path) -> None:
    result = _recovery(tmp_path, {"GOLD": "at ten", "OLD": "at nine"}, 3)
    assert result.signals["output.recovery_gold_context"].value == 1.0


def test_the_gold_passage_does_not_cure(tmp_path: Path) -> None:
    result = _recovery(tmp_path, {"GOLD": "never", "OLD": "at nine"}, 2)
    assert result.signals["output.recovery_gold_context"].value == 0.0


def test_one_failing_case_is_too_few(tmp_path: Path) -> None:
    told = _recovery(tmp_path, {"GOLD": "at ten"}, 1).signals["output.recovery_gold_context"]
    assert told.reason is UnknownReason.NO_TRAFFIC
