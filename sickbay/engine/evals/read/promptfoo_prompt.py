"""A filled promptfoo prompt: its chat messages, and a name that a test has wherever it stands.

promptfoo gives its tests no id, and their numbers change when one is put in between or left out by a filter. So an item
is called by what is asked: the end of the prompt, and a digest of the whole.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sickbay.engine.evals.item import digest
from sickbay.engine.load.yaml_source import read_yaml

__all__ = ["Names", "messages_of"]

_SHOWN_CHARS = 24
_DIGEST_CHARS = 8


def messages_of(prompt: str) -> tuple[dict[str, Any], ...]:
    """A prompt that is a list of chat messages, in JSON or YAML, is one; any other text is what the user says."""
    start = prompt.lstrip()
    data: Any = None
    if start.startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            data = json.loads(prompt)
    elif start.startswith("- role:"):
        node = read_yaml(prompt, "", [])
        data = node.data if node is not None else None
    if isinstance(data, list) and data and all(isinstance(each, dict) and "role" in each for each in data):
        return tuple(data)
    return ({"role": "user", "content": prompt},)


class Names:
    """Names in the order of the file. A prompt that comes again is another item, called NAME-2.

    Args:
        repeat: how often each test was asked (`promptfoo eval --repeat`).
    """

    def __init__(self, repeat: int = 1) -> None:
        self._repeat = max(1, repeat)
        self._seen: Counter[str] = Counter()

    def of(self, messages: Sequence[Mapping[str, Any]]) -> tuple[str, int]:
        """The item's name and the number of this sample of it."""
        said = str(messages[-1].get("content", ""))
        words = re.sub(r"[^a-z0-9]+", "-", said[-_SHOWN_CHARS:].lower()).strip("-")
        name = f"{words or 'prompt'}-{digest([dict(each) for each in messages])[:_DIGEST_CHARS]}"
        before, sample = divmod(self._seen[name], self._repeat)
        self._seen[name] += 1
        return (f"{name}-{before + 1}" if before else name), sample
