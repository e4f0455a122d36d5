"""model.tokens: what a model's own files make of fixed texts and conversations, without any engine.

The other half of a migration: run it on the old files and on the new ones, or on files and serving.rendering on an
engine, and compare (`sickbay tokens diff A B`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar

from sickbay.checks.probe.reference import Reference
from sickbay.checks.probe.reference_files import read_reference
from sickbay.checks.probe.template import Case
from sickbay.checks.serving.rendering import CONVERSATIONS, TEXTS
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["ModelTokens"]


class ModelTokens(Check):
    """Render and split with the files alone. Only our own texts are kept."""

    name = "model.tokens"
    title = "rendered prompt, ids, special tokens and stop set by the model's own files"
    effect = Effect.PASSIVE
    needs = ("reference",)
    params: ClassVar[Mapping[str, Any]] = {"type": "object", "additionalProperties": False, "properties": {}}
    emits = ("model.tokens_sha", "model.rendered_sha")

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """Reads only."""
        return Cost(requests=0, seconds=6.0, usual_s=0.5)

    def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """The same form as serving.rendering gives, and what only files tell."""
        files = read_reference(look.files, look.target)
        return {
            "title": files.path,
            "texts": [{"text": text, "ids": files.encode(text) if files.encode else None} for text in TEXTS],
            "conversations": _rendered(files),
            "special": {
                # A start token that neither tokenizer nor template puts before a prompt is a name and nothing else.
                "start token": files.start_text if files.adds_start or _named_start(files) else "",
                "end tokens": sorted(files.end_texts),
                "start token is added by the tokenizer": files.adds_start,
            },
            "stops": sorted(files.stops),
            "contradictions": [*files.contradictions, *files.ordinary_ends],
            "template": files.template,
            "why": dict(files.why),
        }

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Hashes; what the files do not tell is unknown."""
        ids = [row["ids"] for row in raw["texts"]]
        no_ids = unknown(UnknownReason.UNSUPPORTED, raw["why"].get("encode") or "the files cannot be split here")
        signals: dict[str, Reading] = {
            "model.tokens_sha": no_ids if None in ids else measured(_sha(ids), f"ids of {len(ids)} fixed texts"),
            "model.rendered_sha": _prompts(raw),
        }
        said = [reading.source or reading.detail for reading in signals.values()]
        known = any(reading.known for reading in signals.values())
        return Result(outcome=Outcome.PASS if known else Outcome.UNKNOWN, summary="; ".join(said), signals=signals)


def _named_start(files: Reference) -> bool:
    return "bos_token" in files.template or (bool(files.start_text) and files.start_text in files.template)


def _prompts(raw: Raw) -> Reading:
    """Over what the template renders; a conversation that it refuses is a part of what it is."""
    rows = raw["conversations"].values()
    texts = [row["text"] for row in rows]
    refused = [row["refused"] for row in rows if row.get("refused")]
    if not any(texts):
        lost = next((row["why"] for row in rows if row.get("why")), "nothing was rendered")
        return unknown(UnknownReason.ABSENT, lost)
    told = f"text of {len(texts) - len(refused)} of {len(texts)} fixed conversations"
    return measured(_sha(texts), told + (f"; {refused[0]}" if refused else ""))


def _rendered(files: Reference) -> dict[str, dict[str, Any]]:
    """Each conversation's text, and `forms` as an engine may render it today; None where there is none, and why."""
    try:
        found: list[Any] = list(files.rendered_all([Case(messages=each) for each in CONVERSATIONS.values()]))
    except ProbeError as error:
        found = [error] * len(CONVERSATIONS)
    rows: dict[str, dict[str, Any]] = {}
    for name, one in zip(CONVERSATIONS, found, strict=True):
        lost = isinstance(one, ProbeError)
        rows[name] = {"text": None if lost else one.text, "ids": None}
        if lost:
            refused = one.detail if one.reason is UnknownReason.MALFORMED else ""
            rows[name] |= {"why": one.detail, "refused": refused}
        else:
            rows[name]["forms"] = list(one.forms)
    return rows


def _sha(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:12]
