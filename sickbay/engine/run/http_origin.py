"""Whose address a URL is: origins are compared before a secret is sent. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

__all__ = ["origin_of", "where_of"]


def origin_of(url: str) -> str:
    """Scheme, host and port, the usual port filled in."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    return f"{parts.scheme}://{parts.hostname}:{port or {'https': 443}.get(parts.scheme, 80)}"


def where_of(url: str) -> str:
    """Host and port, as messages name them."""
    host, _, port = origin_of(url).split("://", 1)[1].rpartition(":")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
