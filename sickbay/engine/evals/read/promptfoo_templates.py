"""The prompts of a promptfoo configuration: texts in place, and files of them.

Formats: promptfoo.dev/docs/configuration/prompts. A .txt file holds several, parted by lines of three hyphens; .json
and .yaml hold chat messages; .jsonl one prompt a line; .md and .j2 one. What runs code is refused.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from sickbay.engine.evals.read.context import Context
from sickbay.engine.evals.read.promptfoo_files import FILE, node_of_file, paths_of, text_of_file
from sickbay.engine.load.codes import Code
from sickbay.engine.load.fields import Fields
from sickbay.engine.load.yaml_node import Node
from sickbay.engine.model.problem import Position, Problem

__all__ = ["templates_of"]

_READ = (".txt", ".md", ".j2", ".json", ".jsonl", ".yaml", ".yml")
_CODE = (
    ".js",
    ".cjs",
    ".mjs",
    ".ts",
    ".cts",
    ".mts",
    ".py",
    ".rb",
    ".sh",
    ".bash",
    ".exe",
    ".bat",
    ".cmd",
    ".ps1",
    ".pl",
)
_BETWEEN = re.compile(r"^[ \t]*---[ \t]*\r?$", re.MULTILINE)


def templates_of(fields: Fields, context: Context) -> list[str]:
    """Every prompt, not yet filled in. What cannot be read is a problem."""
    found: list[str] = []
    nodes = fields.items("prompts")
    only = fields.get("prompts")
    if not nodes and only is not None:
        nodes = (only,)
    for node in nodes:
        if isinstance(node.data, dict) and not {"raw", "id"} & node.data.keys():
            message = "prompts: wanted a list of texts or files (a mapping of files is not read here)"
            context.problems.append(Problem(node.at, Code.NOT_SUPPORTED, message))
            continue
        data = node.data.get("raw", node.data.get("id", "")) if isinstance(node.data, dict) else node.data
        found += _of_text(str(data), node, context)
    if not found and not nodes:
        context.problems.append(Problem(fields.at, Code.MISSING_KEY, "no prompts", "promptfoo wants a list 'prompts:'"))
    return found


def _of_text(text: str, node: Node, context: Context) -> list[str]:
    if not _names_a_file(text):
        return [text]
    paths = paths_of(text, Path(context.path).parent)
    if not paths:
        context.problems.append(Problem(node.at, Code.NOT_READABLE, f"no file fits {text.removeprefix(FILE)!r}"))
    return [template for path in paths for template in _of_file(path, node.at, context.problems)]


def _names_a_file(text: str) -> bool:
    """As in promptfoo, a name with a known ending is a file, with or without `file://`."""
    if "\n" in text or text.startswith("exec:"):
        return text.startswith("exec:")  # refused there: it is no file of ours
    plain = text.partition(".py:")[0] + ".py" if ".py:" in text else text
    return text.startswith(FILE) or ("{{" not in text and plain.lower().endswith((*_READ, *_CODE, ".csv")))


def _of_file(path: Path, at: Position, problems: list[Problem]) -> list[str]:
    suffix = path.suffix.lower()
    if suffix in {".yaml", ".yml"}:
        node = node_of_file(path, at, problems)
        return [] if node is None else [json.dumps(node.data, ensure_ascii=False)]
    if suffix not in _READ and suffix:
        message = f"the prompt file {path.name!r} is not read here; wanted {', '.join(_READ)}"
        problems.append(Problem(at, Code.NOT_SUPPORTED, message, "no code of a configuration is run"))
        return []
    text = text_of_file(path, at, problems)
    if text is None:
        return []
    if suffix == ".txt":
        found = [part.strip() for part in _BETWEEN.split(text.replace("\r\n", "\n"))]
    else:
        found = text.splitlines() if suffix == ".jsonl" else [text]
    found = [part for part in found if part.strip()]
    if not found:
        problems.append(Problem(at, Code.EMPTY, f"the prompt file {path.name!r} is empty"))
    return found
