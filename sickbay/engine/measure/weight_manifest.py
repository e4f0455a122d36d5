"""A manifest of weight files: SHA-256 by file, in the form of `sha256sum`, with what a release may also want to know.

    # bits_per_weight: 5.02
    9f86d08…  model.gguf

Comment lines are passed over by `sha256sum --check`; `bits_per_weight` tells a swapped quantisation from damage.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import Files
from sickbay.engine.model.signal import UnknownReason

__all__ = ["Manifest", "read_manifest", "sha256_of_file", "write_manifest"]

LINES_MAX = 20_000
CHUNK_BYTES = 8 << 20
_LINE = re.compile(r"^(\\?)([0-9a-fA-F]{64})[ \t]+\*?(.+)$")
_TAGGED = re.compile(r"^(\\?)SHA256 \((.+)\) = ([0-9a-fA-F]{64})$")
_NOTE = re.compile(r"^#\s*bits_per_weight:\s*([0-9.]+)\s*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """File, as it was named (without "./"), -> SHA-256 in lower-case hex."""

    hashes: Mapping[str, str]
    bits_per_weight: float | None = None

    def entry_of(self, file: str) -> str:
        """The entry of a file, "" for none: the longest that its path ends with, else the only one of its name."""
        whole = [entry for entry in self.hashes if f"/{file}".endswith(f"/{entry}")]
        if whole:
            return max(whole, key=len)
        name = PurePosixPath(file).name
        alike = [entry for entry in self.hashes if PurePosixPath(entry).name == name]
        return alike[0] if len(alike) == 1 else ""


def read_manifest(files: Files, path: str) -> Manifest:
    """Read a file that `sha256sum` or `sickbay weights manifest` wrote.

    Raises:
        ProbeError: it cannot be read, or a line is neither a hash with a name nor a comment.
    """
    hashes: dict[str, str] = {}
    bits: float | None = None
    text = files.read_text(path, bytes_max=4_000_000).removeprefix("\ufeff")
    for number, line in enumerate(text.splitlines()[:LINES_MAX], start=1):
        if not line.strip():
            continue
        if line.startswith("#"):
            note = _NOTE.match(line)
            bits = float(note[1]) if note and note[1].count(".") < 2 and note[1] != "." else bits
            continue
        found = _parsed(line)
        if found is None:
            raise ProbeError(
                UnknownReason.MALFORMED,
                f"{path}:{number}: wanted a SHA-256 in hex, two spaces and a file name, found {line[:60]!r}",
            )
        hashes[found[0]] = found[1]
    if not hashes:
        raise ProbeError(UnknownReason.MALFORMED, f"{path}: it names no file; write it with `sickbay weights manifest`")
    return Manifest(hashes=hashes, bits_per_weight=bits)


def _parsed(line: str) -> tuple[str, str] | None:
    """(name, hash) of a line of `sha256sum`, of its `--tag` form, or of what editors make of them; None for none."""
    if tagged := _TAGGED.match(line):
        escaped, name, digest = tagged[1], tagged[2], tagged[3]
    elif plain := _LINE.match(line):
        escaped, digest, name = plain[1], plain[2], plain[3]
    else:
        return None
    if escaped:
        name = re.sub(r"\\(.)", lambda match: {"n": "\n", "r": "\r"}.get(match[1], match[1]), name)
    return str(PurePosixPath(name.strip())), digest.lower()


def sha256_of_file(files: Files, path: str, *, go_on: Callable[[], bool] = lambda: True) -> str | None:
    """The file's SHA-256; None when `go_on` said no before its end."""
    digest = hashlib.sha256()
    at = 0
    while piece := files.read_bytes(path, offset=at, bytes_max=CHUNK_BYTES):
        digest.update(piece)
        at += len(piece)
        if not go_on():
            return None
    return digest.hexdigest()


def write_manifest(hashes: Mapping[str, str], bits_per_weight: float) -> str:
    """The text of a manifest."""
    lines = [f"# bits_per_weight: {bits_per_weight:.4f}"]
    lines += [f"{digest}  {PurePosixPath(name).name}" for name, digest in sorted(hashes.items())]
    return "\n".join(lines) + "\n"
