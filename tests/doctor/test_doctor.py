"""sickbay doctor: what can be looked at, what not, and what it takes; as another user, and with broken parts."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sickbay.doctor.ability import Ability, Answer, Can, ask_all
from sickbay.doctor.devices import ask_in_child, device_abilities
from sickbay.doctor.examine import examine
from sickbay.doctor.host import host_abilities
from sickbay.doctor.targets import target_abilities
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import LogSource, PrometheusSource, Secret, Target
from sickbay.engine.run.files import RootedFiles
from sickbay.face import make_tools

ROOT = Path(__file__).parents[2]
HERE = RootedFiles("/")


def no_driver() -> dict[str, Any]:
    return {"ok": False, "error": "LibraryNotFound", "code": 12}


def answer_of(abilities: list[Ability], name: str) -> Answer:
    (found,) = [ability for ability in abilities if ability.name == name]
    [(_, answer)] = ask_all([found])
    return answer


def sickbay(*argv: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sickbay", "doctor", *argv],
        capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "80", **(env or {})}, cwd=ROOT,
    )  # fmt: skip


def test_every_named_check_exists() -> None:
    named = {check for row in examine((), no_driver)["abilities"] for check in row["checks"]}
    assert named <= set(make_tools().plugins.checks)


def test_a_host_without_gpus_is_no_fault() -> None:
    answer = answer_of(device_abilities(HERE, no_driver), "NVIDIA GPUs (NVML)")
    if not (HERE.names("/dev") and any(name.startswith("nvidia") for name in HERE.names("/dev"))):
        assert (answer.can, answer.detail) == (Can.NOT_HERE, "no NVIDIA device here")


def gpu_host(tmp_path: Path, params: str = "") -> RootedFiles:
    device = tmp_path / "sys/bus/pci/devices/0000:1b:00.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text("0x10de\n")
    (device / "class").write_text("0x030200\n")
    proc = tmp_path / "proc/driver/nvidia"
    proc.mkdir(parents=True)
    (proc / "params").write_text(params)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/status").write_text("CapEff:\t0000000000000000\n")
    return RootedFiles(str(tmp_path))


@pytest.mark.parametrize(
    ("found", "can", "needs"),
    [
        ({"ok": False, "error": "NoPermission", "code": 4}, Can.NO, "the group that owns /dev/nvidia*"),
        ({"ok": False, "error": "MissingPackage", "code": None}, Can.NO, "pip install 'sickbay[gpu]'"),
        ({"ok": False, "error": "LibRmVersionMismatch", "code": 18}, Can.NO, "reboot, or unload"),
        ({"ok": True, "devices": []}, Can.NO, "the group that owns /dev/nvidia*"),
        ({"ok": True, "devices": [{"index": 0, "name": "H100", "processes": []}]}, Can.YES, ""),
        ({"ok": True, "devices": [{"index": 0, "error": "GpuIsLost"}]}, Can.PARTLY, "gpu-node-suspect"),
        (
            {"ok": True, "devices": [{"index": 0, "name": "A100", "processes": [{"pid": 1, "bytes": None}]}]},
            Can.PARTLY,
            "look from the host",
        ),
    ],
)
def test_nvml(tmp_path: Path, found: dict[str, Any], can: Can, needs: str) -> None:
    answer = answer_of(device_abilities(gpu_host(tmp_path), lambda: found), "NVIDIA GPUs (NVML)")
    assert answer.can is can
    assert needs in answer.needs


def test_a_driver_that_hangs(tmp_path: Path) -> None:
    def hangs() -> dict[str, Any]:
        raise ProbeError(UnknownReason.HUNG, "probe hung: no answer within 8 s")

    answer = answer_of(device_abilities(gpu_host(tmp_path), hangs), "NVIDIA GPUs (NVML)")
    assert (answer.can, answer.detail) == (Can.NO, "probe hung: no answer within 8 s")


def test_profiling_is_kept_to_administrators(tmp_path: Path) -> None:
    abilities = device_abilities(gpu_host(tmp_path, "RmProfilingAdminOnly: 1\n"), no_driver)
    assert answer_of(abilities, "GPU profiling counters").can is Can.NO
    abilities = device_abilities(gpu_host(tmp_path / "b", "RmProfilingAdminOnly: 0\n"), no_driver)
    assert answer_of(abilities, "GPU profiling counters").can is Can.YES


def test_nvml_is_asked_in_a_child() -> None:
    assert {"ok", "error", "code"} <= set(ask_in_child()) or ask_in_child()["ok"]


def test_an_ability_that_never_answers_costs_only_itself() -> None:
    never = threading.Event()
    stuck = Ability(name="stuck", ask=lambda: Answer(Can.YES, str(never.wait())))
    good = Ability(name="good", ask=lambda: Answer(Can.YES, "here"))
    found = {ability.name: answer for ability, answer in ask_all([stuck, good], deadline_s=0.1)}
    assert found["good"].can is Can.YES
    assert found["stuck"].detail == "did not answer within 0.1 s"
    never.set()


def test_an_ability_that_is_refused_says_so() -> None:
    def refused() -> Answer:
        raise PermissionError(13, "Permission denied", "/x")

    [(_, answer)] = ask_all([Ability(name="x", ask=refused)])
    assert (answer.can, answer.detail) == (Can.NO, "PermissionError: [Errno 13] Permission denied: '/x'")


@pytest.fixture
def page() -> Iterator[Callable[[int, str], str]]:
    """A server on loopback that answers everything so."""
    servers = []

    def serve(status: int, text: str) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_what_a_target_names(tmp_path: Path, page: Callable[[int, str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_KEY", raising=False)
    good, closed = page(200, '{"status": "success"}'), page(401, "")
    (tmp_path / "engine.log").write_text("")
    target = Target(
        name="a", url=good, direct_url="http://127.0.0.1:9", prometheus=PrometheusSource(url=good),
        logs=tuple(LogSource(kind="file", where=str(tmp_path / f"{name}.log")) for name in ("engine", "gone")),
        model_path=str(tmp_path / "model.gguf"), api_key=Secret(env="NO_KEY"),
    )  # fmt: skip
    other = Target(name="b", prometheus=PrometheusSource(url=closed))
    third = Target(name="c", prometheus=PrometheusSource(url=page(200, "hello")), api_key=Secret(file="/nowhere/key"))
    found = {
        ability.name.removeprefix("target "): (answer.can, answer.detail.replace(str(tmp_path), "…"))
        for ability, answer in ask_all(target_abilities(HERE, [target, other, third]))
    }
    assert found == {
        "a: url": (Can.YES, f"{good.removeprefix('http://')} accepts connections"),
        "a: direct_url": (Can.NO, "127.0.0.1:9: Connection refused"),
        "a: prometheus": (Can.YES, f"{good} answers"),
        "a: model.gguf": (Can.NO, "…/model.gguf: no such file or folder"),
        "a: log engine.log": (Can.YES, "…/engine.log is readable"),
        "a: log gone.log": (Can.NO, "…/gone.log: no such file"),
        "a: api_key": (Can.NO, "variable NO_KEY"),
        "b: prometheus": (Can.NO, f"{closed}/api/v1/status/buildinfo: 401"),
        "c: prometheus": (Can.PARTLY, found["c: prometheus"][1]),
        "c: api_key": (Can.NO, "/nowhere/key: no such file or folder"),
    }


def test_a_state_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nothing-here")
    answer = answer_of(host_abilities(HERE), "journal of runs")
    if os.geteuid():  # root may write anywhere the kernel lets it
        assert answer.can is Can.NO
    assert "XDG_STATE_HOME" in answer.needs or answer.can is Can.YES or "free" in answer.needs
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert answer_of(host_abilities(HERE), "journal of runs").detail.startswith(f"{tmp_path}/sickbay/runs, ")


def test_the_command_line(tmp_path: Path) -> None:
    done = sickbay(env={"XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path)})
    assert done.returncode in {0, 1}, done.stderr
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    assert "CAN BE LOOKED AT" in done.stdout
    assert done.stdout.rstrip().endswith("can be looked at in full")


def test_a_target_that_cannot_be_reached_is_code_3(tmp_path: Path) -> None:
    config = tmp_path / "sickbay.yaml"
    config.write_text("targets:\n  chat: {url: 'http://127.0.0.1:9'}\n  node: {local: true}\n")
    done = sickbay("--config", str(config), "--format", "json")
    assert done.returncode == 3, done.stderr
    found = json.loads(done.stdout)
    assert (found["schema"], found["targets"]) == ("sickbay.doctor.v1", ["chat", "node"])
    (row,) = [row for row in found["abilities"] if row["asked"]]
    assert (row["name"], row["can"]) == ("target chat: url", "no")
    assert sickbay("--config", str(config), "--target", "node").returncode in {0, 1}
    wrong = sickbay("--config", str(config), "--target", "nobody")
    assert (wrong.returncode, wrong.stdout) == (64, "")
    assert "has no target 'nobody'; it has: chat, node" in wrong.stderr


AS_NOBODY = """
import json, os, sys
from sickbay.doctor.examine import examine
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
json.dump(examine((), lambda: {"ok": False, "error": "LibraryNotFound", "code": 12}), sys.stdout)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_another_user_is_told_what_is_missing() -> None:
    # It becomes nobody once it is loaded: the tree and this Python may lie where only root may go.
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY], capture_output=True, text=True, check=True, cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    )  # fmt: skip
    report = json.loads(done.stdout)
    assert report["uid"] == 65534
    found = {row["name"]: row for row in report["abilities"]}
    log = found["kernel log"]
    if log["can"] == "no":  # a system may open its log to everybody
        assert "CAP_SYSLOG" in log["needs"]
        assert log["checks"] == ["gpu.xid", "host.kernel"]
    others = found["processes of other users"]
    assert others["can"] in {"no", "partly"}
    assert others["needs"].startswith("the engine's own user, or root, or CAP_SYS_PTRACE")
    assert found["journal of runs"]["needs"] == "set XDG_STATE_HOME to a folder of this user"
