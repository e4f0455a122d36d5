"""command: a program of yours says whether the answer (code, SQL, anything) is right. Off unless it is allowed."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from sickbay.checks.evals.scorers.references import references
from sickbay.checks.evals.scorers.sandbox import Ran, run
from sickbay.engine.evals.item import Item
from sickbay.engine.evals.scorer import Given, Score, Scorer

__all__ = ["Command", "code_in"]

_FENCE = re.compile(r"```[^\n`]*\n(.*?)(?:\n```|\Z)", re.DOTALL)
KILLED = frozenset({137, 139, 134})


class Command(Scorer):
    """Exit code 0 is right, any other wrong; a command that cannot be started is an error of the item.

    It runs in an empty folder that holds `answer.txt` (the code of the answer's first fenced block with
    `answer: code`), `item.json` (id, expected, fields, messages, context) and the `files` named, which stand beside
    the eval set; `{answer}` in an argument is answer.txt. It also gets the answer as standard input. No network,
    `timeout_s`, `memory_mb`; a program that runs out of them is wrong. `output: expected` compares what it prints with
    the item's expected answer, `output: score` reads {"score": 0.5, "why": "..."} from its last line.
    """

    name = "command"
    title = "a command of yours, run on the answer in a sandbox, ends with 0 (--allow-commands)"
    blocking = True
    runs_commands = True
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "required": ["value"],
        "properties": {
            "value": {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1},
                      "description": "The command: a program and its arguments, no shell"},
            "files": {"type": "array", "items": {"type": "string", "minLength": 1}, "default": []},
            "answer": {"enum": ["text", "code"], "default": "text"},
            "output": {"enum": ["ignored", "expected", "score"], "default": "ignored"},
            "timeout_s": {"type": "number", "exclusiveMinimum": 0, "maximum": 600, "default": 10},
            "memory_mb": {"type": "integer", "minimum": 16, "maximum": 65536, "default": 1024},
            "network": {"type": "boolean", "default": False},
        },
    }  # fmt: skip

    def misfit(self, item: Item, params: Mapping[str, Any]) -> str:
        """Files that are not there; an expected answer that is wanted and missing."""
        lost = [name for name in params.get("files", ()) if not (_folder(item) / name).is_file()]
        if lost:
            return f"no file {lost[0]!r} in {str(_folder(item))!r}"
        if params.get("output") == "expected" and len(references(item, {})) != 1:
            return "output: expected compares with one expected answer, and the item has not one"
        return ""

    def content(self, item: Item, params: Mapping[str, Any]) -> str:
        """The files it is given: with another check.py the same answer may get another verdict."""
        found = [_sha256(_folder(item) / name) for name in params.get("files", ())]
        return " ".join(found)

    def score(self, item: Item, given: Given, params: Mapping[str, Any]) -> Score:
        """One run in a folder that is gone afterwards."""
        text = code_in(given.text) if params.get("answer") == "code" else given.text
        with tempfile.TemporaryDirectory(prefix="sickbay-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            (folder / "answer.txt").write_text(text, encoding="utf-8", errors="surrogatepass")
            (folder / "item.json").write_text(json.dumps(_plain(item)), encoding="utf-8")
            for file in params.get("files", ()):
                shutil.copy(_folder(item) / file, folder / Path(file).name)
            argv = [part.replace("{answer}", "answer.txt") for part in params["value"]]
            ran = run(
                argv, folder, text, timeout_s=params.get("timeout_s", 10.0),
                memory_bytes=params.get("memory_mb", 1024) * 2**20, network=params.get("network", False),
            )  # fmt: skip
        return _judged(ran, item, params)


def _sha256(path: Path) -> str:
    try:
        found = path.stat()
        return _sha256_of(path, found.st_mtime_ns, found.st_size)
    except OSError:
        return ""  # told as a misfit


@lru_cache(maxsize=256)
def _sha256_of(path: Path, _changed_ns: int, _size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _folder(item: Item) -> Path:
    return Path(item.position.path).parent


def _plain(item: Item) -> dict[str, Any]:
    return {
        "id": item.id, "expected": item.expected, "fields": dict(item.fields), "context": list(item.context),
        "messages": [dict(each) for each in item.messages],
    }  # fmt: skip


def code_in(text: str) -> str:
    """The first fenced block; the whole text where there is none."""
    found = _FENCE.search(text)
    return found.group(1) if found else text


def _judged(ran: Ran, item: Item, params: Mapping[str, Any]) -> Score:
    if ran.problem:
        return Score.cannot(f"command: {ran.problem}")
    if ran.timed_out:
        return Score.of(False, f"ran longer than {params.get('timeout_s', 10):g} s")
    said = " ".join((ran.errors or ran.output).split())[-120:]
    if ran.code:
        how = "was killed (memory, or a crash)" if ran.code in KILLED else f"ended with {ran.code}"
        return Score.of(False, f"{how}: {said!r}")
    if params.get("output") == "expected":
        wanted = references(item, {})[0]
        return Score.of(ran.output.split() == wanted.split(), f"printed {ran.output.strip()[:80]!r}, wanted {wanted!r}")
    return _printed_score(ran.output) if params.get("output") == "score" else Score.of(True)


def _printed_score(output: str) -> Score:
    last = (output.strip().splitlines() or [""])[-1]
    try:
        found = json.loads(last)
        value = float(found["score"])
    except (ValueError, TypeError, KeyError):
        return Score.cannot(f'command: wanted {{"score": 0 to 1}} on its last line, found {last[:80]!r}')
    if not 0.0 <= value <= 1.0:
        return Score.cannot(f"command: wanted a score of 0 to 1, found {value:g}")
    return Score(passed=value >= 1.0, value=value, why=str(found.get("why", ""))[:160])
