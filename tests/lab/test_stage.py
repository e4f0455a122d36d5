"""Real servers with real faults; nothing may be left behind."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sickbay.lab.demo import list_faults, run_demo
from sickbay.lab.errors import StageError
from sickbay.lab.fault_file import find_fault
from sickbay.lab.stage import Stage

pytestmark = pytest.mark.live

PARENT = """
import signal, threading
from sickbay.lab.fault_file import find_fault
from sickbay.lab.stage import Stage
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with SIGINT ignored
try:
    with Stage(find_fault("wrong-model-refused")) as stage:
        print(*stage.pids, flush=True)
        threading.Event().wait()
finally:
    print("left", flush=True)
"""

Ended = Callable[[int], bool]


def test_slots_too_few_is_on_and_hurts_and_leaves_nothing(ended: Ended) -> None:
    with Stage(find_fault("slots-too-few")) as stage:
        impact = stage.impact()
        assert impact.shown, str(impact)
        assert "llamacpp:requests_processing 1\n" in stage.page("/metrics")
        assert stage.felt().failed_ratio == 0
        assert stage.target == {
            "name": "slots-too-few",
            "url": stage.server_url,
            "engine": "auto",
            "local": True,
            "pid": stage.child("server").pid,
        }
        pids, log = stage.pids, stage.server_log
        assert log.exists()
    assert len(pids) == 2
    assert all(ended(pid) for pid in pids)
    assert not log.parent.exists()


def test_an_exception_inside_leaves_nothing(ended: Ended) -> None:
    pids: list[int] = []

    def use() -> None:
        with Stage(find_fault("api-key-missing")) as stage:
            pids.extend(stage.pids)
            assert "api_key" not in stage.target
            assert stage.page("/metrics").startswith("# HELP")  # the stage itself has the key
            assert stage.impact().shown
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        use()
    assert len(pids) == 2
    assert all(ended(pid) for pid in pids)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGTERM, 143, id="term"),
        pytest.param(signal.SIGINT, -signal.SIGINT, id="ctrl-c"),
        pytest.param(signal.SIGKILL, -signal.SIGKILL, id="kill"),
    ],
)
def test_a_signal_leaves_nothing(number: signal.Signals, code: int, ended: Ended, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT]
    env = {**os.environ, "TMPDIR": str(tmp_path)}  # SIGKILL leaves the folder of logs; pytest removes it
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        parent.send_signal(number)
        said = parent.stdout.read()
    assert len(pids) == 3  # server, proxy, users
    assert all(ended(pid) for pid in pids)
    assert said == ("" if number is signal.SIGKILL else "left\n")
    assert parent.returncode == code


def test_a_frozen_server_is_frozen_and_still_ends(ended: Ended) -> None:
    with Stage(find_fault("server-stopped")) as stage:
        assert stage.child("server").state() == "T"
        assert stage.impact().shown
        pids = stage.pids
    assert all(ended(pid) for pid in pids)


def test_a_dead_server_refuses() -> None:
    with Stage(find_fault("server-dead")) as stage:
        assert "pid" not in stage.target
        assert stage.impact().felt.failed_ratio == 1


def test_a_server_dies_when_the_run_has_begun_and_not_before(ended: Ended) -> None:
    fault = replace(find_fault("healthy"), signals=({"kill": "server", "after_s": 0.0},))
    with Stage(fault) as stage:
        pid = stage.child("server").pid
        assert stage.child("server").state()
        stage.look_begins()
        stage.child("server").process.wait(10)
    assert ended(pid)


def test_stolen_cpu_runs_on_the_engines_processor(ended: Ended) -> None:
    fault = find_fault("cpu-stolen")
    short = {"clients": 1, "prompt_tokens": 10, "output_tokens": 12}
    with Stage(replace(fault, workload=(short,), ready={"finished": 1})) as stage:
        server = os.sched_getaffinity(stage.child("server").pid)
        assert len(server) == 1
        hogs = stage.pids[2:]
        assert [os.sched_getaffinity(pid) for pid in hogs] == [server] * 4
        assert stage.impact().shown
    assert all(ended(pid) for pid in hogs)


def test_a_wrong_port_is_one_on_which_nothing_listens() -> None:
    with Stage(find_fault("wrong-port")) as stage:
        assert stage.target["url"] != stage.server_url
        assert stage.impact().felt.failed_ratio == 1
        assert '"ok"' in stage.page("/health")


def test_a_fault_that_never_comes_up_is_said_and_leaves_nothing() -> None:
    fault = replace(find_fault("healthy"), ready={"deferred": 5, "timeout_s": 0.5})
    stage = Stage(fault)
    with pytest.raises(StageError) as caught:
        stage.__enter__()
    assert str(caught.value).startswith("healthy: never 5 deferred within 0.5 s; the server's log ends:\n")
    assert stage.pids == ()


def test_a_demo_tells_what_it_does_and_gives_the_runs_answer() -> None:
    out = io.StringIO()
    seen: list[Any] = []

    def run(target: Mapping[str, Any], runbook: str, inputs: Mapping[str, Any]) -> int:
        seen.extend([target["url"], runbook, dict(inputs)])
        return 2

    assert run_demo("wrong-model-refused", run=run, out=out) == 2
    assert seen[1:] == ["high-ttft", {"slo_ttft_s": 3.0}]
    assert out.getvalue().splitlines() == [
        "lab: wrong-model-refused: Users ask for a model that is not served and are refused",
        "lab: starting a real llama.cpp server: parallel 4, ctx 8192",
        "lab: putting a proxy in front of it: models smollm2-135m-instruct",
        "lab: sending users: clients 1, prompt tokens 40, output tokens 20",
        "lab: waiting until the fault is on: finished 2",
        "lab: users feel it: every request is answered with 404 (failed_ratio is 1 (at least 0.9 expected))",
        f"lab: now the run: high-ttft against {seen[0]}",
        "lab: everything that was started is stopped",
    ]


def test_the_list_holds_every_fault() -> None:
    folder = Path(__file__).parents[2] / "sickbay" / "lab" / "faults"
    assert [fault.name for fault in list_faults()] == sorted(path.stem for path in folder.glob("*.yaml"))
