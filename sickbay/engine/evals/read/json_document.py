"""A JSON document to nodes with their places. As YAML it would not do: a smiley as two escapes is none there."""

from __future__ import annotations

import json
import re

from sickbay.engine.evals.read.json_places import placed
from sickbay.engine.load.codes import Code
from sickbay.engine.load.yaml_node import Node, SourceText
from sickbay.engine.model.problem import Position, Problem

__all__ = ["read_json"]

CHARS_MAX = 4_000_000
DEPTH_MAX = 60
_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # as `read_text` keeps such bytes


def read_json(text: str, path: str, problems: list[Problem]) -> Node | None:
    """The document; None with a problem. Of a key that stands twice the first value counts, and it is told."""
    text = text.removeprefix("\ufeff")
    if len(text) > CHARS_MAX:
        message = f"the file has {len(text)} characters; wanted at most {CHARS_MAX}"
        problems.append(
            Problem(Position(path), Code.TOO_LARGE, message, "write one JSON object a line in a .jsonl file")
        )
        return None
    bad = _NOT_UTF8.search(text)
    if bad is not None:
        at = SourceText(path, text).position(bad.start())
        message = f"byte 0x{ord(bad.group()) - 0xDC00:02x} is not UTF-8"
        problems.append(Problem(at, Code.NOT_UTF8, message, "save the file as UTF-8"))
        return None
    try:
        data = json.loads(text, parse_constant=_refuse)
        json.dumps(data, ensure_ascii=False).encode()
        node, repeated = placed(text, 1, SourceText(path, text))
    except json.JSONDecodeError as error:
        problems.append(Problem(Position(path, error.lineno, error.colno), Code.JSON_SYNTAX, f"not JSON: {error.msg}"))
        return None
    except UnicodeEncodeError as error:
        what = f"the character U+{ord(error.object[error.start]):04X} alone is none"
        problems.append(Problem(Position(path), Code.JSON_SYNTAX, what, "write the pair, or the character"))
        return None
    except RecursionError:
        problems.append(Problem(Position(path), Code.TOO_DEEP, "nested too deep"))
        return None
    except ValueError as error:
        problems.append(Problem(Position(path), Code.JSON_SYNTAX, f"not JSON: {str(error)[:80]}"))
        return None
    if _depth(node) > DEPTH_MAX:
        problems.append(Problem(node.at, Code.TOO_DEEP, f"nested deeper than {DEPTH_MAX} levels"))
        return None
    for key, second in repeated:
        problems.append(Problem(second, Code.DUPLICATE_KEY, f"the key {key!r} stands twice", "remove one of them"))
    return node


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")


def _depth(node: Node) -> int:
    """Levels below the document, without recursion."""
    deepest, level = 0, [node]
    while level:
        deepest += 1
        level = [below for each in level for below in (*(each.entries or {}).values(), *(each.items or ()))]
    return deepest - 1
