"""The model's own files: GGUF header, published folder, template, splitting."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from sickbay.checks.probe.bpe_split import known_pretokenizer, splitter_of
from sickbay.checks.probe.gguf_header import read_header
from sickbay.checks.probe.reference_files import read_reference
from sickbay.checks.probe.template import render
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target
from sickbay.engine.run.files import RootedFiles

CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def gguf(**values: int | bool | str | list[str]) -> bytes:
    parts = [b"GGUF", struct.pack("<IQQ", 3, 0, len(values))]
    for key, value in values.items():
        parts.append(text(key.replace("__", ".")))
        if isinstance(value, bool):
            parts.append(struct.pack("<I?", 7, value))
        elif isinstance(value, int):
            parts.append(struct.pack("<II", 4, value))
        elif isinstance(value, str):
            parts.append(struct.pack("<I", 8) + text(value))
        else:
            parts.append(struct.pack("<IIQ", 9, 8, len(value)) + b"".join(text(each) for each in value))
    return b"".join(parts)


def header(data: bytes) -> dict[str, object]:
    return read_header(lambda offset, size: data[offset : offset + size], path="m.gguf")


def test_a_header_is_read() -> None:
    data = gguf(a__b=7, flag=True, name="SmolLM", list=["x", "yz"])
    assert header(data) == {"a.b": 7, "flag": True, "name": "SmolLM", "list": ["x", "yz"]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PK\x03\x04....", "m.gguf: wanted a GGUF file of version 2 or 3, found b'PK\\x03\\x04'"),
        (gguf(name="SmolLM")[:-3], "m.gguf: ends within its header"),
        (b"", "m.gguf: ends within its header"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60), f"m.gguf: {2**60} entries, at most 2000000 are read"),
    ],
    ids=["other-file", "cut", "empty", "absurd"],
)
def test_a_bad_header_says_what_is_wrong(data: bytes, message: str) -> None:
    with pytest.raises(ProbeError) as caught:
        header(data)
    assert caught.value.detail == message


def test_a_gguf_reference(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    place = tmp_path / "m.gguf"
    place.write_bytes(
        gguf(
            tokenizer__ggml__model="gpt2", tokenizer__ggml__pre="default", tokenizer__ggml__tokens=["<s>", "</s>", "a"],
            tokenizer__ggml__merges=["a b"], tokenizer__ggml__bos_token_id=0, tokenizer__ggml__eos_token_id=1,
            tokenizer__chat_template=CHATML,
        )
    )  # fmt: skip
    reference = read_reference(RootedFiles(), Target(name="t", reference_path=str(place)))
    assert (reference.start_text, reference.end_texts, reference.pretokenizer_known) == ("<s>", ("</s>",), False)
    assert reference.why["encode"].startswith("the pre-tokeniser 'default' is not known here")
    assert reference.rendered([{"role": "user", "content": "hi"}]) == "<|im_start|>user\nhi<|im_end|>\n"


def test_a_published_folder(tmp_path: Path) -> None:
    added = [{"id": 5, "content": "<|eot|>"}]
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps(
            {"bos_token": {"content": "<s>"}, "eos_token": "</s>", "add_bos_token": True, "chat_template": "old"}
        )
    )
    (tmp_path / "chat_template.jinja").write_text(CHATML)
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [5, 9]}))
    (tmp_path / "tokenizer.json").write_text(json.dumps({"added_tokens": added}))
    reference = read_reference(RootedFiles(), Target(name="t", model_path=str(tmp_path)))
    assert (reference.start_text, reference.end_texts, reference.adds_start) == ("<s>", ("</s>", "<|eot|>"), True)
    assert reference.template == CHATML
    assert reference.encode is None


def test_a_target_without_files_says_what_to_give() -> None:
    with pytest.raises(ProbeError) as caught:
        read_reference(RootedFiles(), Target(name="t"))
    assert caught.value.reason is UnknownReason.NOT_CONFIGURED
    assert caught.value.detail == (
        "the target names no files of the model (reference_path or model_path): give the published ones"
    )


def test_a_template_that_refuses_is_malformed() -> None:
    pytest.importorskip("jinja2")
    with pytest.raises(ProbeError) as caught:
        render("{{ raise_exception('no system role') }}", [], start="", end="")
    assert caught.value.detail == "the chat template refuses: no system role"


def test_a_template_cannot_reach_out() -> None:
    pytest.importorskip("jinja2")
    with pytest.raises(ProbeError, match="the chat template refuses"):
        render("{{ messages.__class__.__mro__[1].__subclasses__() }}", [], start="", end="")


@pytest.mark.parametrize(
    ("kind", "pre", "known"),
    [("gpt2", "smollm", True), ("gpt2", "default", False), ("gpt2", "", False), ("llama", "", None)],
)
def test_known_pretokenizers(kind: str, pre: str, known: bool | None) -> None:
    assert known_pretokenizer(kind, pre) is known


def test_other_tokenizers_are_not_split() -> None:
    assert splitter_of("llama", "", [], [])[1] == "tokenizers of kind 'llama' are not split here, only byte-pair ones"


def test_a_big_endian_file_says_so() -> None:
    with pytest.raises(ProbeError) as caught:
        header(b"GGUF" + struct.pack(">IQQ", 3, 0, 0))
    assert caught.value.detail == "m.gguf: wanted a GGUF file of version 2 or 3, found one that is written big-endian"
