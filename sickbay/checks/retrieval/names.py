"""By which names a passage is known, when two names are one, and when two texts say the same. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = [
    "DOCUMENTS",
    "INNER",
    "PASSAGES",
    "TEXTS",
    "is_part_of",
    "names_of",
    "normal_name",
    "plain_text",
    "same_words",
]

DOCUMENTS = ("document", "doc_id", "document_id", "source", "path", "file_name", "filename", "url")
PASSAGES = ("id", "_id", "id_", "chunk_id", "uuid", "key")
TEXTS = ("text", "content", "page_content", "chunk", "document")
INNER = ("metadata", "node", "payload", "fields", "_source", "document", "entity")
NAME_CHARS = 300
_UNSEEN = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))
_WORD = re.compile(r"[^\W_]+")
_PART = re.compile(r"^(?:[#:/|@]|::|[_-](?:chunk|part|passage|p|c)[_-]?\d)")


def normal_name(name: Any) -> str:
    """A name in one form of Unicode and one case, without space around it."""
    return unicodedata.normalize("NFC", str(name)).strip().casefold()[:NAME_CHARS]


def names_of(passage: Any) -> list[str]:
    """Every name of a passage, its own and its document's, normalised; the own one first."""
    if not isinstance(passage, Mapping):
        return [normal_name(passage)] if passage not in (None, "") else []
    rows = [passage, *(passage[name] for name in INNER if isinstance(passage.get(name), Mapping))]
    inner = [row["metadata"] for row in rows[1:] if isinstance(row.get("metadata"), Mapping)]
    keys = (*PASSAGES, *DOCUMENTS)
    told = [row[key] for row in (*rows, *inner) for key in keys if isinstance(row.get(key), (str, int))]
    return list(dict.fromkeys(normal_name(each) for each in told if each != ""))


def is_part_of(names: Iterable[str], document: str) -> bool:
    """Whether one of a passage's names is this one, or names a part of it ("doc7#3" of "doc7")."""
    return any(
        name == document or (name.startswith(document) and bool(_PART.match(name[len(document) :]))) for name in names
    )


def plain_text(text: str) -> str:
    """Without what no reader sees: one form of Unicode, no soft hyphens, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).translate(_UNSEEN).split())


def same_words(text: str) -> str:
    """The words and numbers alone, each with a space before and after: mark-up and punctuation apart."""
    return f" {' '.join(_WORD.findall(plain_text(text)))} "
