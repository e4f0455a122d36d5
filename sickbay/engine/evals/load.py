"""An eval set from a file of any form: recognised, read, and checked before one request is sent."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sickbay.engine.errors import ProblemsError
from sickbay.engine.evals.item import EvalSet, Item, ScorerUse, digest
from sickbay.engine.evals.read.context import Context
from sickbay.engine.evals.read.json_document import read_json
from sickbay.engine.evals.read.native import read_native_yaml
from sickbay.engine.evals.read.no_text import no_text
from sickbay.engine.evals.read.openai_evals import registry_samples
from sickbay.engine.evals.read.promptfoo import read_promptfoo
from sickbay.engine.evals.read.rows import read_list, read_rows, tool_of_results
from sickbay.engine.evals.read.same_problems import without_repeats
from sickbay.engine.evals.scorer import Scorer
from sickbay.engine.load.codes import Code
from sickbay.engine.load.text_file import read_text
from sickbay.engine.load.yaml_source import read_yaml
from sickbay.engine.model.problem import Position, Problem

__all__ = ["Loaded", "load_eval_set", "read_eval_set"]

REPEATS_MAX = 10
"""Repeated items that are told one by one."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A sound set, and what was left out of it."""

    evalset: EvalSet
    warnings: tuple[Problem, ...] = ()


def load_eval_set(
    path: Path,
    scorers: Mapping[str, Scorer],
    default_scorers: tuple[ScorerUse, ...] = (),
    *,
    slices: Sequence[str] = (),
    only: Sequence[str] = (),
) -> Loaded:
    """The set in the file.

    Args:
        path: .yaml or .yml (our own, or a promptfoo configuration), .jsonl (our own, or OpenAI-evals), .csv, .tsv.
        scorers: everybody's, by name.
        default_scorers: for items that name none.
        slices: more fields to report apart.
        only: FIELD=VALUE: leave out items that do not have it.

    Raises:
        ProblemsError: everything that is wrong, with file and line.
    """
    problems: list[Problem] = []
    evalset = read_eval_set(path, scorers, problems, default_scorers, slices=slices, only=only)
    errors = sorted(problem for problem in problems if problem.severity == "error")
    if errors or evalset is None:
        empty = any(problem.code == Code.EMPTY for problem in errors)  # then what was left out is the reason
        raise ProblemsError(sorted(set(problems)) if empty else errors)
    return Loaded(evalset, tuple(sorted(set(problems))))


def read_eval_set(
    path: Path,
    scorers: Mapping[str, Scorer],
    problems: list[Problem],
    default_scorers: tuple[ScorerUse, ...] = (),
    *,
    slices: Sequence[str] = (),
    only: Sequence[str] = (),
    text: str | None = None,
    scored: bool = True,
) -> EvalSet | None:
    """The set; None when there is none to speak of. Problems are appended.

    Args:
        path: as for `load_eval_set`, like the next four.
        scorers: see there.
        problems: what is wrong is appended.
        default_scorers: see there.
        slices: see there.
        only: see there.
        text: the file's, where it was read already.
        scored: False: rows may be without a scorer, which a gate or a flag will name.
    """
    own: list[Problem] = []
    text = read_text(path, own) if text is None else text
    context = Context(path=str(path), scorers=scorers, problems=own, default_scorers=default_scorers)
    found = _read(text, path, context) if text is not None else None
    if found is not None:
        found = replace(found, slices=tuple(dict.fromkeys((*found.slices, *slices))))
        found = _checked(_only(found, only, own), scorers, own, scored=scored)
    problems += without_repeats(own)
    return found


def _checked(found: EvalSet, scorers: Mapping[str, Scorer], problems: list[Problem], *, scored: bool) -> EvalSet:
    # Of a file that is broken some items are missing: that a slice is empty, or a scorer absent, may follow from it.
    whole = not any(problem.severity == "error" for problem in problems)
    _check_ids(found, problems)
    _check_repeats(found, problems)
    for item in found.items:
        _check_scorers(item, scorers, problems)
    if whole:
        _check_whole(found, problems, scored=scored)
    return replace(found, sha256=found.content_digest())


def _read(text: str, path: Path, context: Context) -> EvalSet | None:
    found = no_text(text)
    if found is not None:
        context.problems.append(Problem(Position(str(path), 1, 1), Code.WRONG_TYPE, f"this is {found[0]}", found[1]))
        return None
    suffix = path.suffix.lower()
    if suffix not in {".yaml", ".yml", ".json"}:
        tool = tool_of_results(text)
        if tool:
            message = f"this is a result of {tool}, and no eval set"
            hint = "it is read as a baseline: sickbay eval SET --against FILE, sickbay gate GATE --baseline FILE"
            context.problems.append(Problem(Position(str(path), 1, 1), Code.WRONG_TYPE, message, hint))
            return None
        if suffix not in {".jsonl", ".ndjson", ".csv", ".tsv"} and not text.lstrip("\ufeff \n\r\t").startswith("{"):
            hint = "wanted .yaml, .jsonl, .csv or .tsv (promptfoo and OpenAI-evals files as they are)"
            message = f"no eval set of a known form, by its name {path.name!r} and its beginning"
            context.problems.append(Problem(Position(str(path)), Code.WRONG_TYPE, message, hint))
            return None
        items, form = read_rows(text, context)
        return EvalSet(name=path.stem, items=tuple(items), format=form, path=str(path))
    node = (read_json if suffix == ".json" else read_yaml)(text, str(path), context.problems)
    if node is None:
        return None
    if node.items and isinstance(node.items[0].data, dict):
        listed, form = read_list(node, context)
        return EvalSet(name=path.stem, items=tuple(listed), format=form, path=str(path))
    keys = node.entries or {}
    if "evalset" not in keys and "prompts" in keys:
        return read_promptfoo(node, context)
    samples = registry_samples(node) if "evalset" not in keys else None
    if samples is not None:
        message = "this is a registry of OpenAI evals, and no eval set"
        hint = f"give the samples it names: {', '.join(samples)}" if samples else "give the JSONL file of its samples"
        context.problems.append(Problem(node.at, Code.WRONG_TYPE, message, hint))
        return None
    return read_native_yaml(node, context)


