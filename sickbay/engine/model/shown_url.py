"""A URL as it may be shown: without the secrets that people write into it."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

__all__ = ["kept_url", "secrets_in", "shown_url"]

_USER = re.compile(r"(?<=://)[^/?#]*@")
_SECRET_QUERY = re.compile(r"((?:^|&)[^=&]*(?:key|token|secret|passw|sig|auth)[^=&]*=)[^&]*", re.IGNORECASE)
_LENGTH_MAX = 2_000


def shown_url(url: str) -> str:
    """The URL without user, password, secret query values and fragment; also of what is no URL."""
    if url and "://" not in url:  # `user:password@host:8000` is taken for http by whoever reads it
        return shown_url(f"http://{url}").removeprefix("http://")
    try:
        parts = urlsplit(url)
    except ValueError:
        return _USER.sub("", url).partition("?")[0][:200]
    query = _SECRET_QUERY.sub(r"\1***", parts.query)
    return urlunsplit((parts.scheme, parts.netloc.rsplit("@", 1)[-1], parts.path, query, ""))[:_LENGTH_MAX]


def secrets_in(url: str) -> tuple[str, ...]:
    """What must not be seen of it: the password (or a user that stands alone) and secret query values, also decoded."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
    except ValueError:
        return ()
    user = parts.netloc.rpartition("@")[0]
    secret = user.partition(":")[2] or user
    found = [secret, unquote(secret)]
    found += [match[0][len(match[1]) :] for match in _SECRET_QUERY.finditer(parts.query)]
    found += [value for name, value in parse_qsl(parts.query) if _SECRET_QUERY.match(f"{name}=")]
    return tuple(dict.fromkeys(each for each in found if each))


def kept_url(url: str) -> str:
    """The same to be used again later: a query that held a secret is left out as a whole."""
    shown = shown_url(url)
    return shown.partition("?")[0] if "=***" in shown else shown
