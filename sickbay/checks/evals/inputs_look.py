"""The look of `evals.inputs`: texts into slices; only counts leave."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sickbay.checks.evals.scorers.builtin import builtin_scorers
from sickbay.engine.errors import ConfigError, ProbeError, ProblemsError
from sickbay.engine.evals.load import read_eval_set
from sickbay.engine.evals.read.results import read_results
from sickbay.engine.measure.json_lines import read_rows
from sickbay.engine.model.check import Raw
from sickbay.engine.model.look import Look
from sickbay.engine.model.signal import UnknownReason

__all__ = ["look_inputs"]

TEXTS = ("ask", "prompt", "input", "question", "query", "text")
SLICES_MAX = 200
WORDS_MIN = 50
"""Tested texts below which nobody can say what their words are."""
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class _Input:
    text: str
    value: str = ""  # of the field, where one is named
    item: str = ""  # the eval item's id


def look_inputs(look: Look, params: Mapping[str, Any]) -> Raw:
    """Counts by slice of both sides, and what passed of each slice in the kept run."""
    if not params["recent"]:
        raise ProbeError(UnknownReason.NOT_CONFIGURED, "give recent: JSON lines of what users sent lately")
    if not params["set"] and not params["reference"]:
        raise ProbeError(UnknownReason.NOT_CONFIGURED, "give set: the eval set that the release passed, or reference:")
    field = str(params["field"])
    now = _recorded(look, str(params["recent"]), field)
    then = _tested(str(params["set"]), field) if params["set"] else _recorded(look, str(params["reference"]), field)
    if field and not any(each.value for each in then):
        raise ProbeError(UnknownReason.ABSENT, f"no tested input has the field {field!r}")
    if field and not any(each.value for each in now):
        raise ProbeError(UnknownReason.ABSENT, f"no recent input has the field {field!r}")
    slice_of = _by_field if field else _by_sight(then)
    slices = {each.item: slice_of(each) for each in then if each.item}
    return {
        "by": f"the field {field}" if field else "script, length and words",
        "then": _counted(then, slice_of),
        "now": _counted(now, slice_of),
        "kept": _kept(str(params["kept"]), slices) if params["kept"] and slices else None,
    }


def _recorded(look: Look, path: str, field: str) -> list[_Input]:
    found = []
    for number, row in enumerate(read_rows(look.files, path), start=1):
        text = _text(row)
        if text is None:
            wanted = "messages, " + ", ".join(TEXTS)
            raise ProbeError(UnknownReason.MALFORMED, f"{path}: row {number} has no text; wanted one of {wanted}")
        inner = row.get("fields")
        value = inner.get(field) if field and isinstance(inner, Mapping) and field in inner else row.get(field)
        found.append(_Input(text, "" if value is None else str(value)))
    return found


def _text(row: Mapping[str, Any]) -> str | None:
    """The last thing that the user said."""
    messages = row.get("messages", row.get("input"))
    if isinstance(messages, list):
        said = [each for each in messages if isinstance(each, Mapping) and each.get("role") == "user"]
        content = said[-1].get("content") if said else None
        if isinstance(content, list):
            content = " ".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
        return content if isinstance(content, str) else None
    return next((row[name] for name in TEXTS if isinstance(row.get(name), str)), None)


def _tested(path: str, field: str) -> list[_Input]:
    scorers = {scorer.name: scorer for scorer in builtin_scorers()}
    problems: list[Any] = []
    try:
        evalset = read_eval_set(Path(path), scorers, problems, scored=False)
    except ProblemsError as error:
        problems = list(error.problems)
        evalset = None
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors or evalset is None:
        raise ProbeError(UnknownReason.MALFORMED, str(errors[0]) if errors else f"{path}: no eval set")
    found = []
    for item in evalset.items:
        said = [str(each.get("content", "")) for each in item.messages if each.get("role") == "user"]
        found.append(_Input(said[-1] if said else "", item.fields.get(field, "") if field else "", item.id))
    return found


def _by_field(one: _Input) -> str:
    return one.value or "(none)"


def _by_sight(tested: Sequence[_Input]) -> Callable[[_Input], str]:
    """What every text shows, measured by the tested ones: so that a slice means the same on both sides."""
    lengths = sorted(len(_words(each.text)) for each in tested)
    middle, long = (lengths[int(share * (len(lengths) - 1))] for share in (0.5, 0.95))
    seen = Counter(word for each in tested for word in set(_words(each.text)))
    # A tested text is measured by the others, or its own words would all be known.
    known = sorted(_familiar(each.text, seen, own=1) for each in tested)
    bar = known[int(0.05 * (len(known) - 1))] if len(known) >= WORDS_MIN else 0.0

    def slice_of(one: _Input) -> str:
        words = len(_words(one.text))
        length = "short" if words <= middle else "long" if words <= long else "longer than tested"
        strange = _familiar(one.text, seen, own=1 if one.item else 0) < bar
        return f"{_script(one.text)}, {length}{', other words' if strange else ''}"

    return slice_of


def _familiar(text: str, seen: Mapping[str, int], *, own: int) -> float:
    words = set(_words(text))
    return sum(seen.get(word, 0) > own for word in words) / len(words) if words else 1.0


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text[:20_000]).casefold())


def _script(text: str) -> str:
    """The script of most letters, by their Unicode names ("LATIN SMALL LETTER A")."""
    found = Counter(unicodedata.name(letter, "?").split()[0] for letter in text[:2000] if letter.isalpha())
    return found.most_common(1)[0][0].lower() if found else "no letters"


def _counted(inputs: Sequence[_Input], slice_of: Callable[[_Input], str]) -> dict[str, int]:
    counts = Counter(slice_of(each)[:60] for each in inputs).most_common()
    head = dict(counts[:SLICES_MAX])
    rest = sum(count for _, count in counts[SLICES_MAX:])
    return {**head, **({"(others)": rest} if rest else {})}


def _kept(path: str, slices: Mapping[str, str]) -> dict[str, Any]:
    try:
        runs = read_results(Path(path))
    except ConfigError as error:
        return {"problem": str(error)}
    found: dict[str, list[bool]] = defaultdict(list)
    for row in (row for run in runs for row in run.rows):
        if row.item in slices and row.passed is not None:
            found[slices[row.item][:60]].append(row.passed)
    return {"slices": {name: [sum(passed), len(passed)] for name, passed in found.items()}}
