"""The measuring program as a child: a torch that is not there, hangs and crashes, a busy device, and the real torch."""

from __future__ import annotations

import fcntl
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.accelerator.active_child import PROGRAM, Box, one_at_a_time
from sickbay.checks.accelerator.bandwidth import AcceleratorBandwidth
from sickbay.checks.accelerator.collective import AcceleratorCollective
from sickbay.checks.accelerator.matmul import AcceleratorMatmul
from sickbay.checks.accelerator.numerics import AcceleratorNumerics
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Check
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target
from tests.checks.conftest import Runs

ALL: list[Check] = [AcceleratorNumerics(), AcceleratorMatmul(), AcceleratorBandwidth(), AcceleratorCollective()]
NODE = Target(name="node", local=True, gpus="none")
HEAVY = Path(__file__).parents[3] / ".venv-vllm" / "bin" / "python"


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def python(folder: Path, body: str) -> str:
    """A stand-in for a Python with torch: it prints and does what `body` says."""
    path = folder / "python3"
    path.write_text(f"#!{sys.executable}\nimport os, signal, sys, time\n{body}\n")
    path.chmod(0o755)
    return str(path)


def lines(program: str, seconds: float = 5.0) -> list[dict[str, Any]]:
    box = Box(program, {}, seconds=seconds)
    try:
        return list(box.lines())
    finally:
        box.close()


@pytest.mark.parametrize(
    ("body", "seconds", "reason", "words"),
    [
        pytest.param(
            """print('{"doing": "multiply fp8 on cuda:3"}', flush=True)\nsignal.pause()""", 0.5, UnknownReason.HUNG,
            "probe hung: 'multiply fp8 on cuda:3' did not end within the test's 0 s", id="hangs",
        ),
        pytest.param(
            """print('{"doing": "open cuda:0"}', flush=True)\nos.kill(os.getpid(), signal.SIGSEGV)""", 5.0,
            UnknownReason.CRASHED,
            "the measuring program was killed by signal 11 at 'open cuda:0': nothing on stderr", id="segfault",
        ),
        pytest.param(
            "raise RuntimeError('CUDA error: uncorrectable ECC')", 5.0, UnknownReason.CRASHED,
            "the measuring program ended with exit code 1 at 'start': RuntimeError: CUDA error: uncorrectable ECC",
            id="raises",
        ),
        pytest.param(
            "print('hello')", 5.0, UnknownReason.MALFORMED,
            "the measuring program printed b'hello', wanted a JSON object", id="no-json",
        ),
        pytest.param("pass", 5.0, UnknownReason.CRASHED, "the measuring program ended early, at 'start'", id="silent"),
        pytest.param(
            "print('x' * 2_000_000)", 5.0, UnknownReason.TOO_LARGE, "the measuring program printed over 1000000 bytes",
            id="floods",
        ),
    ],
)  # fmt: skip
def test_a_program_that_goes_wrong(
    tmp_path: Path, body: str, seconds: float, reason: UnknownReason, words: str
) -> None:
    with pytest.raises(ProbeError) as caught:
        lines(python(tmp_path, body), seconds)
    assert (caught.value.reason, caught.value.detail) == (reason, words)


def test_no_such_python(tmp_path: Path) -> None:
    with pytest.raises(ProbeError) as caught:
        Box(str(tmp_path / "python3"), {}, seconds=1.0)
    assert caught.value.detail == f"{tmp_path}/python3 cannot be started: No such file or directory"


@pytest.mark.parametrize("check", ALL, ids=[check.name for check in ALL])
def test_no_torch(lock: Path, run_check: Runs, check: Check) -> None:
    body = """print('{"error": "no-torch", "detail": "it has no torch"}')"""
    with pytest.raises(ProbeError) as caught:
        run_check(check, NODE, python=python(lock, body))
    assert caught.value.reason is UnknownReason.MISSING_LIBRARY
    assert caught.value.detail == "it has no torch; pip install 'sickbay[torch]', or give `python`"


def test_a_device_in_use_is_left_alone(lock: Path, run_check: Runs) -> None:
    line = '{"device": {"id": "cuda:0", "kind": "cuda", "name": "X", "free": 10, "total": 100, "pci": ""}}'
    body = f"print('{line}', flush=True)\nsignal.pause()"
    _, result = run_check(AcceleratorMatmul(), NODE, python=python(lock, body))
    assert result.outcome is Outcome.UNKNOWN
    assert result.summary.startswith("90% of the memory of cuda:0 (X) is in use; an active test runs only on free")
    done = f"print('{line}')\nprint('{{\"done\": true}}')"
    _, result = run_check(AcceleratorMatmul(), NODE, python=python(lock, done), exclusive=False)
    assert result.summary == "nothing was measured"


def test_two_active_tests_do_not_meet(lock: Path, run_check: Runs) -> None:
    with one_at_a_time() as other:
        assert other == ""
        (path,) = lock.glob("sickbay-active-*.lock")
        _, result = run_check(AcceleratorMatmul(), NODE, python=python(lock, "raise SystemExit(9)"))
    assert result.outcome is Outcome.UNKNOWN
    assert result.summary.startswith(f"another active test runs on this host (lock {path})")
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it was given back


def test_a_foreign_python_does_not_get_our_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/ours")
    body = """print('{"done": "%s"}' % os.environ.get("PYTHONPATH", "none"))"""
    assert lines(python(tmp_path, body)) == [{"done": "none"}]


def test_the_program_needs_nothing_of_ours() -> None:
    assert "sickbay." not in "".join(
        line for line in PROGRAM.read_text().splitlines() if line.startswith(("import", "from"))
    )


@pytest.mark.heavy
@pytest.mark.skipif(not HEAVY.exists(), reason="no torch here; tests/heavy/setup.sh makes it")
@pytest.mark.parametrize("check", ALL, ids=[check.name for check in ALL])
def test_real_torch_on_the_processor(lock: Path, run_check: Runs, check: Check) -> None:
    raw, result = run_check(check, NODE, python=str(HEAVY), device="cpu", seconds=120)
    assert raw["lines"][-1] == {"done": True}
    judged = check.name in {"accelerator.numerics", "accelerator.collective"}
    assert result.outcome is (Outcome.PASS if judged else Outcome.SKIP)
    assert any(reading.known for reading in result.signals.values())


@pytest.mark.gpu
@pytest.mark.skipif(not Path("/dev/nvidiactl").exists(), reason="no NVIDIA GPU on this host")
@pytest.mark.parametrize("check", ALL, ids=[check.name for check in ALL])
def test_real_device(lock: Path, run_check: Runs, check: Check) -> None:
    raw, result = run_check(check, Target(name="node", local=True))
    assert raw["lines"][-1] == {"done": True}
    assert result.outcome in {Outcome.PASS, Outcome.SKIP}, result.summary
    assert any(reading.known for reading in result.signals.values())
