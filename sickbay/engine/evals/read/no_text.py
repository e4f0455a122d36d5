"""Files that are no text at all, or not the file itself, known by how they begin: what they are, and what to do."""

from __future__ import annotations

__all__ = ["LFS_POINTER", "no_text"]

LFS_POINTER = "version https://git-lfs.github.com/spec/"
"""What stands in a clone without `git lfs pull` where a large file should be; the sets of openai/evals are such."""
_BEGINNINGS = (
    (LFS_POINTER, "a pointer of Git LFS, and not the file itself", "fetch it: git lfs pull"),
    ("PK\x03\x04", "a zip, such as a spreadsheet (.xlsx)", "save it as CSV (UTF-8), or unpack it"),
    ("\x1f\udc8b", "packed with gzip", "unpack it: gunzip"),
    ("(\udcb5/\udcfd", "packed with zstd", "unpack it: unzstd"),
    ("PAR1", "a Parquet file", "write it as JSON Lines, e.g. with `datasets`: set.to_json(FILE)"),
    ("\udcff\udcfe", "UTF-16 text", "save it as UTF-8 (in a spreadsheet: CSV UTF-8)"),
    ("\udcfe\udcff", "UTF-16 text", "save it as UTF-8 (in a spreadsheet: CSV UTF-8)"),
)
"""As `read_text` gives them: bytes that are not UTF-8 as surrogates."""


def no_text(text: str) -> tuple[str, str] | None:
    """What the file is and what to do, where it is none that could be read; else None."""
    return next(((what, hint) for begin, what, hint in _BEGINNINGS if text.startswith(begin)), None)
