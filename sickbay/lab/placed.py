"""Where the fault's own files are: `{stage}` in a fault file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["placed"]


def placed(value: Any, folder: Path) -> Any:
    """The value with `{stage}` replaced by the folder of the fault's files."""
    if isinstance(value, str):
        return value.replace("{stage}", str(folder / "files"))
    if isinstance(value, Mapping):
        return {key: placed(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [placed(item, folder) for item in value]
    return value
