"""Hold what is read from `config.json` about each layer against the configuration classes of transformers themselves.

PYTHONPATH=. .venv-vllm/bin/python -m benchmarks.model_layers

Each text model of the installed transformers that tells kinds of layers is asked for its default configuration, once
as the class writes it, once without the list of kinds, as files of the model's own makers often come. Counting more
than the class does is fair only where it is said.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from sickbay.engine.measure.gguf_header import ModelFileError
from sickbay.engine.measure.model_shape import shape_of_config

NO_TOKENS = frozenset({"linear_attention", "mamba", "mamba2", "recurrent", "conv", "moe", "mlp"})
WINDOWS = frozenset({"sliding_attention", "chunked_attention", "hybrid_sliding"})
KINDS = NO_TOKENS | WINDOWS | {"full_attention", "attention", "hybrid", "indexed_attention"}


def models() -> Iterator[tuple[str, list[str], dict[str, Any]]]:
    """Model type, kinds by its class, and its default configuration as JSON would give it."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING  # only this benchmark needs transformers

    seen = set()
    for name in CONFIG_MAPPING:
        try:
            whole = CONFIG_MAPPING[name]()
            text = whole.get_text_config(decoder=True)
            kinds = list(getattr(text, "layer_types", None) or getattr(text, "layers_block_type", None) or [])
            found = json.loads(json.dumps(text.to_dict(), default=str))
        except Exception:  # a class that cannot be made without arguments has no default to compare
            continue
        if kinds and set(kinds) <= KINDS and text.model_type not in seen and found.get("use_cache") is not None:
            seen.add(text.model_type)
            yield text.model_type, kinds, found


def judged(config: Mapping[str, Any], kinds: list[str], *, told: bool) -> str:
    """same, said (counted otherwise, with a note), refused (with a message), or silent, the one that must not be."""
    given = {key: value for key, value in config.items() if told or key not in {"layer_types", "layers_block_type"}}
    try:
        shape = shape_of_config(given, "config.json")
    except ModelFileError:
        return "refused"
    shared = config.get("num_kv_shared_layers") or 0
    wanted = ["none" if kind in NO_TOKENS else "window" if kind in WINDOWS else "full" for kind in kinds]
    wanted[len(wanted) - shared :] = ["none"] * shared
    found = ["none" if not layer.heads else "window" if layer.window else "full" for layer in shape.layers]
    if found == wanted:
        return "same"
    return "said" if any("counted" in note and "state of layers" not in note for note in shape.notes) else "silent"


def main() -> int:
    """Print the table; 1 when a model is counted otherwise without a word."""
    warnings.filterwarnings("ignore")
    rows = [
        (name, judged(config, kinds, told=True), judged(config, kinds, told=False)) for name, kinds, config in models()
    ]
    for word in ("same", "said", "refused", "silent"):
        told, untold = ([name for name, *row in rows if row[index] == word] for index in (0, 1))
        print(
            f"{word:<8} {len(told):>4} as the class writes it {len(untold):>4} without its list of kinds", *untold[:9]
        )
    return 1 if any("silent" in row for row in rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())
