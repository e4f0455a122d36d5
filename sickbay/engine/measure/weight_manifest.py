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
_LINE = re.compile(r"^\\?([0-9a-fA-F]{64}) [ *](.+)$")
_NOTE = re.compile(r"^#\s*bits_per_weight:\s*([0-9.]+)\s*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """File name (without folder) -> SHA-256 in lower-case hex."""

    hashes: Mapping[str, str]
    bits_per_weight: float | None = None


def read_manifest(files: Files, path: str) -> Manifest:
    """Read a file that `sha256sum` or `sickbay weights manifest` wrote.

    Raises:
        ProbeError: it cannot be read, or a line is neither a hash with a name nor a comment.
    """
    hashes: dict[str, str] = {}
    bits: float | None = None
    for number, line in enumerate(files.read_text(path, bytes_max=4_000_000).splitlines()[:LINES_MAX], start=1):
        if not line.strip():
            continue
        if line.startswith("#"):
            note = _NOTE.match(line)
            bits = float(note[1]) if note and note[1].count(".") < 2 and note[1] != "." else bits
            continue
        match = _LINE.match(line)
        if match is None:
            raise ProbeError(
                UnknownReason.MALFORMED,
                f"{path}:{number}: wanted a SHA-256 in hex, two spaces and a file name, found {line[:60]!r}",
            )
        hashes[PurePosixPath(match[2]).name] = match[1].lower()
    if not hashes:
        raise ProbeError(UnknownReason.MALFORMED, f"{path}: it names no file; write it with `sickbay weights manifest`")
    return Manifest(hashes=hashes, bits_per_weight=bits)


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
