from __future__ import annotations

import pytest

from sickbay.checks.probe.prompts import TOKENS_PER_WORD, WORDS, PromptMaker


def test_the_same_seed_gives_the_same_prompts() -> None:
    assert [PromptMaker(7).cold(50) for _ in range(2)] == [PromptMaker(7).cold(50)] * 2
    assert PromptMaker(7).cold(50) != PromptMaker(8).cold(50)


def test_no_two_cold_prompts_share_their_beginning() -> None:
    maker = PromptMaker(1)
    starts = {tuple(maker.cold(64).split()[:4]) for _ in range(500)}
    assert len(starts) == 500


def test_a_prompt_differs_from_the_first_word_on_in_nearly_all_cases() -> None:
    maker = PromptMaker(1)
    firsts = [maker.cold(64).split()[0] for _ in range(200)]
    assert len(set(firsts)) > 100


@pytest.mark.parametrize("tokens", [1, 32, 1024])
def test_length_follows_the_calibration(tokens: int) -> None:
    maker = PromptMaker(1)
    assert len(maker.cold(tokens).split()) == max(1, round(tokens / TOKENS_PER_WORD))
    maker.calibrate(words=100, tokens=200)
    assert len(maker.cold(tokens).split()) == max(1, round(tokens / 2))


@pytest.mark.parametrize(("words", "tokens"), [(0, 5), (100, 0), (100, 49), (100, 801)])
def test_nonsense_is_no_calibration(words: int, tokens: int) -> None:
    maker = PromptMaker(1)
    maker.calibrate(words=words, tokens=tokens)
    assert maker.tokens_per_word == TOKENS_PER_WORD


def test_words_are_plain_and_unique() -> None:
    assert len(WORDS) == len(set(WORDS)) >= 200
    assert all(word.isalpha() and word.islower() and word.isascii() for word in WORDS)


def test_even_one_word_prompts_come_to_an_end() -> None:
    maker = PromptMaker(1)
    assert len({maker.cold(1) for _ in range(600)}) == 600
