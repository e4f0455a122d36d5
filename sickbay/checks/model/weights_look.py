"""The world-facing half of model.weights: headers, hashes, and what each tensor's numbers look like."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sickbay.checks.model.weights_manifest import against_manifest
from sickbay.checks.model.weights_pickles import look_pickles
from sickbay.checks.model.weights_settings import flat_config, settings_unlike
from sickbay.engine.errors import ProbeError
from sickbay.engine.measure.model_files import IncompleteModelError
from sickbay.engine.measure.number_bits import WIDE_TYPES, number_bits
from sickbay.engine.measure.tensor_values import OTHER_TYPE, decode, difference, look_at_values, spread
from sickbay.engine.measure.weight_tensors import BLOCKS, WeightFiles, WeightTensor, list_tensors
from sickbay.engine.model.look import Files, Look

__all__ = ["look_weights"]

PIECES = 8
PIECE_BYTES_MIN = 256 * 1024
SAMPLE_BYTES = 64 * 1024
ROWS_MAX = 4000
TIME_KEPT_S = 1.0
CONFIG_KEYS = ("hidden_size", "num_hidden_layers", "vocab_size", "intermediate_size", "tie_word_embeddings")
GGUF_KEYS = {"embedding_length": "hidden_size", "block_count": "num_hidden_layers", "vocab_size": "vocab_size",
             "feed_forward_length": "intermediate_size"}  # fmt: skip


def look_weights(look: Look, params: Mapping[str, Any]) -> dict[str, Any]:
    """Headers first, then the manifest's hashes, then numbers until the bytes or the time are spent."""
    files, target = look.files, look.target
    path = target.model_path
    half = look.remaining_s / 2  # the weights want the other half
    pickles = look_pickles(files, path, lambda: look.remaining_s > half)
    raw: dict[str, Any] = {"path": path, "pickles": pickles, "problems": []}
    try:
        served = list_tensors(files, path)
    except IncompleteModelError as error:
        return raw | {"incomplete": error.detail}
    except ProbeError as error:
        if not raw["pickles"]:
            raise
        return raw | {"unread": error.detail, "reason": error.reason.value}
    raw |= {
        "kind": served.kind,
        "files": len(served.files),
        "bits": served.bits_per_weight,
        "config": _config(files, served),
        "shapes": [[each.name, list(each.shape)] for each in served.tensors[: 20 * ROWS_MAX]],
    }
    go_on = _Spending(look)
    if target.manifest_path:
        raw["manifest"] = against_manifest(files, target.manifest_path, served.files, go_on)
    reference = _reference(files, target.reference_path, served, raw)
    if reference is not None:
        raw["reference"] = _against(served, reference) | _settings(files, served, reference)
    raw["rows"] = list(_scan(files, served, reference, bytes_max=int(params["bytes_max"]), go_on=go_on, raw=raw))
    return raw


class _Spending:
    """Says whether there is still time."""

    def __init__(self, look: Look) -> None:
        self._look = look

    def __call__(self) -> bool:
        return self._look.remaining_s > TIME_KEPT_S


def _config(files: Files, served: WeightFiles) -> dict[str, Any]:
    """The sizes that the model's own description promises."""
    if served.kind == "gguf":
        prefix = str(served.metadata.get("general.architecture", ""))
        told = {ours: served.metadata.get(f"{prefix}.{theirs}") for theirs, ours in GGUF_KEYS.items()}
        return {name: value for name, value in told.items() if isinstance(value, int)}
    config = _config_file(files, served)
    config = flat_config(config)
    return {name: config[name] for name in CONFIG_KEYS if isinstance(config.get(name), (int, bool))}


