"""A report with its raw evidence as one .tar.gz: manifest.json, report.json, raw/<step>.json.

The report's steps carry no raw in `report.json`; it stands in files of its own, so that a person can read one
step. `read_bundle` puts them together again and checks every hash.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import os
import re
import tarfile
import zlib
from pathlib import Path
from typing import Any

from sickbay._version import __version__
from sickbay.engine.errors import ConfigError, DeliveryError
from sickbay.engine.model.report import Report
from sickbay.engine.report.codec import encode
from sickbay.engine.report.json_form import from_json, to_json

__all__ = ["read_bundle", "write_bundle"]

MANIFEST = "manifest.json"
REPORT = "report.json"
VERSION = 1
BYTES_MAX = 256_000_000
"""Most that a bundle may hold unpacked; an archive from somewhere else is not trusted."""
FILES_MAX = 10_000


def write_bundle(report: Report, path: Path | str) -> Path:
    """Write the bundle, whole or not at all, readable by this user only. The same report gives the same bytes.

    Raises:
        DeliveryError: it cannot be written.
    """
    place = Path(path)
    files = _files(report)
    manifest = {
        "sickbay_bundle": VERSION,
        "sickbay_version": __version__,
        "run_id": report.run_id,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        "raw": {step.id: _raw_name(index, step.id) for index, step in enumerate(report.steps) if step.raw is not None},
    }
    packed = _pack({MANIFEST: _json(manifest), **files}, report.started_at)
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(packed)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(place)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DeliveryError(f"the bundle {str(place)!r} cannot be written: {error.strerror or error}") from error
    return place


def read_bundle(path: Path | str) -> Report:
    """The report of a bundle, whole again. Nothing is written to the disk.

    Raises:
        ConfigError: it is no bundle, too large, damaged, or holds what a bundle does not.
    """
    place = str(path)
    files = _unpack(place)
    manifest = _manifest(files, place)
    for name, wanted in manifest["files"].items():
        data = files.get(name)
        if data is None:
            raise ConfigError(f"{place}: {name!r} is missing; the bundle is damaged")
        found = hashlib.sha256(data).hexdigest()
        if found != wanted:
            raise ConfigError(
                f"{place}: {name!r} has sha256 {found[:12]}, the manifest says {str(wanted)[:12]}; "
                "it was changed after it was written"
            )
    unlisted = sorted(files.keys() - manifest["files"].keys() - {MANIFEST})
    if unlisted:
        raise ConfigError(f"{place}: holds {unlisted[0]!r}, which its manifest does not name")
    report = from_json(files[REPORT].decode("utf-8", "replace"), f"{place}:{REPORT}")
    raw = manifest["raw"]
    steps = [
        dataclasses.replace(step, raw=json.loads(files[raw[step.id]])) if step.id in raw else step
        for step in report.steps
    ]
    return dataclasses.replace(report, steps=tuple(steps))


def _files(report: Report) -> dict[str, bytes]:
    bare = dataclasses.replace(report, steps=tuple(dataclasses.replace(step, raw=None) for step in report.steps))
    files = {REPORT: to_json(bare).encode()}
    for index, step in enumerate(report.steps):
        if step.raw is not None:
            files[_raw_name(index, step.id)] = _json(encode(step.raw))
    return files


def _raw_name(index: int, step: str) -> str:
    return f"raw/{index:02d}-{re.sub(r'[^A-Za-z0-9._-]', '_', step)[:80]}.json"


def _json(data: Any) -> bytes:
    return json.dumps(data, indent=1, ensure_ascii=True, allow_nan=False).encode() + b"\n"


def _pack(files: dict[str, bytes], at: float) -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=int(at)) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            member.mtime = int(at)
            member.mode = 0o600
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def _unpack(place: str) -> dict[str, bytes]:
    """The members by name, read in memory under limits; nothing is extracted, so no path can lead anywhere."""
    files: dict[str, bytes] = {}
    total = 0
    try:
        with tarfile.open(place, "r:gz") as tar:
            for member in tar:
                if not member.isreg():
                    raise ConfigError(f"{place}: {member.name!r} is no regular file; a bundle holds nothing else")
                total += member.size
                if total > BYTES_MAX or len(files) >= FILES_MAX:
                    raise ConfigError(f"{place}: holds over {BYTES_MAX} bytes or {FILES_MAX} files; not read")
                if member.name in files:
                    raise ConfigError(f"{place}: holds {member.name!r} twice")
                stream = tar.extractfile(member)
                files[member.name] = stream.read() if stream is not None else b""
    except (OSError, tarfile.TarError, EOFError, zlib.error) as error:
        raise ConfigError(f"{place}: wanted a sickbay bundle (.tar.gz); it cannot be read: {error}") from error
    return files


def _manifest(files: dict[str, bytes], place: str) -> dict[str, Any]:
    try:
        manifest = json.loads(files[MANIFEST])
        sound = manifest["sickbay_bundle"] == VERSION and REPORT in manifest["files"]
        sound = sound and all(name in manifest["files"] for name in manifest["raw"].values())
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        sound = False
        manifest = {}
    if not sound:
        raise ConfigError(f"{place}: has no {MANIFEST} of a sickbay bundle, version {VERSION}")
    found: dict[str, Any] = manifest
    return found
