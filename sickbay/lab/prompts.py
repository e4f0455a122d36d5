"""Prompts of a wanted length: common words, drawn with a fixed seed, counted by the server's own tokenizer."""

from __future__ import annotations

import json
import random
import urllib.request

__all__ = ["WORDS", "Prompter", "tokens_per_word"]

_TEXT = (
    "ocean river table green happy seven moves under light paper stone window garden winter summer bridge "
    "letter music orange silver market forest engine planet doctor farmer island corner circle yellow number"
)
WORDS = tuple(_TEXT.split())
CALIBRATION_WORDS = 256


def tokens_per_word(url: str, *, api_key: str = "", timeout_s: float = 30.0) -> float:
    """How many tokens one word of ours is on this server (its `/tokenize`); about 1 for common words."""
    text = " ".join(random.Random(0).choice(WORDS) for _ in range(CALIBRATION_WORDS))  # noqa: S311 - not a secret
    headers = {"Content-Type": "application/json"}
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    # llama.cpp reads `content`, vLLM reads `prompt`; each ignores the other.
    request = urllib.request.Request(  # noqa: S310 - a loopback URL of our own
        f"{url}/tokenize", data=json.dumps({"content": text, "prompt": text}).encode(), headers=headers
    )
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310 - as above
        count = len(json.load(answer)["tokens"])
    return float(count) / CALIBRATION_WORDS


class Prompter:
    """Draws user texts of about N tokens; the same seed draws the same texts.

    `shared_prefix_tokens` of each text are the same for all; the rest is new for each request, and starts
    with a number of its own, so that no cache can serve it.
    """

    def __init__(self, *, seed: int, tokens_per_word: float = 1.0, shared_prefix_tokens: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - not a secret
        self._per_word = tokens_per_word
        self._prefix_tokens = shared_prefix_tokens
        self._prefix = self.words(shared_prefix_tokens)

    def draw(self, tokens: int) -> str:
        """The next text; `tokens` counts the shared prefix too."""
        head = f"{self._random.randrange(10**6)} "
        own = self.words(max(1, tokens - self._prefix_tokens - 4))
        return f"{self._prefix} {head}{own}".strip()

    def words(self, tokens: int) -> str:
        """About so many tokens of random words."""
        return " ".join(self._random.choice(WORDS) for _ in range(round(tokens / self._per_word)))
