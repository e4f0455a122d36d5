# ruff: noqa: E501 - one case a line
"""Earlier results as baselines: what other tools write is read, and whatever is wrong is told with its place."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
import zstandard

from sickbay.engine.errors import ConfigError
from sickbay.engine.evals.read import zip_members
from sickbay.engine.evals.read.results import read_results
from sickbay.engine.evals.row import EvalRun

HEADER = {"eval": {"task": "facts", "model": "m"}, "status": "success"}
SAMPLES = [
    {"id": "a", "epoch": 1, "scores": {"match": {"value": "C"}}, "metadata": {"lang": "de"}},
    {"id": "b", "epoch": 1, "scores": {"match": {"value": "I"}}},
]


def zstd_log(path: Path, *, damage: bool = False) -> Path:
    """As inspect_ai writes it: members of method 93, which `zipfile` can list and not make. So: stored, then patched."""
    members = {"header.json": HEADER, **{f"samples/{each['id']}_epoch_1.json": each for each in SAMPLES}}
    packed = {name: zstandard.ZstdCompressor().compress(json.dumps(data).encode()) for name, data in members.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in packed.items():
            archive.writestr(name, data)
        for info in archive.infolist():
            text = json.dumps(members[info.filename]).encode()
            info.compress_type, info.file_size, info.CRC = 93, len(text), zlib.crc32(text) ^ damage
    return path


def test_inspect_log_with_zstd(tmp_path: Path) -> None:
    (run,) = read_results(zstd_log(tmp_path / "log.eval"))
    assert (run.name, run.format, run.about["model"]) == ("facts", "inspect", "m")
    assert [(row.item, row.passed, dict(row.fields)) for row in run.rows] == [
        ("a", True, {"lang": "de"}), ("b", False, {}),
    ]  # fmt: skip


def test_a_damaged_member_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"a damaged Inspect log: 'header.json': size or checksum is wrong|header.json: size or checksum is wrong",
    ):
        read_results(zstd_log(tmp_path / "log.eval", damage=True))


def test_wherever_a_packed_log_is_damaged_it_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log.eval"
    header = {"eval": {"task": "facts", "notes": [hex(n * n) for n in range(200)]}, "status": "success"}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps(header))
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        with pytest.raises(ConfigError, match=r"log\.eval: "):
            read_results(path)


def test_without_the_extra_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    with pytest.raises(ConfigError, match=r"compressed with zstd; pip install 'sickbay\[evals\]', or convert it"):
        read_results(zstd_log(tmp_path / "log.eval"))
    assert zip_members.ZSTD == 93


def own(rows: object = ({"item": "a"},), **changes: object) -> str:
    return json.dumps({"schema": "sickbay.eval.v1", "name": "s", "rows": rows, **changes})


def test_a_line_separator_inside_a_text_ends_no_line(tmp_path: Path) -> None:
    path = tmp_path / "samples_t_1.jsonl"
    path.write_text(json.dumps({"doc_id": 0, "acc": 1, "doc": {"q": "a\u2028b\u0085c"}}, ensure_ascii=False) + "\n")
    (run,) = read_results(path)
    assert run.rows[0].fields == {"q": "a\u2028b\u0085c"}


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("a.json", "", "a.json: the file is empty; wanted the result of an earlier run"),
        ("a.json", "{\n 3", "a.json:2:2: not JSON: Expecting property name enclosed in double quotes"),
        ("a.json", "[" * 100_000, "a.json: not JSON: nested too deeply"),
        ("a.json", own(asked=[1]), "a.json: asked: wanted an object, found [1]"),
        ("a.json", own(scorers=[1]), "a.json: scorers: wanted an object, found [1]"),
        ("a.json", own(planned=True), "a.json: planned: wanted a number, found True"),
        ("a.json", own([{"item": "a", "fields": {"lang": 1}}]), "a.json: rows[0]: fields.lang: wanted text, found 1"),
        ("a.json", own([{"item": "a", "sample": True}]), "a.json: rows[0]: sample: wanted a number, found True"),
        ("a.json", own([{"item": "a", "why": 4}]), "a.json: rows[0]: why: wanted text, found 4"),
        ("a.json", "[]", "a.json: no result file of a known form; wanted"),
        ("a.json", '{"schema": "sickbay.eval.v1"}', "a.json: no eval run: wanted an object with a name"),
        ("a.json", '{"schema": "sickbay.eval.v9"}', "a.json: the result is sickbay.eval.v9, this version reads sickbay.eval.v1"),
        ("a.json", own([]), "a.json: the run 's' has no rows; nothing can be paired with it"),
        ("a.json", own([1]), "a.json: rows[0]: wanted an object with item"),
        ("a.json", own([{"item": 3}]), "a.json: rows[0]: item: wanted text, found 3"),
        ("a.json", own([{"item": "a", "passed": "yes"}]), "a.json: rows[0]: passed: wanted true or false or nothing, found 'yes'"),
        ("a.json", own([{"item": "a", "value": 7}]), "a.json: rows[0]: value: wanted 0 to 1, found 7"),
        ("a.json", own([{"item": "a"}, {"item": "b"}, {"item": "a"}]), "a.json: rows[2]: the item 'a' stands twice; first in rows[0]"),
        ("a.json", '{"schema": "sickbay.scorecard.v1"}', "a.json: a scorecard without runs of its candidate; it cannot be a baseline"),
        ("a.json", '{"schema": "sickbay.scorecard.v1", "runs": {"candidate": [3]}}', "a.json: runs.candidate[0]: no eval run: wanted an object with a name"),
        ("a.json", '{"samples": 3, "eval": 4}', "a.json: no Inspect log: wanted eval: {...} and samples: [...]"),
        ("a.json", '{"samples": [3], "eval": {}}', "a.json: samples[0]: wanted an object, found int"),
        ("a.json", '{"samples": [{"id": 1, "epoch": "x"}], "eval": {}}', "a.json: samples[0]: epoch: wanted a whole number, found 'x'"),
        ("a.json", '{"samples": [{"id": 1}, {"id": 1}], "eval": {}}', "a.json: samples[1]: the sample '1' of this epoch stands twice"),
        ("a.json", '{"status": "success", "eval": {}}', "a.json: an Inspect log without samples; was it written with log_samples off?"),
        ("a.json", '{"samples": [{"id": 1, "scores": {"rate": {"value": 7}}}], "eval": {}}', "a.json: none of its 1 answers has a score; the first: the sample has no score of rate: wanted 0 to 1"),
        ("a.json", '{"samples": [], "eval": {}}', "a.json: an Inspect log without samples; was it written with log_samples off?"),
        ("a.json", '{"results": {}, "configs": {}}', "a.json: lm-evaluation-harness results hold only means, and a paired comparison needs each item"),
        ("s.jsonl", "\n", "s.jsonl: no sample in it; wanted lm-evaluation-harness samples, one JSON object a line"),
        ("s.jsonl", '{"doc_id": 1}\n\n{"x": 1}\n', "s.jsonl:3:1: no lm-evaluation-harness sample: wanted an object with doc_id"),
        ("s.jsonl", '{"doc_id": 1, "metrics": 3}', "s.jsonl:1:1: metrics: wanted a list of names, found '3'"),
        ("s.jsonl", '{"doc_id": 1, "metrics": ["ppl"], "ppl": 9.5}', "s.jsonl:1:1: ppl is 9.5; wanted a score of 0 to 1"),
        ("s.jsonl", '{"doc_id": 1, "acc": 1}\n{"doc_id": 1, "acc": 0}', "s.jsonl:2:1: the sample '1' stands twice; first on line 1"),
        ("s.jsonl", "version https://git-lfs.github.com/spec/v1\noid sha256:7d\n", "s.jsonl: this is a pointer of Git LFS, and not the file itself; fetch it: git lfs pull"),
        ("x.eval", "PK\x03\x04garbage", "x.eval: a damaged Inspect log: File is not a zip file"),
    ],
)  # fmt: skip
def test_what_is_wrong(name: str, text: str, wanted: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_results(path)
    assert str(caught.value).startswith(f"{tmp_path}/{wanted}")


def test_scores_that_are_no_numbers_are_errors_and_not_zeros(tmp_path: Path) -> None:
    path = tmp_path / "samples_t_1.jsonl"
    path.write_text('{"doc_id": 1, "acc": NaN}\n{"doc_id": 2, "acc": 1.0}\n{"doc_id": 3, "acc": "yes"}\n')
    (run,) = read_results(path)
    assert [(row.item, row.passed, bool(row.error)) for row in run.rows] == [
        ("1", None, True), ("2", True, False), ("3", None, True),
    ]  # fmt: skip


def samples(tmp_path: Path, *rows: dict[str, Any]) -> EvalRun:
    path = tmp_path / "samples_t_1.jsonl"
    path.write_text("".join(json.dumps({"filter": "none", **row}) + "\n" for row in rows))
    (run,) = read_results(path)
    return run


@pytest.mark.parametrize(
    ("row", "metric", "value", "others"),
    [
        ({"metrics": ["acc", "acc_norm"], "acc": 1.0, "acc_norm": 0.0}, "acc", 1.0, "acc_norm"),
        ({"metrics": ["bleu_max", "bleu_acc"], "bleu_max": 23.4, "bleu_acc": 1}, "bleu_acc", 1.0, "bleu_max"),
        ({"metrics": ["inst_acc"], "inst_acc": [True, False]}, "inst_acc", 0.5, None),
        ({"target": "x", "resps": [], "mc2": 0.4}, "mc2", 0.4, None),
        ({"pass_at_1": True, "doc_hash": "h"}, "pass_at_1", 1.0, None),
        ({"exact_match,none": 1.0}, "exact_match,none", 1.0, None),
    ],
)
def test_one_metric_is_taken_and_told(
    row: dict[str, Any], metric: str, value: float, others: str | None, tmp_path: Path
) -> None:
    run = samples(tmp_path, {"doc_id": 0, **row})
    assert (run.rows[0].value, run.about["metric"], run.about.get("other_metrics")) == (value, metric, others)


def test_a_metric_that_is_no_score_in_one_sample_is_none_of_the_file(tmp_path: Path) -> None:
    run = samples(tmp_path, {"doc_id": 0, "words": 1, "acc": 0}, {"doc_id": 1, "words": 7, "acc": 1})
    assert run.about["metric"] == "acc"
    assert [row.value for row in run.rows] == [0.0, 1.0]


def test_the_other_filters_are_told(tmp_path: Path) -> None:
    run = samples(tmp_path, {"doc_id": 0, "filter": "strict", "acc": 0}, {"doc_id": 0, "filter": "flexible", "acc": 1})
    assert (run.about["filter"], run.about["other_filters"], run.rows[0].value) == ("strict", "flexible", 0.0)


@pytest.mark.parametrize(
    ("score", "metric", "under", "value"),
    [
        ("", "acc", "strict", 0.0), ("acc", "acc", "strict", 0.0), ("flexible", "acc", "flexible", 1.0),
        ("acc_norm,flexible", "acc_norm", "flexible", 0.5), (",flexible", "acc", "flexible", 1.0),
    ],
)  # fmt: skip
def test_a_metric_and_a_filter_can_be_picked(score: str, metric: str, under: str, value: float, tmp_path: Path) -> None:
    path = tmp_path / "samples_t_1.jsonl"
    names = {"metrics": ["acc", "acc_norm"], "doc_id": 0}
    rows = [
        {**names, "filter": "strict", "acc": 0, "acc_norm": 0},
        {**names, "filter": "flexible", "acc": 1, "acc_norm": 0.5},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (run,) = read_results(path, score)
    assert (run.about["metric"], run.about["filter"], run.rows[0].value) == (metric, under, value)
    with pytest.raises(ConfigError) as caught:
        read_results(path, "f1,loose")
    told = f"{path}: no score 'f1,loose' in it; metrics: acc, acc_norm; filters: strict, flexible"
    assert str(caught.value) == told


def test_a_scorer_of_a_log_can_be_picked_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    sample = {"id": 1, "scores": {"match": {"value": "C"}, "graded": {"value": {"a": 0.5, "b": "I"}}}}
    path.write_text(json.dumps({"eval": {}, "samples": [sample]}))
    (run,) = read_results(path, "graded/b")
    assert (run.about["scorer"], run.about["other_scorers"], run.rows[0].value) == ("graded/b", "match, graded/a", 0.0)
    with pytest.raises(ConfigError, match="no score 'other' in it; scorers: match, graded/a, graded/b"):
        read_results(path, "other")
    path.write_text(own())
    with pytest.raises(ConfigError, match="'match' cannot be picked: each item of this file has one score"):
        read_results(path, "match")


def test_a_log_of_one_score_a_sample(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"eval": {}, "samples": [{"id": 1, "score": {"value": "C"}}]}))
    assert read_results(path)[0].rows[0].value == 1.0


def test_ids_that_are_not_unique_name_nothing(tmp_path: Path) -> None:
    run = samples(tmp_path, *({"doc_id": n, "doc": {"id": "same"}, "acc": 1} for n in range(2)))
    assert [row.item for row in run.rows] == ["0", "1"]


def test_one_inspect_scorer_is_taken_for_the_whole_log(tmp_path: Path) -> None:
    scores: list[dict[str, Any]] = [
        {
            "rate": {"value": 7},
            "right": {"value": "C"},
            "several": {"value": {"a": 1, "b": 0.5}},
            "list": {"value": [1]},
        },
        {"rate": {"value": 1}, "right": {"value": "I"}, "several": {"value": {"a": "yes"}}},
        {"rate": {"value": 0}, "right": {"value": "0.25"}, "several": {"value": {}}},
    ]
    log = {"eval": {"task": "t"}, "samples": [{"id": n, "scores": each} for n, each in enumerate(scores)]}
    path = tmp_path / "log.json"
    path.write_text(json.dumps(log))
    (run,) = read_results(path)
    assert run.about["scorer"] == "right"
    assert run.about["other_scorers"] == "rate, several/a, several/b, list"
    assert [row.value for row in run.rows] == [1.0, 0.0, 0.25]
