"""model.weights: are the weight files whole, sound, and those of the release. Nothing is sent, nothing is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["ModelWeights"]


class ModelWeights(Check):
    """Read headers, hash the files against `manifest_path`, and look at the numbers of every tensor.

    With a `reference_path` that has the same tensors each one is compared; without, the same part of other layers is
    the measure. Pickle files are told by their opcodes and never loaded. A model larger than `bytes_max` is read in
    pieces of every tensor, and the report says how much was read.
    """

    name = "model.weights"
    title = "Are the weight files whole, their numbers sound, and are they those of the release"
    effect = Effect.PASSIVE
    needs = ("model_files",)
    emits: ClassVar[tuple[str, ...]] = (
        "model.files_complete", "model.hash_matches", "model.zero_tensors", "model.nonfinite_tensors",
        "model.value_range_ok", "model.value_excess", "model.number_type_ok", "model.number_bits",
        "model.number_bits_lost", "model.bits_per_weight", "model.quantisation_changed", "model.shapes_match",
        "model.tensors_differ_ratio", "model.weights_error_ratio", "model.position_scaling_matches",
        "model.settings_match", "model.pickle_unsafe", "model.side_files_match",
    )  # fmt: skip
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "bytes_max": {
                "description": "most bytes of tensors that are read; a larger model is read in pieces",
                "type": "integer", "minimum": 1_000_000, "default": 1_000_000_000,
            },
        },
        "additionalProperties": False,
    }  # fmt: skip
    sources: ClassVar[tuple[str, ...]] = (
        "osaurus-ai/vmlx-swift#217 (shards shorter than their headers), sgl-project/sglang#32279 (a missing shard)",
        "facebookresearch/metaseq#122 (wrong values, found by their range)",
        "30 times the largest value of the same part in other layers as out of range: a guess",
    )

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """Reads only; about a second for 100 MB."""
        return Cost(requests=0, seconds=15.0, usual_s=2.0)

    def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """In a thread: it reads and computes."""
        from sickbay.checks.model.weights_look import look_weights  # late: what a check says of itself must load fast

        return look_weights(look, params)

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """The first mismatch decides; no statistics."""
        from sickbay.checks.model.weights_judge import weight_signals  # late: as above

        if "incomplete" in raw or "unread" in raw:
            return self._unread(raw)
        signals = weight_signals(raw)
        return Result(outcome=_outcome(raw, signals), summary=_summary(raw, signals), signals=signals)

    def _unread(self, raw: Raw) -> Result:
        """No numbers were looked at: files that are not whole, or only pickles. Those are judged all the same."""
        from sickbay.checks.model.weights_pickles import pickles_reading  # late: as above

        detail = raw.get("incomplete") or raw["unread"]
        lost = unknown(UnknownReason(raw.get("reason", "malformed")), detail)
        pickles = pickles_reading(raw["pickles"])
        found = dict.fromkeys(self.emits, lost) | {"model.pickle_unsafe": pickles}
        unsafe = bool(pickles.value)
        summary = "; ".join([pickles.source, detail] if unsafe else [detail])
        if "incomplete" in raw:
            found["model.files_complete"] = measured(False, detail)
            advice = "Copy the model again, whole."
            return Result(outcome=Outcome.FAIL, summary=summary, signals=found, next_step=advice)
        return Result(outcome=Outcome.FAIL if unsafe else Outcome.UNKNOWN, summary=summary, signals=found)


_BAD: Mapping[str, Any] = {
    "model.hash_matches": False,
    "model.value_range_ok": False,
    "model.number_type_ok": False,
    "model.shapes_match": False,
    "model.position_scaling_matches": False,
    "model.settings_match": False,
}
_COUNTS = ("model.zero_tensors", "model.nonfinite_tensors", "model.pickle_unsafe")


def _bad(signals: Mapping[str, Reading]) -> list[Reading]:
    counts = [signals[name] for name in _COUNTS if isinstance(signals[name].value, float) and signals[name].value]
    facts = [signals[name] for name, value in _BAD.items() if signals[name].value is value]
    return list({reading.source: reading for reading in [*counts, *facts]}.values())


def _outcome(raw: Raw, signals: Mapping[str, Reading]) -> Outcome:
    if _bad(signals):
        return Outcome.FAIL
    if signals["model.quantisation_changed"].value is True or raw["pickles"]:
        return Outcome.WARN
    if signals["model.side_files_match"].value is False:
        return Outcome.WARN
    if "problem" in (raw.get("manifest") or {}) or not signals["model.zero_tensors"].known:
        return Outcome.UNKNOWN  # asked for, and could not be looked at
    looked = ("model.hash_matches", "model.zero_tensors")
    return Outcome.PASS if any(signals[name].known for name in looked) else Outcome.UNKNOWN


def _summary(raw: Raw, signals: Mapping[str, Reading]) -> str:
    said = [reading.source for reading in _bad(signals)]
    if signals["model.quantisation_changed"].value is True:
        said.append(signals["model.quantisation_changed"].source)
    if signals["model.side_files_match"].value is False:
        said.append(signals["model.side_files_match"].source)
    if raw["pickles"] and not signals["model.pickle_unsafe"].value:
        said.append(f"{raw['pickles'][0]['name']} runs code when loaded, as every pickle does")
    if not said:
        known = [signals[name] for name in ("model.zero_tensors", "model.hash_matches")]
        said = [reading.source if reading.known else reading.detail for reading in known]
    return "; ".join(said)
