"""Judging a model's weight files: from headers, hashes and per-tensor figures to signals. Pure."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sickbay.checks.model.weights_bits import bits_lost, number_bits
from sickbay.checks.model.weights_layers import layer_gaps
from sickbay.checks.model.weights_pickles import pickles_reading
from sickbay.checks.model.weights_type import number_type
from sickbay.engine.model.check import Raw
from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["odd_sizes", "out_of_range", "weight_signals", "zeroed"]

FAMILY_MIN = 4
LARGEST_TIMES = 30.0
RMS_TIMES = 6.0
OWN_TIMES = 3.0
VANISHING_TIMES = 1000.0
FLAT, FLAT_USUAL = 0.999, 0.9
VECTOR_MIN = 16
ZERO_SHARE = 0.01
BITS_SHARE = 0.02
MATRIX_MIN = 4096
_NUMBERS = re.compile(r"\d+")
_EMBEDDING = re.compile(r"embd|embed|wte|wpe|lm_head|^output\.weight$|\.position")
_ZERO_BY_DESIGN = re.compile(r"zero|_idx|perm\b|mask|position_ids|lora_[Bb]\b|\bbias")
"""Zero points of symmetric quantisation, orders, masks, and the factor of an adapter that training begins at zero."""
_INFINITE_BY_DESIGN = re.compile(r"mask")
UNREAD_MAX = 0.1


def weight_signals(raw: Raw) -> dict[str, Reading]:
    """Every signal of model.weights, for files that are complete."""
    rows = raw["rows"]
    return {
        "model.files_complete": measured(True, f"{raw['files']} files as long as their headers say"),
        "model.hash_matches": _hash(raw),
        "model.zero_tensors": _count(raw, zeroed(rows), "hold only zeros, or long stretches of them"),
        "model.nonfinite_tensors": _count(
            raw,
            [
                row["name"] for row in rows
                if row["nonfinite"] > row.get("own_nonfinite", 0) and not _INFINITE_BY_DESIGN.search(row["name"])
            ],
            "hold values that are not finite",
        ),
        "model.value_range_ok": _range(raw),
        "model.value_excess": _excess(raw),
        "model.number_type_ok": _scan_gap(raw) or number_type(rows),
        "model.bits_per_weight": measured(raw["bits"], "tensor bytes over numbers"),
        "model.number_bits": _scan_gap(raw) or number_bits(rows),
        "model.number_bits_lost": _scan_gap(raw) or bits_lost(rows),
        "model.quantisation_changed": _quantisation(raw),
        "model.shapes_match": _shapes(raw),
        "model.tensors_differ_ratio": _differ(raw),
        "model.weights_error_ratio": _error(raw),
        "model.position_scaling_matches": _keys(raw, "rope", "rope base and scaling are the reference's"),
        "model.settings_match": _keys(raw, "settings", "widths, heads, experts and epsilon are the reference's"),
        "model.pickle_unsafe": pickles_reading(raw["pickles"]),
        "model.side_files_match": _beside(raw),
    }  # fmt: skip


def _hash(raw: Raw) -> Reading:
    manifest = raw.get("manifest")
    if manifest is None:
        return unknown(UnknownReason.NOT_CONFIGURED, "give manifest_path; `sickbay weights manifest` writes one")
    if "problem" in manifest:
        return unknown(UnknownReason(manifest["reason"]), manifest["problem"])
    by = Counter(manifest["files"].values())
    for word in ("differs", "absent", "not named"):
        if by[word]:
            first = next(name for name, state in manifest["files"].items() if state == word)
            said = {"differs": "has another SHA-256 than", "absent": "is missing, named by"}
            return measured(False, f"{first} {said.get(word, 'is not named by')} {manifest['path']}")
    if by["no time"]:
        return unknown(UnknownReason.TIMEOUT, f"{by['no time']} files were not hashed in time; give the step more")
    return measured(True, f"{by['equal']} files have the SHA-256 of {manifest['path']}")


def _beside(raw: Raw) -> Reading:
    manifest = raw.get("manifest") or {}
    beside = manifest.get("beside") or {}
    if not beside:
        return unknown(UnknownReason.NOT_CONFIGURED, "the manifest names no file beside the weights")
    wrong = [name for name, state in beside.items() if state in {"differs", "absent"}]
    if wrong:
        said = "is missing, named by" if beside[wrong[0]] == "absent" else "has another SHA-256 than"
        return measured(False, f"{wrong[0]} {said} {manifest['path']}")
    if "no time" in beside.values():
        return unknown(UnknownReason.TIMEOUT, "the files beside the weights were not hashed in time")
    return measured(True, f"{len(beside)} files beside the weights have the SHA-256 of {manifest['path']}")


def zeroed(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Matrices that are all zeros, or have long runs of zeros that their reference has not.

    What is byte for byte the reference's is not. Without a reference, runs inside embeddings pass: unused rows of a
    padded vocabulary are zero by design.
    """
    found = []
    rows = [row for row in rows if row.get("differs") is not False]
    dead = _zero_norms(rows)
    for row in rows:
        if row["name"] in dead:
            found.append(row["name"])
        if row["dims"] < 2 or row["numbers"] < MATRIX_MIN or _ZERO_BY_DESIGN.search(row["name"]):
            continue
        own = row.get("own_zero_stretches")
        least = max(1, int(ZERO_SHARE * row["stretches"]))
        runs = row["zero_stretches"] - (own or 0) >= least and (own is not None or not _EMBEDDING.search(row["name"]))
        whole = row["zeros"] == row["numbers"] and (own is None or own < row["stretches"])
        if whole or runs:
            found.append(row["name"])
    return found


