"""probe.tokens: is the prompt that reaches the model the one its own files describe.

Renders fixed conversations and splits fixed strings twice, by the engine and by the model's published files, and
compares template, start tokens, ids and end tokens. No output token is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sickbay.checks.probe.answer_text import hashed
from sickbay.checks.probe.prepare import prepare_route
from sickbay.checks.probe.reference import Reference, read_reference
from sickbay.checks.probe.rendering import Rendering
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.measure.recognise import dig
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import EngineFound, Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["CONVERSATIONS", "STRINGS", "ProbeTokens"]

CONVERSATIONS: tuple[tuple[str, tuple[Mapping[str, str], ...]], ...] = (
    ("one-turn", ({"role": "user", "content": "Hi there"},)),
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


class ProbeTokens(Check):
    """Compare the engine's rendering and splitting with the model's own files; only hashes and counts are kept."""

    name = "probe.tokens"
    title = "Does the prompt that reaches the model follow the model's own template and tokenizer"
    effect = Effect.PASSIVE
    needs = ("url", "reference")
    emits: ClassVar[Sequence[str]] = (
        "output.template_matches",
        "output.start_tokens",
        "output.start_tokens_expected",
        "output.token_ids_match",
        "output.end_sets_agree",
        "model.pretokenizer_known",
    )
    params: ClassVar[Mapping[str, Any]] = {"type": "object", "properties": {}, "additionalProperties": False}
    sources: ClassVar[Sequence[str]] = (
        "vllm-project/vllm#8807 (template), #55288, #16976 (double start token)",
        "ggml-org/llama.cpp#6914, #7062, #6920 (pre-tokeniser)",
        "huggingface/open-r1#663, QwenLM/Qwen3#927 (end tokens)",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """Some reads; no output token."""
        return Cost(requests=0, seconds=6.0)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Both sides of every comparison, as hashes."""
        _, found = await prepare_route(look)
        reference = await look.share("probe.reference", lambda: _reference(look))
        rendering = Rendering(look, found)
        return {
            "engine": found.spec.name if found else "",
            "reference": reference.path,
            "why": dict(reference.why),
            "pretokenizer_known": reference.pretokenizer_known,
            "conversations": [await _conversation(rendering, reference, *each) for each in CONVERSATIONS],
            "strings": [await _string(rendering, reference, number, text) for number, text in enumerate(STRINGS)],
            "ends": await _ends(look, found, reference),
        }

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """First difference decides; no statistics."""
        known = raw["pretokenizer_known"]
        signals = {
            "output.template_matches": _template(raw),
            **_starts(raw),
            "output.token_ids_match": _ids_match(raw),
            "output.end_sets_agree": _ends_agree(raw),
            "model.pretokenizer_known": unknown(UnknownReason.UNSUPPORTED, "only byte-pair GGUF files name one")
            if known is None
            else measured(known, f"{raw['reference']}: tokenizer.ggml.pre"),
        }
        return Result(outcome=_outcome(signals), summary=_summary(signals), signals=signals)


async def _reference(look: Look) -> Reference:
    return read_reference(look.files, look.target)


async def _conversation(
    rendering: Rendering, reference: Reference, name: str, messages: Sequence[Mapping[str, str]]
) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name}
    text = await rendering.text(messages)
    ids = await rendering.conversation_ids(messages)
    try:
        own = reference.rendered(messages)
    except ProbeError as error:
        return row | {"problem": error.detail, "reason": error.reason.value}
    start = reference.start_text
    row["own"], row["own_chars"] = hashed(_bare(own, start)), len(own)
    row["own_starts"] = max(_leading(own, start), int(bool(reference.adds_start)))
    if text is not None:
        row["engine"], row["engine_chars"] = hashed(_bare(text, start)), len(text)
    if ids is not None:
        row["engine_ids"] = len(ids)
        row["engine_starts"] = await _leading_ids(rendering, start, ids)
        row |= await _by_ids(rendering, own, start, ids) if text is None else {}
    return row


async def _by_ids(rendering: Rendering, own: str, start: str, ids: list[int]) -> dict[str, Any]:
    """An engine that tells ids but no text: it splits our text, and the ids are compared, start tokens apart."""
    mine = await rendering.ids(_bare(own, start))
    if mine is None:
        return {}
    tail = ids[len(ids) - len(mine) :] if len(mine) <= len(ids) else ids
    return {"engine": hashed(str(tail)), "own": hashed(str(mine)), "by": "ids"}


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


async def _ends(look: Look, found: EngineFound | None, reference: Reference) -> dict[str, Any]:
    """End tokens by the engine, by the files, and the one that ends a turn in the template."""
    row: dict[str, Any] = {"own": list(reference.end_texts)}
    try:
        row["turn"] = _turn_end(reference)
    except ProbeError as error:
        row["turn_problem"] = error.detail
    if found is not None and found.spec.name == "llamacpp":
        try:
            answer = await look.http.request("GET", found.spec.endpoints["config"].path, timeout_s=4.0, direct=True)
            row["engine"] = dig(answer.json(), "eos_token") if answer.status == 200 else None
        except BudgetExceededError:
            raise
        except ProbeError as error:
            row["engine_problem"] = error.detail
    return row


