"""YAML text to nodes with positions, safely: bounded in size, depth and expansion, on libyaml's parser."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import yaml

from sickbay.engine.load.codes import Code
from sickbay.engine.load.yaml_node import Node, SourceText
from sickbay.engine.load.yaml_scalars import resolve_plain
from sickbay.engine.load.yaml_syntax import nested_too_deep_for_libyaml, syntax_problem
from sickbay.engine.model.problem import Position, Problem

__all__ = ["ALIASES_MAX", "CHARACTERS_MAX", "DEPTH_MAX", "NODES_MAX", "Node", "read_yaml"]

CHARACTERS_MAX = 1_000_000
DEPTH_MAX = 40
NODES_MAX = 100_000
"""Values in one file, aliases counted as often as they are used."""
ALIASES_MAX = 1_000

_NOT_YAML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")


def read_yaml(text: str | bytes, path: str, problems: list[Problem]) -> Node | None:
    """The file's one document; None when it cannot be read.

    Every problem is appended; None comes with at least one. A duplicate key keeps its first value.
    Text that was decoded with `surrogateescape` is refused where it was not UTF-8.
    """
    source = _readable(text, path, problems)
    if source is None:
        return None
    before = len(problems)
    try:
        return _Builder(source, problems).document()
    except yaml.YAMLError as error:
        end = nested_too_deep_for_libyaml(error)
        if end is None:
            problems.append(syntax_problem(error, source))
        else:
            # libyaml looks a thousand characters ahead and gives up first; our own bound was crossed before that.
            del problems[before:]
            read_yaml(source.text[:end], path, problems)
    except _RefusedError as error:
        problems.append(error.problem)
    return None


def _readable(text: str | bytes, path: str, problems: list[Problem]) -> SourceText | None:
    if len(text) > CHARACTERS_MAX:
        problems.append(
            Problem(
                Position(path), Code.TOO_LARGE, f"the file has {len(text)} characters; wanted at most {CHARACTERS_MAX}"
            )
        )
        return None
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    source = SourceText(path, text.removeprefix("\ufeff"))
    bad = _NOT_YAML.search(source.text)
    if bad is None:
        return source
    problems.append(_unreadable(bad.group(), source.position(bad.start())))
    return None


def _unreadable(letter: str, at: Position) -> Problem:
    code = ord(letter)
    if 0xD800 <= code <= 0xDFFF:
        byte = f"byte 0x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"the surrogate U+{code:04X}"
        return Problem(at, Code.NOT_UTF8, f"{byte} is not UTF-8", "save the file as UTF-8")
    return Problem(at, Code.CONTROL_CHARACTER, f"the control character U+{code:04X} cannot stand in YAML", "remove it")


class _RefusedError(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class _Builder:
    """Builds nodes from libyaml's events with a stack of its own, so that depth is ours to bound."""

    def __init__(self, source: SourceText, problems: list[Problem]) -> None:
        self._source = source
        self._problems = problems
        self._anchors: dict[str, Node] = {}
        self._aliases = 0
        self._total = 0
        self._stack: list[Node] = []
        self._pending: list[tuple[str, int, int] | None] = []
        self._anchored: list[str | None] = []
        self._root: Node | None = None

    def document(self) -> Node | None:
        parser = yaml.CSafeLoader(self._source.text)
        try:
            documents = 0
            while parser.check_event():
                event = parser.get_event()
                if type(event) is yaml.DocumentStartEvent:
                    documents += 1
                    if documents > 1:
                        hint = "one file is one runbook, cause or config; split the file at '---'"
                        raise self._refused(event, Code.MANY_DOCUMENTS, "a second YAML document begins here", hint)
                else:
                    self._take(event)
        finally:
            parser.dispose()
        if self._root is None or (self._root.data is None and not self._problems):
            hint = "write a mapping, e.g. 'runbook: NAME'"
            self._problems.append(Problem(Position(self._source.path), Code.EMPTY_FILE, "the file is empty", hint))
            return None
        return self._root

    def _take(self, event: Any) -> None:
        kind = type(event)
        if kind is yaml.ScalarEvent:
            self._scalar(event)
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            self._open(event, mapping=kind is yaml.MappingStartEvent)
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            self._close(event)
        elif kind is yaml.AliasEvent:
            self._alias(event)

    def _scalar(self, event: Any) -> None:
        if event.tag is not None:
            self._no_tag(event)
        if self._stack and self._stack[-1].entries is not None and self._pending[-1] is None:
            self._key(event)
            return
        mark = event.start_mark
        node = Node(
            self._source, mark.line + 1, mark.column + 1, event.value, mark.index, event.end_mark.index,
            block=event.style in {"|", ">"},
        )  # fmt: skip
        if event.implicit[0]:
            node.data, trap = resolve_plain(event.value)
            if trap:
                self._problems.append(_trap(trap, event.value, node.at))
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        self._attach(node)

    def _key(self, event: Any) -> None:
        text = event.value
        if event.implicit[0]:
            value, trap = resolve_plain(text)
            if trap == "ambiguous":
                problem = _trap(trap, text, self._at(event))
                self._problems.append(replace(problem, hint=f"quote it: '{text}'"))
            elif text == "<<":
                message = "merge keys ('<<') are not part of YAML 1.2"
                self._problems.append(Problem(self._at(event), Code.MERGE_KEY, message, "write the keys out"))
            elif value is None or isinstance(value, bool):
                message = f"the key {text!r} is not text"
                self._problems.append(Problem(self._at(event), Code.YAML_KEY, message, f"quote it: '{text}'"))
        mark = event.start_mark
        self._pending[-1] = (text, mark.line + 1, mark.column + 1)

    def _open(self, event: Any, *, mapping: bool) -> None:
        if self._stack and self._stack[-1].entries is not None and self._pending[-1] is None:
            raise self._refused(event, Code.YAML_KEY, "a list or mapping cannot be a key", "wanted text before ':'")
        if len(self._stack) >= DEPTH_MAX:
            raise self._refused(event, Code.TOO_DEEP, f"nested deeper than {DEPTH_MAX} levels")
        if event.tag is not None:
            self._no_tag(event)
        mark = event.start_mark
        node = Node(self._source, mark.line + 1, mark.column + 1, {} if mapping else [], mark.index, mark.index)
        if mapping:
            node.entries = {}
        else:
            node.items = []
        self._stack.append(node)
        self._pending.append(None)
        self._anchored.append(event.anchor)
        if event.anchor is not None:
            self._anchors.pop(event.anchor, None)

    def _close(self, event: Any) -> None:
        node = self._stack.pop()
        self._pending.pop()
        node.stop = event.end_mark.index
        anchor = self._anchored.pop()
        if anchor is not None:
            self._anchors[anchor] = node
        self._attach(node)

    def _alias(self, event: Any) -> None:
        if self._stack and self._stack[-1].entries is not None and self._pending[-1] is None:
            raise self._refused(event, Code.YAML_KEY, "an alias cannot be a key", "wanted text before ':'")
        node = self._anchors.get(event.anchor)
        if node is None:
            inside = event.anchor in self._anchored
            why = "stands inside what it names" if inside else "names no anchor before it"
            raise self._refused(event, Code.YAML_SYNTAX, f"the alias '*{event.anchor}' {why}", "write the value out")
        self._aliases += 1
        if self._aliases > ALIASES_MAX:
            raise self._refused(event, Code.ALIAS_BOMB, f"more than {ALIASES_MAX} aliases")
        self._total += node.size - 1
        self._attach(node)

    def _attach(self, node: Node) -> None:
        self._total += 1
        if self._total > NODES_MAX:
            raise _RefusedError(
                Problem(
                    node.at, Code.ALIAS_BOMB, f"the file holds more than {NODES_MAX} values once aliases are expanded"
                )
                if self._aliases
                else Problem(node.at, Code.TOO_LARGE, f"the file holds more than {NODES_MAX} values")
            )
        if not self._stack:
            self._root = node
            return
        parent = self._stack[-1]
        parent.size += node.size
        if parent.items is not None:
            parent.items.append(node)
            parent.data.append(node.data)
            return
        pending = self._pending[-1]
        self._pending[-1] = None
        if pending is not None and parent.entries is not None:
            self._enter(parent, parent.entries, pending, node)

    def _enter(self, parent: Node, entries: dict[str, Node], pending: tuple[str, int, int], node: Node) -> None:
        key, line, column = pending
        if key in entries:
            at, first = Position(self._source.path, line, column), parent.key_at(key)
            message = f"the key {key!r} stands twice; first on line {first.line}"
            self._problems.append(Problem(at, Code.DUPLICATE_KEY, message, "remove one of them"))
            return
        entries[key] = node
        parent.data[key] = node.data
        parent.keys[key] = (line, column)

    def _no_tag(self, event: Any) -> None:
        shown = event.tag.replace("tag:yaml.org,2002:", "!!")[:60]
        message = f"the tag {shown!r} is not used here"
        self._problems.append(Problem(self._at(event), Code.YAML_TAG, message, "remove it"))

    def _at(self, event: Any) -> Position:
        return Position(self._source.path, event.start_mark.line + 1, event.start_mark.column + 1)

    def _refused(self, event: Any, code: Code, message: str, hint: str = "") -> _RefusedError:
        return _RefusedError(Problem(self._at(event), code, message, hint))


def _trap(trap: str, text: str, at: Position) -> Problem:
    if trap == "ambiguous":
        truth = "true" if text.lower() in {"yes", "on"} else "false"
        message = f"{text!r} is a truth value to some YAML readers and text to others"
        return Problem(at, Code.YAML_BOOL, message, f"write {truth}, or quote it: '{text}'")
    shown = text if len(text) <= 20 else text[:20] + "…"
    return Problem(at, Code.NOT_FINITE, f"{shown} is not a finite number", "numbers here are finite doubles")
