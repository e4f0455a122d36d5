"""The world-facing half of probe.adapter: which adapters the engine says it applies, and answers with and without.

llama.cpp lists them at /lora-adapters (file and scale) and takes scales with a request; vLLM and SGLang list them as
models that have a parent, and the parent's name asks the base model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from sickbay.checks.probe.answer import Question
from sickbay.checks.probe.asking import Asking, begin, rows_of
from sickbay.checks.probe.prepare import known_numbers, seed_for
from sickbay.checks.probe.questions import QUESTIONS
from sickbay.engine.errors import BudgetExceededError, ProbeError
from sickbay.engine.measure.adapter_modules import applied_modules
from sickbay.engine.measure.adapter_strength import adapter_strength
from sickbay.engine.measure.recognise import dig
from sickbay.engine.measure.weight_manifest import sha256_of_file
from sickbay.engine.model.look import EngineFound, Files, Look
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Adapter

__all__ = ["look_adapter"]

WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
ADAPTERS_RUN = "serving.lora_slots_used_ratio"
ACCELERATORS = ("nvidia", "kfd", "accel", "vfio", "davinci", "habanalabs", "dxg")
"""Names under /dev: NVIDIA, AMD, TPU and others, Ascend, Gaudi, WSL."""
HASH_TIME_KEPT_S = 5.0
READ_TIMEOUT_S = 4.0


async def look_adapter(look: Look, params: Mapping[str, Any]) -> dict[str, Any]:
    """The engine's list beside the target's; answers only where an adapter is on or should be."""
    asking = await begin(look, float(params["timeout_s"]))
    listed = await _listed(look, asking.found)
    declared = look.target.adapters
    rows = [_row(look, each, listed) for each in declared]
    applied = _applied(look, asking, listed)
    undeclared = [row for row in applied if row["name"] not in {each.name for each in declared}]
    raw: dict[str, Any] = {
        "declared": rows,
        "on": [row["name"] for row in applied],
        "undeclared": [row["name"] for row in undeclared],
        "rows": asking.rows,
        "stopped": "",
    }
    if applied or (listed and any(row["scale"] for row in rows)):
        await _answers(asking, listed, params, suspect=bool(undeclared))
    return raw | {"stopped": asking.stopped, "spills": _spills(look, asking.found)}


def _spills(look: Look, found: EngineFound | None) -> bool:
    """Whether requests of the base model get an adapter as well, because requests of adapters run.

    vLLM without an accelerator picks adapters by index, and -1, which means none, is the last one to torch
    (vllm/lora/ops/torch_ops/lora_ops.py, read in 0.32.0). It is skipped only where no request of the batch has one.
    """
    if found is None or found.spec.name != "vllm" or not look.target.is_local:
        return False
    running = known_numbers(look, (ADAPTERS_RUN,)).get(ADAPTERS_RUN)
    try:
        devices = look.files.names("/dev")
    except ProbeError:
        return False
    return bool(running) and not any(name.startswith(ACCELERATORS) for name in devices)


def _applied(look: Look, asking: Asking, listed: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Adapters that shape what users get: on llama.cpp all that are on, elsewhere the one that they ask for by name."""
    asked = look.target.model or next((each.name for each in look.target.adapters), asking.route.model)
    return [row for row in listed if row["scale"] and (not row["parent"] or row["name"] == asked)]


async def _listed(look: Look, found: EngineFound | None) -> list[dict[str, Any]]:
    """{"name", "path", "scale", "parent", "id"} of every adapter the engine holds.

    Raises:
        ProbeError: an engine that tells none, or does not answer.
    """
    kinds = {"llamacpp": "lora", "vllm": "models", "sglang": "models"}
    endpoint = found.spec.endpoints.get(kinds.get(found.spec.name, "")) if found else None
    if found is None or endpoint is None:
        title = found.spec.title if found else "what answers here"
        known = "llama.cpp, vLLM and SGLang do"
        raise ProbeError(UnknownReason.UNSUPPORTED, f"{title} does not tell which adapters it applies; {known}")
    answer = await look.http.request("GET", endpoint.path, timeout_s=READ_TIMEOUT_S, direct=True)
    if answer.status != 200:
        raise ProbeError(UnknownReason.ABSENT, f"GET {endpoint.path}: HTTP {answer.status}: {answer.text[:120]}")
    body = answer.json()
    rows = body if isinstance(body, list) else dig(body, "data") or []
    sound = [row for row in rows if isinstance(row, Mapping)]
    if found.spec.name == "llamacpp":
        return [
            {
                "name": _name_of(str(row.get("path", ""))),
                "path": str(row.get("path", "")),
                "scale": _number(row.get("scale"), 1.0),
                "parent": "",
                "id": row.get("id"),
            }
            for row in sound
        ]
    return [
        {"name": str(row.get("id")), "path": str(row.get("root") or ""), "scale": 1.0, "parent": str(row["parent"])}
        for row in sound
        if row.get("parent")
    ]


