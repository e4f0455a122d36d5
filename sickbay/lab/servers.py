"""Starts what answers on stage: a real llama.cpp or vLLM server, or recorded pages, with its model file and limits."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sickbay.lab.adapter import write_adapter
from sickbay.lab.child import Child
from sickbay.lab.fault import Fault
from sickbay.lab.limits import Limits, make_limits
from sickbay.lab.model import find_model, require_server
from sickbay.lab.model_edit import edited_copy, sha256_of
from sickbay.lab.model_folder import edited_folder
from sickbay.lab.peft_adapter import write_peft_adapter
from sickbay.lab.placed import placed
from sickbay.lab.supervisor import note_end
from sickbay.lab.vllm_server import converted_folder, converted_model, find_vllm_python

__all__ = ["Servers", "free_port"]

USUAL_PORT = 8080  # llama.cpp's own default (tools/server/README.md of ggml-org/llama.cpp)
MODULES = {
    "llamacpp": "sickbay.lab.llamacpp_server",
    "vllm": "sickbay.lab.vllm_server",
    "recorded": "sickbay.lab.stub_server",
}
TITLES = {"llamacpp": "a real llama.cpp server", "vllm": "a real vLLM server", "recorded": "recorded pages"}
START_TIMEOUT_S = {"vllm": 420.0}

Add = Callable[..., Child]


class Servers:
    """All servers of one stage: the first is `server`, its replicas `replica-1` and so on."""

    def __init__(self, fault: Fault, folder: Path, *, add: Add) -> None:
        self.fault = fault
        self.folder = folder
        self.supervisor_log = folder / "supervisor.log"
        self.model = self._model_file()
        self.limits = Limits()
        self._add = add
        self._options: dict[str, dict[str, Any]] = {}

    def check(self) -> None:
        """Refuse early when the engine is not installed.

        Raises:
            DemoPartsMissingError, LaneMissingError: a part is missing.
        """
        if self.fault.engine == "llamacpp":
            require_server()
        elif self.fault.engine == "vllm":
            find_vllm_python()

    def start(self) -> list[Child]:
        """The server and its replicas."""
        self.check()
        self._write_model()
        self._write_adapters()
        fault = self.fault
        self.limits = make_limits(
            fault.server.get("limits", {}),
            name=f"{self.folder.name}",
            device_of=self.folder,
            track_memory="evict_every_s" in fault.model,
        )
        started = [self._start("server", {})]
        if (every_s := fault.model.get("evict_every_s")) and self.limits.memory:
            self._add("evictor", "sickbay.lab.evictor", {"group": str(self.limits.memory), "every_s": every_s})
        return started + [
            self._start(f"replica-{number}", self._with_own_model(number, replica))
            for number, replica in enumerate(fault.replicas, start=1)
        ]

    def _write_adapters(self) -> None:
        """As the engine reads them: a GGUF file, or a PEFT folder."""
        for name, what in self.fault.adapters.items():
            if self.fault.engine == "vllm":
                write_peft_adapter(converted_model(find_vllm_python()), self.folder / "files" / name, what)
            else:
                write_adapter(find_model(), self.folder / "files" / f"{name}.gguf", what)

    def _with_own_model(self, number: int, replica: Mapping[str, Any]) -> dict[str, Any]:
        """A replica with `edits` serves a changed copy of its own, under the same file name."""
        options = dict(replica)
        edits = options.pop("edits", None)
        if edits:
            options["model"] = str(self._edited(self.folder / f"model-{number}" / self.model.name, edits))
        return options

    def restart(self, child: Child) -> Child:
        """Stop a server and start it again on its port, as a supervisor does."""
        child.stop()
        note_end(self.supervisor_log, child, oom_kills=0)
        options = {**self._options[child.name], "port": child.facts["port"]}
        return self._add(child.name, MODULES[self.fault.engine], options)

    def note_end(self, child: Child) -> None:
        """What the supervisor writes when a server has ended by itself; nothing while it runs."""
        note_end(self.supervisor_log, child, oom_kills=self.limits.oom_kills())

    def close(self) -> None:
        """Remove the limits."""
        self.limits.close()

    def write_manifest(self) -> Path:
        """The good model's hashes, in the form of sha256sum, under the served files' names."""
        path = self.folder / "manifest.sha256"
        good = {self.model.name: find_model()}
        if self.fault.engine == "vllm":
            good = {file.name: file for file in sorted(converted_folder().iterdir())}
        path.write_text("".join(f"{sha256_of(file)}  {name}\n" for name, file in good.items()), encoding="ascii")
        return path

    def _start(self, name: str, changes: Mapping[str, Any]) -> Child:
        fault = self.fault
        options = self._stub_options() if fault.engine == "recorded" else self._engine_options(changes)
        self._options[name] = options
        starts = fault.server.get("starts", True)
        child = self._add(
            name,
            MODULES[fault.engine],
            options,
            timeout_s=START_TIMEOUT_S.get(fault.engine, 60.0),
            may_fail=not starts,
        )
        note_end(self.supervisor_log, child, oom_kills=self.limits.oom_kills())
        return child

    def _engine_options(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        told = placed({**self.fault.server, **changes}, self.folder)
        options = {"ctx": 4096, **told, **self.limits.options, "folder": str(self.folder)}
        for name in ("limits", "starts", "drained"):
            options.pop(name, None)
        usual = options.pop("port", "free") == "usual" and _is_free(USUAL_PORT)
        model = {} if self.fault.engine == "vllm" and not self.fault.model else {"model": str(self.model)}
        return {**model, **options, "port": USUAL_PORT if usual else free_port()}

    def _stub_options(self) -> dict[str, Any]:
        return {**self.fault.stub, "root": str(self.fault.folder.absolute()), "port": free_port()}

    def _model_file(self) -> Path:
        if self.fault.engine == "recorded":
            return Path()
        good = converted_folder() if self.fault.engine == "vllm" else find_model()
        return self.folder / "model" / good.name if self.fault.model else good

    def _write_model(self) -> None:
        if not self.fault.model or self.fault.engine == "recorded":
            return
        self._edited(self.model, self.fault.model.get("edits", ()))
        if self.fault.model.get("cold"):
            handle = os.open(self.model, os.O_RDONLY)
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)

    def _edited(self, path: Path, edits: Sequence[Mapping[str, Any]]) -> Path:
        """A changed copy of the good model, as its engine reads it: one file, or a folder."""
        path.parent.mkdir()
        if self.fault.engine == "vllm":
            return edited_folder(converted_model(find_vllm_python()), path, edits)
        return edited_copy(find_model(), path, edits)


def free_port() -> int:
    """A port of the loopback address on which nothing listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port: int = holder.getsockname()[1]
        return port


def _is_free(port: int) -> bool:
    with socket.socket() as holder:
        try:
            holder.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
