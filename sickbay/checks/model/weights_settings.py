"""What two config.json files say of the computation, side by side. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["Unlike", "flat_config", "settings_unlike"]

LANGUAGE = ("text_config", "llm_config", "language_config", "thinker_config", "decoder")
Unlike = list[list[Any]]
"""Rows of [key, ours, the reference's]."""

_SAYS_NOTHING = re.compile(
    r"^_|version|dtype|dropout|token_id$|token_index$|cache|initializer|name_or_path|auto_map|attn_implementation|label|"
    r"pretraining|^vocab_size$|max_position|max_length|min_length|^output_|^return_|^architectures$|^model_type$|"
    r"quantization|torchscript|chunk_size|^temperature$|^top_[kp]$|^do_sample$|num_return|penalty|^length|beam|problem_type|"
    r"router_aux|aux_loss|z_loss|prefix|^task|gradient|finetuning|unsloth"
)
"""Keys with which an engine computes nothing: provenance, training, generation, sizes that may be padded."""
_ROPE = re.compile(r"^rope_|^rotary_|partial_rotary")
_KINDS = (int, float, str, bool)


def settings_unlike(ours: Mapping[str, Any], own: Mapping[str, Any]) -> tuple[Unlike, Unlike]:
    """(rows of position scaling, rows of all else): plain values that both name and that differ.

    A scaling that only one of them has is a difference; rope's older and newer form are one.
    """
    mine, theirs = flat_config(ours), flat_config(own)
    rope = _unlike(_rope(mine), _rope(theirs))
    scaling = (_scaling(mine), _scaling(theirs))
    if scaling[0] != scaling[1]:
        rope.append(["rope_scaling", *(_shown(each) for each in scaling)])
    rest = [
        {key: value for key, value in side.items() if not _ROPE.search(key) and not _SAYS_NOTHING.search(key)}
        for side in (mine, theirs)
    ]
    return rope, _unlike(*rest)


def flat_config(config: Mapping[str, Any], depth: int = 0) -> dict[str, Any]:
    """A configuration with what it says of its language model on its top level, whatever holds that."""
    inner = next((config[name] for name in LANGUAGE if isinstance(config.get(name), Mapping)), None)
    return {**config, **flat_config(inner, depth + 1)} if inner is not None and depth < 3 else dict(config)


def _unlike(ours: Mapping[str, Any], own: Mapping[str, Any]) -> Unlike:
    both = [key for key in sorted(ours.keys() & own.keys()) if isinstance(ours[key], _KINDS)]
    return [[key, ours[key], own[key]] for key in both if isinstance(own[key], _KINDS) and ours[key] != own[key]]


def _rope(config: Mapping[str, Any]) -> dict[str, Any]:
    told = {key: value for key, value in config.items() if _ROPE.search(key)}
    newer = config.get("rope_parameters")
    if isinstance(newer, Mapping) and isinstance(newer.get("rope_theta"), (int, float)):
        told["rope_theta"] = newer["rope_theta"]
    return told


def _scaling(config: Mapping[str, Any]) -> dict[str, Any]:
    """The scaling's parameters by their newer names; {} for none."""
    table = config.get("rope_scaling") or config.get("rope_parameters")
    if not isinstance(table, Mapping):
        return {}
    found = {
        "rope_type" if key == "type" else str(key): value
        for key, value in table.items()
        if key not in {"rope_theta", "partial_rotary_factor"} and isinstance(value, _KINDS)
    }
    return {} if found.get("rope_type", "default") == "default" and len(found) <= 1 else found


def _shown(scaling: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in sorted(scaling.items())) or "none"
