"""What a gateway does to the words of a chat, without a gateway."""

from __future__ import annotations

from sickbay.lab.proxy_texts import cut_in_the_middle, likeness, masked, with_texts


def test_what_is_no_text_stays() -> None:
    parts = {"role": "user", "content": [{"type": "text", "text": "Rome"}]}
    assert with_texts({"messages": [parts, "odd"], "n": 1}, str.upper) == {"messages": [parts, "odd"], "n": 1}
    assert with_texts({"prompt": "Rome"}, str.upper) == {"prompt": "Rome"}


def test_a_mask_hides_each_match() -> None:
    assert masked("from Rome to Oslo", "[A-Z][a-z]+", "[X]") == "from [X] to [X]"


def test_a_short_text_stays_whole_and_a_long_one_keeps_both_ends() -> None:
    assert cut_in_the_middle("0123456789", 10) == "0123456789"
    assert cut_in_the_middle("0123456789a", 10) == "01234 ... 6789a"


def test_likeness_counts_words_and_no_case() -> None:
    assert likeness("What is a?", "what IS b") == 0.5
    assert likeness("", "") == 1.0
    assert likeness("a", "") == 0.0