def _config_file(files: Files, served: WeightFiles) -> dict[str, Any]:
    """config.json beside the weights; {} where there is none that can be read."""
    try:
        found = json.loads(files.read_text(f"{served.files[0].rpartition('/')[0]}/config.json", bytes_max=4_000_000))
    except (ProbeError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _settings(files: Files, served: WeightFiles, reference: WeightFiles) -> dict[str, Any]:
    """Of two folders, what their config.json say of the computation; {} for other kinds of files."""
    if {served.kind, reference.kind} != {"safetensors"}:
        return {}
    ours, own = _config_file(files, served), _config_file(files, reference)
    if not ours or not own:
        return {}
    rope, rest = settings_unlike(ours, own)
    return {"rope": rope, "settings": rest, "keys_known": True}


def _reference(files: Files, path: str, served: WeightFiles, raw: dict[str, Any]) -> WeightFiles | None:
    """The reference's tensors, where they have the served ones' names; a tokenizer folder has none."""
    if not path or path == raw["path"]:
        return None
    try:
        found = list_tensors(files, path)
    except ProbeError as error:
        raw["problems"].append(f"the reference has no weights to compare with: {error.detail}"[:300])
        return None
    if not {each.name for each in found.tensors} & {each.name for each in served.tensors}:
        raw["problems"].append(f"{path}: its tensors have other names, so numbers cannot be compared")
        return None
    return found


def _against(served: WeightFiles, reference: WeightFiles) -> dict[str, Any]:
    """What headers tell: tensors that are missing or have another shape, and the bits."""
    mine = {each.name: each.shape for each in served.tensors}
    theirs = {each.name: each.shape for each in reference.tensors}
    prefix = str(reference.metadata.get("general.architecture", ""))
    keys = {
        key.removeprefix(f"{prefix}.")
        for key in (*served.metadata, *reference.metadata)
        if key.startswith(f"{prefix}.")
    }
    told = [
        (key, served.metadata.get(f"{prefix}.{key}"), reference.metadata.get(f"{prefix}.{key}")) for key in sorted(keys)
    ]
    unlike = [[key, _plain(ours), _plain(own)] for key, ours, own in told if ours != own]
    return {
        "path": reference.files[0],
        "bits": reference.bits_per_weight,
        "missing": sorted(theirs.keys() - mine.keys())[:20],
        "reshaped": sorted(name for name in mine.keys() & theirs.keys() if mine[name] != theirs[name])[:20],
        "types": [_main_type(served), _main_type(reference)],
        "rope": [row for row in unlike if row[0].startswith("rope.")],
        "settings": [row for row in unlike if not row[0].startswith(("rope.", "context_length", "vocab_size"))],
        "keys_known": bool(prefix) and bool(served.metadata),
    }


def _plain(value: Any) -> Any:
    return value if isinstance(value, (int, float, str, bool)) else None


def _main_type(weights: WeightFiles) -> str:
    by: dict[str, int] = {}
    for each in weights.tensors:
        by[each.type] = by.get(each.type, 0) + each.numbers
    return max(by, key=lambda kind: by[kind])


def _scan(
    files: Files,
    served: WeightFiles,
    reference: WeightFiles | None,
    *,
    bytes_max: int,
    go_on: _Spending,
    raw: dict[str, Any],
) -> Iterator[dict[str, Any]]:
    """A row a tensor, smallest share of the bytes first cut; what is left out is said."""
    total = sum(each.bytes for each in served.tensors)
    share = min(1.0, bytes_max / max(1, total))
    theirs = {each.name: each for each in reference.tensors} if reference else {}
    skipped: dict[str, int] = {}
    read = unread = 0
    for number, tensor in enumerate(served.tensors):
        if number >= ROWS_MAX or not go_on():
            raw["left_out"] = len(served.tensors) - number
            break
        try:
            row = _row(files, tensor, theirs.get(tensor.name), share)
        except ProbeError as error:
            skipped[f"{tensor.type}: {error.detail}"[:200]] = skipped.get(f"{tensor.type}: {error.detail}"[:200], 0) + 1
            raw["skip_reason"] = error.reason.value
            unread += tensor.bytes
            continue
        read += row.pop("bytes")
        yield row
    raw["read_ratio"] = read / max(1, total)
    raw["skipped"] = skipped
    raw["skipped_ratio"] = unread / max(1, total)


def _row(files: Files, tensor: WeightTensor, other: WeightTensor | None, share: float) -> dict[str, Any]:
    pieces = list(_pieces(tensor, share))
    data = b"".join(files.read_bytes(tensor.file, offset=tensor.offset + at, bytes_max=size) for at, size in pieces)
    values = decode(data, tensor.type)
    row: dict[str, Any] = {"name": tensor.name, "dims": len(tensor.shape), "bytes": len(data)}
    row |= look_at_values(values).to_json()
    sample = data[:SAMPLE_BYTES]
    if tensor.type in OTHER_TYPE and len(tensor.shape) > 1:
        row |= {"type": tensor.type} | _spreads(sample, tensor.type)
    if tensor.type in WIDE_TYPES and len(tensor.shape) > 1:
        row["number_bits"] = number_bits(decode(sample, tensor.type))
    if other is None or other.shape != tensor.shape:
        return row
    spans = list(_pieces(other, share)) if other.type == tensor.type else [(0, other.bytes)] if share >= 1 else []
    if not spans:
        return row
    theirs = b"".join(files.read_bytes(other.file, offset=other.offset + at, bytes_max=size) for at, size in spans)
    if other.type == tensor.type and data == theirs:
        return row | {"differs": False, "error": 0.0}
    own = decode(theirs, other.type)
    seen = look_at_values(own)
    apart = difference(values, own)
    return row | {
        "differs": True,
        "error": min(apart, 1e9),
        "own_largest": seen.largest,
        "own_zero_stretches": seen.zero_stretches,
        "own_nonfinite": seen.nonfinite,
        "own_number_bits": number_bits(own[: SAMPLE_BYTES // 2]) if other.type in WIDE_TYPES else None,
    }


def _spreads(data: bytes, kind: str) -> dict[str, float]:
    """How far the sizes of the numbers lie apart, as the header names them and as the other type of that width."""
    return {"spread": spread(decode(data, kind)), "other_spread": spread(decode(data, OTHER_TYPE[kind]))}


def _pieces(tensor: WeightTensor, share: float) -> Iterator[tuple[int, int]]:
    """(offset, size) inside the tensor, in whole blocks: all of it, or some pieces from its first byte to its last."""
    _, block = BLOCKS.get(tensor.type, (1, 8))
    budget = int(tensor.bytes * share)
    if share >= 1.0 or tensor.bytes <= 2 * PIECE_BYTES_MIN:
        yield 0, tensor.bytes
        return
    size = max(PIECE_BYTES_MIN, budget // PIECES) // block * block
    count = max(2, min(PIECES, budget // size))
    for number in range(count):
        at = (tensor.bytes - size) * number // (count - 1) // block * block
        yield at, size
