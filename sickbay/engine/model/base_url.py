"""The address below which an engine's routes stand: people copy it with `/v1`, or with the route they call."""

from __future__ import annotations

import re

__all__ = ["base_url"]

_ROUTE = re.compile(r"(?<![:/])/+(?:(?:v1/+)?(?:chat/+)?completions/*|v1/*)?\Z")


def base_url(url: str) -> str:
    """The address without a slash, `/v1` or a chat route at its end; `http://host/api/v1` is `http://host/api`."""
    return _ROUTE.sub("", url)
