"""Items of a test set that a training file holds too: word for word, or nearly.

Near copies are found by shared runs of eight words; the share of the question's runs that one training text holds
is its containment. Eight words and 0.8 are conventions, not laws: shorter questions are compared whole. Fewer than four
words stand in many a text: such a question must stand there by itself, between line ends or marks of punctuation.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sickbay.engine.evals.item import EvalSet, Item
from sickbay.engine.evals.read.beside import read_beside
from sickbay.engine.evals.training import training_texts
from sickbay.engine.load.codes import Code
from sickbay.engine.load.text_file import read_text
from sickbay.engine.model.problem import Position, Problem

__all__ = ["Overlap", "overlap_problems", "overlaps", "training_problems"]

RUN_WORDS = 8
CONTAINED_MIN = 0.8
SHORT_WORDS = 4
_NOWHERE = Position("")
_PARTS = re.compile(r"[\n\t.:;!?|,\"]")
_WORD = re.compile(r"\w+", re.UNICODE)


@dataclass(frozen=True, slots=True)
class Overlap:
    """One test item and the training text that holds it. `containment` 1.0 is word for word."""

    item: Item
    where: str
    containment: float


def overlaps(evalset: EvalSet, training: Iterable[tuple[str, str]]) -> list[Overlap]:
    """Every item of the set that a training text holds.

    Args:
        evalset: the test set.
        training: (where it stands, its text), read once.
    """
    asked = {item.id: _question(item) for item in evalset.items}
    runs = {name: set(_runs(text)) for name, text in asked.items() if len(_words(text)) >= SHORT_WORDS}
    holders: Mapping[int, set[str]] = _index(runs)
    by_id = {item.id: item for item in evalset.items}
    lengths = {len(_words(_question(item))) for item in evalset.items}
    short = {tuple(words): item.id for item in evalset.items if len(words := _words(_question(item))) < SHORT_WORDS}
    best: dict[str, Overlap] = {}
    for where, text in training:
        for part in _PARTS.split(text) if short else ():
            item_id = short.get(tuple(_words(part)), "")
            if item_id:
                best.setdefault(item_id, Overlap(by_id[item_id], where, 1.0))
        shared: dict[str, int] = defaultdict(int)
        for run in set(_all_runs(text, lengths)):
            for item_id in holders.get(run, ()):
                shared[item_id] += 1
        for item_id, count in shared.items():
            containment = count / len(runs[item_id])
            if containment >= CONTAINED_MIN and (item_id not in best or containment > best[item_id].containment):
                best[item_id] = Overlap(by_id[item_id], where, containment)
    return list(best.values())


def training_problems(evalset: EvalSet, path: Path, named_at: Position = _NOWHERE) -> list[Problem]:
    """Items of the set that stand in a training file, line by line; and why the file cannot be read.

    Args:
        evalset: the test set.
        path: the training file.
        named_at: the place that names it, where a file does.
    """
    problems: list[Problem] = []
    text = read_beside(path, named_at, problems) if named_at.path else read_text(path, problems)
    if text is None:
        return problems
    texts = training_texts(text, path, problems)
    if not any(_WORD.search(each) for _, each in texts) and not problems:
        message = "the training data holds no text, so nothing was compared with it"
        problems.append(Problem(Position(str(path)), Code.EMPTY, message))
    return [*problems, *sorted(overlap_problems(overlaps(evalset, texts)))]


def overlap_problems(found: list[Overlap]) -> list[Problem]:
    """The same as problems with the items' lines."""
    return [
        Problem(
            each.item.position, Code.OVERLAP,
            f"the item {each.item.id!r} is in the training data: {each.containment:.0%} of it stands at {each.where}",
            "take it out of one of them: a score on it measures memory",
        )
        for each in found
    ]  # fmt: skip


def _question(item: Item) -> str:
    return " ".join(str(each.get("content", "")) for each in item.messages if each.get("role") == "user")


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def _runs(text: str) -> Iterator[int]:
    words = _words(text)
    size = min(RUN_WORDS, len(words))
    for start in range(len(words) - size + 1 if size else 0):
        yield hash(tuple(words[start : start + size]))


def _all_runs(text: str, lengths: set[int]) -> Iterator[int]:
    """Runs of eight words, and of each shorter question's length."""
    words = _words(text)
    for size in {min(RUN_WORDS, length) for length in lengths if length}:
        for start in range(len(words) - size + 1):
            yield hash(tuple(words[start : start + size]))


def _index(runs: Mapping[str, set[int]]) -> Mapping[int, set[str]]:
    index: dict[int, set[str]] = defaultdict(set)
    for item_id, each in runs.items():
        for run in each:
            index[run].add(item_id)
    return index