def _zero_norms(rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Vectors that scale a layer and are all zeros, where those of other layers are not. A bias may be zero."""
    families: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["dims"] == 1 and row["numbers"] >= VECTOR_MIN and row["name"].endswith("norm.weight"):
            families.setdefault(_NUMBERS.sub("N", row["name"]), []).append(row)
    return {
        row["name"]
        for family in families.values()
        if len(family) >= FAMILY_MIN and sum(2 * each["zeros"] > each["numbers"] for each in family) == 1
        for row in family
        if row["zeros"] == row["numbers"]
    }


def out_of_range(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Matrices whose largest value or size is far from their reference's, or from the same part of other layers.

    In words, with the times by which each is beyond what is usual.
    """
    families: dict[str, list[Mapping[str, Any]]] = {}
    same = {row["name"] for row in rows if row.get("differs") is False}
    for row in rows:
        if row["dims"] >= 2 and row["numbers"] >= MATRIX_MIN and not _ZERO_BY_DESIGN.search(row["name"]):
            families.setdefault(_NUMBERS.sub("N", row["name"]), []).append(row)
    found: dict[str, float] = {}
    for family in families.values():
        usual = statistics.median(row["largest"] for row in family)
        size = statistics.median(row["rms"] for row in family)
        for row in family:
            own = row.get("own_largest")
            alone = len(family) >= FAMILY_MIN and own is None
            beyond = row["largest"] > OWN_TIMES * own if own else False
            if beyond or (
                alone and usual and (row["largest"] > LARGEST_TIMES * usual or row["rms"] > RMS_TIMES * size)
            ):
                found[f"{row['name']} (up to {row['largest']:.3g}, usual {own or usual:.3g})"] = row["largest"] / (
                    own or usual
                )
        found |= _too_alike(family, size)
    return {told: times for told, times in found.items() if told.partition(" ")[0] not in same}


def _too_alike(family: Sequence[Mapping[str, Any]], size: float) -> dict[str, float]:
    """Matrices that are next to nothing, or one value everywhere, where the same part of other layers is not."""
    if len(family) < FAMILY_MIN or not size:
        return {}
    flat = statistics.median(row["rms"] / row["largest"] if row["largest"] else 0.0 for row in family)
    found: dict[str, float] = {}
    for row in family:
        if 0 < row["rms"] < size / VANISHING_TIMES:
            found[f"{row['name']} (up to {row['largest']:.3g}, next to nothing)"] = size / row["rms"]
        elif row["largest"] and flat < FLAT_USUAL and row["rms"] > FLAT * row["largest"] and not row["nonfinite"]:
            found[f"{row['name']} (one value everywhere, {row['largest']:.3g})"] = RMS_TIMES
    return found


def _scan_gap(raw: Raw) -> Reading | None:
    """Why numbers are not known; None when they are. What little could not be read is told with them."""
    if raw["rows"] and raw.get("skipped_ratio", 0.0) <= UNREAD_MAX:
        return None
    skipped = next(iter(raw.get("skipped") or {}), "there was no time to read numbers")
    return unknown(UnknownReason(raw.get("skip_reason") or "timeout"), skipped)


def _count(raw: Raw, names: Sequence[str], what: str) -> Reading:
    gap = _scan_gap(raw)
    if gap is not None:
        return gap
    told = f"of {len(raw['rows'])} tensors ({raw.get('read_ratio', 1.0):.0%} of their bytes read)"
    if raw.get("left_out") and not names:
        return unknown(UnknownReason.TIMEOUT, f"none {told}, and {raw['left_out']} were not read in time")
    example = f": {', '.join(names[:3])}" if names else ""
    return measured(float(len(names)), f"{len(names)} {told} {what}{example}")


def _range(raw: Raw) -> Reading:
    gap = _scan_gap(raw)
    if gap is not None:
        return gap
    kind = number_type(raw["rows"])
    if kind.value is False:
        return measured(False, kind.source)
    odd = list(out_of_range(raw["rows"]))
    if odd:
        return measured(False, f"{len(odd)} tensors are out of range, e.g. {odd[0]}")
    with_own = sum("own_largest" in row or row.get("differs") is False for row in raw["rows"])
    against = "the reference's" if with_own else "the same part's in other layers"
    return measured(True, f"the largest values of {len(raw['rows'])} tensors are like {against}")


def _excess(raw: Raw) -> Reading:
    gap = _scan_gap(raw)
    if gap is not None:
        return gap
    odd = out_of_range(raw["rows"])
    worst = max(odd, key=lambda name: odd[name], default="")
    return measured(odd.get(worst, 1.0), worst or "no tensor is out of range")


def _quantisation(raw: Raw) -> Reading:
    """Against the manifest's note, else against a reference of the same kind of file."""
    manifest, reference = raw.get("manifest") or {}, raw.get("reference")
    before, where = manifest.get("bits"), "the manifest"
    if before is None and reference is not None:
        before, where = reference["bits"], "the reference"
    if before is None:
        return unknown(UnknownReason.NOT_CONFIGURED, "neither the manifest nor a reference tells the bits there were")
    told = f"{raw['bits']:.2f} bits a weight, {before:.2f} in {where}"
    return measured(abs(raw["bits"] - before) > BITS_SHARE * before, told)


def _no_reference(raw: Raw) -> Reading:
    """Why there is nothing to compare with: none was given, or what was given could not be."""
    problems = raw.get("problems") or []
    reason = UnknownReason.UNSUPPORTED if problems else UnknownReason.NOT_CONFIGURED
    return unknown(reason, problems[0] if problems else "no reference with the same tensors (reference_path)")


def _differ(raw: Raw) -> Reading:
    rows = [row for row in raw["rows"] if "differs" in row]
    if not rows:
        return _no_reference(raw)
    odd = [row["name"] for row in rows if row["differs"]]
    example = f": {', '.join(odd[:3])}" if odd else ""
    return measured(len(odd) / len(rows), f"{len(odd)} of {len(rows)} tensors differ from the reference{example}")


def _error(raw: Raw) -> Reading:
    rows = [row["error"] for row in raw["rows"] if "error" in row and row["dims"] >= 2]
    if not rows:
        return _no_reference(raw)
    return measured(
        statistics.median(rows), f"median over {len(rows)} matrices, reference of {raw['reference']['path']}"
    )


def _keys(raw: Raw, part: str, good: str) -> Reading:
    reference = raw.get("reference")
    if reference is None or not reference["keys_known"]:
        return _no_reference(raw)
    if reference[part]:
        key, ours, own = reference[part][0]
        return measured(False, f"{key} is {ours}, {own} in the reference")
    return measured(True, good)


def _shapes(raw: Raw) -> Reading:
    wrong = [*odd_sizes(raw["shapes"], raw["config"]), *layer_gaps(raw["shapes"], raw["config"])]
    reference = raw.get("reference")
    if reference is not None:
        wrong += [f"{name} is missing" for name in reference["missing"]]
        wrong += [f"{name} has another shape than the reference's" for name in reference["reshaped"]]
    if wrong:
        return measured(False, "; ".join(wrong[:3]) + (f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""))
    if not raw["config"]:
        return unknown(UnknownReason.ABSENT, "no configuration tells the sizes that the tensors should have")
    return measured(True, f"{len(raw['shapes'])} tensors have the shapes that the configuration promises")


def odd_sizes(shapes: Sequence[Sequence[Any]], config: Mapping[str, Any]) -> list[str]:
    """The embedding against vocabulary and width: what an engine would fail on, or read past."""
    hidden, vocabulary = config.get("hidden_size"), config.get("vocab_size")
    found = []
    for name, shape in shapes:
        if name in {"token_embd.weight", "model.embed_tokens.weight"} and len(shape) == 2:
            if hidden and shape[1] != hidden:
                found.append(f"{name} is {shape[1]} wide, the configuration says {hidden}")
            # A vocabulary is often padded to a round number; fewer rows than ids cannot be.
            if vocabulary and shape[0] < vocabulary:
                found.append(f"{name} has {shape[0]} rows for {vocabulary} ids")
    return found
