from __future__ import annotations

import pytest

from sickbay.engine.report.plain_text import plain


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        pytest.param("", "", id="empty"),
        pytest.param("one\ntwo\r\n\tthree", "one two three", id="lines"),
        pytest.param("\x1b[31mred\x1b[0m", "red", id="colour"),
        pytest.param("\x1b]0;title\x07after", "after", id="window-title"),
        pytest.param("\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\", "click", id="hyperlink"),
        pytest.param("\x9b2Jclear", "clear", id="c1-csi"),
        pytest.param("a\x1b[", "a", id="unfinished-csi"),
        pytest.param("a\x1b", "a", id="lone-escape"),
        pytest.param("a\x1b]never ended", "a", id="unfinished-osc"),
        pytest.param("a\x00b\x08c\x7f", "abc", id="controls"),
        pytest.param("safe\u202egpj.exe", "safegpj.exe", id="right-to-left"),
        pytest.param("z\u200be\u200dr\ufeffo", "zero", id="invisible"),
        pytest.param("tag\U000e0041", "tag", id="tag-characters"),
        pytest.param("\ud800bad", "bad", id="surrogate"),
        pytest.param("a\u2028b\u2029c\u00a0d", "a b c d", id="unicode-blanks"),
        pytest.param("größer 量 п", "größer 量 п", id="letters-stay"),
    ],
)
def test_plain(text: str, wanted: str) -> None:
    assert plain(text) == wanted


def test_plain_is_bounded() -> None:
    assert plain("x" * 10_000_000, 20) == "x" * 17 + "..."
    assert plain("x" * 20, 20) == "x" * 20
    assert plain(12.5) == "12.5"
