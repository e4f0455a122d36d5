"""Values over time, and recorded pages in which some values are replaced by them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["edit_json", "edit_metrics", "increments", "value_at"]

SERIES = re.compile(r"^([a-zA-Z_:][\w:]*)(\{.*\})? ")


def value_at(spec: Any, at_s: float, recorded: float = 0.0) -> Any:
    """A value at this second of the stage.

    `spec` is a plain value; `{"rate_per_s": 3}` (grows from `base`, or from what was recorded); or
    `{"steps": [[0, 30], [12, 40]]}` (30 until second 12, then 40; before the first step its value).
    """
    if not isinstance(spec, Mapping):
        return spec
    if "rate_per_s" in spec:
        rate = value_at(spec["rate_per_s"], at_s)
        return float(spec.get("base", recorded)) + rate * at_s
    current = spec["steps"][0][1]
    for since_s, value in spec["steps"]:
        if at_s >= since_s:
            current = value
    return current


def increments(traffic: Sequence[Mapping[str, float]], at_s: float) -> dict[str, list[tuple[float, float]]]:
    """What a page has counted since the start: quantity -> (how often, value of each).

    `traffic` lists phases: {from_s, requests_per_s, prompt_tokens, output_tokens, queue_s, prefill_s, frontend_s,
    itl_s}. All quantities follow from these, so that a page agrees with itself.
    """
    counted: dict[str, list[tuple[float, float]]] = {}
    ends = [*(phase["from_s"] for phase in traffic[1:]), float("inf")]
    for phase, until_s in zip(traffic, ends, strict=True):
        requests = phase["requests_per_s"] * max(0.0, min(at_s, until_s) - phase["from_s"])
        output, prompt = phase.get("output_tokens", 60.0), phase.get("prompt_tokens", 100.0)
        queue, prefill, itl = phase.get("queue_s", 0.001), phase.get("prefill_s", 0.1), phase.get("itl_s", 0.02)
        decode = itl * (output - 1)
        ttft = queue + prefill + phase.get("frontend_s", 0.002)
        values = {"prompt": prompt, "output": output, "queue": queue, "prefill": prefill, "decode": decode}
        values |= {"ttft": ttft, "tpot": itl, "execution": prefill + decode, "e2e": ttft + decode}
        for name, value in values.items():
            counted.setdefault(name, []).append((requests, value))
        counted.setdefault("itl", []).append((requests * (output - 1), itl))
    return counted


def edit_metrics(text: str, changes: Mapping[str, Any], at_s: float) -> str:
    """A metrics page with other samples. A key is a series with its labels, or a name that means all its series."""
    if not changes:
        return text
    lines, used = [], set()
    for line in text.splitlines():
        match = SERIES.match(line)
        key = match and next((k for k in (match[1] + (match[2] or ""), match[1]) if k in changes), None)
        if match and key:
            used.add(key)
            recorded = float(line[match.end() :].split()[0])
            lines.append(f"{match[1]}{match[2] or ''} {float(value_at(changes[key], at_s, recorded))}")
        else:
            lines.append(line)
    lines += [f"{key} {float(value_at(changes[key], at_s))}" for key in changes if key not in used]
    return "\n".join(lines) + "\n"


def edit_json(text: str, changes: Mapping[str, Any], at_s: float) -> str:
    """A JSON page with other values at dotted paths; a path that is not there is made."""
    if not changes:
        return text
    page = json.loads(text or "{}")
    for dotted, spec in changes.items():
        *path, last = dotted.split(".")
        holder = page
        for step in path:
            holder = holder[int(step)] if isinstance(holder, list) else holder.setdefault(step, {})
        value = value_at(spec, at_s)
        if isinstance(holder, list):
            holder[int(last)] = value
        else:
            holder[last] = value
    return json.dumps(page)
