"""logprob: the mean log-probability the served model gives to the reference answer.

Costs one more request to the target. Works where the completions route can score a prompt: vLLM's `prompt_logprobs`,
or `echo` with `logprobs` (OpenAI's older form). Chat templates are not applied: the text is question, newline,
reference. Values compare two builds of one model; they are no probability of being right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from sickbay.checks.evals.scorers.references import needs_references, references
from sickbay.engine.evals.item import Item
from sickbay.engine.evals.scorer import Asking, AskingScorer, Given, Score

__all__ = ["Likelihood", "tail_logprobs"]


class Likelihood(AskingScorer):
    """Passes when the mean log-probability of the reference's tokens is at least `at_least`."""

    name = "logprob"
    title = "the model finds the reference answer likely (mean log-probability a token)"
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"at_least": {"type": "number", "maximum": 0, "default": -2.0}},
    }

    def misfit(self, item: Item, params: Mapping[str, Any]) -> str:
        """An item without a reference."""
        return needs_references(item, params)

    async def score_by_asking(self, item: Item, given: Given, params: Mapping[str, Any], asking: Asking) -> Score:
        """Ask for the prompt's own log-probabilities and take those of the reference."""
        head = "\n".join(str(each.get("content", "")) for each in item.messages) + "\n"
        body = {
            "model": asking.target_model, "prompt": head + references(item, {})[0], "max_tokens": 1, "temperature": 0.0,
            "echo": True, "logprobs": 0,
        }  # fmt: skip
        answer = await asking.target("/v1/completions", body)
        found = tail_logprobs(answer, len(head))
        if not found:
            return Score.cannot("logprob: this server does not score a prompt (no echoed logprobs in its answer)")
        mean = math.fsum(found) / len(found)
        least = float(params.get("at_least", -2.0))
        return Score(
            passed=mean >= least, value=min(1.0, math.exp(mean)), why=f"mean {mean:.2f} over {len(found)} tokens"
        )


def tail_logprobs(answer: Any, head_chars: int) -> list[float]:
    """Log-probabilities of the echoed tokens that begin at or after `head_chars`, without the one that was made."""
    try:
        found = answer["choices"][0]["logprobs"]
        rows = list(zip(found["text_offset"], found["token_logprobs"], strict=True))[:-1]
    except (KeyError, IndexError, TypeError, ValueError):
        return []
    return [float(value) for offset, value in rows if offset >= head_chars and isinstance(value, (int, float))]
