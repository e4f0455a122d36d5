"""serving.rendering: what the engine makes of fixed texts: the prompt it renders, and the ids it splits them into."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar

from sickbay.checks.probe.rendering import Rendering
from sickbay.checks.probe.special_tokens import LLAMACPP_ENDS
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.measure.recognise import dig
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import EngineFound, Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["CONVERSATIONS", "TEXTS", "ServingRendering"]

TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "  two spaces,\ttab\nnew line  ",
    "3.14159 1234567890 0x1F",
    "naïve Grüße 東京 مرحبا 🙂",
    "def f(x):\n    return x**2\n",
    "<|im_start|>user</s>[INST]",
)
CONVERSATIONS: Mapping[str, tuple[Mapping[str, str], ...]] = {
    "user": ({"role": "user", "content": "What is the capital of France?"},),
    "system and user": (
        {"role": "system", "content": "Answer in one word."},
        {"role": "user", "content": "What is the capital of France?"},
    ),
    "three turns": (
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello. What can I do?"},
        {"role": "user", "content": "Count to three."},
    ),
}


class ServingRendering(Check):
    """Hash what the engine makes of fixed texts and conversations, so that two engines or two versions can be compared.

    Only our own texts are sent and kept; no token is generated. Control text (the last of the texts) is read as in a
    prompt, so that engines compare which differ in what they make of it elsewhere.
    """

    name = "serving.rendering"
    title = "rendered prompt and token ids of fixed texts"
    effect = Effect.PASSIVE
    needs = ("url",)
    params: ClassVar[Mapping[str, Any]] = {"type": "object", "additionalProperties": False, "properties": {}}
    emits = ("serving.tokens_sha", "serving.rendered_sha", "serving.rendered_tokens")

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """Small requests that generate nothing."""
        return Cost(requests=0, seconds=6.0, usual_s=0.5)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Ask for every text and conversation."""
        found = await look.engine()
        rendering = Rendering(look, found)
        return {
            "title": found.spec.title,
            **await _special(look, found),
            "texts": [{"text": text, "ids": await rendering.prompt_ids(text)} for text in TEXTS],
            "conversations": {
                name: {"text": await rendering.text(messages), "ids": await rendering.conversation_ids(messages)}
                for name, messages in CONVERSATIONS.items()
            },
        }

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Hashes over all ids; what an engine does not tell is unknown."""
        ids = [row["ids"] for row in raw["texts"]]
        turns = [row["ids"] for row in raw["conversations"].values()]
        none = unknown(UnknownReason.UNSUPPORTED, f"{raw['title']} does not tell the ids of a text")
        told = unknown(UnknownReason.UNSUPPORTED, f"{raw['title']} does not tell what it makes of a conversation")
        signals: dict[str, Reading] = {
            "serving.tokens_sha": none if None in ids else measured(_sha(ids), f"ids of {len(ids)} fixed texts"),
            "serving.rendered_sha": told,
            "serving.rendered_tokens": told,
        }
        if None not in turns:
            signals["serving.rendered_sha"] = measured(_sha(turns), f"ids of {len(turns)} fixed conversations")
            signals["serving.rendered_tokens"] = measured(
                sum(len(each) for each in turns), f"ids of {len(turns)} fixed conversations"
            )
        known = sum(reading.known for reading in signals.values())
        count = signals["serving.rendered_tokens"].value
        return Result(
            outcome=Outcome.PASS if known else Outcome.UNKNOWN,
            summary=f"{len(ids)} texts and {len(turns)} conversations of {count:g} tokens"
            if isinstance(count, float)
            else told.detail,
            signals=signals,
        )


async def _special(look: Look, found: EngineFound) -> dict[str, Any]:
    """What llama.cpp says of its end token, and where it stops beside it; {} for engines that tell nothing."""
    endpoint = found.spec.endpoints.get("config")
    if found.spec.name != "llamacpp" or endpoint is None:
        return {}
    try:
        answer = await look.http.request("GET", endpoint.path, timeout_s=4.0, direct=True)
        end = dig(answer.json(), "eos_token") if answer.status == 200 else None
    except BudgetExceededError:
        raise
    except ProbeError:
        return {}
    return {"special": {"end tokens": [end]}, "stops": sorted(LLAMACPP_ENDS)} if isinstance(end, str) and end else {}


def _sha(ids: Any) -> str:
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:12]