def _turn_end(reference: Reference) -> str:
    """What the template puts right after an assistant's words, up to the end of its first mark; "" for none."""
    mark = "ANSWERED"
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": mark}]
    after = reference.rendered(messages, answer_next=False).rpartition(mark)[2]
    stripped = after.lstrip()
    for end in reference.end_texts:
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


def _template(raw: Raw) -> Reading:
    rows = raw["conversations"]
    compared = [row for row in rows if "engine" in row and "own" in row]
    if not compared:
        problems = [row for row in rows if "problem" in row]
        if problems:
            return unknown(UnknownReason(problems[0]["reason"]), problems[0]["problem"])
        return unknown(UnknownReason.UNSUPPORTED, "this engine does not tell how it renders a conversation")
    differing = [row["name"] for row in compared if row["engine"] != row["own"]]
    told = f"{len(compared)} conversations compared with {raw['reference']}"
    return measured(not differing, told + (f"; differing: {', '.join(differing)}" if differing else ""))


def _starts(raw: Raw) -> dict[str, Reading]:
    rows = [row for row in raw["conversations"] if row.get("engine_starts") is not None and "own_starts" in row]
    names = ("output.start_tokens", "output.start_tokens_expected")
    if not rows:
        gone = unknown(UnknownReason.UNSUPPORTED, "the engine or the files tell no start token of a conversation")
        return dict.fromkeys(names, gone)
    worst = max(rows, key=lambda row: abs(row["engine_starts"] - row["own_starts"]))
    source = f"conversation {worst['name']!r}"
    return {
        names[0]: measured(worst["engine_starts"], f"{source}, the engine's ids"),
        names[1]: measured(worst["own_starts"], f"{source}, {raw['reference']}"),
    }


def _ids_match(raw: Raw) -> Reading:
    rows = [row for row in raw["strings"] if "engine" in row and "own" in row]
    if not rows:
        why = raw["why"].get("encode") or "this engine does not tell the ids of a text"
        return unknown(UnknownReason.UNSUPPORTED, why)
    differing = [row["number"] for row in rows if row["engine"] != row["own"]]
    told = f"{len(rows)} strings compared with {raw['reference']}"
    return measured(not differing, told + (f"; differing: {differing}" if differing else ""))


def _ends_agree(raw: Raw) -> Reading:
    """The engine's end token is one of the files', and so is the one that the template ends a turn with."""
    ends = raw["ends"]
    own, turn, engine = set(ends["own"]), ends.get("turn", ""), ends.get("engine")
    if not own:
        return unknown(UnknownReason.ABSENT, f"{raw['reference']}: names no end token")
    if turn and turn not in own and turn != engine:
        return measured(False, f"the template ends a turn with {turn!r}, the files stop at {_listed(own)}")
    if engine and engine not in own:
        return measured(False, f"the engine stops at {engine!r}, the files at {_listed(own)}")
    if not engine:
        return unknown(UnknownReason.UNSUPPORTED, f"this engine tells no end tokens; the files: {_listed(own)}")
    return measured(True, f"engine, files and template stop at {_listed(own)}")


def _listed(texts: set[str]) -> str:
    return ", ".join(repr(each) for each in sorted(texts))


def _outcome(signals: Mapping[str, Reading]) -> Outcome:
    starts = [signals[name].value for name in ("output.start_tokens", "output.start_tokens_expected")]
    told = [signals[f"output.{name}"] for name in ("template_matches", "token_ids_match", "end_sets_agree")]
    if any(reading.value is False for reading in told) or starts[0] != starts[1]:
        return Outcome.FAIL
    return Outcome.PASS if any(reading.known for reading in told) else Outcome.UNKNOWN


def _summary(signals: Mapping[str, Reading]) -> str:
    words = {
        "output.template_matches": (
            "the rendered prompt is the model's own",
            "the rendered prompt is NOT the model's own",
        ),
        "output.token_ids_match": ("ids are equal", "ids differ"),
        "output.end_sets_agree": ("end tokens agree", "end tokens do not agree"),
    }
    said = []
    for name, (good, bad) in words.items():
        reading = signals[name]
        said.append((good if reading.value else f"{bad} ({reading.source})") if reading.known else f"{good}: not known")
    starts = [signals[name].value for name in ("output.start_tokens", "output.start_tokens_expected")]
    if starts[0] != starts[1]:
        said.append(f"{starts[0]:.0f} start tokens, {starts[1]:.0f} by the files")
    return "; ".join(said)
