"""The world-facing half of probe.tokens: both sides of every comparison, as hashes and counts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any

from sickbay.checks.probe.answer_text import hashed
from sickbay.checks.probe.prepare import prepare_route
from sickbay.checks.probe.reference import Reference, Rendered
from sickbay.checks.probe.reference_files import of_folder, read_reference
from sickbay.checks.probe.rendering import Rendering
from sickbay.checks.probe.special_tokens import LLAMACPP_ENDS
from sickbay.checks.probe.template import Case, tells_the_day
from sickbay.checks.serving.local_process import command_line, find_process
from sickbay.checks.serving.served_defaults import defaults_folder, served_folder
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.measure.json_lines import read_rows
from sickbay.engine.measure.recognise import dig
from sickbay.engine.model.look import EngineFound, Look
from sickbay.engine.model.signal import UnknownReason

__all__ = ["CONVERSATIONS", "STRINGS", "TOOLS", "by_ids", "look_tokens", "other_end_mark"]

CONVERSATIONS: tuple[tuple[str, tuple[Mapping[str, str], ...]], ...] = (
    ("one-turn", ({"role": "user", "content": "Hi there"},)),
    ("empty-system", ({"role": "system", "content": ""}, {"role": "user", "content": "Привет"})),
    ("system", ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Grüß Gott, 你好"})),
    (
        "turns",
        (
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "two"},
            {"role": "user", "content": "three"},
        ),
    ),
)
TOOLS: tuple[Mapping[str, Any], ...] = (
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    },
)
"""Rendered only where the model's own template speaks of tools: engines help the others out, each in its own way."""
ANSWER = "ANSWERED"
ANSWERED = Case(
    messages=({"role": "user", "content": "a"}, {"role": "assistant", "content": ANSWER}), answer_next=False
)
"""What its last words are followed by ends a turn."""
GOLDEN_MAX = 50
DATE = re.compile(r"\d{4}-\d{2}-\d{2}|\d{1,2} [A-Z][a-z]{2,8} \d{4}|[A-Z][a-z]{2,8} \d{1,2},? \d{4}")
STRINGS = (
    "Hello world",
    "  two spaces\n\nnew lines\tand a tab",
    "1234567 3.14159 2025-09-17",
    "don't we'll I'd",
    "naïve café ÜBER straße",
    "Привет, мир",
    "你好 世界",
    "def f(x):\n    return x**2  # note",
    "🙂👍🏽",
)
"""Where pre-tokenisers are known to differ: digits, spaces, contractions, scripts, emoji."""


async def look_tokens(look: Look, params: Mapping[str, Any]) -> dict[str, Any]:
    """Fixed conversations and strings, recorded conversations, and end tokens."""
    _, found = await prepare_route(look)
    reference = await look.share("probe.reference", lambda: _reference(look))
    rendering = Rendering(look, found)
    asked = list(CONVERSATIONS)
    if "tools" in (reference.tool_template or reference.template):  # the tool schema in the prompt
        asked.append(("tools", CONVERSATIONS[0][1]))
    cases = [Case(messages=each, tools=TOOLS if name == "tools" else None) for name, each in asked]
    *own, turn = await asyncio.to_thread(_all_rendered, reference, [*cases, ANSWERED])
    return {
        "engine": found.spec.name if found else "",
        "reference": reference.path,
        "why": dict(reference.why),
        "pretokenizer_known": reference.pretokenizer_known,
        "contradictions": list(reference.contradictions),
        "conversations": [
            await _conversation(rendering, reference, name, case, mine)
            for (name, _), case, mine in zip(asked, cases, own, strict=True)
        ]
        + await _golden(rendering, look, str(params["golden"]), dated=tells_the_day(reference.template)),
        "strings": [await _string(rendering, reference, number, text) for number, text in enumerate(STRINGS)],
        "ends": await _ends(look, found, reference, turn),
    }


async def _reference(look: Look) -> Reference:
    return read_reference(look.files, look.target)


def _all_rendered(reference: Reference, cases: Sequence[Case]) -> list[Rendered | ProbeError]:
    """By the files; where there is no template or no library, every case says so."""
    try:
        return reference.rendered_all(cases)
    except ProbeError as error:
        return [error] * len(cases)


