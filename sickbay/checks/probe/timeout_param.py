"""The parameter that every probe has: how long one request may take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["timeout_param"]


def timeout_param(
    *, default: float, maximum: float, describe: str = "most seconds for one answer"
) -> Mapping[str, Any]:
    """JSON Schema of `timeout_s`, in seconds, above 0."""
    return {
        "description": describe,
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": maximum,
        "default": default,
    }
