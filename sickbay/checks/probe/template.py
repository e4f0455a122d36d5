"""Rendering chat templates as the usual engines do: sandboxed, in a process of its own, with a fixed moment.

A template that loops or grows without end is stopped; what was rendered before it is kept.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.signal import UnknownReason

__all__ = ["Case", "render", "render_all", "tells_the_day", "variants"]

CHILD = Path(__file__).with_name("template_child.py")
WALL_S = 20.0
"""Against a host that does not let the process run; a template that loops is stopped by its processor time."""
SAID_CHARS = 120
DATED = "strftime_now"
FIXED = "2025-09-17T12:00:00"
SWITCHES = ("enable_thinking", "thinking")
DATE_WORDS = re.compile(r"\bdate_string\b|\bdatetime\b")
TYPED = re.compile(r"\[['\"]type['\"]\]|\.type\b")
Message = Mapping[str, Any]
Tool = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One conversation to render. `now` is an ISO 8601 moment; "" renders as an engine without a clock does.

    `words` are further variables of the template; `parts` gives each text as a list of one part; `merged` puts a system
    message before the user's words, if the template has no place for one.
    """

    messages: Sequence[Message]
    template: int = 0
    tools: Sequence[Tool] | None = None
    answer_next: bool = True
    now: str = FIXED
    words: Mapping[str, Any] = field(default_factory=dict)
    parts: bool = False
    merged: bool = False


def tells_the_day(template: str) -> bool:
    """Whether a prompt of this template may hold today's date."""
    return DATED in template or bool(DATE_WORDS.search(template))


def variants(case: Case, template: str) -> list[Case]:
    """The case on a fixed day, and as engines may render it now without doing anything wrong; only the first for most.

    A clock may be in any time zone or absent (the template's own date); llama.cpp gives today's date and
    `enable_thinking` to every template (ggml-org/llama.cpp, common/chat.cpp), and parts where one asks for those.
    Where a template leaves a system message out, llama.cpp puts it before the user's words.
    """
    named = [name for name in SWITCHES if re.search(rf"\b{name}\b", template)]
    switches: list[dict[str, Any]] = [{}, *(dict.fromkeys(named, on) for on in (True, False) if named)]
    dates: list[tuple[str, dict[str, Any]]] = []
    now = datetime.now().replace(microsecond=0)  # noqa: DTZ005 - a template is given local time
    for day in (now + timedelta(days=days) for days in (0, -1, 1)):
        if DATED in template:
            dates.append((day.isoformat(), {}))
        if DATE_WORDS.search(template):
            told = {"date_string": day.strftime("%d %b %Y"), "datetime": day.strftime("%b %d %Y")}
            dates.append((day.isoformat(), told))
    if DATED in template:
        dates.append(("", {}))
    typed = (False, True) if TYPED.search(template) else (False,)
    found = [
        replace(case, now=moment, words={**words, **switch}, parts=parts)
        for moment, words in [*dates, (FIXED, {})]
        for switch in switches
        for parts in typed
    ]
    system = bool(case.messages) and case.messages[0].get("role") == "system"
    return [case, *found, *(replace(each, merged=True) for each in found if system)]


def render_all(
    templates: Sequence[str], cases: Sequence[Case], *, special: Mapping[str, str]
) -> list[str | ProbeError]:
    """The rendered prompt of each case, or why there is none; never raises for a template.

    Raises:
        ProbeError: `jinja2` is not installed (missing-library), or no process can be started.
    """
    rows = [
        {
            "template": case.template,
            "messages": [dict(each) for each in case.messages],
            "tools": None if case.tools is None else [dict(each) for each in case.tools],
            "answer_next": case.answer_next,
            "now": case.now,
            "words": dict(case.words),
            "parts": case.parts,
            "merged": case.merged,
        }
        for case in cases
    ]
    request = {"templates": list(templates), "special": dict(special), "cases": rows}
    said, late = _lines(json.dumps(request))
    answers = [json.loads(line) for line in said if line.endswith(b"}")]
    if answers and "missing" in answers[0]:
        raise ProbeError(UnknownReason.MISSING_LIBRARY, "rendering a chat template needs the library jinja2")
    found = [answer["text"] if "text" in answer else _refusal(answer["error"]) for answer in answers]
    endless = "the chat template does not end: it was stopped while it computed"
    lost = ProbeError(
        UnknownReason.TIMEOUT, f"no prompt in {WALL_S:.0f} s: this host is overloaded" if late else endless
    )
    return found + [lost] * (len(cases) - len(found))


def _lines(request: str) -> tuple[list[bytes], bool]:
    """What the child said before it ended, or was ended; and whether it was given up for its time."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(CHILD)], input=request.encode(), capture_output=True, timeout=WALL_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        return (error.stdout or b"").splitlines(), True
    except OSError as error:
        raise ProbeError(UnknownReason.CRASHED, f"no process to render in: {error.strerror}") from error
    return done.stdout.splitlines(), False


def _refusal(error: str) -> ProbeError:
    return ProbeError(UnknownReason.MALFORMED, f"the chat template refuses: {' '.join(error.split())[:SAID_CHARS]}")


def render(
    template: str,
    messages: Sequence[Message],
    *,
    start: str,
    end: str,
    answer_next: bool = True,
    tools: Sequence[Tool] | None = None,
) -> str:
    """One rendered prompt.

    Raises:
        ProbeError: `jinja2` is not installed (missing-library), the template refuses (malformed) or
            never ends (timeout).
    """
    case = Case(messages=messages, tools=tools, answer_next=answer_next)
    [found] = render_all([template], [case], special={"bos_token": start, "eos_token": end})
    if isinstance(found, ProbeError):
        raise found
    return found
