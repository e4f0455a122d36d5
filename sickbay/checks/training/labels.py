"""training.labels: did training teach the model to end its answers.

Reads what a trainer saw: its configuration, and a dump of some samples with their labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from sickbay.checks.training.config import config_leaves
from sickbay.engine.errors import ProbeError
from sickbay.engine.measure.json_lines import read_rows
from sickbay.engine.model.check import Check, Cost, Effect, Raw, Result
from sickbay.engine.model.look import Look
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["TrainingLabels"]

IGNORED = -100
"""The label that PyTorch's cross entropy leaves out (torch.nn.CrossEntropyLoss, ignore_index)."""
MASKED_WARN, MASKED_FAIL = 0.02, 0.5


class TrainingLabels(Check):
    """Count the samples whose end token is masked in the labels, or is not there at all.

    `labels` is JSON lines with `tokens` or `input_ids`, and `labels` of the same length. `config` is the trainer's YAML
    or JSON with `eos_token` and `pad_token` (or their ids), on any level; `end_token` names the end where it does not.
    """

    name = "training.labels"
    title = "Do the training labels hold the end of an answer, and is the pad token another one"
    effect = Effect.PASSIVE
    emits: ClassVar[Sequence[str]] = ("model.pad_is_eos", "model.end_label_masked_ratio")
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "config": {"description": "the trainer's configuration", "type": "string", "default": ""},
            "labels": {"description": "JSON lines of samples with their labels", "type": "string", "default": ""},
            "end_token": {
                "description": "text or id; empty: as the configuration says",
                "type": "string",
                "default": "",
            },
        },
        "additionalProperties": False,
    }
    sources: ClassVar[Sequence[str]] = ("unslothai/unsloth#416", "huggingface/open-r1#492")

    def cost(self, params: Mapping[str, Any]) -> Cost:
        """Reads only."""
        return Cost(requests=0, seconds=3.0, usual_s=0.1)

    def look(self, look: Look, params: Mapping[str, Any]) -> Raw:
        """Counts, and the names of two tokens."""
        if not params["config"] and not params["labels"]:
            raise ProbeError(UnknownReason.NOT_CONFIGURED, "give config or labels: what the trainer was told, or saw")
        special = _special(look, str(params["config"])) if params["config"] else {}
        ends = {str(params["end_token"])} if params["end_token"] else special.get("eos", set())
        raw: dict[str, Any] = {
            "eos": sorted(special.get("eos", set())),
            "pad": sorted(special.get("pad", set())),
            "masks_pad": special.get("masks"),
            "ends": sorted(ends),
            "samples": None,
        }
        if params["labels"]:
            raw["samples"] = _samples(read_rows(look.files, str(params["labels"])), ends, str(params["labels"]))
        return raw

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        """Shares over samples."""
        signals = {"model.pad_is_eos": _pad(raw), "model.end_label_masked_ratio": _masked(raw)}
        ratio = signals["model.end_label_masked_ratio"].value
        share = ratio if isinstance(ratio, float) else 0.0
        pad = signals["model.pad_is_eos"].value is True
        outcome = Outcome.FAIL if share > MASKED_FAIL else Outcome.WARN if share > MASKED_WARN or pad else Outcome.PASS
        if not any(reading.known for reading in signals.values()):
            outcome = Outcome.UNKNOWN
        said = [reading.source if reading.known else reading.detail for reading in signals.values()]
        return Result(outcome=outcome, summary="; ".join(said), signals=signals)


def _special(look: Look, path: str) -> dict[str, Any]:
    """End and pad tokens of a configuration, texts and ids, wherever they stand in it."""
    found: dict[str, Any] = {"eos": set(), "pad": set(), "masks": None}
    for name, value in config_leaves(look.files, path):
        for kind in ("eos", "pad"):
            if name in {f"{kind}_token", f"{kind}_token_id"} and value is not None:
                found[kind].add(str(value))
        if name in {"mask_pad_labels", "ignore_pad_token_for_loss"} and isinstance(value, bool):
            found["masks"] = value
    return found


def _each(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, Any, Any]]:
    """(row, tokens, labels) of each sample; a row may hold a batch."""
    for number, row in enumerate(rows, start=1):
        tokens, labels = row.get("tokens", row.get("input_ids")), row.get("labels")
        batch = [each for each in (tokens, labels) if isinstance(each, list) and each and isinstance(each[0], list)]
        if len(batch) == 2 and len(batch[0]) == len(batch[1]):
            yield from ((number, *pair) for pair in zip(*batch, strict=True))
        else:
            yield number, tokens, labels


def _samples(rows: Sequence[Mapping[str, Any]], ends: set[str], path: str) -> dict[str, int]:
    counts = {"all": 0, "masked": 0, "kept": 0, "without_end": 0}
    for number, tokens, labels in _each(rows):
        if not isinstance(tokens, list) or not isinstance(labels, list) or len(tokens) != len(labels):
            raise ProbeError(
                UnknownReason.MALFORMED, f"{path}: row {number}: wanted tokens and labels, two lists of one length"
            )
        counts["all"] += 1
        # The last end token is the answer's own; earlier ones end turns of a prompt, which are masked by design.
        places = [place for place, token in enumerate(tokens) if str(token) in ends]
        answered = [place for place, label in enumerate(labels) if label != IGNORED]
        kind = "without_end"
        if places and (not answered or places[-1] >= answered[-1] or len(places) == 1):
            first = next((place for place in places if not answered or place >= answered[-1]), places[-1])
            kind = "masked" if labels[first] == IGNORED else "kept"
        counts[kind] += 1
    return counts


def _pad(raw: Raw) -> Reading:
    if not raw["eos"] or not raw["pad"]:
        return unknown(UnknownReason.ABSENT, "the configuration does not name both pad and end token")
    same = set(raw["eos"]) & set(raw["pad"])
    told = f"pad token {raw['pad'][0]!r}, end token {raw['eos'][0]!r}"
    return measured(bool(same), told + (", and pads are masked" if same and raw["masks_pad"] else ""))


def _masked(raw: Raw) -> Reading:
    counts = raw["samples"]
    if counts is None:
        return unknown(UnknownReason.NOT_CONFIGURED, "give labels: a dump of some samples as the trainer saw them")
    if not raw["ends"]:
        return unknown(UnknownReason.NOT_CONFIGURED, "which token ends an answer is not told (end_token, or config)")
    lost = counts["masked"] + counts["without_end"]
    return measured(
        lost / counts["all"],
        f"of {counts['all']} samples {counts['masked']} mask the end token and {counts['without_end']} have none",
    )
