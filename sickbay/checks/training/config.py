"""What a trainer was told: its configuration, YAML or JSON, as names and plain values wherever they stand in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.look import Files
from sickbay.engine.model.signal import UnknownReason

__all__ = ["config_leaves"]

BYTES_MAX = 1_000_000
DEPTH_MAX = 10


def config_leaves(files: Files, path: str) -> list[tuple[str, Any]]:
    """(name, value) of every plain value, and of every item of a list of them; the section's name is not kept.

    Raises:
        ProbeError: the file cannot be read, or is neither YAML nor JSON.
    """
    text = files.read_text(path, bytes_max=BYTES_MAX)
    try:
        config = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ProbeError(UnknownReason.MALFORMED, f"{path}: wanted YAML or JSON, found {str(error)[:80]}") from error
    return _leaves(config)


def _leaves(node: Any, depth: int = 0) -> list[tuple[str, Any]]:
    if depth > DEPTH_MAX or not isinstance(node, Mapping):
        return []
    rows = [
        (str(name), each)
        for name, value in node.items()
        for each in (value if isinstance(value, list) else [value])
        if not isinstance(each, (Mapping, list))
    ]
    inner = [value for value in node.values() if isinstance(value, Mapping)]
    return rows + [leaf for value in inner for leaf in _leaves(value, depth + 1)]
