"""Two renderings that differ in nothing but the mark that ends a turn."""

from __future__ import annotations

import pytest

from sickbay.checks.probe.tokens_look import other_end_mark

OWN = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("engine", "found"),
    [
        pytest.param(OWN.replace("<|im_end|>", "<|turn|>"), ("<|turn|>", "<|im_end|>"), id="another-end-mark"),
        pytest.param(OWN, None, id="equal"),
        pytest.param(OWN.replace("<|im_start|>", "<|go|>"), None, id="another-start-mark"),
        pytest.param(OWN.replace("<|im_end|>", "<|turn|>").replace("Hi", "Ho"), None, id="another-text-as-well"),
        pytest.param(OWN.replace("<|im_end|>", ""), None, id="no-end-mark"),
        pytest.param("[INST] Hi [/INST]", None, id="another-template"),
        pytest.param("", None, id="empty"),
    ],
)
def test_other_end_mark(engine: str, found: tuple[str, str] | None) -> None:
    assert other_end_mark(OWN, engine, ("<|im_end|>",)) == found
