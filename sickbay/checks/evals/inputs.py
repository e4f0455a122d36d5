"""evals.inputs: are today's inputs of the kinds that the release was tested on.

Reads two files: what users sent lately, and what was tested. Texts are put into slices and dropped: the evidence holds
counts by slice. Nothing is asked of the service.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look

__all__ = ["EvalsInputs"]


class EvalsInputs(Check):
    """Compare the mix of recent inputs with the mix of an eval set (or of a reference file), slice by slice.

    Slices are the values of `field` where both sides have it. Without one they are what every text shows: its script,
    its length against the tested ones, and whether its words are those of the tested ones. A shift alone says nothing
    of the answers: what counts is how much of today is of a kind that was never tested, and what the kept run's own
    scores come to when they are weighted as today's inputs are.
    """

    name = "evals.inputs"
    title = (
        "recent inputs against those the release was tested on: kinds never tested, and the drop that the mix foretells"
    )
    effect = Effect.PASSIVE
    emits: ClassVar[Sequence[str]] = (
        "eval.inputs_shift_ratio", "eval.inputs_uncovered_ratio", "eval.inputs_expected_drop",
    )  # fmt: skip
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "recent": {
                "type": "string", "default": "",
                "description": "JSON lines of recent inputs: messages, ask, prompt, input or text, and fields",
            },
            "set": {"type": "string", "default": "", "description": "The eval set that the release passed"},
            "reference": {"type": "string", "default": "", "description": "In place of the set: inputs of a good time"},
            "kept": {"type": "string", "default": "", "description": "A kept run of the set (`sickbay eval --output`)"},
            "field": {"type": "string", "default": "", "description": "What makes a slice; empty: what the texts show"},
        },
    }  # fmt: skip
    sources: ClassVar[Sequence[str]] = (
        "two samples of one mix differ by chance: the shift is told above that, and only at p < 0.01 (chi-square)",
        "a kind that makes less than 0.5 % of what was tested counts as not tested: a convention",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """Reads only."""
        return Cost(requests=0, seconds=6.0, usual_s=0.5)

    def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """In a thread: it reads and counts."""
        from sickbay.checks.evals.inputs_look import look_inputs  # late: what a check says of itself must load fast

        return look_inputs(look, params)

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Counts against counts."""
        from sickbay.checks.evals.inputs_judge import judge_inputs  # late: as above

        return judge_inputs(raw)
