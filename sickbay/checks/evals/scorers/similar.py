"""similar: the answer means about what a reference means, by a small embedding model that a package brings.

The model is WordLlama's static table (PyPI `wordllama`, MIT): one vector a token, averaged; 0.1 ms a pair once it is
loaded, no network. Paraphrases come to 0.55 and more, other subjects to below 0.3. It sees which words stand there and
not how they are joined: "it is legal" and "it is not legal" are alike to it (0.9). Use it for open answers where a
wrong one is off the subject, and a judge where one word decides.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from sickbay.checks.evals.scorers.references import needs_references, references
from sickbay.engine.evals.item import Item
from sickbay.engine.evals.scorer import Given, Score, Scorer

__all__ = ["Similar", "similarity"]

WEIGHTS, TOKENIZER = "weights/l2_supercat_256.safetensors", "tokenizers/l2_supercat_tokenizer_config.json"
TEXT_CHARS_MAX = 20_000
_NEEDS = "it needs a local embedding model; install it with: pip install 'sickbay[evals]'"


class Similar(Scorer):
    """Cosine of the mean token vectors, the best of the references."""

    name = "similar"
    title = "the answer means about what a reference means (local embedding model, extra `evals`)"
    blocking = True
    params: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "value": {"type": ["string", "array"], "items": {"type": "string"}, "description": "Reference, or several"},
            "at_least": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.5},
        },
    }

    def misfit(self, item: Item, params: Mapping[str, Any]) -> str:
        """No reference, or no model on this machine."""
        return needs_references(item, params) or ("" if _files() else _NEEDS)

    def good_answer(self, item: Item, params: Mapping[str, Any]) -> Given | None:
        """The reference itself."""
        return Given(text=references(item, params)[0])

    def score(self, item: Item, given: Given, params: Mapping[str, Any]) -> Score:
        """The nearest reference decides."""
        found = max((similarity(given.text, wanted), wanted) for wanted in references(item, params))
        passed = found[0] >= params.get("at_least", 0.5)
        why = "" if passed else f"{found[0]:.2f} like {found[1][:60]!r}: {given.text[:60]!r}"
        return Score(passed=passed, value=max(0.0, min(1.0, found[0])), why=why)


def similarity(first: str, second: str) -> float:
    """Cosine, -1 to 1; 0 when either has no token.

    Raises:
        ModuleNotFoundError: the extra is not installed.
    """
    one, other = _vector(first), _vector(second)
    return 0.0 if one is None or other is None else float(one @ other)


@lru_cache(maxsize=256)
def _vector(text: str) -> Any:
    tokenizer, table = _model()
    ids = tokenizer.encode(text[:TEXT_CHARS_MAX], add_special_tokens=False).ids
    if not ids:
        return None
    mean = table[ids].astype("float32").mean(axis=0)
    length = float((mean @ mean) ** 0.5)
    return mean / length if length > 0 else None


@lru_cache(maxsize=1)
def _model() -> tuple[Any, Any]:
    """The package's own loader looks for its tokenizer in a folder that is not there, so its files are read here."""
    import numpy as np  # late: only this scorer wants them
    from tokenizers import Tokenizer

    folder = _files()
    if folder is None:
        raise ModuleNotFoundError(_NEEDS)
    raw = (folder / WEIGHTS).read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + size])
    info = next(value for name, value in header.items() if name != "__metadata__")
    kind = {"F16": "<f2", "F32": "<f4"}[info["dtype"]]
    table = np.frombuffer(raw, kind, offset=8 + size + info["data_offsets"][0]).reshape(info["shape"])
    return Tokenizer.from_file(str(folder / TOKENIZER)), table


def _files() -> Path | None:
    if find_spec("numpy") is None or find_spec("tokenizers") is None:
        return None
    spec = find_spec("wordllama")
    places = spec.submodule_search_locations if spec is not None else None
    folder = Path(next(iter(places))) if places else None
    return folder if folder is not None and (folder / WEIGHTS).is_file() and (folder / TOKENIZER).is_file() else None
