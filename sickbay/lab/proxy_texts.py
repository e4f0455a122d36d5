"""What a gateway does to the words of a chat: masked, shortened in the middle, or taken for a question it knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["cut_in_the_middle", "likeness", "masked", "with_texts"]

GAP = " ... "
WORD = re.compile(r"\w+")


def with_texts(chat: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """The chat with every message's text changed; what is no text stays."""
    messages = chat.get("messages")
    if not isinstance(messages, list):
        return dict(chat)
    return {**chat, "messages": [_changed(message, change) for message in messages]}


def masked(text: str, pattern: str, mask: str) -> str:
    """The text with each match of the pattern hidden, as a filter of personal data does."""
    return re.sub(pattern, mask, text)


def cut_in_the_middle(text: str, chars: int) -> str:
    """At most so many characters (and a mark): the begin and the end, as log and prompt shorteners keep them."""
    if len(text) <= chars:
        return text
    return text[: chars // 2] + GAP + text[len(text) - chars // 2 :]


def likeness(one: str, other: str) -> float:
    """Words in both over words in any (Jaccard), 0 to 1; upper and lower case are the same."""
    first, second = (set(WORD.findall(text.lower())) for text in (one, other))
    return len(first & second) / len(first | second) if first | second else 1.0


def _changed(message: Any, change: Callable[[str], str]) -> Any:
    if not isinstance(message, dict) or not isinstance(message.get("content"), str):
        return message
    return {**message, "content": change(message["content"])}
