"""Everything that only a real GPU can tell, in one go: `python -m benchmarks.gpu_session --out DIR`.

For a bare machine with one NVIDIA GPU, its driver, and a Python with torch, nvidia-ml-py and sickbay's dependencies. It
uses no network, takes about four minutes, and leaves small files in DIR: `nvml.json` and `nvml-busy.json` (every NVML
call, idle and at work), the reports of three runbooks, `pytest.txt`, and `session.json` with times and what was found.
Without a driver it runs as well and says what it could not do.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["main"]

ROOT = Path(__file__).parents[1]
SICKBAY = (sys.executable, "-m", "sickbay")
_ONE_DEVICE = re.compile(r"GPU-[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}")
ALLOCATOR = """
import base64, json, pickle, torch
torch.cuda.memory._record_memory_history(max_entries=400)
def leak(held):
    held.append(torch.empty(20 * 2**20, dtype=torch.uint8, device="cuda"))
held = []
for _ in range(40):
    leak(held)
early = torch.cuda.memory._snapshot()
for _ in range(10):
    leak(held)
del held[::2]
graph, x = torch.cuda.CUDAGraph(), torch.zeros(2**20, device="cuda")
torch.cuda.synchronize()
with torch.cuda.graph(graph):
    y = x * 2
try:
    torch.empty(2**41, dtype=torch.uint8, device="cuda")
    said = ""
except torch.OutOfMemoryError as error:
    said = str(error)
late = torch.cuda.memory._snapshot()
pack = lambda found: base64.b64encode(pickle.dumps(found)).decode()
print(json.dumps({"said": said, "stats": torch.cuda.memory_stats(), "early": pack(early), "late": pack(late)}))
"""
"""Memory in pieces, a private pool, an allocation that fails: torch's own numbers, snapshots and words for it."""
PASSIVE = tuple(
    f"gpu.{name}"
    for name in ("present", "ecc", "clocks", "pcie", "nvlink", "memory", "utilisation", "peers", "modes", "xid")
)
RUNBOOK = """\
runbook: gpu-passive
title: The passive GPU checks
why: To time them.
budget: {deadline_s: 60}
causes: [gpu-hardware-fault]
steps:
"""
BUSY = """
import torch
a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
b = torch.empty_like(a)
print("busy", flush=True)
while True:
    for _ in range(20):
        torch.matmul(a, a, out=b)
    torch.cuda.synchronize()
"""
"""Full load with bf16 products, until it is killed."""


def main() -> int:
    """Run all parts; each is bounded, and one that fails leaves the others."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=60.0, help="most seconds an active test may take")
    parser.add_argument("--only", action="append", choices=list(PARTS), help="run only this part; repeatable")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    session: dict[str, Any] = {"began_s": time.time(), "python": sys.executable, "parts": {}}
    for name, part in PARTS.items():
        if options.only and name not in options.only:
            continue
        start = time.monotonic()
        try:
            found: Any = part(options.out, options.seconds)
        except Exception as error:  # a part that fails must not cost the machine's time for the others
            found = {"failed": f"{type(error).__name__}: {error}"[:500]}
        session["parts"][name] = {"took_s": round(time.monotonic() - start, 2), "found": found}
        print(f"{name}: {json.dumps(session['parts'][name])[:600]}", flush=True)
        (options.out / "session.json").write_text(json.dumps(session, indent=1) + "\n")
    for path in options.out.iterdir():
        path.write_text(_ONE_DEVICE.sub("GPU-masked", path.read_text()))
    return 0


def capture_idle(out: Path, _seconds: float) -> Any:
    """Every NVML call on the idle device."""
    return _capture(out / "nvml.json")


def capture_busy(out: Path, _seconds: float) -> Any:
    """Every NVML call while the device works, and what the clock, link, memory and use checks say then."""
    with _busy() as pid:
        found: dict[str, Any] = {"pid": pid, "capture": _capture(out / "nvml-busy.json")}
        found["suspect"] = _report(out / "gpu-node-suspect-busy.json", "gpu-node-suspect", "--set", "window_s=1")
    return found


def suspect(out: Path, _seconds: float) -> Any:
    """The passive checks on the idle device."""
    return _report(out / "gpu-node-suspect.json", "gpu-node-suspect")


def preflight(out: Path, _seconds: float) -> Any:
    """As before a node takes traffic."""
    return _report(out / "node-preflight.json", "node-preflight")


def active(out: Path, seconds: float) -> Any:
    """The tests that make the device work."""
    return _report(
        out / "accelerator-burn-in.json",
        "accelerator-burn-in",
        "--effect",
        "intrusive",
        "--set",
        f"seconds={seconds:g}",
    )


def passive_cost(_out: Path, _seconds: float) -> Any:
    """Wall time and processor time of the passive set as one command, and of the same in a service."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "runbooks").mkdir()
        runbook = place / "runbooks" / "gpu-passive.yaml"
        runbook.write_text(RUNBOOK + "".join(f"  - check: {name}\n    {_with(name)}\n" for name in PASSIVE))
        runs = [_timed("run", str(runbook), "--local") for _ in range(5)]
        return {"checks": len(PASSIVE), "command": runs, "looks": _looks(PASSIVE), "service": _service(place)}


