"""Rows of retrieval as systems write them: names in other forms, dates in other zones, texts that say the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.retrieval.index import RetrievalIndex
from sickbay.checks.retrieval.names import is_part_of, names_of
from sickbay.checks.training.labels import TrainingLabels
from sickbay.engine.measure.moments import moment
from sickbay.engine.model.check import Result
from tests.checks.retrieval.test_retrieval import lines, passive, quality


@pytest.mark.parametrize(
    "retrieved",
    [
        pytest.param(["7"], id="text"),
        pytest.param([7], id="number"),
        pytest.param([{"_id": 7, "_score": 0.5}], id="search-engine"),
        pytest.param([{"page_content": "x", "metadata": {"source": "7"}}], id="langchain"),
        pytest.param([{"node": {"id_": "7", "text": "x"}, "score": 0.5}], id="llamaindex"),
        pytest.param([{"id": "c9", "document_id": "7"}], id="passage-of-a-document"),
        pytest.param(["7#3"], id="part"),
        pytest.param([{"id": " 7 "}], id="space"),
    ],
)
@pytest.mark.parametrize("named", [[7], ["7"], "7", {"7": 3, "8": 0}])
def test_one_document_under_many_names(tmp_path: Path, retrieved: list[Any], named: Any) -> None:
    result = quality(tmp_path, [{"query": "a", "relevant": named, "forbidden": named, "retrieved": retrieved}])
    assert result.signals["rag.recall_ratio"].value == 1.0
    assert result.signals["rag.forbidden_passages"].value == 1.0


@pytest.mark.parametrize(
    ("name", "document", "part"),
    [
        ("doc7#3", "doc7", True), ("doc7_chunk_3", "doc7", True), ("doc7/3", "doc7", True), ("doc71", "doc7", False),
        ("doc7-2024", "doc7", False), ("Caf\u00c9", "cafe\u0301", True), ("0", "0", True),
    ],
)  # fmt: skip
def test_parts_of_a_document(name: str, document: str, part: bool) -> None:
    assert is_part_of(names_of(name), names_of(document)[0]) is part


def test_a_forbidden_passage_is_found_at_any_place(tmp_path: Path) -> None:
    rows = [{"query": "a", "forbidden": ["z"], "retrieved": [str(n) for n in range(900)] + ["z"]}]
    assert quality(tmp_path, rows).signals["rag.forbidden_passages"].value == 1.0


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("nai\u0308ve  words", "ctx: naïve words"),
        ('say "hi" & go', '{"context": "say \\"hi\\" & go"}'),
        ("a < b", "<p>a &lt; b</p>"),
        ("of\ufb01ce\u00a0hours", "office hours"),
    ],
    ids=["unicode", "json", "html", "ligature"],
)
def test_a_passage_in_the_prompt(tmp_path: Path, text: str, prompt: str) -> None:
    rows = [{"query": "a", "relevant": ["1"], "retrieved": [{"id": "1", "text": text}], "prompt": prompt}]
    assert quality(tmp_path, rows).signals["rag.in_prompt_ratio"].value == 1.0


def indexed(path: Path, document: dict[str, Any], passage: dict[str, Any], **given: Any) -> Result:
    documents = lines(path / "documents.jsonl", [{"document": "a", "text": "one two three. four five", **document}])
    index = lines(path / "index.jsonl", [{"document": "a", **passage}])
    return passive(RetrievalIndex(), documents=documents, index=index, **given)


@pytest.mark.parametrize(
    ("changed", "at", "stale"),
    [
        ("2025-09-01T12:00:00+02:00", "2025-09-01T10:30:00Z", 0.0),
        ("2025-09-01T12:00:00-05:00", "2025-09-01T13:00:00Z", 1.0),
        (1756720000, 1756730000000, 0.0),
        (1756720000, "2025-08-31T00:00:00Z", 1.0),
        ("Mon, 01 Sep 2025 10:00:00 GMT", "2025-09-01T09:00:00Z", 1.0),
        ("2025-09-01 10:00:00", "2025-09-01T10:00:01", 0.0),
        ("2025-09-01", "2025-09-01T10:00:00Z", None),
        ("2025-09-01T10:00:00", "2025-09-01T12:00:00Z", None),
        ("yesterday", "2025-09-01T12:00:00Z", None),
    ],
)
def test_dates_of_any_form(tmp_path: Path, changed: Any, at: Any, stale: float | None) -> None:
    reading = indexed(tmp_path, {"updated_at": changed}, {"indexed_at": at}).signals["rag.documents_newer_ratio"]
    assert reading.value == stale


@pytest.mark.parametrize("told", [None, True, "", "7", -1, float("nan"), float("inf"), "2025", [], {}])
def test_what_is_no_moment(told: Any) -> None:
    assert moment(told) is None


@pytest.mark.parametrize(
    ("text", "current"),
    [
        pytest.param("**one** two *three*.", True, id="mark-up"),
        pytest.param("Handbook\n\nfour five", False, id="a-heading-from-nowhere"),
        pytest.param("# one\n\nfour five", True, id="a-heading-of-the-document"),
        pytest.param("Document: a\n\nfour five", True, id="its-name-before-it"),
        pytest.param("One fee is 30.\nfour five", False, id="a-first-line-that-changed"),
    ],
)
def test_words_of_a_passage(tmp_path: Path, text: str, current: bool) -> None:
    assert indexed(tmp_path, {}, {"text": text}).signals["rag.stored_text_current"].value is current


def test_an_embedding_of_another_width(tmp_path: Path) -> None:
    result = indexed(tmp_path, {}, {"text": "one", "embedding": [0] * 8, "dimensions": True}, dimensions=4)
    assert result.signals["rag.embedding_matches"].source == "the index holds vectors of 8 numbers, a query has 4"


def test_parts_of_one_document_in_several_rows(tmp_path: Path) -> None:
    documents = lines(tmp_path / "d.jsonl", [{"document": "a", "text": "old part"}, {"document": "a", "text": "new"}])
    rows: list[dict[str, Any]] = [
        {"id": "a#0", "text": "old part"},
        {"metadata": {"source": "/x/a"}, "page_content": "new"},
    ]
    result = passive(RetrievalIndex(), documents=documents, index=lines(tmp_path / "i.jsonl", rows))
    assert result.signals["rag.documents_newer_ratio"].value == 0.0


def test_a_batch_in_a_row_and_several_ends(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("model: {eos_token_id: [2, 7]}")
    batch = [{"input_ids": [[1, 5, 2], [1, 6, 7]], "labels": [[-100, 5, 2], [-100, 6, -100]]}]
    found = passive(TrainingLabels(), labels=lines(tmp_path / "l.jsonl", batch), config=str(tmp_path / "c.yaml"))
    assert found.signals["model.end_label_masked_ratio"].value == 0.5
