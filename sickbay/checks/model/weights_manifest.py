"""A model's files against a manifest: the weights, and what lies beside them and is named as well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Any

from sickbay.engine.errors import ProbeError
from sickbay.engine.measure.weight_manifest import Manifest, read_manifest, sha256_of_file
from sickbay.engine.model.look import Files

__all__ = ["against_manifest"]

WEIGHTS = (".gguf", ".safetensors")
BESIDE = (".json", ".jinja", ".model", ".tiktoken", ".txt")
"""Files beside the weights that an engine reads: tokenizer, templates, settings."""


def against_manifest(files: Files, path: str, weights: Sequence[str], go_on: Callable[[], bool]) -> dict[str, Any]:
    """State by file: equal, differs, absent, not named, or no time; the weights' own, and those of what lies beside."""
    try:
        manifest = read_manifest(files, path)
    except ProbeError as error:
        return {"problem": error.detail, "reason": error.reason.value}
    folder = PurePosixPath(weights[0]).parent
    rows: dict[str, str] = {}
    used: set[str] = set()
    for file in weights:
        entry = manifest.entry_of(file)
        used |= {entry} if entry else set()
        rows[PurePosixPath(file).name] = _state(files, file, manifest, entry, go_on)
    # An entry in another folder is of files that no engine reads with these.
    left = [entry for entry in manifest.hashes if entry not in used and "/" not in entry]
    rows |= {entry: "absent" for entry in sorted(left) if entry.lower().endswith(WEIGHTS)}
    beside = {
        entry: _state(files, str(folder / entry), manifest, entry, go_on)
        for entry in sorted(left)
        if entry.lower().endswith(BESIDE)
    }
    return {"files": rows, "beside": beside, "bits": manifest.bits_per_weight, "path": path}


def _state(files: Files, file: str, manifest: Manifest, entry: str, go_on: Callable[[], bool]) -> str:
    if not entry:
        return "not named"
    try:
        found = sha256_of_file(files, file, go_on=go_on)
    except ProbeError:
        return "absent"
    return "no time" if found is None else "equal" if found == manifest.hashes[entry] else "differs"
