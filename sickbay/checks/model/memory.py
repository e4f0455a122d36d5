"""model.memory: weights and KV cache from the model's own files, against what the engine says it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sickbay.checks.model.memory_look import look_memory, shape_from_json
from sickbay.engine.measure.memory_plan import MemoryPlan, plan_memory
from sickbay.engine.measure.model_memory import KV_TYPES, Cache, Shape, kv_bytes
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["ModelMemory"]

_GIB, _MIB = float(1 << 30), float(1 << 20)
_LLAMACPP_BATCH = 512
"""Its default --ubatch-size: a windowed layer keeps as many tokens more."""


class ModelMemory(Check):
    """Compute weights and KV cache from headers alone, and compare with the engine's own figures.

    The files decide how large a token is in the KV cache; the engine tells how many tokens or bytes it took. When the
    two differ by more than a few per cent, the engine runs with another model, type or limit than is thought.
    """

    name = "model.memory"
    title = "weights and KV cache from the model's files, against the engine's figures"
    effect = Effect.PASSIVE
    needs = ("model_files",)
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "memory_bytes": {
                "type": "number", "minimum": 0, "default": 0,
                "description": "memory of one device; 0: as the engine's log or the GPU checks tell it",
            },
            "context_tokens": {
                "type": "number", "minimum": 0, "default": 0,
                "description": "context of one request to plan for; 0: the engine's, else what the model was made for",
            },
            "requests": {
                "type": "number", "minimum": 0, "default": 0,
                "description": "requests at once to plan for; 0: the engine's limit, else 1",
            },
            "tolerance": {
                "type": "number", "exclusiveMinimum": 0, "default": 0.05,
                "description": "share by which the engine's figure may differ from the computed one",
            },
        },
        "additionalProperties": False,
    }  # fmt: skip
    emits = (
        "model.files_complete", "model.bits_per_weight", "model.kv_bytes_per_token", "model.kv_reported_ratio",
        "memory.weights_bytes", "memory.weights_ratio", "memory.kv_pool_bytes", "memory.kv_pool_ratio",
        "memory.plan_ratio",
    )  # fmt: skip
    sources = (
        "vllm-project/vllm: vllm/v1/kv_cache_interface.py",
        "ggml-org/llama.cpp: src/llama-kv-cache.cpp",
        "ggml-org/ggml: docs/gguf.md; huggingface/safetensors: README",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """Headers of some files, a few small reads of the engine."""
        return Cost(requests=0, seconds=8.0)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Read headers, settings and the log's lines on memory."""
        return await look_memory(look)

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Arithmetic, and the comparison."""
        if "incomplete" in raw:
            lost = unknown(UnknownReason.MALFORMED, str(raw["incomplete"]))
            found = dict.fromkeys(self.emits, lost) | {"model.files_complete": measured(False, lost.detail)}
            return Result(
                outcome=Outcome.FAIL, summary=lost.detail, signals=found, next_step="Copy the model again, whole."
            )
        shape = shape_from_json(raw["model"])
        cache = _cache(shape, raw)
        plan = _plan(shape, raw, cache, params)
        reported = _reported(shape, raw, cache)
        signals = _signals(raw, plan, reported)
        return _result(raw, plan, signals, float(params["tolerance"]))


def _number(value: Any) -> float | None:
    try:
        return float(value) if not isinstance(value, bool) else None
    except (TypeError, ValueError):
        return None


def _cache(shape: Shape, raw: Raw) -> Cache:
    """How the engine keeps KV: its log says it best, then its settings, then the model's own type."""
    told, log = raw["signals"], raw["log"]
    named = str(told.get("serving.kv_cache_dtype") or "").lower()
    size = KV_TYPES.get(named) or KV_TYPES.get(shape.dtype) or 2.0
    llamacpp = told.get("serving.engine") == "llamacpp"
    block = _number(told.get("serving.kv_block_size_tokens")) or (256.0 if llamacpp else 1.0)
    return Cache(
        key_bytes=KV_TYPES.get(str(log.get("type_k", "")), size),
        value_bytes=KV_TYPES.get(str(log.get("type_v", "")), size),
        tensor_parallel=max(1, int(_number(told.get("serving.tensor_parallel")) or 1)),
        block=max(1, int(block)),
        slack=int(log.get("batch", _LLAMACPP_BATCH)) if llamacpp else 0,
        pooled=max(1, int(log.get("slots", 1.0) // (log.get("pools") or 1.0))),
        whole_windows=bool(log.get("whole_windows")),
    )


def _plan(shape: Shape, raw: Raw, cache: Cache, params: Mapping[str, Any]) -> MemoryPlan:
    told = raw["signals"]
    context = (
        params["context_tokens"] or _number(told.get("serving.context_length_tokens")) or shape.context_train or 4096
    )
    pools = raw["log"].get("pools") if cache.pooled > 1 else None
    requests = params["requests"] or pools or _number(told.get("serving.requests_running_limit")) or 1
    memory = params["memory_bytes"] or _number(told.get("memory.device_total_bytes")) or None
    return plan_memory(
        shape, raw["model"]["weights_bytes"], context=int(context), sequences=int(requests), cache=cache,
        memory_bytes=memory, fraction=_number(told.get("serving.memory_fraction")) or 1.0,
    )  # fmt: skip


def _reported(shape: Shape, raw: Raw, cache: Cache) -> Reading:
    """KV bytes as the engine reports them over the bytes computed for as many tokens."""
    told, log, page = raw["signals"], raw["log"], raw["page"]
    tokens = page.get("kv_cache_size_tokens") or log.get("kv_tokens") or _number(told.get("serving.kv_capacity_tokens"))
    if "kv_mib" in log:
        slots = log.get("pools") or _number(told.get("serving.requests_running_limit")) or 1.0
        context = _number(told.get("serving.context_length_tokens"))
        if not context and tokens:
            context = tokens / slots
        if not context:
            return unknown(UnknownReason.ABSENT, "the log tells the KV buffer, but nothing tells the context it is for")
        computed = kv_bytes(shape, int(context), int(slots), cache)
        source = (
            f"KV buffer size {log['kv_mib']:g} MiB in the log, {computed / _MIB:.1f} MiB computed for {slots:g} "
            f"{'pool' if cache.pooled > 1 else 'slot'}{'s' if slots > 1 else ''}"
        )
        return _over(log["kv_mib"] * _MIB, computed, f"{source} of {context:g} tokens")
    room = page.get("kv_cache_memory_bytes") or log.get("kv_gib", 0.0) * _GIB
    if not room or not tokens:
        return unknown(
            UnknownReason.ABSENT,
            "the engine tells no KV size in bytes here; its log does (give --log): 'KV buffer size' of llama.cpp, "
            "'Available KV cache memory' of vLLM",
        )
    computed = kv_bytes(shape, int(tokens), 1, cache)
    return _over(room, computed, f"{room / _GIB:.3g} GiB for {tokens:g} tokens, {computed / _GIB:.3g} GiB computed")


def _over(reported: float, computed: float, source: str) -> Reading:
    if computed <= 0:
        return unknown(UnknownReason.UNSUPPORTED, "this model keeps no KV cache")
    return measured(reported / computed, source)


def _signals(raw: Raw, plan: MemoryPlan, reported: Reading) -> dict[str, Reading]:
    model = raw["model"]
    found = {
        "model.files_complete": measured(True, f"{model['files']} files as long as their headers say"),
        "model.bits_per_weight": measured(8.0 * model["weights_bytes"] / model["numbers"], "tensor bytes over numbers"),
        "model.kv_bytes_per_token": measured(plan.kv_bytes_per_token, f"{model['attention']}, of one device"),
        "model.kv_reported_ratio": reported,
        "memory.weights_bytes": measured(plan.weights_bytes, f"headers of {model['files']} files, of one device"),
        "memory.kv_pool_bytes": measured(
            plan.kv_bytes, f"computed for {plan.sequences} requests of {plan.context} tokens, of one device"
        ),
    }
    if plan.memory_bytes is None or plan.room_bytes is None:
        why = unknown(
            UnknownReason.NOT_CONFIGURED, "the device's memory is not known; give memory_bytes, or the engine's log"
        )
        return found | dict.fromkeys(("memory.weights_ratio", "memory.kv_pool_ratio", "memory.plan_ratio"), why)
    usable = plan.room_bytes + plan.weights_bytes
    found["memory.weights_ratio"] = measured(plan.weights_bytes / usable, "weights over the memory the engine may take")
    found["memory.kv_pool_ratio"] = (
        measured(plan.kv_bytes / plan.room_bytes, "KV asked for over what is left beside the weights")
        if plan.room_bytes > 0
        else unknown(UnknownReason.INCONSISTENT, "the weights alone are more than the memory there is")
    )
    found["memory.plan_ratio"] = measured(
        (plan.weights_bytes + plan.kv_bytes) / plan.memory_bytes,
        "weights and KV over the device's memory; no side buffers",
    )
    return found


def _result(raw: Raw, plan: MemoryPlan, signals: dict[str, Reading], tolerance: float) -> Result:
    model = raw["model"]
    summary = (
        f"weights {plan.weights_bytes / _GIB:.3g} GiB, KV {plan.kv_bytes_per_token / 1024:.3g} KiB a token "
        f"({model['attention']}), {plan.kv_bytes / _GIB:.3g} GiB for {plan.sequences} requests of {plan.context} tokens"
    )
    notes = [*model["notes"]]
    ratio = signals["model.kv_reported_ratio"]
    off = isinstance(ratio.value, float) and abs(ratio.value - 1.0) > tolerance
    if ratio.known:
        notes.insert(0, f"the engine reports {ratio.value:.3f} of the computed KV size")
    weights = signals["memory.weights_ratio"].value
    fails = isinstance(weights, float) and weights > 1.0
    outcome = Outcome.FAIL if fails else Outcome.WARN if off else Outcome.PASS
    if fails:
        notes.insert(0, "the weights alone do not fit")
    return Result(
        outcome=outcome,
        summary="; ".join([summary, *notes]),
        signals=signals,
        next_step="Compare model, KV type and limits of the engine with these files." if off else "",
    )
