"""A LoRA adapter against its base model, by their headers: has every module of it a place, of the right sizes.

Only the part of a name from its layer number on is compared: libraries put different prefixes before it.
Names: PEFT (`….layers.3.self_attn.q_proj.lora_A.weight`), llama.cpp (`blk.3.attn_q.weight.lora_a`).
"""

from __future__ import annotations

import re

from sickbay.engine.errors import ProbeError
from sickbay.engine.measure.weight_tensors import WeightTensor, list_tensors
from sickbay.engine.model.look import Files
from sickbay.engine.model.signal import UnknownReason

__all__ = ["applied_modules"]

_FACTOR = re.compile(r"^(.+?)(?:\.weight)?\.lora_(?:embedding_)?([abAB])(?:\.[^.]+)*$")
_PACKED = re.compile(r"\.(?:qweight|weight_packed|weight\.quant_state\..+)$")
_LAYER = re.compile(r"(?:^|\.)(?:blk|layers|h|blocks)\.(\d+\..+)$")


def applied_modules(files: Files, adapter: str, base: str) -> tuple[int, int]:
    """(modules that fit the base model, modules in the adapter).

    Raises:
        ProbeError: one of them cannot be read, they are of different kinds, or the adapter has no factors.
    """
    ours, model = list_tensors(files, adapter), list_tensors(files, base)
    if ours.kind != model.kind:
        raise ProbeError(
            UnknownReason.UNSUPPORTED, f"the adapter is {ours.kind} and the model {model.kind}: names do not compare"
        )
    places = {_place(_PACKED.sub("", each.name).removesuffix(".weight")): _shape(each) for each in model.tensors}
    factors: dict[str, dict[str, tuple[int, ...]]] = {}
    for each in ours.tensors:
        if match := _FACTOR.match(each.name):
            factors.setdefault(match[1], {})[match[2].lower()] = each.shape
    if not factors:
        raise ProbeError(UnknownReason.MALFORMED, f"{adapter}: holds no factors of an adapter (lora_A and lora_B)")
    fitting = sum(_fits(places.get(_place(name)), parts) for name, parts in factors.items())
    return fitting, len(factors)


def _shape(tensor: WeightTensor) -> tuple[int, ...]:
    """() where numbers are packed, so that the shape says nothing of the matrix."""
    packed = _PACKED.search(tensor.name) or tensor.type in {"U8", "I8", "I32", "F4"}
    return () if packed else tensor.shape


def _place(name: str) -> str:
    match = _LAYER.search(name)
    return match[1] if match else name.rpartition(".")[2]


def _fits(shape: tuple[int, ...] | None, parts: dict[str, tuple[int, ...]]) -> bool:
    """Fused and stacked matrices are not judged; some libraries store the inputs first."""
    if shape is None or parts.keys() != {"a", "b"}:
        return False
    if any(len(each) != 2 for each in (shape, *parts.values())):
        return True
    return {parts["b"][0], parts["a"][1]} == set(shape) and parts["b"][1] == parts["a"][0]
