"""The world-facing half of probe.cache: pairs, recorded prompts. Only lengths of texts leave it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sickbay.checks.probe.prepare import known_numbers, time_left
from sickbay.checks.probe.timed import begin_timed, traces_of
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Raw
from sickbay.engine.model.look import Files, Look
from sickbay.engine.model.signal import UnknownReason

__all__ = ["common_prefixes", "look_cache"]

FILE_BYTES_MAX = 8_000_000
SHORT_TOKENS = 16
REPORTED = ("cached_tokens", "cache_n")
"""How engines report what they reused: in usage, or among llama.cpp's timings."""
PROMPTS_MAX = 100


async def look_cache(look: Look, params: Mapping[str, Any]) -> Raw:
    """Everything once."""
    context = known_numbers(look, ("serving.context_length_tokens", "serving.requests_waiting"))
    timed = await begin_timed(look, seed=int(params["seed"]), timeout_s=float(params["timeout_s"]), count_tokens=True)
    room = float(context.get("serving.context_length_tokens", 0.0))
    length = min(int(params["prompt_tokens"]), int(0.8 * room) - 64) if room > 0 else int(params["prompt_tokens"])
    for _ in range(int(params["pairs"])):
        prompt = timed.prompts.cold(max(64, length))
        first = await timed.send("cold", prompt, 2)
        if first is None or not first.ok:
            continue
        await look.clock.sleep(min(float(params["pause_s"]), max(0.0, time_left(look))))
        await timed.send("warm", prompt, 2)
    repeated = traces_of({"rows": timed.rows}, "warm")
    if repeated and not any(told in each.counts or told in each.timings for each in repeated for told in REPORTED):
        await timed.send("short", timed.prompts.cold(SHORT_TOKENS), 2)  # what a first token costs without its prompt
    return {
        "rows": timed.rows,
        "stopped": timed.stopped,
        "seed": timed.seed,
        "prefixes": _recorded(look.files, str(params["prompts_file"])),
        "context": context,
    }


def _recorded(files: Files, path: str) -> dict[str, Any]:
    if not path:
        return {}
    try:
        data = json.loads(files.read_text(path, bytes_max=FILE_BYTES_MAX))
    except ProbeError as error:
        return {"problem": error.detail, "reason": error.reason.value}
    except (ValueError, RecursionError):
        problem = f"{path}: wanted a JSON list of prompts (under {FILE_BYTES_MAX} bytes)"
        return {"problem": problem, "reason": UnknownReason.MALFORMED.value}
    prompts = [_flat(each) for each in data[:PROMPTS_MAX]] if isinstance(data, list) else []
    if len(prompts) < 2:
        problem = f"{path}: wanted two prompts or more in a list, found {len(prompts)}"
        return {"problem": problem, "reason": UnknownReason.MALFORMED.value}
    return {"pairs": common_prefixes(prompts)}


def _flat(prompt: Any) -> str:
    """A prompt as one text: itself, or its messages one after the other as a template would put them."""
    if isinstance(prompt, Mapping):
        prompt = prompt.get("messages", "")
    if isinstance(prompt, list):
        rows = [row for row in prompt if isinstance(row, Mapping)]
        return "\n".join(f"{row.get('role', '')}\n{row.get('content', '')}" for row in rows)
    return str(prompt)


def common_prefixes(prompts: Sequence[str]) -> list[list[int]]:
    """[characters shared from the start, length of the earlier] for each consecutive pair."""
    return [[_shared(earlier, later), len(earlier)] for earlier, later in itertools.pairwise(prompts)]


def _shared(earlier: str, later: str) -> int:
    for at, (mine, theirs) in enumerate(zip(earlier, later, strict=False)):
        if mine != theirs:
            return at
    return min(len(earlier), len(later))
