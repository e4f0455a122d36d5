"""What the user's own configuration names: engines, Prometheus, exporters, log and model files, keys."""

from __future__ import annotations

import os
import socket
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from sickbay.doctor.ability import Ability, Answer, Can, readable
from sickbay.engine.model.look import Files
from sickbay.engine.model.target import Secret, Target

__all__ = ["target_abilities"]

CONNECT_TIMEOUT_S = 3.0
_BYTES_MAX = 65_536


def target_abilities(files: Files, targets: Iterable[Target]) -> list[Ability]:
    """One entry for each thing a target names; engines are connected to and asked nothing."""
    found: list[Ability] = []
    for target in targets:
        own = f"target {target.name}"
        addresses = {"url": target.url, "direct_url": target.direct_url, "dcgm_url": target.dcgm_url}
        addresses |= {f"replica {number}": url for number, url in enumerate(target.replicas, 1)}
        for part, url in addresses.items():
            if url:
                found.append(_ability(f"{own}: {part}", lambda url=url: _connect(url)))
        if target.prometheus is not None:
            url = target.prometheus.url
            found.append(_ability(f"{own}: prometheus", lambda url=url: _prometheus(url)))
        named = (target.model_path, target.reference_path, target.manifest_path, target.baseline)
        paths = [path for path in dict.fromkeys(named) if path]
        found += [_ability(f"{own}: {Path(path).name}", lambda path=path: _path(path)) for path in paths]
        found += [
            _ability(f"{own}: log {Path(log.where).name}", lambda path=log.where: _log(files, path))
            for log in target.logs
            if log.kind == "file"
        ]
        if target.api_key is not None:
            found.append(_ability(f"{own}: api_key", lambda key=target.api_key: _key(key)))
    return found


def _ability(name: str, ask: object) -> Ability:
    return Ability(name=name, ask=ask, asked=True)  # type: ignore[arg-type]


def _connect(url: str) -> Answer:
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 80)
    where = f"{parts.hostname}:{port}"
    try:
        socket.create_connection((parts.hostname or "", port), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        why = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
        return Answer(Can.NO, f"{where}: {why}", "start it, or correct the address, the firewall, the network policy")
    return Answer(Can.YES, f"{where} accepts connections")


def _prometheus(url: str) -> Answer:
    """Its build page answers without a query being run."""
    page = f"{url.rstrip('/')}/api/v1/status/buildinfo"
    if not page.startswith(("http://", "https://")):
        return Answer(Can.NO, f"{url}: no http address", "correct the address")
    try:
        with urllib.request.urlopen(page, timeout=CONNECT_TIMEOUT_S) as answer:  # noqa: S310 - http only, see above
            text = answer.read(_BYTES_MAX).decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        if error.code in {401, 403}:
            return Answer(Can.NO, f"{page}: {error.code}", "prometheus.api_key of the target")
        return Answer(Can.PARTLY, f"{page}: {error.code}; queries may work all the same", "check the address")
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", error)
        return Answer(Can.NO, f"{url}: {why}", "start it, or correct the address, the firewall, the network policy")
    if '"success"' in text:
        return Answer(Can.YES, f"{url} answers")
    return Answer(Can.PARTLY, f"{page}: not the answer of a Prometheus", "check the address")


def _path(path: str) -> Answer:
    if not Path(path).exists():
        return Answer(Can.NO, f"{path}: no such file or folder", "correct the path, or mount it")
    if not os.access(path, os.R_OK):
        return Answer(Can.NO, f"{path}: not readable", "run as a user who may read it")
    return Answer(Can.YES, f"{path} is readable")


def _log(files: Files, path: str) -> Answer:
    answer = readable(files, path, needs="run as a user who may read it")
    return Answer(Can.NO, answer.detail, "correct the path, or mount it") if answer.can is Can.NOT_HERE else answer


def _key(key: Secret) -> Answer:
    """Whether the secret can be had; its value is shown nowhere."""
    if key.env:
        there = bool(os.environ.get(key.env))
        return Answer(Can.YES if there else Can.NO, f"variable {key.env}", "" if there else f"export {key.env}=…")
    if key.file:
        return _path(key.file)
    return Answer(Can.YES, "given")
