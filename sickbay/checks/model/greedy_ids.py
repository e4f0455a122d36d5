"""Greedy answers by token ids, so that no template and no tokenizer stands between: llama.cpp and vLLM."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from sickbay.checks.probe.prepare import time_left
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import EngineFound, Look
from sickbay.engine.model.signal import UnknownReason

__all__ = ["greedy_by_ids"]

SUPPORTED = ("llamacpp", "vllm")


async def greedy_by_ids(
    look: Look, found: EngineFound, prompt: list[int], *, max_tokens: int, cached: bool = True, timeout_s: float = 60.0
) -> dict[str, list[Any]]:
    """{"ids": [...], "logprobs": [...]} of the engine's own greedy answer to these prompt ids.

    Raises:
        ProbeError: an engine that takes or tells no ids, or no answer.
    """
    if found.spec.name not in SUPPORTED:
        raise ProbeError(
            UnknownReason.UNSUPPORTED, f"{found.spec.title} takes or tells no token ids; known: {', '.join(SUPPORTED)}"
        )
    llamacpp = found.spec.name == "llamacpp"
    body: dict[str, Any] = {"prompt": prompt, "temperature": 0.0}
    # Every setting that a server's default may have changed: the reference has none of them.
    plain = {"presence_penalty": 0.0, "frequency_penalty": 0.0}
    if llamacpp:
        body |= plain | {"repeat_penalty": 1.0, "logit_bias": [], "cache_prompt": cached}
        body |= {"n_predict": max_tokens, "n_probs": 1}
    else:
        body |= plain | {"repetition_penalty": 1.0, "model": found.model, "max_tokens": max_tokens}
        body |= {"logprobs": 1, "return_token_ids": True}
        # vLLM cannot leave its prefix cache out for one request; a salt of its own finds nothing in it.
        body |= {} if cached else {"cache_salt": secrets.token_hex(8)}
    answer = await look.http.request(
        "POST", "/completion" if llamacpp else "/v1/completions", json=body,
        timeout_s=max(1.0, min(timeout_s, time_left(look))), direct=True, generates=True, fresh=True,
    )  # fmt: skip
    if answer.status != 200:
        raise ProbeError(UnknownReason.ABSENT, f"HTTP {answer.status}: {answer.text[:160]}")
    return _llamacpp(answer.json()) if llamacpp else _vllm(answer.json())


def _llamacpp(body: Any) -> dict[str, list[Any]]:
    rows = body.get("completion_probabilities") if isinstance(body, Mapping) else None
    if not isinstance(rows, list):
        raise ProbeError(UnknownReason.UNSUPPORTED, "llama.cpp told no probabilities (n_probs)")
    told = [(row.get("id"), row.get("logprob")) for row in rows if isinstance(row, Mapping)]
    return _checked(told)


def _vllm(body: Any) -> dict[str, list[Any]]:
    choices = body.get("choices") if isinstance(body, Mapping) else None
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], Mapping) else {}
    ids, logprobs = choice.get("token_ids"), (choice.get("logprobs") or {}).get("token_logprobs")
    if not isinstance(ids, list) or not isinstance(logprobs, list):
        raise ProbeError(UnknownReason.UNSUPPORTED, "vLLM told no token ids (return_token_ids)")
    return _checked(list(zip(ids, logprobs, strict=False)))


def _checked(told: list[tuple[Any, Any]]) -> dict[str, list[Any]]:
    sound = [(each, number) for each, number in told if isinstance(each, int) and isinstance(number, (int, float))]
    if len(sound) < len(told) or not sound:
        raise ProbeError(UnknownReason.MALFORMED, "an output token has no id or no log probability")
    return {"ids": [each for each, _ in sound], "logprobs": [round(float(number), 5) for _, number in sound]}
