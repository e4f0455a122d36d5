"""probe.tokens: is the prompt that reaches the model the one its own files describe.

Renders fixed conversations and splits fixed strings twice, by the engine and by the model's published files, and
compares template, start tokens, ids and end tokens. No output token is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["ProbeTokens"]


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
        "model.special_tokens_agree",
    )
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "golden": {
                "description": "JSON lines of conversations with the prompt (or ids) that they became when well",
                "type": "string",
                "default": "",
            },
        },
        "additionalProperties": False,
    }
    sources: ClassVar[Sequence[str]] = (
        "vllm-project/vllm#8807 (template), #55288, #16976 (double start token)",
        "ggml-org/llama.cpp#6914, #7062, #6920 (pre-tokeniser)",
        "huggingface/open-r1#663, QwenLM/Qwen3#927 (end tokens)",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """Some reads; no output token."""
        return Cost(requests=0, seconds=6.0, usual_s=0.5)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Both sides of every comparison, as hashes."""
        from sickbay.checks.probe.tokens_look import look_tokens  # late: what a check says of itself must load fast

        return await look_tokens(look, params)

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
            "model.special_tokens_agree": _agree(raw),
        }
        return Result(outcome=_outcome(signals), summary=_summary(signals), signals=signals)


def _template(raw: Raw) -> Reading:
    rows = raw["conversations"]
    compared = [row for row in rows if "engine" in row and "own" in row]
    if not compared:
        problems = [row for row in rows if "problem" in row]
        if problems:
            return unknown(UnknownReason(problems[0]["reason"]), problems[0]["problem"])
        if any(row.get("unsteady") for row in rows):
            why = "the engine splits one text into other ids each time, so that prompts cannot be compared by their ids"
            return unknown(UnknownReason.INCONSISTENT, why)
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
    if differing and any(row.get("unsteady") for row in raw["conversations"]):
        told += "; one text is split otherwise each time"
    return measured(not differing, told + (f"; differing: {differing}" if differing else ""))


def _ends_agree(raw: Raw) -> Reading:
    """The engine's end token is one of the files', and so is the one that the template ends a turn with."""
    ends = raw["ends"]
    own, turn, engine = set(ends["own"]), ends.get("turn", ""), ends.get("engine")
    if not own:
        return unknown(UnknownReason.ABSENT, f"{raw['reference']}: names no end token")
    if turn and turn not in own and turn != engine and not ends.get("turn_by_name"):
        return measured(False, f"the template ends a turn with {turn!r}, the files stop at {_listed(own)}")
    marks = {row["end_mark"] for row in raw["conversations"] if row.get("end_mark")} - own
    if marks:
        return measured(False, f"the engine ends a turn with {_listed(marks)}, the files stop at {_listed(own)}")
    if engine and engine not in own:
        return measured(False, f"the engine stops at {engine!r}, the files at {_listed(own)}")
    if ends.get("ordinary"):
        ids = ", ".join(map(str, ends["ordinary"]))
        return measured(False, f"the engine stops at id {ids} as well, which is an ordinary token and ends no turn")
    more = sorted(set(ends.get("engine_ids", ())) - set(ends.get("own_ids", ())))
    if ends.get("own_ids") and more:
        return measured(
            False, f"the engine stops at id {', '.join(map(str, more))} as well, which the files do not name"
        )
    if ends.get("files_ordinary"):
        return measured(False, ends["files_ordinary"][0])
    if not engine:
        return unknown(UnknownReason.UNSUPPORTED, f"this engine tells no end tokens; the files: {_listed(own)}")
    return measured(True, f"engine, files and template stop at {_listed(own)}")


def _agree(raw: Raw) -> Reading:
    """Do the tokenizer's own files give each id to one token."""
    told = raw.get("contradictions", [])
    more = f"; and {len(told) - 1} more" if len(told) > 1 else ""
    return measured(not told, f"{raw['reference']}: {told[0]}{more}" if told else f"{raw['reference']}: one text an id")


def _listed(texts: set[str]) -> str:
    return ", ".join(repr(each) for each in sorted(texts))


def _outcome(signals: Mapping[str, Reading]) -> Outcome:
    starts = [signals[name].value for name in ("output.start_tokens", "output.start_tokens_expected")]
    told = [signals[f"output.{name}"] for name in ("template_matches", "token_ids_match", "end_sets_agree")]
    if any(reading.value is False for reading in told) or starts[0] != starts[1]:
        return Outcome.FAIL
    if signals["model.special_tokens_agree"].value is False:
        return Outcome.WARN
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
    if signals["model.special_tokens_agree"].value is False:
        said.append(signals["model.special_tokens_agree"].source)
    if starts[0] != starts[1]:
        said.append(f"{starts[0]:.0f} start tokens, {starts[1]:.0f} by the files")
    return "; ".join(said)
