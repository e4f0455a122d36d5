"""Every problem of a file, whatever kind of file it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sickbay.engine.errors import ProblemsError
from sickbay.engine.load.cause import read_cause
from sickbay.engine.load.codes import Code
from sickbay.engine.load.did_you_mean import did_you_mean, listed
from sickbay.engine.load.fields import Fields, as_value
from sickbay.engine.load.inferences import read_inferences
from sickbay.engine.load.inputs import misfit
from sickbay.engine.load.knowledge import Knowledge
from sickbay.engine.load.runbook import read_runbook
from sickbay.engine.load.schema_check import check_schema
from sickbay.engine.load.text_file import read_text
from sickbay.engine.load.vocabulary import read_vocabulary
from sickbay.engine.load.yaml_node import Node
from sickbay.engine.load.yaml_source import read_yaml
from sickbay.engine.model.problem import Position, Problem

if TYPE_CHECKING:
    from sickbay.engine.model.config import Config

__all__ = ["KINDS", "Reader", "kind_of", "lint_file", "lint_text"]

KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "runbook": ("runbook", "steps", "causes", "inputs", "budget", "title", "why"),
    "cause": ("cause", "layer", "means", "evidence", "prior", "fix", "explains"),
    "config": ("targets", "serve", "runbooks"),
    "vocabulary": ("version", "signals"),
    "inferences": ("version", "derivations", "contradictions"),
    "signals": ("signals", "baseline"),
    "gate": ("gate", "evals", "latency", "checks", "waivers", "judge", "canary", "owner"),
    "evalset": ("evalset", "items", "asked", "score", "slices", "cluster", "system"),
    "promptfoo": ("prompts", "tests", "providers", "defaultTest", "description"),
}
"""Kind of file to the keys by which it is known; the first key says it, else the kind with the most of them."""

Reader = Callable[[str, str, list[Problem]], object]
"""Reads a text of one kind: the text, its name in messages, and the list that problems are appended to."""
_NO_READERS: Final[Mapping[str, Reader]] = {}
_BY_SCHEMA: Final = {"gate": "gate.v1", "evalset": "evalset.v1"}

_FIRST: Final = {
    "runbook": "runbook", "cause": "cause", "targets": "config", "serve": "config", "runbooks": "config",
    "version": "vocabulary", "signals": "signals", "baseline": "signals",
    "derivations": "inferences", "contradictions": "inferences", "gate": "gate", "evalset": "evalset",
}  # fmt: skip


def kind_of(data: object) -> str:
    """One of the kinds; "" when the keys say nothing.

    Args:
        data: the file as plain data.
    """
    if not isinstance(data, dict) or not data:
        return ""
    first = str(next(iter(data)))
    for name in ("gate", "evalset"):
        if name in data:
            return name
    if "prompts" in data and {"tests", "providers", "defaultTest"} & data.keys():
        return "promptfoo"
    if "version" in data and "signals" in data:
        return "vocabulary"
    if "version" in data and ("derivations" in data or "contradictions" in data):
        return "inferences"
    if first in _FIRST:
        return _FIRST[first]
    if "." in first or str(data.get("schema", "")).startswith("sickbay.report."):
        return "signals"
    scores = {kind: sum(key in data for key in keys) for kind, keys in KINDS.items()}
    best = max(scores, key=lambda kind: scores[kind])
    return best if scores[best] else ""


def lint_file(path: Path, knowledge: Knowledge) -> list[Problem]:
    """Every problem of the file, in the order of its lines; empty when it is sound."""
    problems: list[Problem] = []
    text = read_text(path, problems)
    return problems if text is None else lint_text(text, str(path), knowledge)


def lint_text(text: str, path: str, knowledge: Knowledge, readers: Mapping[str, Reader] = _NO_READERS) -> list[Problem]:
    """Every problem of a text.

    Args:
        text: the whole file.
        path: its name in messages.
        knowledge: what names are looked up in.
        readers: of further kinds, by name: gates, eval sets; without one only their shape is checked.
    """
    problems: list[Problem] = []
    if text.lstrip()[:1] == "{" and "sickbay.report." in text:
        _lint_signals(text, path, knowledge, problems)
        return sorted(problems)
    node = read_yaml(text, path, problems)
    if node is None:
        return sorted(problems)
    problems.clear()  # each reader reads the text itself and tells them again
    kind = kind_of(node.data)
    if kind == "runbook":
        read_runbook(text, path, knowledge, problems)
    elif kind == "cause":
        inside = "causes" in Path(path).parts
        read_cause(text, path, knowledge.cause_compiler, problems, place_matters=inside)
    elif kind == "config":
        _lint_config(node, text, path, knowledge, problems)
    elif kind == "vocabulary":
        read_vocabulary(text, path, problems)
    elif kind == "inferences":
        read_inferences(text, path, knowledge.inference_compiler(), knowledge.vocabulary, problems)
    elif kind == "signals":
        _lint_signals(text, path, knowledge, problems)
    elif kind in readers:
        readers[kind](text, path, problems)
    elif kind in _BY_SCHEMA:
        check_schema(node, _BY_SCHEMA[kind], problems)
    else:
        problems.append(_unknown_kind(node, path))
    return sorted(set(problems))


def _lint_signals(text: str, path: str, knowledge: Knowledge, problems: list[Problem]) -> None:
    # Late: most files that are linted are runbooks, and start-up has 150 ms in all.
    from sickbay.engine.load.signals_file import read_signals

    read_signals(text, path, knowledge.vocabulary, problems)


def _lint_config(node: Node, text: str, path: str, knowledge: Knowledge, problems: list[Problem]) -> None:
    # Late, for the same reason.
    from sickbay.engine.load.targets import read_config

    config = read_config(text, path, problems)
    if config is not None:
        problems += _job_problems(node, config, knowledge)


def _unknown_kind(node: Node, path: str) -> Problem:
    if node.entries is None:
        message = "wanted a mapping: a runbook, a cause, a gate, an eval set, sickbay.yaml or signals"
        return Problem(node.at, Code.UNKNOWN_KIND, message, "begin with 'runbook: NAME'")
    first = next(iter(node.entries), "")
    at = node.key_at(first) if first else Position(path)
    hint = did_you_mean(first, _FIRST, f"the first key is one of {', '.join(sorted(_FIRST))}, or a signal's name")
    return Problem(at, Code.UNKNOWN_KIND, f"the first key {first!r} says nothing about the kind of file", hint)


def _job_problems(node: Node, config: Config, knowledge: Knowledge) -> Iterator[Problem]:
    """Folders that are not there, and jobs against the runbooks that exist, the file's own folders among them."""
    fields = Fields(node)
    folders = [Path(folder) for folder in config.folders]
    for item, folder in zip(fields.items("runbooks"), folders, strict=False):
        if not folder.is_dir():
            yield Problem(item.at, Code.NOT_READABLE, f"no folder {str(folder)!r}", "make it, or take it out")
    there = [folder for folder in folders if folder.is_dir()]
    whole = knowledge.widened(there) if there else knowledge
    for item in fields.below("serve").items("jobs"):
        yield from _job(Fields(item), whole)


def _job(job: Fields, knowledge: Knowledge) -> Iterator[Problem]:
    name = job.text("runbook")
    if not name:
        return
    if name not in knowledge.runbook_paths:
        hint = did_you_mean(name, knowledge.runbook_paths, "see `sickbay list`")
        yield Problem(job.value_at("runbook"), Code.UNKNOWN_RUNBOOK, f"no runbook {name!r}", hint)
        return
    try:
        inputs = {item.name: item for item in knowledge.runbook(name).inputs}
    except ProblemsError as error:
        yield from error.problems
        return
    given = job.below("set")
    for key, node in given:
        if key not in inputs:
            hint = did_you_mean(key, inputs, f"it has: {listed(inputs)}")
            yield Problem(given.key_at(key), Code.UNKNOWN_INPUT, f"runbook {name!r} has no input {key!r}", hint)
        elif wrong := misfit(inputs[key], as_value(node)):
            yield Problem(node.at, Code.INPUT_DEFAULT, f"{key}: {wrong}")
    for key, item in inputs.items():
        if item.default is None and key not in given:
            message = f"runbook {name!r} must be given {key!r}"
            yield Problem(job.value_at("runbook"), Code.MISSING_KEY, message, f"set: {{{key}: VALUE}}")