async def _golden(rendering: Rendering, look: Look, path: str, *, dated: bool) -> list[dict[str, Any]]:
    """Conversations that somebody recorded when all was well, against what the engine makes of them now.

    `dated`: the template puts the day into a prompt, so that of two texts no date is compared, and ids cannot be.
    """
    rows: list[dict[str, Any]] = []
    for number, kept in enumerate(read_rows(look.files, path)[:GOLDEN_MAX] if path else [], start=1):
        row: dict[str, Any] = {"name": f"golden {number}", "own_starts": 0}
        messages, tools = _recorded(kept, f"{path}: row {number}")
        if isinstance(kept.get("ids"), list):
            now: Any = await rendering.conversation_ids(messages, tools)
            own: Any = kept["ids"]
            if dated and now != own:
                told = f"{path}: row {number}: the template tells the day; record the prompt, not its ids"
                rows.append(row | {"problem": told, "reason": UnknownReason.UNSUPPORTED.value})
                continue
        else:
            now, own = await rendering.text(messages, tools), kept.get("prompt")
        if dated and isinstance(now, str) and isinstance(own, str):
            now, own = DATE.sub("DATE", now), DATE.sub("DATE", own)
        row["own"] = hashed(str(own))
        rows.append(row | ({} if now is None or own is None else {"engine": hashed(str(now))}))
    return rows


def _recorded(kept: Mapping[str, Any], where: str) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]] | None]:
    """The messages and tools of a recorded conversation.

    Raises:
        ProbeError: they are no lists of objects.
    """
    messages, tools = kept.get("messages"), kept.get("tools") or None
    for name, listed in (("messages", messages), ("tools", tools or [])):
        if not isinstance(listed, list) or not all(isinstance(each, Mapping) for each in listed):
            raise ProbeError(UnknownReason.MALFORMED, f"{where}: wanted {name}, a list of objects")
    return list(messages or ()), tools


async def _conversation(
    rendering: Rendering, reference: Reference, name: str, case: Case, rendered: Rendered | ProbeError
) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name}
    text = await rendering.text(case.messages, case.tools)
    ids = await rendering.conversation_ids(case.messages, case.tools)
    if isinstance(rendered, ProbeError):
        return row | {"problem": rendered.detail, "reason": rendered.reason.value}
    start = reference.start_text
    forms = [_bare(form, start) for form in rendered.forms]
    # A prompt with a date in it has several right forms; the engine's own decides which one is compared.
    own = next((form for form in forms if text is not None and form == _bare(text, start)), forms[0])
    row["own"], row["own_chars"] = hashed(own), len(rendered.forms[0])
    row["own_starts"] = max(_leading(rendered.forms[0], start), int(bool(reference.adds_start)))
    if text is not None:
        mark = other_end_mark(own, _bare(text, start), reference.end_texts)
        if mark:  # all else is equal: that is a matter of end tokens and not of the template
            row["end_mark"] = mark[0]
        alike = _bare(text.replace(*mark) if mark else text, start)
        row["engine"], row["engine_chars"] = hashed(alike), len(text)
    if ids is not None:
        row["engine_ids"] = len(ids)
        row["engine_starts"] = await _starts_of(rendering, start, text, ids)
        row |= await by_ids(rendering, forms, ids) if text is None else {}
    return row


def other_end_mark(own: str, engine: str, ends: Sequence[str]) -> tuple[str, str] | None:
    """(the engine's mark, the files' mark) where the two texts differ in nothing but the mark that ends a turn."""
    at = next((place for place, (mine, theirs) in enumerate(zip(own, engine, strict=False)) if mine != theirs), None)
    if at is None:
        return None
    begin = own.rfind("<", 0, at + 1)
    end = next((each for each in ends if begin >= 0 and own.startswith(each, begin)), "")
    stop = engine.find(">", begin)
    if not end or stop < 0 or not engine.startswith("<", begin):
        return None
    mark = engine[begin : stop + 1]
    return (mark, end) if engine.replace(mark, end) == own else None


async def by_ids(rendering: Rendering, forms: Sequence[str], ids: list[int]) -> dict[str, Any]:
    """An engine that tells ids but no text: it splits our text, and the ids are compared, start tokens apart."""
    found: dict[str, Any] = {}
    for form in forms:
        mine = await rendering.ids(form)
        if mine is None:
            continue
        if not found and await rendering.ids(form) != mine:  # a tokenizer with the dropout of its training left on
            return {"unsteady": True}
        tail = ids[len(ids) - len(mine) :] if len(mine) <= len(ids) else ids
        row = {"engine": hashed(str(tail)), "own": hashed(str(mine)), "by": "ids"}
        found = found or row
        if tail == mine:
            return row
    return found


