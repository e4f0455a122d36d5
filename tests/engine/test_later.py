"""A mapping made on first need."""

import pytest

from sickbay.engine.later import Later


class Made:
    """Counts how often the whole was made, and which names were sought alone."""

    def __init__(self) -> None:
        self.made = 0
        self.sought: list[str] = []

    def make(self) -> dict[str, list[str]]:
        self.made += 1
        return {"a": ["a"], "b": ["b"]}

    def find(self, name: str) -> list[str] | None:
        self.sought.append(name)
        return ["a"] if name == "a" else None


def test_one_name_does_not_make_the_whole() -> None:
    made = Made()
    later = Later(made.make, made.find)
    assert later["a"] == ["a"]
    assert "a" in later
    assert (made.made, made.sought) == (0, ["a"])


def test_a_name_that_is_not_found_alone_is_sought_in_the_whole() -> None:
    made = Made()
    later = Later(made.make, made.find)
    assert later["b"] == ["b"]
    with pytest.raises(KeyError, match=r"^'c'$"):
        later["c"]
    assert later.get("c") is None
    assert made.made == 1


def test_what_was_handed_out_stays_the_same_object() -> None:
    made = Made()
    later = Later(made.make, made.find)
    first = later["a"]
    assert list(later) == ["a", "b"]
    assert len(later) == 2
    assert later["a"] is first
    assert dict(later)["a"] is first


def test_without_a_finder_everything_is_in_the_whole() -> None:
    made = Made()
    assert Later(made.make)["a"] == ["a"]
    assert made.made == 1
