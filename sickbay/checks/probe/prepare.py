"""What both probes find out before their first request: the route, the context, the words of a token."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sickbay.checks.probe.prompts import WORDS, PromptMaker
from sickbay.checks.probe.request import Route, route_for
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.model.look import EngineFound, Look
from sickbay.engine.model.signal import UnknownReason

__all__ = ["TIME_LEFT_MIN_S", "calibrate", "health_path", "known_numbers", "prepare_route", "seed_for", "time_left"]

TIME_LEFT_MIN_S = 0.5
"""With less than this no request is started."""


async def prepare_route(look: Look) -> tuple[Route, EngineFound | None]:
    """The engine's route; plain OpenAI chat when what answers is no known engine.

    Raises:
        ProbeError: nothing answers, or it refuses us.
    """
    try:
        found = await look.engine()
    except ProbeError as error:
        if error.reason not in {UnknownReason.UNSUPPORTED, UnknownReason.ABSENT, UnknownReason.MALFORMED}:
            raise
        return Route(dialect="chat", path="/v1/chat/completions", model=look.target.model), None
    return route_for(found), found


async def calibrate(look: Look, prompts: PromptMaker, found: EngineFound | None) -> bool:
    """Learn tokens per word from the engine's own tokenizer. Costs no output token; False when it has none."""
    endpoint = found.spec.endpoints.get("tokenize") if found else None
    if found is None or endpoint is None or time_left(look) < TIME_LEFT_MIN_S:
        return False
    text = prompts.sample()
    body = {"vllm": {"model": found.model, "prompt": text}, "sglang": {"model": found.model, "prompt": text}}
    asked = body.get(found.spec.name, {"inputs": text} if found.spec.name == "tgi" else {"content": text})
    try:
        answer = await look.http.request("POST", endpoint.path, json=asked, timeout_s=min(3.0, time_left(look)))
        tokens = _token_count(answer.json()) if answer.status == 200 else 0
    except BudgetExceededError:
        raise
    except ProbeError:
        return False
    prompts.calibrate(words=len(WORDS), tokens=tokens)
    return tokens > 0


def _token_count(body: Any) -> int:
    if isinstance(body, dict):
        count = body.get("count")
        if isinstance(count, int):
            return count
        body = body.get("tokens")
    return len(body) if isinstance(body, list) else 0


def health_path(found: EngineFound | None) -> str:
    """An empty route of the engine."""
    endpoint = found.spec.endpoints.get("health") if found else None
    return endpoint.path if endpoint else "/health"


def seed_for(look: Look, seed: int) -> int:
    """The seed to use and to record; 0 means one that no earlier run had."""
    return seed or int(look.clock.wall() * 1000) % 2**31


def time_left(look: Look) -> float:
    """Seconds for requests, at least 0, with a little kept back for judging."""
    return max(0.0, look.remaining_s - 0.3)


def known_numbers(look: Look, names: Iterable[str]) -> dict[str, float | bool | str]:
    """What earlier steps measured of these signals; unknown ones are left out."""
    found = {name: look.signals[name].value for name in names if name in look.signals}
    return {name: value for name, value in found.items() if value is not None}
