"""Text from outside, made safe to show anywhere: one line, bounded, without anything a terminal or browser obeys.

A sick or hostile server chooses the words of its error messages. Terminal escapes, control characters,
direction marks and invisible characters are removed here, once, for every format that a person reads.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["LENGTH_MAX", "plain"]

LENGTH_MAX = 400
"""Characters kept of one text unless the caller says otherwise."""

# ECMA-48: string sequences (OSC, DCS, SOS, PM, APC) up to their terminator, then control sequences, then other escapes.
_ESCAPES = re.compile(
    r"(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f]).*?(?:\x1b\\|\x07|\x9c|$)"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|\x1b[ -/]*[0-~]?",
    re.DOTALL,
)
# Cf holds direction marks and zero-width characters; Cs, Co and Cn have no agreed look.
_DROPPED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})


def plain(text: object, length_max: int = LENGTH_MAX) -> str:
    """One printable line of at most `length_max` characters; longer text ends in "...".

    Empty in, empty out. Letters of every language stay; line breaks and runs of blanks become one blank.
    """
    source = str(text)
    # Bound the work before the regular expression sees it; 8 covers text that is mostly escapes.
    source = source[: 8 * length_max + 64]
    # Printable text (most of it) holds no escape, nothing that is dropped, and no blank but the space.
    if not source.isprintable():
        source = _kept(source)
    line = " ".join(source.split())
    if len(line) <= length_max:
        return line
    return line[: max(0, length_max - 3)].rstrip() + "..."


def _kept(source: str) -> str:
    """Without escapes and dropped characters; every blank is a space."""
    source = _ESCAPES.sub("", source)
    return "".join(
        " " if char.isspace() else char
        for char in source
        if char.isspace() or unicodedata.category(char) not in _DROPPED
    )
