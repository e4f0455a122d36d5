"""probe.adapter: does the LoRA adapter answer that should, and no other.

Three looks, cheapest first: the engine's own list against the target's `adapters`, the loaded file against the released
one, and easy questions answered as the users ask them against the same with every adapter off.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sickbay.checks.probe.asking import rows_of
from sickbay.checks.probe.greedy_compare import compare
from sickbay.checks.probe.questions import QUESTIONS
from sickbay.checks.probe.timeout_param import timeout_param
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["ProbeAdapter"]

EQUAL_SHIFT = 0.02
"""Log probabilities of the base model asked twice: below 0.01 on llama.cpp and vLLM (probe.greedy's noise)."""
FAILING_MIN = 1
SPILLED = (
    "vLLM without an accelerator gives the base model's requests an adapter too while adapters' requests run: equal "
    "answers tell nothing; ask when nobody else does"
)


class ProbeAdapter(Check):
    """Read the engine's list; where an adapter is on, ask easy questions with it and without, greedy.

    Nothing is switched: llama.cpp takes scales with one request, vLLM and SGLang answer under the base model's name.
    """

    name = "probe.adapter"
    title = "Does the adapter answer that should, and no other"
    effect = Effect.LIGHT
    needs = ("url",)
    emits: ClassVar[Sequence[str]] = (
        "model.adapter_listed",
        "model.adapter_file_matches",
        "model.adapter_scale_ratio",
        "model.adapters_declared",
        "model.adapters_wrong",
        "model.adapters_undeclared",
        "model.adapter_modules_applied_ratio",
        "output.adapter_equals_base_ratio",
        "output.recovery_adapter_off",
    )
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "questions": {
                "description": (
                    "how many of the known questions are asked, each with the adapters and without; up to all of them "
                    "while an adapter that nobody declared is on and answers rightly"
                ),
                "type": "integer",
                "minimum": 1,
                "maximum": len(QUESTIONS),
                "default": 3,
            },
            "max_tokens": {
                "description": "most output tokens of one answer",
                "type": "integer",
                "minimum": 4,
                "maximum": 256,
                "default": 16,
            },
            "timeout_s": timeout_param(default=15.0, maximum=120),
        },
        "additionalProperties": False,
    }
    sources: ClassVar[Sequence[str]] = (
        "vllm-project/vllm#34186, #11406 (the base model answers silently), #42125 (new weights under an old name)",
        "ggml-org/llama.cpp: tools/server/README.md (/lora-adapters, `lora` of a request)",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """Two answers a question; none where no adapter is on, all where an undeclared one answers well."""
        asked = 2 * len(QUESTIONS)
        return Cost(requests=asked, seconds=min(6.0, asked * float(params["timeout_s"])), usual_s=0.5)

    async def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """List, files, answers."""
        from sickbay.checks.probe.adapter_look import look_adapter  # late: what a check says must load fast

        return await look_adapter(look, params)

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """What is declared against what is on; what adapters do to answers."""
        signals = {
            "model.adapter_listed": _listed(raw),
            "model.adapter_file_matches": _file(raw),
            "model.adapter_scale_ratio": _scale(raw),
            "model.adapters_declared": measured(float(len(raw["declared"])), "the target's adapters"),
            "model.adapters_wrong": _wrong(raw),
            "model.adapters_undeclared": measured(
                float(len(raw["undeclared"])), f"on and not declared: {', '.join(raw['undeclared']) or 'none'}"
            ),
            "model.adapter_modules_applied_ratio": _modules(raw),
            "output.adapter_equals_base_ratio": _equal(raw),
            "output.recovery_adapter_off": _recovery(raw),
        }
        return Result(outcome=_outcome(signals), summary=_summary(raw, signals), signals=signals)


def _none_declared() -> Reading:
    return unknown(UnknownReason.NOT_CONFIGURED, "the target declares no adapter (adapters, or --adapter NAME=PATH)")


def _listed(raw: Raw) -> Reading:
    if not raw["declared"]:
        return _none_declared()
    off = [row["name"] for row in raw["declared"] if not row["scale"]]
    on = ", ".join(raw["on"]) or "none"
    if off:
        return measured(False, f"declared and not on: {', '.join(off)}; on: {on}")
    return measured(True, f"all {len(raw['declared'])} declared adapters are on: {on}")


def _wrong(raw: Raw) -> Reading:
    wrong = [
        row["name"]
        for row in raw["declared"]
        if not row["scale"] or row.get("equal") is False or row.get("strength") != row.get("wanted_strength")
    ]
    told = f"of {len(raw['declared'])} declared adapters not on, or of another file: {', '.join(wrong) or 'none'}"
    return measured(float(len(wrong)), told)


def _file(raw: Raw) -> Reading:
    if not raw["declared"]:
        return _none_declared()
    other = [row for row in raw["declared"] if row.get("equal") is False]
    if other:
        row = other[0]
        return measured(False, f"{row['loaded_path']} is not the released {row['path']} (SHA-256)")
    same = [row["name"] for row in raw["declared"] if row.get("equal")]
    if len(same) == len(raw["declared"]):
        return measured(True, f"{', '.join(same)}: the loaded file is the released one (SHA-256)")
    why = next((row["why"] for row in raw["declared"] if row.get("why")), "it is not loaded")
    return unknown(UnknownReason.ABSENT, why)


def _scale(raw: Raw) -> Reading:
    if not raw["declared"]:
        return _none_declared()
    known = [row for row in raw["declared"] if row["scale"]]
    if not known:
        return unknown(UnknownReason.ABSENT, "no declared adapter is on")
    worst = max(known, key=lambda row: abs(math.log(_times(row))))
    told = f"{worst['name']} is on at {worst['scale']:g}, {worst['wanted_scale']:g} is declared"
    if worst.get("strength") != worst.get("wanted_strength"):
        told = (
            f"{worst['name']}: the loaded folder's adapter_config.json multiplies by {worst['strength']:g}, the "
            f"released one by {worst['wanted_strength']:g}"
        )
    return measured(_times(worst), told)


def _times(row: Mapping[str, Any]) -> float:
    """Scale in force over the declared one, and what the two folders' configurations multiply by."""
    scale = row["scale"] / row["wanted_scale"] * row.get("strength", 1.0) / row.get("wanted_strength", 1.0)
    return max(1e-9, abs(float(scale)))


def _modules(raw: Raw) -> Reading:
    if not raw["declared"]:
        return _none_declared()
    known = [row for row in raw["declared"] if "modules" in row]
    if not known:
        row = next((row for row in raw["declared"] if "modules_problem" in row), None)
        if row is not None:
            return unknown(UnknownReason(row["modules_reason"]), row["modules_problem"])
        return unknown(
            UnknownReason.NOT_CONFIGURED, "needs the adapter's file (adapters: path) and the base model_path"
        )
    worst = min(known, key=lambda row: row["applied"] / row["modules"])
    told = f"{worst['applied']} of {worst['modules']} modules of {worst['name']} have a place in the base model"
    return measured(worst["applied"] / worst["modules"], told)


def _equal(raw: Raw) -> Reading:
    """Share of questions whose answers with and without adapters are the same, tokens and log probabilities."""
    if not raw["declared"]:
        return _none_declared()
    if not any(row["scale"] for row in raw["declared"]):
        return measured(1.0, "the declared adapter is not on: the base model answers")
    pairs = _pairs(raw)
    if not pairs:
        why = "no adapter is on" if not raw["on"] else f"no pair of answers came: {raw['stopped'] or _failure(raw)}"
        return unknown(UnknownReason.ABSENT, why)
    if raw.get("spills"):  # an equal pair is one answer of the adapter twice, perhaps
        pairs = [pair for pair in pairs if pair.differs]
    if not pairs:
        return unknown(UnknownReason.INCONSISTENT, SPILLED)
    equal = sum(not pair.differs and (pair.shift is None or pair.shift < EQUAL_SHIFT) for pair in pairs)
    return measured(equal / len(pairs), f"{equal} of {len(pairs)} answers are those with every adapter off")


def _pairs(raw: Raw) -> list[Any]:
    off = {row.number: row.answer for row in rows_of(raw, "off") if row.answer.ok}
    on = [row for row in rows_of(raw, "on") if row.answer.ok and row.number in off]
    return [compare(row.answer, off[row.number]) for row in on]


def _failure(raw: Raw) -> str:
    return next((row.answer.failure for row in rows_of(raw) if not row.answer.ok), "none was asked for")


def _recovery(raw: Raw) -> Reading:
    off = {row.number: row.answer.text.right for row in rows_of(raw, "off") if row.answer.ok}
    wrong = [row.number for row in rows_of(raw, "on") if row.answer.ok and row.answer.text.right is False]
    both = [number for number in wrong if number in off]
    if len(both) < FAILING_MIN:
        why = "no adapter is on" if not raw["on"] else "no question came out wrong with the adapters on"
        return unknown(UnknownReason.NO_TRAFFIC, why)
    if raw.get("spills"):  # one that is wrong again is the adapter's too, perhaps
        both = [number for number in both if off[number]]
    if not both:
        return unknown(UnknownReason.INCONSISTENT, SPILLED)
    cured = sum(bool(off[number]) for number in both)
    told = f"{cured} of {len(both)} questions that come out wrong are right with every adapter off"
    return measured(cured / len(both), told)


def _outcome(signals: Mapping[str, Reading]) -> Outcome:
    values = {name: reading.value for name, reading in signals.items()}
    wrong = values["model.adapter_listed"] is False or values["model.adapter_file_matches"] is False
    equal, cured = values["output.adapter_equals_base_ratio"], values["output.recovery_adapter_off"]
    declared = signals["model.adapter_listed"].known
    if wrong or (declared and equal == 1.0) or (isinstance(cured, float) and cured > 0.5):
        return Outcome.FAIL
    return Outcome.WARN if values["model.adapters_undeclared"] else Outcome.PASS


def _summary(raw: Raw, signals: Mapping[str, Reading]) -> str:
    if not raw["declared"] and not raw["on"]:
        return "no adapter is on, and none is declared"
    said = [
        signals[name].source
        for name in ("model.adapter_listed", "output.adapter_equals_base_ratio", "output.recovery_adapter_off")
        if signals[name].known
    ]
    if signals["model.adapter_file_matches"].value is False:
        said.insert(1, signals["model.adapter_file_matches"].source)
    if raw["undeclared"]:
        said.append(signals["model.adapters_undeclared"].source)
    return "; ".join(said)
