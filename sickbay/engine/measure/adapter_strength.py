"""How strongly an adapter's folder says that it is applied: a file beside the weights, which their hash does not cover.

PEFT (`peft/tuners/lora/layer.py`) and vLLM (`vllm/lora/peft_helper.py`) multiply by lora_alpha / r, or by
lora_alpha / sqrt(r) with use_rslora.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import Files
from sickbay.engine.model.signal import UnknownReason

__all__ = ["adapter_strength"]


def adapter_strength(files: Files, folder: str) -> float:
    """The factor of its product, above 0.

    Raises:
        ProbeError: its adapter_config.json cannot be read, or names no such factor.
    """
    path = f"{folder.rstrip('/')}/adapter_config.json"
    try:
        config = json.loads(files.read_text(path))
    except (ValueError, RecursionError) as error:
        raise ProbeError(UnknownReason.MALFORMED, f"{path}: is no JSON: {error}") from error
    told = config if isinstance(config, Mapping) else {}
    rank, alpha = _above_0(told.get("r")), _above_0(told.get("lora_alpha"))
    if rank is None or alpha is None:
        found = f"{told.get('r')!r}, {told.get('lora_alpha')!r}"
        raise ProbeError(UnknownReason.MALFORMED, f"{path}: wanted r and lora_alpha above 0, found {found}")
    return alpha / (math.sqrt(rank) if told.get("use_rslora") is True else rank)


def _above_0(value: object) -> float | None:
    sound = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    return float(value) if isinstance(value, (int, float)) and sound else None
