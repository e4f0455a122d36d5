"""training.rate: is the learning rate of the last training one that any recipe uses.

A rate far above them unlearns what the model knew, while the loss on its few samples may look well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sickbay.checks.training.config import config_leaves
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["TrainingRate"]

USUAL_MAX = 1e-3
OVER_WARN = 10.0
_RATES = frozenset({"learning_rate", "lr", "peak_lr", "max_lr"})
_OPTIMIZERS = frozenset({"optim", "optimizer", "optimizer_type", "_component_", "name"})
_OTHER_SCALES = ("prodigy", "dadapt", "d_adapt", "sgd", "adafactor", "lbfgs", "muon")
"""Optimizers whose rate is another quantity: 1.0 is usual for some, 0.02 for others."""


class TrainingRate(Check):
    """Compare the highest learning rate of the trainer's YAML or JSON with the highest that recipes use."""

    name = "training.rate"
    title = "Is the learning rate of the last training one that recipes use"
    effect = Effect.PASSIVE
    emits: ClassVar[Sequence[str]] = ("model.training_rate_over_usual",)
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {"config": {"description": "the trainer's configuration", "type": "string", "default": ""}},
        "additionalProperties": False,
    }
    sources: ClassVar[Sequence[str]] = (
        "1e-3 is the highest usual rate of AdamW: huggingface/alignment-handbook, recipes/smollm2/sft/config_smol.yaml",
        "ten times the highest as too high: a guess",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """Reads only."""
        return Cost(requests=0, seconds=3.0, usual_s=0.1)

    def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """The rates and the optimizer that the configuration names."""
        if not params["config"]:
            raise ProbeError(UnknownReason.NOT_CONFIGURED, "give config: what the trainer was told")
        leaves = config_leaves(look.files, str(params["config"]))
        rates = [rate for name, value in leaves if name in _RATES and (rate := _number(value)) is not None]
        named = [str(value).lower() for name, value in leaves if name in _OPTIMIZERS and isinstance(value, str)]
        other = next((each for each in named if any(part in each for part in _OTHER_SCALES)), "")
        return {"rates": rates, "other": other, "path": str(params["config"])}

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """The highest rate over the highest usual one."""
        reading = _over(raw)
        high = isinstance(reading.value, float) and reading.value > OVER_WARN
        outcome = Outcome.UNKNOWN if not reading.known else Outcome.WARN if high else Outcome.PASS
        return Result(
            outcome=outcome,
            summary=reading.source or reading.detail,
            signals={"model.training_rate_over_usual": reading},
        )


def _over(raw: Raw) -> Reading:
    if not raw["rates"]:
        return unknown(UnknownReason.ABSENT, f"{raw['path']}: names no learning rate ({', '.join(sorted(_RATES))})")
    if raw["other"]:
        why = f"{raw['path']}: rates of the optimizer {raw['other']!r} are of another scale"
        return unknown(UnknownReason.UNSUPPORTED, why)
    highest = max(raw["rates"])
    return measured(highest / USUAL_MAX, f"learning rate {highest:g}; recipes use at most {USUAL_MAX:g}")


def _number(value: Any) -> float | None:
    """YAML reads 2e-4 as a text."""
    try:
        number = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 else None
