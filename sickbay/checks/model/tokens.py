"""model.tokens: what a model's own files make of fixed texts and conversations, without any engine.

The other half of a migration: run it on the old files and on the new ones, or on files and serving.rendering on an
engine, and compare (`sickbay tokens diff A B`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar

from sickbay.checks.probe.reference import Reference, read_reference
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
            "conversations": {
                name: {"text": _rendered(files, messages), "ids": None} for name, messages in CONVERSATIONS.items()
            },
            "special": {
                "start token": files.start_text,
                "end tokens": sorted(files.end_texts),
                "start token is added by the tokenizer": files.adds_start,
            },
            "template": files.template,
            "why": dict(files.why),
        }

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Hashes; what the files do not tell is unknown."""
        ids = [row["ids"] for row in raw["texts"]]
        texts = [row["text"] for row in raw["conversations"].values()]
        no_ids = unknown(UnknownReason.UNSUPPORTED, raw["why"].get("encode") or "the files cannot be split here")
        no_text = unknown(UnknownReason.ABSENT, f"{raw['title']}: no chat template, or it refuses")
        signals: dict[str, Reading] = {
            "model.tokens_sha": no_ids if None in ids else measured(_sha(ids), f"ids of {len(ids)} fixed texts"),
            "model.rendered_sha": no_text
            if None in texts
            else measured(_sha(texts), f"text of {len(texts)} fixed conversations"),
        }
        said = [reading.source or reading.detail for reading in signals.values()]
        known = any(reading.known for reading in signals.values())
        return Result(outcome=Outcome.PASS if known else Outcome.UNKNOWN, summary="; ".join(said), signals=signals)


def _rendered(files: Reference, messages: Any) -> str | None:
    try:
        return files.rendered(messages)
    except ProbeError:
        return None


def _sha(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:12]