async def _starts_of(rendering: Rendering, start: str, text: str | None, ids: list[int]) -> int | None:
    """Start tokens at the head: those of the text and those that the tokenizer adds itself, whichever token it is."""
    bare = None if text is None else await rendering.ids(text, bare=True)
    if text is not None and bare is not None:
        return _leading(text, start) + max(0, len(ids) - len(bare))
    return await _leading_ids(rendering, start, ids)


async def _leading_ids(rendering: Rendering, start: str, ids: list[int]) -> int | None:
    """How many start tokens the ids begin with; None when the start token has no single id."""
    if not start:
        return None
    special = await rendering.ids(start, special=True)
    if not special or len(set(special)) != 1:  # one, or one more that the tokenizer adds itself
        return None
    count = 0
    for each in ids:
        if each != special[0]:
            break
        count += 1
    return count


async def _string(rendering: Rendering, reference: Reference, number: int, text: str) -> dict[str, Any]:
    row: dict[str, Any] = {"number": number}
    theirs = await rendering.ids(text)
    if theirs is not None:
        row["engine"], row["engine_ids"] = hashed(str(theirs)), len(theirs)
    if reference.encode is not None:
        mine = reference.encode(text)
        row["own"], row["own_ids"] = hashed(str(mine)), len(mine)
    return row


async def _ends(
    look: Look, found: EngineFound | None, reference: Reference, turn: Rendered | ProbeError
) -> dict[str, Any]:
    """End tokens by the engine, by the files, and the one that ends a turn in the template."""
    row: dict[str, Any] = {"own": list(reference.end_texts), "files_ordinary": list(reference.ordinary_ends)}
    by_name = LLAMACPP_ENDS if found is not None and found.spec.name == "llamacpp" else reference.ends_by_name
    if isinstance(turn, ProbeError):
        row["turn_problem"] = turn.detail
    else:
        row["turn"] = _turn_end(turn.text, reference.end_texts)
        row["turn_by_name"] = row["turn"] in by_name
    if found is not None and found.spec.name == "llamacpp":
        try:
            answer = await look.http.request("GET", found.spec.endpoints["config"].path, timeout_s=4.0, direct=True)
            row["engine"] = dig(answer.json(), "eos_token") if answer.status == 200 else None
        except BudgetExceededError:
            raise
        except ProbeError as error:
            row["engine_problem"] = error.detail
    if found is not None and found.spec.name == "vllm" and look.target.is_local:
        row |= _vllm_ends(look, reference)
    return row


def _vllm_ends(look: Look, reference: Reference) -> dict[str, Any]:
    """Where vLLM stops, which it tells nobody: at the tokenizer's end token and at those of the generation config."""
    try:
        process = find_process(look.files, look.target)
        words = command_line(look.files, process.pid) if process else []
        folder = served_folder(words, process.pid, look.files) if process else ""
        defaults = defaults_folder(words, process.pid, look.files) if process else ""
        if not folder or not defaults:
            return {}
        served = of_folder(look.files, folder, defaults=defaults)
    except ProbeError as error:
        return {"engine_problem": error.detail}
    return {
        "engine": served.end_texts[0] if served.end_texts else None,
        "engine_ids": list(served.end_ids),
        "own_ids": list(reference.end_ids),
        "ordinary": [each for each in served.end_ids if served.special_ids and each not in served.special_ids],
    }


def _turn_end(rendered: str, ends: Sequence[str]) -> str:
    """What the template puts right after an assistant's words, up to the end of its first mark; "" for none."""
    stripped = rendered.rpartition(ANSWER)[2].lstrip()
    for end in ends:
        if stripped.startswith(end):
            return end
    closing = stripped.find(">")
    return stripped[: closing + 1] if stripped.startswith("<") and closing > 0 else ""


def _leading(text: str, start: str) -> int:
    count = 0
    while start and text.startswith(start, count * len(start)):
        count += 1
    return count


def _bare(text: str, start: str) -> str:
    """Without its start tokens: some engines add them when they split, not when they render."""
    return text[_leading(text, start) * len(start) :]
