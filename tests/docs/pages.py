"""The pages of the documentation, their blocks and the words in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Piece:
    """A block or a word, and where it stands."""

    page: str
    line: int
    kind: str  # the fence's language, or "inline", or "link"
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pieces() -> Iterator[Piece]:
    """Every fenced block, every piece of inline code outside them, every link."""
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        name = str(path.relative_to(ROOT))
        for match in _FENCE.finditer(text):
            yield Piece(name, text.count("\n", 0, match.start()) + 1, match[1] or "plain", match[2])
        outside = _FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)
        for pattern, kind in ((_INLINE, "inline"), (_LINK, "link")):
            for match in pattern.finditer(outside):
                yield Piece(name, outside.count("\n", 0, match.start()) + 1, kind, match[1])


def blocks(kind: str) -> list[Piece]:
    """All pieces of one kind."""
    return [piece for piece in pieces() if piece.kind == kind]
