"""Secrets are references until the moment they are needed."""

from __future__ import annotations

import os

from sickbay.engine.errors import ProbeError
from sickbay.engine.load.text_file import read_bytes
from sickbay.engine.model.shown_url import secrets_in
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Secret, Target

__all__ = ["known_secrets", "reveal"]

_SECRET_BYTES_MAX = 65_536


def reveal(secret: Secret, what: str) -> str:
    """The secret itself, without surrounding white space.

    Raises:
        ProbeError: the variable is not set, the file cannot be read, or there is nothing in it.
    """
    if secret.value:
        return secret.value.strip()
    if secret.env:
        value = os.environ.get(secret.env, "").strip()
        if not value:
            state = "is empty" if secret.env in os.environ else "is not set"
            raise ProbeError(
                UnknownReason.NOT_CONFIGURED,
                f"{what} stands in the environment variable {secret.env!r}, which {state}; "
                f"set it: export {secret.env}=…",
            )
        return value
    return _from_file(secret.file, what)


def _from_file(path: str, what: str) -> str:
    try:
        value = read_bytes(path, _SECRET_BYTES_MAX).decode("utf-8", "replace").strip()
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise ProbeError(
            UnknownReason.NOT_CONFIGURED, f"{what} stands in the file {path!r}, which cannot be read: {why}"
        ) from error
    if not value:
        raise ProbeError(UnknownReason.NOT_CONFIGURED, f"{what} stands in the file {path!r}, which is empty")
    return value


def known_secrets(target: Target) -> dict[str, str]:
    """Every secret of the target that can be read, with what it is; for redaction."""
    found: dict[str, str] = {}
    named = [("api key", target.api_key), *((f"header {name}", value) for name, value in target.headers.items())]
    if target.prometheus is not None:
        named.append(("key of Prometheus", target.prometheus.api_key))
    for what, secret in named:
        if isinstance(secret, Secret):
            try:
                found[reveal(secret, what)] = what
            except ProbeError:
                continue  # a secret that cannot be read cannot leak; the request that needs it says so
    for url in _urls(target):
        found |= dict.fromkeys(secrets_in(url), "secret in a URL")
    return found


def _urls(target: Target) -> list[str]:
    source = target.prometheus
    logs = [log.where for log in target.logs if log.kind == "loki"]
    return [
        target.url, target.direct_url, target.metrics_url, target.dcgm_url, *target.replicas, *logs,
        *([source.url] if source is not None else []),
    ]  # fmt: skip
