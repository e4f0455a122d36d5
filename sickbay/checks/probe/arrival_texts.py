"""Conversations that differ in one thing from a plain message: what something on the way may drop or rewrite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["PARTS", "PLAIN", "ROLES", "TEXTS", "WHOLE", "WITHOUT_SYSTEM"]

Messages = Sequence[Mapping[str, str]]

_WORDS = "say hello to quorvex and mibblethrop of zandrowick and tell them that the fluxomatic brindle is welcome"
"""Small letters and single spaces: nothing rewrites that. The invented words split otherwise in every vocabulary."""

_SYSTEM = (
    "You answer in one short sentence. In this house we are brief and polite, and nobody may guess at what is unknown."
)
_TURNS: Messages = (
    {"role": "user", "content": "good morning to you and to all who work here"},
    {"role": "assistant", "content": "good morning, what would you like to know about the garden today"},
)

TEXTS: Mapping[str, str] = {
    "capital letters": "The NASA, McDonald and iPhone people met eBay at the MoMA in New York, USA; Lee Ann left.",
    "line ends and indentation": (
        "def f(x):\n    if x:\n        return 1\n\n\treturn 2\n\n1. one\n   - two\n      - three\n\nend  of  it"
    ),
    "letters outside ASCII": (
        "Grüße aus Kraków, naïve café, mañana, 東京の天気, Привет, “so”, no… 10 € or 5 °C, ½ or 🙂"
    ),
    "marks of code and markup": (
        'if a < b && c > d: {"key": [1, "two"]} <b>bold</b> **strong** `code` [link](to) # head | 100 % \\n $x_1$'
    ),
    "figures": "In 1987 it was 3,141.59 at 12:45, in 2026 only 0.0025; that is 17 of 2,450 and 300,000 more.",
}
ROLES: Mapping[str, Messages] = {
    "the system text": ({"role": "system", "content": _SYSTEM}, {"role": "user", "content": _WORDS}),
    "earlier turns": (*_TURNS, {"role": "user", "content": _WORDS}),
}
PLAIN: Messages = ({"role": "user", "content": _WORDS},)
PARTS: Mapping[str, Messages] = {
    **ROLES,
    **{name: ({"role": "user", "content": f"{text} {_WORDS}"},) for name, text in TEXTS.items()},
}
WITHOUT_SYSTEM: Messages = (*_TURNS, {"role": "user", "content": "\n\n".join([*TEXTS.values(), _WORDS])})
"""For templates that refuse a system text."""
WHOLE: Messages = ({"role": "system", "content": _SYSTEM}, *WITHOUT_SYSTEM)
