"""evals.run: ask an eval set, compare with a kept run, and test the set itself.

Texts are scored and dropped: the evidence holds ids, scores and slices, never a prompt or an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look

__all__ = ["EvalsRun"]


class EvalsRun(Check):
    """Score an eval set on the target, and say whether it is worse than in a kept run.

    The set's own soundness comes first: every reference answer must pass its own scorer. A set that fails that says
    nothing of the model (evaluation gap). `known_score` is for a target that serves a model whose score on this set is
    known: another score means that the set-up is wrong. `mix` re-weights the kept run to today's shares of a field.
    """

    name = "evals.run"
    title = "the score on an eval set, by item against a kept run, and whether the set can judge at all"
    emits = (
        "eval.score_ratio", "eval.items_scored", "eval.error_ratio", "eval.score_drop", "eval.within_noise",
        "eval.scorer_selftest_ok", "eval.known_model_ok", "eval.old_skills_drop", "eval.mix_explains_ratio",
        "eval.grader_disagreement_ratio", "eval.setup_matches", "output.recovery_regraded",
    )  # fmt: skip
    effect = Effect.LIGHT
    needs = ("url",)
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "set": {"type": "string", "default": "", "description": "The eval set's file; empty: unknown"},
            "baseline": {"type": "string", "default": "", "description": "A kept run of it (`sickbay eval --output`)"},
            "items_max": {"type": "integer", "minimum": 1, "maximum": 10000, "default": 40},
            "margin": {"type": "number", "exclusiveMinimum": 0, "maximum": 1, "default": 0.05},
            "role": {"enum": ["product", "general"], "default": "product"},
            "known_score": {"type": ["number", "null"], "minimum": 0, "maximum": 1, "default": None},
            "second_score": {"type": "array", "items": {"type": "string"}, "default": []},
            "mix": {"type": "object", "default": {}, "description": "{field: NAME, today: {VALUE: share}}"},
            "concurrency": {"type": "integer", "minimum": 1, "maximum": 64, "default": 2},
        },
    }
    sources = ("vibrantlabsai/ragas#2992", "princeton-pli/retaining-by-doing#5")

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """One request an item."""
        asked = int(params["items_max"]) if params["set"] else 0
        return Cost(requests=asked, seconds=2.0 * asked + 1.0, usual_s=0.3 * asked)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Ask the items one sample each; score, and forget the texts."""
        from sickbay.checks.evals.run_look import look_run  # late: what a check says of itself must load fast

        return await look_run(look, params)

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Scores, the paired comparison, and the set's self-test."""
        from sickbay.checks.evals.run_judge import judge_run  # late: what a check says of itself must load fast

        return judge_run(raw, params, self.emits)