def _with(name: str) -> str:
    return "critical: true" if name == "gpu.xid" else "with: {window_s: 0.2}"


def _looks(checks: tuple[str, ...]) -> list[dict[str, float]]:
    """Seconds of the ten checks' looks and judgements in one child, as a run makes them: the passive set itself."""
    code = (
        "import json, resource, sys, time\n"
        "from sickbay.engine.model.target import Target\n"
        "from sickbay.engine.run.child import Order\n"
        "from sickbay.engine.run.children import Children\n"
        "from sickbay.checks.gpu.plugin import sickbay_checks\n"
        "children = Children()\n"
        "found = {check.name: check for check in sickbay_checks()}\n"
        "rows = []\n"
        "for turn in range(3):\n"
        "    start = time.monotonic()\n"
        "    for name in json.loads(sys.argv[1]):\n"
        "        check = found[name]\n"
        "        parts = check.params['properties']\n"
        "        params = {key: part['default'] for key, part in parts.items() if 'default' in part}\n"
        "        if 'window_s' in params: params['window_s'] = 0.2\n"
        "        order = Order(check=check, params=params, target=Target(name='node', local=True), signals={},\n"
        "                      remaining_s=30.0, requests_left=0, run_id='session')\n"
        "        raw, _, _ = children.look(order)\n"
        "        check.judge(raw, params)\n"
        "    rows.append(time.monotonic() - start)\n"
        "    children.close(); children = Children()\n"
        "print(json.dumps(rows))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(checks)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
    )
    if done.returncode:
        return [{"failed": done.returncode, "words": done.stderr[-500:]}]  # type: ignore[dict-item]
    return [{"wall_s": round(each, 3)} for each in json.loads(done.stdout)]


def _service(place: Path) -> Any:
    """Processor time of `sickbay serve` with its children over some runs, and the share that makes once a minute."""
    every_s, runs = 4.0, 6
    with tempfile.TemporaryDirectory() as folder:
        config = place / "sickbay.yaml"
        config.write_text(
            f"targets:\n  node: {{local: true}}\nrunbooks: [{place / 'runbooks'}]\nserve:\n  jobs:\n"
            f"    - {{runbook: gpu-passive, target: node, every: {every_s:g}s}}\n"
        )
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        process = subprocess.Popen(
            [*SICKBAY, "serve", "--config", str(config), "--listen", "127.0.0.1:0"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT, env=_env(XDG_STATE_HOME=folder),
        )  # fmt: skip
        time.sleep(every_s)
        first = _cpu_s(process.pid)
        time.sleep(every_s * runs)
        last = _cpu_s(process.pid)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    a_run = (last - first) / runs
    whole = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "cpu_s_a_run": round(a_run, 3),
        "core_share_each_minute": round(a_run / 60, 5),
        "whole_cpu_s": round(whole, 2),
    }


def _cpu_s(pid: int) -> float:
    """Processor seconds of a process, its ended children and its living ones (proc(5), fields 4 and 14 to 17)."""
    below: dict[int, list[int]] = {}
    used: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # ended meanwhile
            continue
        below.setdefault(int(fields[1]), []).append(int(entry.name))
        used[int(entry.name)] = sum(map(int, fields[11:15]))
    family, todo = 0, [pid]
    while todo:
        each = todo.pop()
        family += used.get(each, 0)
        todo += below.get(each, [])
    return family / os.sysconf("SC_CLK_TCK")


