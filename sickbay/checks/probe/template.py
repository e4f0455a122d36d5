"""Rendering a chat template as the usual engines do: sandboxed, with their few extra functions and fixed dates."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.signal import UnknownReason

__all__ = ["render"]

RENDERED_CHARS_MAX = 1_000_000


def render(
    template: str,
    messages: Sequence[Mapping[str, str]],
    *,
    start: str,
    end: str,
    answer_next: bool = True,
    tools: Sequence[Mapping[str, Any]] | None = None,
) -> str:
    """The rendered prompt.

    Raises:
        ProbeError: `jinja2` is not installed (missing-library), or the template refuses (malformed).
    """
    try:
        # Late: only a run that compares templates needs it.
        from jinja2 import TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError as error:
        raise ProbeError(UnknownReason.MISSING_LIBRARY, "rendering a chat template needs the library jinja2") from error

    def refuse(message: str) -> str:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda _form: "DATE"
    try:
        text = environment.from_string(template).render(
            messages=[dict(each) for each in messages],
            add_generation_prompt=answer_next,
            bos_token=start,
            eos_token=end,
            tools=None if tools is None else [dict(each) for each in tools],
        )
    except (TemplateError, TypeError, ValueError, RecursionError) as error:
        message = " ".join(str(error).split())[:120]
        raise ProbeError(UnknownReason.MALFORMED, f"the chat template refuses: {message}") from error
    return text[:RENDERED_CHARS_MAX]


def _tojson(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)
