"""Renders chat templates in a process of its own, which may be killed. Run by `template.py`; stands alone.

A template is somebody else's program: the sandbox keeps it from reaching out, and nothing keeps it from looping or
growing without end but limits on the whole process. A request on standard input, one JSON line an answer.

The environment is the one of transformers (utils/chat_template_utils.py): trimmed blocks, loop controls, the tag
`generation`, `tojson` with json's own words, `raise_exception` and `strftime_now`.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Any

CPU_S = 1
"""The slowest of 71 published templates took 0.18 s for all that is asked of it."""
MEMORY_BYTES = 1 << 30
RENDERED_CHARS_MAX = 1_000_000
ERROR_CHARS = 200
MARK = "A-SYSTEM-MESSAGE"


def main() -> int:
    """Render every case, or say that a library is missing."""
    request = json.load(sys.stdin)
    _limit()
    try:
        environments = [_compiled(text) for text in request["templates"]]
    except ImportError:
        _say({"missing": True})
        return 0
    for case in request["cases"]:
        _say(_answer(environments[case["template"]], case, request["special"]))
    return 0


def _limit() -> None:
    try:
        import resource  # late: Unix only
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _compiled(text: str) -> Any:
    """The template, or why it is none."""
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}…{% endgeneration %}` marks what a model has written; rendering passes it through."""

        tags = {"generation"}

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _refuse
    try:
        return environment.from_string(text)
    except Exception as error:  # whatever a stranger's text makes of the compiler
        return f"{type(error).__name__}: {error}"


def _refuse(message: str) -> str:
    from jinja2 import TemplateError

    raise TemplateError(message)


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _answer(template: Any, case: dict[str, Any], special: dict[str, str]) -> dict[str, str]:
    if isinstance(template, str):
        return {"error": template[:ERROR_CHARS]}
    words = {**special, **case["words"], "tools": case["tools"], "documents": None}
    words["add_generation_prompt"] = case["answer_next"]
    if case["now"]:
        words["strftime_now"] = datetime.fromisoformat(case["now"]).strftime
    try:
        messages = case["messages"]
        if case["merged"]:
            if _takes_system(template, messages, words):
                return {"error": "it takes system messages"}
            messages = _merged(messages)
        if case["parts"]:
            messages = [_in_parts(each) for each in messages]
        return {"text": template.render(**words, messages=messages)[:RENDERED_CHARS_MAX]}
    except MemoryError:
        return {"error": f"it needs over {MEMORY_BYTES >> 30} GiB of memory"}
    except Exception as error:  # whatever a stranger's program raises
        return {"error": (str(error) or type(error).__name__)[:ERROR_CHARS]}


def _takes_system(template: Any, messages: list[dict[str, Any]], words: dict[str, Any]) -> bool:
    return MARK in template.render(**words, messages=[{**messages[0], "content": MARK}, *messages[1:]])


def _merged(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    first, second, *rest = messages
    return [{**second, "content": f"{first['content']}\n{second['content']}"}, *rest]


def _in_parts(message: dict[str, Any]) -> dict[str, Any]:
    text = message.get("content")
    return {**message, "content": [{"type": "text", "text": text}]} if isinstance(text, str) else message


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