def _only(evalset: EvalSet, only: Sequence[str], problems: list[Problem]) -> EvalSet:
    for each in only:
        name, _, value = each.partition("=")
        kept = tuple(item for item in evalset.items if item.fields.get(name) == value)
        if not kept and evalset.items:
            seen = Counter(item.fields.get(name, "(none)") for item in evalset.items)
            known = ", ".join(sorted(seen)[:8])
            message = f"the slice {each!r} is empty: no item has {name} = {value!r}"
            problems.append(Problem(Position(evalset.path), Code.EMPTY_SLICE, message, f"found: {known}"))
        evalset = replace(evalset, items=kept)
    return evalset


def _check_ids(evalset: EvalSet, problems: list[Problem]) -> None:
    seen: dict[str, Item] = {}
    for item in evalset.items:
        if item.id in seen:
            message = f"the id {item.id!r} stands twice; first on {_line(seen[item.id].position, item.position)}"
            problems.append(Problem(item.position, Code.DUPLICATE_NAME, message, "ids pair two runs; make them unique"))
        seen.setdefault(item.id, item)
    looks: dict[str, Item] = {}
    for item in seen.values():
        first = looks.setdefault(_look(item.id), item)
        if first is not item:
            where = _line(first.position, item.position)
            message = f"the id {item.id!a} looks like {first.id!a} on {where}, and is another"
            problems.append(
                Problem(
                    item.position,
                    Code.DUPLICATE_NAME,
                    message,
                    "ids pair two runs; let the eye tell them apart",
                    "warning",
                )
            )


def _look(name: str) -> str:
    """An id as a reader sees it: blanks at its ends, signs without a width and other forms of a letter are not seen."""
    if name.isascii():
        return " ".join(name.split())
    plain = unicodedata.normalize("NFKC", name)
    return " ".join("".join(each for each in plain if unicodedata.category(each) != "Cf").split())


def _check_repeats(evalset: EvalSet, problems: list[Problem]) -> None:
    """Items that ask the very same: with one answer they count one question twice, with two no model gets both.

    Items of one cluster may: they are not counted as independent. So may graded answers (`given`, for a judge).
    """
    seen: dict[str, Item] = {}
    told = 0
    for item in evalset.items:
        asked = [[dict(each) for each in item.messages], [dict(each) for each in item.tools], item.fields.get("given")]
        first = seen.setdefault(digest(asked), item)
        if first is item or first.id == item.id or (item.cluster and item.cluster == first.cluster):
            continue
        told += 1
        if told > REPEATS_MAX:
            continue
        where = _line(first.position, item.position)
        message = f"the item {item.id!r} is {first.id!r} on {where} once more"
        hint = "take it out, or name a cluster: items are counted as independent, and this one is not"
        if first.sha256 != item.sha256:
            message = (
                f"the item {item.id!r} asks what {first.id!r} on {where} asks, and expects or scores something else"
            )
            hint = "join the two, or name a cluster: one answer is graded twice"
        problems.append(Problem(item.position, Code.REPEATED_ITEM, message, hint, "warning"))
    if told > REPEATS_MAX:
        message = f"{told - REPEATS_MAX} more items ask what others ask"
        problems.append(Problem(Position(evalset.path), Code.REPEATED_ITEM, message, severity="warning"))


def _check_whole(evalset: EvalSet, problems: list[Problem], *, scored: bool) -> None:
    at = Position(evalset.path)
    if not evalset.items:
        problems.append(Problem(at, Code.EMPTY, "the set has no items"))
    unscored = [item for item in evalset.items if not item.scorers]
    if unscored and (scored or evalset.format == "promptfoo"):
        first = unscored[0]
        more = f", and {len(unscored) - 1} more have none" if len(unscored) > 1 else ""
        message = f"the item {first.id!r} has no scorer{more}"
        hint = "add score: to it or to the set, or --score"
        if evalset.format == "promptfoo":
            hint = "give the test assertions, or --score"
        problems.append(Problem(first.position, Code.NOT_SCORABLE, message, hint))
    for name in evalset.slices:
        if evalset.items and not any(name in item.fields for item in evalset.items):
            fields = sorted({field for item in evalset.items for field in item.fields})
            message = f"the slice field {name!r} is empty: no item has it"
            problems.append(
                Problem(at, Code.EMPTY_SLICE, message, f"fields of the items: {', '.join(fields) or 'none'}")
            )


def _line(first: Position, second: Position) -> str:
    return f"line {first.line}" if first.path == second.path else str(first)


def _check_scorers(item: Item, scorers: Mapping[str, Scorer], problems: list[Problem]) -> None:
    for use in item.scorers:
        try:
            why = scorers[use.scorer].misfit(item, use.params)
        except Exception as error:  # a stranger's code, over a stranger's item
            why = f"the scorer raised {type(error).__name__}: {error}"
        if why:
            message = f"the item {item.id!r} cannot be scored by {use.scorer}: {why}"
            problems.append(Problem(item.position, Code.NOT_SCORABLE, message))