def hang(_out: Path, _seconds: float) -> Any:
    """A driver call that never returns, by the simulated library: one group is unknown, the rest goes on."""
    sys.path.insert(0, str(ROOT))
    from tests.nvml.build import build, compiler
    from tests.nvml.state import NvmlState

    if compiler() is None:
        return {"failed": "no C compiler"}
    with tempfile.TemporaryDirectory() as folder:
        library = build(Path(folder))
        state = NvmlState(Path(folder), "h100", 1).top(hang={"nvmlDeviceGetTotalEccErrors": True})
        env = _env(LD_LIBRARY_PATH=str(library.parent), NVML_SIM_STATE=str(state.path))
        start = time.monotonic()
        done = subprocess.run(
            [*SICKBAY, "run", "gpu-node-suspect", "--local", "--format", "json", "--no-progress"],
            capture_output=True, text=True, timeout=60, check=False, cwd=ROOT, env=env,
        )  # fmt: skip
        report = json.loads(done.stdout)
    return {"wall_s": round(time.monotonic() - start, 2), "steps": _steps(report)}


def allocator(_out: Path, _seconds: float) -> Any:
    """Torch's memory statistics, two snapshots (pickle in base64) and its message when memory runs out."""
    done = subprocess.run(
        [sys.executable, "-c", ALLOCATOR], capture_output=True, text=True, timeout=60, check=False, env=_env()
    )
    return json.loads(done.stdout) if done.returncode == 0 else {"failed": done.stderr[-500:]}


def pytest_gpu(out: Path, _seconds: float) -> Any:
    """The tests marked gpu."""
    words = ("-m", "gpu", "-p", "no:cacheprovider", "-q", "-rA", "tests/checks/gpu", "tests/checks/accelerator")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        capture_output=True, text=True, timeout=150, check=False, cwd=ROOT, env=_env(),
    )  # fmt: skip
    (out / "pytest.txt").write_text((done.stdout + done.stderr)[-200_000:])
    return {"exit": done.returncode, "last": (done.stdout.strip().splitlines() or [""])[-1]}


PARTS: Mapping[str, Callable[[Path, float], Any]] = {
    "capture idle": capture_idle,
    "gpu-node-suspect": suspect,
    "node-preflight": preflight,
    "accelerator-burn-in": active,
    "capture busy": capture_busy,
    "allocator": allocator,
    "passive cost": passive_cost,
    "hang": hang,
    "pytest -m gpu": pytest_gpu,
}


def _env(**more: str) -> dict[str, str]:
    return {**os.environ, "SICKBAY_NO_COLOR": "1", **more}


def _capture(path: Path) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "tests.nvml.capture", str(path)],
        capture_output=True, text=True, timeout=60, check=False, cwd=ROOT,
    )  # fmt: skip
    return {"exit": done.returncode, "words": done.stderr[-500:]}


def _report(path: Path, runbook: str, *more: str) -> Any:
    """Run a runbook, keep its report; exit code, time, and each step's outcome and summary."""
    start = time.monotonic()
    done = subprocess.run(
        [*SICKBAY, "run", runbook, "--local", "--no-progress", "--no-journal", "--output", f"json={path}", *more],
        capture_output=True, text=True, timeout=200, check=False, cwd=ROOT, env=_env(),
    )  # fmt: skip
    found: dict[str, Any] = {"exit": done.returncode, "wall_s": round(time.monotonic() - start, 2)}
    if path.exists():
        found["steps"] = _steps(json.loads(path.read_text()))
    else:
        found["words"] = (done.stdout + done.stderr)[-1500:]
    return found


def _steps(report: Any) -> dict[str, str]:
    return {step["check"]: f"{step['outcome']}: {step['summary']}"[:300] for step in report["steps"] if "check" in step}


def _timed(*arguments: str) -> dict[str, float]:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [*SICKBAY, *arguments, "--no-progress", "--no-journal", "--format", "json"],
        capture_output=True, timeout=60, check=False, cwd=ROOT, env=_env(),
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"exit": done.returncode, "wall_s": round(time.monotonic() - start, 3), "cpu_s": round(cpu, 3)}


@contextmanager
def _busy() -> Iterator[int]:
    """A process that keeps the device at full load; given once it does."""
    process = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        if process.stdout.readline() != b"busy\n":
            raise RuntimeError("torch could not load the device")
        time.sleep(2.0)  # clocks and power rise
        yield process.pid
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


if __name__ == "__main__":
    sys.exit(main())
