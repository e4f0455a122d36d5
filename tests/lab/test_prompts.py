from __future__ import annotations

from sickbay.lab.prompts import Prompter


def test_the_same_seed_draws_the_same_texts() -> None:
    first, second = Prompter(seed=3), Prompter(seed=3)
    assert [first.draw(40) for _ in range(3)] == [second.draw(40) for _ in range(3)]


def test_texts_of_one_prompter_differ_from_the_first_word() -> None:
    prompter = Prompter(seed=1)
    assert prompter.draw(40).split()[0] != prompter.draw(40).split()[0]


def test_the_shared_prefix_counts_to_the_length() -> None:
    prompter = Prompter(seed=1, shared_prefix_tokens=30)
    first, second = prompter.draw(50).split(), prompter.draw(50).split()
    assert first[:30] == second[:30]
    assert first[30:] != second[30:]
    assert len(first) == 30 + 1 + 16


def test_long_words_make_fewer_of_them() -> None:
    assert len(Prompter(seed=1, tokens_per_word=2.0).draw(44).split()) == 1 + 20
