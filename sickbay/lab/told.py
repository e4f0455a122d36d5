"""What sickbay is told of the stage: the fields of its `Target`, true or deliberately not."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sickbay.engine.model.target import Adapter
from sickbay.lab.child import Child
from sickbay.lab.fault import Fault
from sickbay.lab.model import find_model
from sickbay.lab.placed import placed
from sickbay.lab.retime import retimed
from sickbay.lab.servers import Servers
from sickbay.lab.vllm_server import converted_folder

__all__ = ["target_of", "write_files"]


def target_of(fault: Fault, servers: Servers, children: list[Child], *, user_url: str, api_key: str) -> dict[str, Any]:
    """Keyword arguments of `Target`; `api_key` is plain text and `logs` are paths."""
    server = children[0]
    told = fault.target
    live = fault.engine != "recorded" or bool(fault.gpu)
    target: dict[str, Any] = {"name": fault.name, "url": user_url, "engine": "auto", "local": live}
    if fault.proxy and told.get("direct_url"):
        target["direct_url"] = server.url
    if told.get("model"):
        target["model"] = told["model"]
    if api_key:
        target["api_key"] = api_key
    if told.get("pid", True) and server.state() and fault.engine != "recorded":
        target["pid"] = server.facts.get("engine_pid", server.pid)
    if told.get("model_path"):
        target["model_path"] = str(servers.model)
    if told.get("reference"):
        target["reference_path"] = str(converted_folder() if fault.engine == "vllm" else find_model())
    if told.get("manifest"):
        target["manifest_path"] = str(servers.write_manifest())
    if logs := _logs(fault, servers, server):
        target["logs"] = logs
    if told.get("replicas"):
        target["replicas"] = tuple(child.url for child in children)
    fields = placed(told.get("fields", {}), servers.folder)
    if "adapters" in fields:
        fields["adapters"] = tuple(Adapter(**each) for each in fields["adapters"])
    return {**target, **fields}


def write_files(fault: Fault, folder: Path) -> None:
    """Put the fault's own files into the stage's folder: `{name: {text: …}}` or `{name: {from: path}}`.

    The dates of a `.log` move to now (see `retime`).
    """
    for name, content in fault.files.items():
        path = folder / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if "from" in content:
            source = fault.folder / content["from"]
            if source.is_dir():
                shutil.copytree(source, path, dirs_exist_ok=True)
            else:
                shutil.copyfile(source, path)
        else:
            text = content["text"]
            path.write_text(retimed(text, datetime.now(UTC)) if path.suffix == ".log" else text, encoding="utf-8")


def _logs(fault: Fault, servers: Servers, server: Child) -> tuple[str, ...]:
    """Paths of the logs that exist, when sickbay is told of them."""
    wanted = fault.target.get("logs", False)
    if not wanted:
        return ()
    if isinstance(wanted, list):
        return tuple(str(servers.folder / "files" / name) for name in wanted)
    return tuple(str(path) for path in (server.log, servers.supervisor_log) if path.exists())
