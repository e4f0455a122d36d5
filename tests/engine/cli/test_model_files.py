"""`sickbay weights` and `sickbay tokens diff` on small models: answers, exit codes, messages, 80 columns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sickbay.engine.cli.main import main
from sickbay.engine.cli.tokens import differences
from sickbay.face import make_tools
from tests.checks.model.weight_folder import sound_tensors, write_model

TOOLS = make_tools()
TEMPLATE = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{{ eos_token }}{% endfor %}"


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(list(words), lambda: TOOLS)
    told = capsys.readouterr()
    return code, told.out, told.err


def tokenizer(folder: Path, **config: Any) -> Path:
    folder.mkdir()
    whole = {"chat_template": TEMPLATE, "eos_token": "</s>", "bos_token": "<s>"} | config
    (folder / "tokenizer_config.json").write_text(json.dumps(whole))
    return folder


def test_a_manifest_is_written_and_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_model(tmp_path / "m", sound_tensors())
    manifest = tmp_path / "sums"
    assert call(capsys, "weights", "manifest", str(model), "--output", str(manifest)) == (0, "", "")
    assert manifest.read_text().startswith("# bits_per_weight: 32.0000\n")
    code, out, _ = call(capsys, "weights", "check", str(model), "--manifest", str(manifest))
    assert code == 0
    assert "hash_matches               true" in out
    assert max(map(len, out.splitlines())) <= 80


def test_damage_ends_with_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tensors = sound_tensors()
    tensors["model.layers.2.mlp.up_proj.weight"][:] = 0
    code, out, _ = call(capsys, "weights", "check", str(write_model(tmp_path, tensors)))
    assert code == 2
    assert out.startswith("fail: 1 of 16 tensors")


def test_what_is_no_model_ends_with_three(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.gguf").write_bytes(b"no")
    code, _, err = call(capsys, "weights", "manifest", str(tmp_path / "x.gguf"))
    assert (code, err) == (3, f"sickbay weights: {tmp_path}/x.gguf: its header is cut off at byte 2\n")
    assert call(capsys, "weights", "check", str(tmp_path / "none"))[0] == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(
            ["manifest", "x", "--manifest", "y"],
            "sickbay: weights manifest: --manifest and --reference are of `weights check`\n",
            id="other-words-flag",
        ),
        pytest.param(["check", "x", "--seconds", "0"], "sickbay: --seconds: 0; wanted more than 0\n", id="no-time"),
    ],
)
def test_usage(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "weights", *words) == (64, "", said)


def test_equal_tokenizers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = tokenizer(tmp_path / "a"), tokenizer(tmp_path / "b")
    code, out, _ = call(capsys, "tokens", "diff", str(one), str(two))
    assert code == 0
    assert out.endswith("one side does not tell\nA: no tokenizer.json\nB: no tokenizer.json\n")


def test_another_end_token_and_template(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = tokenizer(tmp_path / "a")
    two = tokenizer(tmp_path / "b", eos_token="<end>", chat_template=TEMPLATE.replace("<{{", "[{{"))
    code, out, _ = call(capsys, "tokens", "diff", str(one), str(two))
    assert code == 2
    assert "DIFFERS  end tokens\n         A: ['</s>']\n         B: ['<end>']\n" in out
    assert "DIFFERS  prompt of 'user'\n         A: '<user>" in out
    assert max(map(len, out.splitlines()[3:])) <= 80


def test_a_side_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = str(tokenizer(tmp_path / "a"))
    code, _, err = call(capsys, "tokens", "diff", one, "/no/model")
    assert (code, err) == (64, "sickbay: tokens diff: '/no/model' is neither a file, a folder nor a URL\n")
    code, _, err = call(capsys, "tokens", "diff", one, "http://127.0.0.1:9")
    assert code == 3
    assert err.startswith("sickbay tokens: http://127.0.0.1:9: ")
    assert (
        call(capsys, "tokens", "compare", one, one)[2] == "sickbay: tokens: wanted `tokens diff A B`, found 'compare'\n"
    )


def _side(ids: list[int] | None, text: str | None) -> Mapping[str, Any]:
    return {"texts": [{"text": "t", "ids": ids}], "conversations": {"c": {"text": text, "ids": ids}}}


def test_files_against_an_engine_compare_what_both_tell() -> None:
    rows = list(differences(_side([1], "p"), _side([1], None)))
    assert [row["same"] for row in rows] == [True, True]
    rows = list(differences(_side(None, "p"), _side([1], None)))
    assert [row["same"] for row in rows] == [None, None]
