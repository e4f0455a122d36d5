"""A probe error of HTTP, with the kind of failure as a word."""

from __future__ import annotations

from sickbay.engine.errors import ProbeError
from sickbay.engine.model.signal import UnknownReason

__all__ = ["HttpProbeError"]


class HttpProbeError(ProbeError):
    """No (whole) answer.

    `kind` is one of: refused, unreachable, dns, timeout, tls, closed, malformed, too-large, redirect, secret, "".
    """

    def __init__(self, reason: UnknownReason, detail: str, *, kind: str = "") -> None:
        super().__init__(reason, detail)
        self.kind = kind
