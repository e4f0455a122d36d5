"""The world-facing half of model.reference: greedy answers by ids, then torch's word on them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from sickbay.checks.model.greedy_ids import greedy_by_ids
from sickbay.checks.model.torch_reference import score_cases
from sickbay.checks.probe.prepare import calibrate, known_numbers, seed_for
from sickbay.checks.probe.prompts import PromptMaker
from sickbay.checks.probe.rendering import Rendering
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.model.look import EngineFound, Look
from sickbay.engine.model.signal import UnknownReason

__all__ = ["look_reference"]

TASKS = ("Write a short story with all of these words.", "Explain each of these words.", "Which of these is largest?")


async def look_reference(look: Look, params: Mapping[str, Any]) -> dict[str, Any]:
    """Rows of an arm each: the engine's log probabilities, torch's of the same tokens, and torch's best."""
    path = look.target.model_path or look.target.reference_path
    found = await look.engine()
    seed = seed_for(look, int(params["seed"]))
    prompts = await _prompts(look, found, seed, int(params["long_tokens"]))
    # Torch needs its share of the step: an engine that does not answer must not take all of it.
    within_s = max(2.0, min(float(params["answer_timeout_s"]), look.remaining_s / 4))
    rows, problems = await _answers(look, found, prompts, int(params["max_tokens"]), within_s)
    cases = [{"prompt": row.pop("prompt"), "output": row.pop("ids")} for row in rows]
    told = await score_cases(
        path, cases, python=str(params["python"]), adapter=str(params["adapter"]),
        timeout_s=min(float(params["timeout_s"]), max(1.0, look.remaining_s - 1.0)),
    )  # fmt: skip
    for row, case in zip(rows, told["cases"], strict=True):
        row["own"] = [round(each, 5) for each in case["logprobs"]]
        row["best"] = [round(each, 5) for each in case["best_logprobs"]]
    run = {"versions": told["versions"], "load_s": told["load_s"], "problems": problems}
    return {"path": path, "rows": rows, "seed": seed, **run}


async def _prompts(look: Look, found: EngineFound, seed: int, long_tokens: int) -> dict[str, list[list[int]]]:
    """Ids of the short prompts and of the long one, rendered by the engine."""
    maker = PromptMaker(seed)
    await calibrate(look, maker, found)
    context = known_numbers(look, ("serving.context_length_tokens",))
    room = int(float(context.get("serving.context_length_tokens", 10**9)) * 0.7)
    rendering = Rendering(look, found)
    texts = {
        "short": [f"{maker.cold(8)}. {task}" for task in TASKS],
        "long": [f"{maker.cold(min(long_tokens, room))}. {TASKS[0]}"],
    }
    ids: dict[str, list[list[int]]] = {}
    for name, each in texts.items():
        told = [await rendering.conversation_ids([{"role": "user", "content": text}]) for text in each]
        ids[name] = [row for row in told if row]
        if len(ids[name]) < len(each):
            raise ProbeError(UnknownReason.UNSUPPORTED, f"{found.spec.title} does not tell the ids of a conversation")
    return ids


async def _answers(
    look: Look, found: EngineFound, prompts: Mapping[str, list[list[int]]], max_tokens: int, within_s: float
) -> tuple[list[dict[str, Any]], list[str]]:
    """Every arm's greedy answers, and why others are missing: one that fails or is cut by the budget is left out.

    Raises:
        ProbeError: no answer came at all, with the first one's reason.
    """
    rows: list[dict[str, Any]] = []
    failed: list[ProbeError] = []

    async def ask(arm: str, prompt: list[int], *, cached: bool = True) -> None:
        if any(isinstance(error, BudgetExceededError) for error in failed):
            return
        try:
            answer = await greedy_by_ids(look, found, prompt, max_tokens=max_tokens, cached=cached, timeout_s=within_s)
        except ProbeError as error:
            failed.append(error)
            return
        rows.append({"arm": arm, "prompt": prompt, "tokens": len(prompt), **answer})

    for prompt in prompts["short"]:
        await ask("alone", prompt)
        await ask("again", prompt)
        await ask("uncached", prompt, cached=False)
    await asyncio.gather(*(ask("together", prompt) for prompt in prompts["short"]))
    await ask("long", prompts["long"][0])
    if not rows:
        raise failed[0]
    return rows, [error.detail[:200] for error in failed]