def _name_of(path: str) -> str:
    return PurePosixPath(path).stem


def _number(value: Any, default: float) -> float:
    return float(value) if isinstance(value, (int, float)) else default


def _row(look: Look, declared: Adapter, listed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What is declared beside what is loaded under this name, with both hashes where both files can be read here."""
    found = next((row for row in listed if row["name"] == declared.name), None)
    row: dict[str, Any] = {"name": declared.name, "wanted_scale": declared.scale, "path": declared.path}
    if declared.path and look.target.model_path:
        row |= _modules(look.files, declared.path, look.target.model_path)
    if found is None:
        return row | {"scale": None}
    row |= {"scale": found["scale"], "loaded_path": found["path"]}
    if not declared.path:
        return row | {"why": f"the target names no file of {declared.name!r} (adapters: path)"}
    if not look.target.is_local:
        return row | {"why": "the engine runs on another host, so its file cannot be read"}
    try:
        both = [_hash(look, path) for path in (declared.path, found["path"])]
    except ProbeError as error:
        return row | {"why": error.detail}
    row |= _strengths(look.files, declared.path, found["path"])
    return row | {"equal": both[0] == both[1]} if None not in both else row | {"why": "no time was left to hash it"}


def _strengths(files: Files, declared: str, loaded: str) -> dict[str, float]:
    """The factor that each folder's configuration names; none where one of them is a single file or names none."""
    try:
        return {"strength": adapter_strength(files, loaded), "wanted_strength": adapter_strength(files, declared)}
    except ProbeError:
        return {}


def _modules(files: Files, adapter: str, base: str) -> dict[str, Any]:
    try:
        applied, modules = applied_modules(files, adapter, base)
    except ProbeError as error:
        return {"modules_problem": error.detail, "modules_reason": error.reason.value}
    return {"applied": applied, "modules": modules}


def _hash(look: Look, path: str) -> str | None:
    """SHA-256 of the adapter's weights: the file, or the one in the folder; None when the time is over."""
    file = path
    if not path.endswith((".gguf", ".safetensors", ".bin")):
        names = look.files.names(path)
        file = f"{path.rstrip('/')}/{next((name for name in WEIGHTS if name in names), WEIGHTS[0])}"
    return sha256_of_file(look.files, file, go_on=lambda: look.remaining_s > HASH_TIME_KEPT_S)


async def _answers(
    asking: Asking, listed: Sequence[Mapping[str, Any]], params: Mapping[str, Any], *, suspect: bool
) -> None:
    """The same easy questions as the users ask them, and at the engine with every adapter off.

    llama.cpp may give a prompt's cached state to a request with other adapters (ggml-org/llama.cpp#26207). So each of
    these prompts begins with a number that nobody else sends, and is computed without the cache: neither arm reads what
    the other left, and no user gets what was computed without the adapter. A suspect, which nobody declared, may
    leave some answers right: more questions are asked until one comes out wrong with it.
    """
    questions, max_tokens = int(params["questions"]), int(params["max_tokens"])
    seed = seed_for(asking.look, 0)
    route, parents = asking.route, [row["parent"] for row in listed if row["parent"]]
    names = {row["name"] for row in listed}
    declared = [each.name for each in asking.look.target.adapters if each.name in names]
    users = replace(route, model=asking.look.target.model or next(iter(declared), route.model)) if parents else route
    base = replace(route, model=parents[0]) if parents else route
    fresh = {} if parents else {"cache_prompt": False}
    off = fresh if parents else fresh | {"lora": [{"id": row["id"], "scale": 0.0} for row in listed]}
    for number, known in enumerate(QUESTIONS):
        if number >= questions and not (suspect and not _wrong(asking)):
            return
        head = {"role": "system", "content": f"{seed + number}. You are a helpful assistant."}
        plain = Question(
            messages=[head, {"role": "user", "content": known.text}],
            max_tokens=max_tokens, logprobs=2, wanted=known.wanted, extra=fresh,
        )  # fmt: skip
        try:
            asking.route, asking.direct = users, False
            await asking.ask("on", number, plain)
            asking.route, asking.direct = base, True
            await asking.ask("off", number, replace(plain, extra=off))
        except BudgetExceededError:
            return
        finally:
            asking.route, asking.direct = route, False


def _wrong(asking: Asking) -> bool:
    """Whether a question came out wrong with the adapters on."""
    return any(row.answer.ok and row.answer.text.right is False for row in rows_of({"rows": asking.rows}, "on"))
