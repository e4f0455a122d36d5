"""Other people's checkers on the same machine, each in a throw-away place; what does not install is said with why."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.commands import process_figure
from benchmarks.figure import Figure
from benchmarks.timing import time_process

__all__ = ["peer_figures"]

GROUP = "Peers on the same machine"
INSTALL_S = 300


class NotInstalledError(Exception):
    """Why a peer is not here, in one line."""


def peer_figures(runs: int, url: str) -> Iterator[Figure]:
    """Every peer that installs."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        peers: tuple[tuple[str, Callable[[], Iterator[Figure]]], ...] = (
            ("check_http (monitoring-plugins)", lambda: _nagios_plugins(place, runs, url)),
            ("blackbox_exporter", lambda: _blackbox(place, url)),
            ("promtool", lambda: _promtool(place, runs)),
            ("gpucm health_checks", lambda: _gpucm(place, runs)),
            ("pytest-testinfra", lambda: _testinfra(place, runs)),
        )
        for name, measure in peers:
            try:
                yield from measure()
            except NotInstalledError as error:
                yield Figure(name=name, value=None, unit="ms", note=str(error), group=GROUP)


def _told(process: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (process.stderr + process.stdout).splitlines() if line.strip()]
    return lines[-1][:120] if lines else f"exit code {process.returncode}"


def _call(command: list[str], cwd: Path) -> None:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalledError(f"{command[0]}: {type(error).__name__}") from error
    if done.returncode:
        raise NotInstalledError(f"{Path(command[0]).name} {command[1]}: {_told(done)}")


def _debian(package: str, program: str, place: Path) -> str:
    """The path of a program of a Debian package: installed, or unpacked from the package without installing it."""
    if found := shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/lib/nagios/plugins"):
        return found
    folder = place / package
    folder.mkdir()
    _call(["apt-get", "download", package], folder)
    for file in folder.glob("*.deb"):
        _call(["dpkg", "-x", str(file), str(folder)], folder)
    places = {"bin", "sbin", "plugins"}
    found_files = [path for path in folder.rglob(program) if path.is_file() and path.parent.name in places]
    if not found_files:
        raise NotInstalledError(f"no {program} in the package {package}")
    return str(found_files[0])


def _pip(package: str, place: Path, *more: str) -> Path:
    """The bin folder of a virtual environment of its own."""
    folder = place / f"venv-{package}"
    _call([sys.executable, "-m", "venv", str(folder)], place)
    _call([str(folder / "bin" / "pip"), "install", "-q", "--disable-pip-version-check", package, *more], place)
    return folder / "bin"


def _nagios_plugins(place: Path, runs: int, url: str) -> Iterator[Figure]:
    port = str(urllib.parse.urlsplit(url).port)
    http = _debian("monitoring-plugins-basic", "check_http", place)
    tcp = str(Path(http).with_name("check_tcp"))
    version = _version([http, "--version"])
    one = (http, "-I", "127.0.0.1", "-p", port, "-u", "/health", "-s", "ok")
    yield process_figure(time_process("check_http, one probe", one, runs=runs), group=GROUP, note=version)
    yield process_figure(
        time_process("check_tcp, one probe", (tcp, "-H", "127.0.0.1", "-p", port), runs=runs), group=GROUP
    )
    many = f"seq 1000 | xargs -P 16 -I{{}} {' '.join(one)} >/dev/null"
    timing = time_process("check_http, 1,000 probes", ("sh", "-c", many), runs=max(1, runs // 3), warm_up=0)
    yield process_figure(timing, group=GROUP, note="16 processes at once")


def _blackbox(place: Path, url: str) -> Iterator[Figure]:
    program = _debian("prometheus-blackbox-exporter", "prometheus-blackbox-exporter", place)
    config = place / "blackbox.yml"
    config.write_text(
        "modules: {http: {prober: http, timeout: 5s, http: {preferred_ip_protocol: ip4, "
        "fail_if_body_not_matches_regexp: [ok]}}}\n"
    )
    began = time.perf_counter()
    command = [program, f"--config.file={config}", "--web.listen-address=127.0.0.1:0"]
    with ExitStack() as stack:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        stack.callback(process.wait, 10)
        stack.callback(process.terminate)
        assert process.stderr is not None
        address = next(
            (found[1] for line in process.stderr if (found := re.search(r"address=(127\S+?:\d+)", line))), ""
        )
        if not address:
            raise NotInstalledError("it does not tell where it listens")
        target = f"http://{address}/probe?module=http&target={urllib.parse.quote(url + '/health', safe='')}"
        from benchmarks.many_gets import many_gets  # late: needs the HTTP client

        good = many_gets(target, 1000, at_once=50, wanted=b"probe_success 1")
        took = (time.perf_counter() - began) * 1e3
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        peak = re.search(r"VmHWM:\s+(\d+)", status)
        yield Figure(
            name="blackbox_exporter, 1,000 probes", value=took, unit="ms", group=GROUP,
            note=f"start included, 50 at once, {good} good, {int(peak[1]) / 1024 if peak else 0:.0f} MiB, "
            "and a client to ask for each",
        )  # fmt: skip


def _promtool(place: Path, runs: int) -> Iterator[Figure]:
    program = _debian("prometheus", "promtool", place)
    rules = place / "rules.yml"
    rules.write_text(
        "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: up == 0\n    for: 5m\n    labels: {severity: page}\n"
    )
    timing = time_process("promtool check rules (one file)", (program, "check", "rules", rules), runs=runs)
    yield process_figure(timing, group=GROUP, note=_version([program, "--version"]))


def _gpucm(place: Path, runs: int) -> Iterator[Figure]:
    program = _pip("gpucm", place) / "health_checks"
    yield process_figure(
        time_process("gpucm health_checks --version", (program, "--version"), runs=max(3, runs // 2)), group=GROUP
    )


def _testinfra(place: Path, runs: int) -> Iterator[Figure]:
    folder = _pip("pytest-testinfra", place)
    test = place / "test_files.py"
    test.write_text(
        "import pytest\n\n@pytest.mark.parametrize('n', range(1000))\ndef test_one(n):\n    assert n >= 0\n\n"
        "def test_host(host):\n    assert host.file('/etc/passwd').exists\n"
    )
    command = (folder / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", test)
    timing = time_process("pytest-testinfra, 1,000 trivial tests", command, runs=max(3, runs // 2))
    yield process_figure(timing, group=GROUP, note="and one file of the host")


def _version(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    return lines[0].split("(branch")[0].strip() if lines else ""
