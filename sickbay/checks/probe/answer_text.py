"""What an answer's text shows without being kept: its hash, its length, and signs of a broken engine."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["TextSeen", "hashed", "look_at_text"]

_MARKS = re.compile(
    r"<\|[a-z0-9_]{2,32}\|>|<\uff5c[^\uff5c]{2,40}\uff5c>|</?s>|\[/?INST\]|<(?:start|end)_of_turn>|<unk>|<pad>|<0x[0-9A-F]{2}>"
)
"""Control text of the usual chat formats: ChatML and Llama 3, DeepSeek, Llama 2, Gemma, raw byte tokens."""
REPEAT_WORDS_MIN = 6
REPEAT_SHARE_MIN = 0.8
LATIN = ("LATIN", "DIGIT")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSeen:
    """Counts of one text. `right` is None when nothing was wanted."""

    sha: str = ""
    chars: int = 0
    empty: bool = True
    hidden: bool = False  # reasoning or a tool call came instead of, or beside, the text
    repeated: bool = False  # one word or character makes up nearly all of it
    foreign: int = 0  # letters outside the Latin script (questions are English)
    marks: int = 0  # control text such as <|im_end|>
    broken: int = 0  # replacement characters
    right: bool | None = None


def hashed(text: str) -> str:
    """First 12 hex digits of the SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def look_at_text(text: str, *, wanted: Sequence[str] = (), hidden: bool = False) -> TextSeen:
    """Reduce a text. `wanted`: any of these, as a whole word, makes it right."""
    lowered = text.lower()
    return TextSeen(
        sha=hashed(text),
        chars=len(text),
        empty=not text.strip(),
        hidden=hidden,
        repeated=_repeated(text),
        foreign=sum(_foreign(each) for each in text),
        marks=len(_MARKS.findall(text)),
        broken=text.count("\ufffd"),
        right=any(re.search(rf"(?<!\w){re.escape(each.lower())}(?!\w)", lowered) for each in wanted)
        if wanted
        else None,
    )


def _repeated(text: str) -> bool:
    """One word again and again, or one character; an answer of a few words is never that."""
    words = text.split()
    if len(words) >= REPEAT_WORDS_MIN:
        return Counter(words).most_common(1)[0][1] / len(words) >= REPEAT_SHARE_MIN
    packed = "".join(words)
    return (
        len(packed) >= 2 * REPEAT_WORDS_MIN and Counter(packed).most_common(1)[0][1] / len(packed) >= REPEAT_SHARE_MIN
    )


def _foreign(character: str) -> bool:
    if not character.isalpha():
        return False
    return not unicodedata.name(character, "").startswith(LATIN)
