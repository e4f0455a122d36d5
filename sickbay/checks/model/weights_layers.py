"""Layers that are missing, and single layers that lack a part of which all others have one. From names alone; pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["layer_gaps"]

FAMILY_MIN = 4
_LAYER = re.compile(r"^(.*?(?:blk|layers|h|blocks|block))\.(\d+)\.(.+)$")
_CORE = re.compile(
    r"(?:^|\.)(?:(?:q|k|v|o|qkv|gate|up|down)_proj|attn_(?:q|k|v|qkv|output)|ffn_(?:up|down|gate))\.weight$"
)


def layer_gaps(shapes: Sequence[Sequence[Any]], config: Mapping[str, Any]) -> list[str]:
    """What is missing of each stack of layers; a model may have several (text, images, sound, encoder and decoder).

    The configuration's number of layers is held against the stack that comes closest to it, the others against
    themselves: a number between two that are there cannot be absent.
    """
    stacks: dict[str, dict[int, set[str]]] = {}
    for name, _ in shapes:
        if match := _LAYER.match(name):
            stacks.setdefault(match[1], {}).setdefault(int(match[2]), set()).add(match[3])
    stacks = {stem: layers for stem, layers in stacks.items() if len(layers) >= FAMILY_MIN}
    if not stacks:
        return []
    wanted = int(config.get("num_hidden_layers") or 0)
    main = min(stacks, key=lambda stem: (abs(max(stacks[stem]) + 1 - wanted), -len(stacks[stem])))
    found = []
    for stem, layers in stacks.items():
        ends = max(max(layers) + 1, wanted if stem == main else 0)
        named = "layer" if stem == main else f"{stem} layer"
        found += [f"{named} {number} is missing" for number in range(min(layers), ends) if number not in layers]
        found += _lacking(layers, named)
    return found


def _lacking(layers: Mapping[int, set[str]], named: str) -> list[str]:
    """One layer that lacks a part.

    The first and the last are made without some in many models, matrices of their own kind among them; there only what
    every layer computes with counts.
    """
    usual = set(Counter(frozenset(parts) for parts in layers.values()).most_common(1)[0][0])
    lacking = {number: usual - parts for number, parts in layers.items() if parts < usual}
    if len(lacking) != 1:
        return []
    [(number, parts)] = lacking.items()
    if number in {min(layers), max(layers)}:
        parts = {part for part in parts if _CORE.search(part)}
    return [f"{named} {number} lacks {', '.join(sorted(parts)[:3])}"] if parts else []
