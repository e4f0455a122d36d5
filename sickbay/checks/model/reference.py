"""model.reference: does the engine compute what torch computes from the same files and the same token ids.

Prompts go in as ids and answers come out as ids, so neither template nor tokenizer nor sampling can be the reason. The
engine's own greedy answers are scored by torch in float32 (teacher forcing): every position counts, not only those up
to the first difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["ModelReference"]

ARMS = ("alone", "again", "uncached", "together", "long")
PROMPTS = 3
CLEAR_GAP = 0.5
CLEAR_SHARE = 0.03
SHIFT_FLOOR = 0.05


class ModelReference(Check):
    """Ask three short prompts alone, again, without the cache and together, and one long one; score all with torch.

    torch and transformers run in the interpreter `python`, in a process of its own: they are never loaded here. The
    reference reads the served files (`model_path`), else `reference_path`; with `adapter` it lays that on top (peft).
    """

    name = "model.reference"
    title = "Does the engine compute what torch computes from the same files and token ids"
    effect = Effect.LIGHT
    needs = ("url", "reference")
    emits: ClassVar[Sequence[str]] = (
        "output.reference_shift",
        "output.shift_over_noise",
        "output.greedy_matches_reference",
        "output.shift_long_over_short",
        "output.shift_together_over_alone",
        "output.shift_cached_over_uncached",
    )
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "python": {
                "description": "interpreter with torch and transformers; empty: this one",
                "type": "string",
                "default": "",
            },
            "adapter": {"description": "folder of an adapter that the engine applies", "type": "string", "default": ""},
            "max_tokens": {
                "description": "output tokens of each answer",
                "type": "integer",
                "minimum": 4,
                "maximum": 128,
                "default": 20,
            },
            "long_tokens": {
                "description": "length of the long prompt",
                "type": "integer",
                "minimum": 32,
                "maximum": 8192,
                "default": 500,
            },
            "seed": {"description": "seed of the prompts; 0 takes a new one each run", "type": "integer", "default": 0},
            "answer_timeout_s": {
                "description": "most seconds for one answer of the engine, and a quarter of the step's time",
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": 600,
                "default": 60.0,
            },
            "timeout_s": {
                "description": "most seconds for torch: it loads the model first",
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": 3600,
                "default": 120.0,
            },
        },
        "additionalProperties": False,
    }
    sources: ClassVar[Sequence[str]] = (
        "teacher forcing: Williams and Zipser, Neural Computation 1(2), 1989",
        "0.05 of log probability as the floor of noise: 0.052 measured on llama.cpp with 4-bit weights, healthy",
        "half a nat as a clear choice, 3 % of the positions: guesses",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """Four answers to each short prompt, one to the long one; then torch."""
        return Cost(requests=4 * PROMPTS + 1, seconds=float(params["timeout_s"]) + 15.0)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Engine first, torch after it."""
        from sickbay.checks.model.reference_look import look_reference  # late: what a check says must load fast

        return await look_reference(look, params)

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Mean shift by arm; the engine's repeat against itself is the noise."""
        shifts = {arm: shift for arm in ARMS if (shift := _shift(raw, arm)) is not None}
        if "alone" not in shifts:
            gone = unknown(UnknownReason.ABSENT, "no answer could be scored")
            return Result(outcome=Outcome.UNKNOWN, summary=gone.detail, signals=dict.fromkeys(self.emits, gone))
        noise = max(SHIFT_FLOOR, abs(shifts.get("again", shifts["alone"]) - shifts["alone"]))
        whole = shifts["alone"]
        clear, positions = _clear(raw)
        told = f"log probabilities are {whole:.3f} off torch's on {raw['path']}"
        signals = {
            "output.reference_shift": measured(whole, told, by=shifts),
            "output.shift_over_noise": measured(whole / noise, f"{told}, noise {noise:.3f}"),
            "output.greedy_matches_reference": measured(
                clear <= CLEAR_SHARE * positions and whole <= 3 * noise,
                f"at {clear} of {positions} positions torch clearly prefers another token",
            ),
            "output.shift_long_over_short": _over(shifts, "long", "alone"),
            "output.shift_together_over_alone": _over(shifts, "together", "alone"),
            "output.shift_cached_over_uncached": _over(shifts, "again", "uncached"),
        }
        bad = signals["output.greedy_matches_reference"].value is False
        lost = raw.get("problems") or []
        missing = f"; {len(lost)} answers are missing: {lost[0]}" if lost else ""
        versions = ", ".join(f"{name} {version}" for name, version in raw["versions"].items())
        return Result(
            outcome=Outcome.FAIL if bad else Outcome.PASS,
            summary=f"{told}; {signals['output.greedy_matches_reference'].source} ({versions}){missing}",
            signals=signals,
        )


def _rows(raw: Raw, arm: str) -> list[Mapping[str, Any]]:
    return [row for row in raw["rows"] if row["arm"] == arm]


def _shift(raw: Raw, arm: str) -> float | None:
    """Mean absolute difference to torch over all positions of an arm."""
    pairs = [pair for row in _rows(raw, arm) for pair in zip(row["logprobs"], row["own"], strict=False)]
    return sum(abs(mine - theirs) for mine, theirs in pairs) / len(pairs) if pairs else None


def _clear(raw: Raw) -> tuple[int, int]:
    """Positions at which torch prefers another token than the engine's greedy one by `CLEAR_GAP`, and all positions."""
    rows = [row for arm in ("alone", "long") for row in _rows(raw, arm)]
    gaps = [best - own for row in rows for best, own in zip(row["best"], row["own"], strict=False)]
    return sum(gap > CLEAR_GAP for gap in gaps), len(gaps)


def _over(shifts: Mapping[str, float], arm: str, base: str) -> Reading:
    if arm not in shifts or base not in shifts:
        return unknown(UnknownReason.ABSENT, f"no answer of the arm {arm!r} or {base!r} could be scored")
    least = max(shifts[base], SHIFT_FLOOR)
    return measured(max(shifts[arm], SHIFT_FLOOR) / least, f"{arm} {shifts[arm]:.3f}, {base} {shifts[base]:.3f}")
