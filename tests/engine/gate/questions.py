"""What a small real model can be asked, and mostly answers right."""

from __future__ import annotations

__all__ = ["questions"]

WORDS = [
    "river",
    "stone",
    "table",
    "green",
    "ocean",
    "seven",
    "light",
    "paper",
    "cloud",
    "garden",
    "winter",
    "silver",
    "orange",
    "music",
    "bread",
    "horse",
]


def questions() -> list[dict[str, str]]:
    """Questions that this small model can answer: mostly, and not by saying the same every time."""
    seconds = [*WORDS[1:], *WORDS[5:], *WORDS[9:], *WORDS[:12]]
    lines = [
        {"id": f"{first}-{second}", "ask": f"What colour or thing comes first in this list: {first}, {second}?",
         "expected": first}
        for first, second in zip(WORDS * 3, seconds, strict=False)
        if first != second
    ]  # fmt: skip
    unique = {line["id"]: line for line in lines}
    return list(unique.values())
