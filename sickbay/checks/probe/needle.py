"""probe.needle: does a long prompt reach the model whole.

A conversation whose last message is long, with a fact at its head and one at its tail, and with an earlier turn before
it. What the server says it evaluated is compared with what was sent: a path that keeps a part of a message, or only the
last turns, shows there. The facts only count where they tell one end from the other, because small models lose facts by
themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sickbay.checks.probe.answer import Question
from sickbay.checks.probe.asking import begin, rows_of
from sickbay.checks.probe.prepare import calibrate, known_numbers, seed_for
from sickbay.checks.probe.prompts import PromptMaker
from sickbay.checks.probe.rendering import Rendering
from sickbay.checks.probe.timeout_param import timeout_param
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["ProbeNeedle"]

ALL_EVALUATED = 0.97
TEMPLATE_TOKENS = 96
HISTORY_SHARE = 0.125
"""Of the prompt, in the earlier turn: more than the share that counts as all, so that its loss shows."""
CONTEXT_SHARE = 0.8
BELIEVED_SHARE = 0.9
CODES = {"head": "4821", "tail": "7735"}
HOUSES = {"head": "red", "tail": "green"}


class ProbeNeedle(Check):
    """Send one long prompt twice, asking for the fact at its head and for the one at its tail.

    `believed_tokens` is the context that callers believe in; with it the prompt may exceed what the engine reports.
    """

    name = "probe.needle"
    title = "Does a long prompt reach the model whole"
    effect = Effect.LIGHT
    needs = ("url",)
    emits: ClassVar[Sequence[str]] = (
        "output.prompt_tokens_ratio",
        "output.head_fact_found",
        "output.tail_fact_found",
        "output.long_prompt_refused",
    )
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "prompt_tokens": {
                "description": "length of the prompt in tokens; shrinks to the context unless believed_tokens is given",
                "type": "integer",
                "minimum": 64,
                "maximum": 32768,
                "default": 700,
            },
            "believed_tokens": {
                "description": "context in tokens that callers believe in; 0: not told",
                "type": "number",
                "minimum": 0,
                "maximum": 10000000,
                "default": 0,
            },
            "seed": {"description": "seed of the prompt; 0 takes a new one each run", "type": "integer", "default": 0},
            "timeout_s": timeout_param(default=20.0, maximum=300),
        },
        "additionalProperties": False,
    }
    sources: ClassVar[Sequence[str]] = (
        "ollama/ollama#17427, #17889 (half of the window is kept, with status 200)",
        "esengine/DeepSeek-Reasonix#10245",
        "0.97 of the text's tokens as all: a template's marks come on top, and two replicas may have two templates",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """Two answers of a few tokens."""
        return Cost(requests=2, seconds=min(16.0, 2 * float(params["timeout_s"])), usual_s=6.0)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Both questions on the same long text; the second one's prompt is cached."""
        asking = await begin(look, float(params["timeout_s"]))
        seed = seed_for(look, int(params["seed"]))
        prompts = PromptMaker(seed)
        await calibrate(look, prompts, asking.found)
        context = known_numbers(look, ("serving.context_length_tokens",))
        length = _length(params, float(context.get("serving.context_length_tokens", 0.0)))
        earlier = int(HISTORY_SHARE * length)
        history = _history(prompts, earlier)
        text = _haystack(prompts, length - earlier)
        rendering = Rendering(look, asking.found)
        sent: dict[str, int | None] = {}
        words: dict[str, int] = {}
        for number, end in enumerate(("tail", "head")):
            messages = [*history, {"role": "user", "content": f"{text} {_question(end)}"}]
            content = " ".join(message["content"] for message in messages)
            ids = await rendering.ids(content) or await rendering.conversation_ids(messages)
            sent[end] = len(ids) if ids is not None else None
            words[end] = len(content.split())
            await asking.ask(end, number, Question(messages=messages, max_tokens=16, wanted=(CODES[end],)))
        return {
            "rows": asking.rows,
            "stopped": asking.stopped,
            "seed": seed,
            "wanted_tokens": length,
            "sent_tokens": sent,
            "sent_words": words,
            "context": context,
        }

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Evaluated over sent; the facts only where one end is lost and the other is known."""
        rows = {row.arm: row.answer for row in rows_of(raw)}
        ok = {end: answer for end, answer in rows.items() if answer.ok}
        ratio = _ratio(raw, {end: answer.prompt_tokens for end, answer in ok.items()})
        refused = _refused([(answer.status, answer.failure) for answer in rows.values()])
        found = {end: bool(answer.text.right) for end, answer in ok.items()}
        signals = {"output.prompt_tokens_ratio": ratio, "output.long_prompt_refused": refused} | _facts(found, ratio)
        return Result(outcome=_outcome(signals), summary=_summary(signals, raw), signals=signals)


def _length(params: Mapping[str, Any], context: float) -> int:
    wanted, believed = int(params["prompt_tokens"]), float(params["believed_tokens"])
    room = BELIEVED_SHARE * believed if believed > 0 else CONTEXT_SHARE * context
    return max(64, min(wanted, int(room) - TEMPLATE_TOKENS)) if room > 0 else wanted


def _history(prompts: PromptMaker, length: int) -> list[dict[str, str]]:
    return [
        {"role": "user", "content": f"Here are some words: {prompts.cold(max(8, length - 16))}."},
        {"role": "assistant", "content": "Thank you."},
    ]


def _haystack(prompts: PromptMaker, length: int) -> str:
    """A fact, many words, a fact."""
    facts = {end: f"The door code of the {HOUSES[end]} house is {CODES[end]}." for end in CODES}
    return f"{facts['head']} Some words: {prompts.cold(max(16, length - 60))}. {facts['tail']}"


def _question(end: str) -> str:
    return f"What is the door code of the {HOUSES[end]} house? Answer with the number only."


def _ratio(raw: Raw, evaluated: Mapping[str, int | None]) -> Reading:
    told = [(count, raw["sent_tokens"].get(end)) for end, count in evaluated.items()]
    known = [(count, sent) for count, sent in told if count and sent]
    if known:
        count, sent = min(known, key=lambda each: each[0] / each[1])
        source = f"{count} prompt tokens were evaluated, and the text alone has {sent} by the engine's own tokenizer"
        return measured(min(1.0, count / sent), source)
    fewer = [(count, raw["sent_words"][end]) for end, count in evaluated.items() if count]
    if fewer and min(count / words for count, words in fewer) < ALL_EVALUATED:
        count, words = min(fewer, key=lambda each: each[0] / each[1])
        return measured(count / words, f"{count} prompt tokens were evaluated of {words} words, each a token or more")
    if any(evaluated.values()):
        why = "the engine offers no way to count a conversation's tokens (it has no route that renders or splits one)"
        return unknown(UnknownReason.UNSUPPORTED, why)
    return unknown(UnknownReason.ABSENT, "no answer told how many prompt tokens were evaluated")


def _refused(ends: Sequence[tuple[int, str]]) -> Reading:
    if not ends:
        return unknown(UnknownReason.NOT_ASKED, "no long prompt was sent")
    refused = [failure for status, failure in ends if status in {400, 413, 422}]
    return measured(bool(refused), refused[0] if refused else "the long prompt was taken")


def _facts(found: Mapping[str, bool], ratio: Reading) -> dict[str, Reading]:
    names = {end: f"output.{end}_fact_found" for end in CODES}
    if len(found) < len(CODES):
        gone = unknown(UnknownReason.ABSENT, "not both questions were answered")
        return dict.fromkeys(names.values(), gone)
    whole = isinstance(ratio.value, float) and ratio.value >= ALL_EVALUATED
    if not any(found.values()) or (whole and not all(found.values())):
        why = "one end is not known though all was evaluated" if any(found.values()) else "neither end is known"
        gone = unknown(UnknownReason.INCONSISTENT, f"{why}: the model may not be able to")
        return dict.fromkeys(names.values(), gone)
    words = {True: "the answer holds the code", False: "the answer lacks the code"}
    return {names[end]: measured(found[end], words[found[end]]) for end in CODES}


def _outcome(signals: Mapping[str, Reading]) -> Outcome:
    ratio = signals["output.prompt_tokens_ratio"].value
    if isinstance(ratio, float) and ratio < ALL_EVALUATED:
        return Outcome.FAIL
    facts = [signals[f"output.{end}_fact_found"].value for end in CODES]
    if False in facts or signals["output.long_prompt_refused"].value is True:
        return Outcome.WARN
    return Outcome.PASS if ratio is not None or True in facts else Outcome.UNKNOWN


def _summary(signals: Mapping[str, Reading], raw: Raw) -> str:
    ratio, refused = signals["output.prompt_tokens_ratio"], signals["output.long_prompt_refused"]
    if refused.value is True:
        return f"a prompt of about {raw['wanted_tokens']} tokens was refused: {refused.source}"
    said = [ratio.source if ratio.known else ratio.detail]
    said += [
        f"the fact at the {end} is {'known' if signals[f'output.{end}_fact_found'].value else 'lost'}"
        for end in CODES
        if signals[f"output.{end}_fact_found"].known
    ]
    return "; ".join(said)
