"""Whether a metrics page is that of the engine that answers: does it speak of the model that is served? Pure.

A page on the same address may be another server's (a port that was given again, a path that a proxy sends elsewhere,
a recording). vLLM, SGLang and TensorRT-LLM put the served name into a label of every series.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sickbay.engine.model.signal import Reading, UnknownReason, measured, unknown

__all__ = ["model_signals", "page_models"]

_LABEL = re.compile(r'[{,]\s*model_name="((?:[^"\\]|\\.)*)"')
NAMES_MAX = 64
NO_NAMES = frozenset({"", "undefined", "unknown", "none", "null"})
"""What stands in the label where an engine was given no name (trtllm-serve 1.x writes `undefined`)."""


def page_models(lines: Iterable[str]) -> tuple[str, ...]:
    """Model names in the labels of a page's samples, sorted."""
    found: set[str] = set()
    for line in lines:
        for name in _LABEL.findall(line):
            if name.casefold() not in NO_NAMES and len(found) < NAMES_MAX:
                found.add(name)
    return tuple(sorted(found))


def model_signals(lines: Iterable[str], served: Sequence[str]) -> dict[str, Reading]:
    """Names on the page, and whether one of them is served here.

    Args:
        lines: samples of the page.
        served: names of the engine's own model list at the same address; empty when it told none, or when the page
            was given apart from the engine.
    """
    names = page_models(lines)
    if not names:
        silent = unknown(UnknownReason.UNSUPPORTED, "this engine's page names no model")
        return {"serving.page_models": silent, "serving.page_model_matches": silent}
    told = measured(", ".join(names), "label model_name of the metrics page")
    if not served:
        alone = unknown(UnknownReason.NOT_CONFIGURED, "no model list stands beside this page at the same address")
        return {"serving.page_models": told, "serving.page_model_matches": alone}
    same = bool({_short(name) for name in names} & {_short(name) for name in served})
    source = f"the page names {', '.join(names[:3])}; the model list {', '.join(served[:3])}"
    return {"serving.page_models": told, "serving.page_model_matches": measured(same, source)}


def _short(name: str) -> str:
    """The last part of a path or of owner/name: one server may tell either."""
    return name.replace("\\\\", "\\").rstrip("/").rsplit("/", 1)[-1].casefold()
