"""The simulated NVML as the unmodified pynvml sees it, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.nvml.build import build, compiler, defined
from tests.nvml.compare import differences, simulated
from tests.nvml.state import PROFILES, NvmlState

CAPTURES = Path(__file__).parents[1] / "data" / "nvml"
HEADER = "import json, pynvml as n\nn.nvmlInit()\nh = n.nvmlDeviceGetHandleByIndex(0)\n"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if compiler() is None:
        pytest.skip("no C compiler")
    pytest.importorskip("pynvml")
    return build(tmp_path_factory.mktemp("nvml"))


def asked(library: Path, state: NvmlState, code: str) -> Any:
    """What a fresh process prints as JSON."""
    env = {**os.environ, "LD_LIBRARY_PATH": str(library.parent), "NVML_SIM_STATE": str(state.path)}
    done = subprocess.run([sys.executable, "-c", HEADER + code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("profile", sorted(path.stem for path in PROFILES.glob("*.json")))
def test_profile(library: Path, tmp_path: Path, profile: str) -> None:
    state = NvmlState(tmp_path, profile, 2)
    found = asked(
        library, state,
        "m = n.nvmlDeviceGetMemoryInfo(h, version=n.nvmlMemory_v2)\n"
        "rest = m.total - m.used - m.reserved - m.free\n"
        "print(json.dumps([n.nvmlDeviceGetCount(), n.nvmlDeviceGetName(h), m.total, rest,"
        " n.nvmlDeviceGetPciInfo(h).pciDeviceId, n.nvmlSystemGetDriverVersion()]))",
    )  # fmt: skip
    defaults = state.data["defaults"]
    device_id = state.data["devices"][0]["pci"]["device_id"]
    driver = state.data["system"]["driver"]
    assert found == [2, defaults["name"], defaults["memory"]["total"], 0, device_id, driver]


def test_every_name_pynvml_asks_for_exists(library: Path, tmp_path: Path) -> None:
    code = (
        "import re\nsource = open(n.__file__).read()\n"
        "names = sorted(set(re.findall(r'_nvmlGetFunctionPointer\\(\"(nvml\\w+)\"', source)))\n"
        "lib = n.nvmlLib\nprint(json.dumps([name for name in names if not hasattr(lib, name)]))"
    )
    assert asked(library, NvmlState(tmp_path), code) == []


def test_the_capture_asks_for_all_that_is_simulated(library: Path, tmp_path: Path) -> None:
    code = "from tests.nvml.capture import capture\nprint(json.dumps(capture()))"
    state = NvmlState(tmp_path, "h100", 1)
    found = asked(library, state, code)
    answered = {name for name, answer in found["calls"].items() if answer["code"] == 0}
    assert {"nvmlDeviceGetMemoryInfo(v2)", "nvmlDeviceGetGpuFabricInfoV(v3)", "nvmlDeviceGetPciInfo"} <= answered
    assert found["calls"]["nvmlDeviceGetUUID"]["value"] == "xxx-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
    assert found["fields"]["194"] == {"code": 0, "type": 5, "value": -2}
    called = {name for name, _ in state.calls()}
    spellings = {"nvmlInit", "nvmlInit_v2", "nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex", "nvmlErrorString"}
    assert defined() - called == spellings


def test_return_codes_globally_and_by_device(library: Path, tmp_path: Path) -> None:
    state = NvmlState(tmp_path, "h100", 2)
    state.top(returns={"nvmlDeviceGetSerial": 4}).device(1, lost=True)
    code = """
def name(function):
    try:
        return str(function())
    except n.NVMLError as error:
        return type(error).__name__
print(json.dumps([name(lambda: n.nvmlDeviceGetSerial(h)), name(lambda: n.nvmlDeviceGetHandleByIndex(1)),
                  name(lambda: n.nvmlDeviceGetHandleByIndex(2)), name(lambda: n.nvmlDeviceGetFanSpeed(h))]))
"""
    assert asked(library, state, code) == [
        "NVMLError_NoPermission", "NVMLError_GpuIsLost", "NVMLError_InvalidArgument", "NVMLError_NotSupported",
    ]  # fmt: skip


def test_field_values_have_their_own_codes_and_signs(library: Path, tmp_path: Path) -> None:
    state = NvmlState(tmp_path, "h100", 1).device(0, fields={"82": 61}, field_returns={"230": 999})
    code = (
        "v = n.nvmlDeviceGetFieldValues(h, [82, 194, 230, 999])\n"
        "print(json.dumps([[x.nvmlReturn for x in v], v[0].value.ullVal, v[1].value.siVal]))"
    )
    assert asked(library, state, code) == [[0, 0, 999, 3], 61, -2]


def test_a_running_process_sees_the_change(library: Path, tmp_path: Path) -> None:
    state = NvmlState(tmp_path, "h100", 1)
    code = (
        HEADER + "print(n.nvmlDeviceGetTemperature(h, 0), flush=True)\ninput()\nprint(n.nvmlDeviceGetTemperature(h, 0))"
    )
    env = {**os.environ, "LD_LIBRARY_PATH": str(library.parent), "NVML_SIM_STATE": str(state.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "33\n"
    state.device(0, temperature={"core": 91})
    assert process.communicate("\n")[0] == "91\n"


def test_events_come_once_and_a_wait_ends(library: Path, tmp_path: Path) -> None:
    state = NvmlState(tmp_path, "h100", 1).top(events=[{"after_s": 0, "device": 0, "type": 8, "data": 79}])
    code = """
s = n.nvmlEventSetCreate()
n.nvmlDeviceRegisterEvents(h, 8, s)
first = n.nvmlEventSetWait_v2(s, 100)
try:
    n.nvmlEventSetWait_v2(s, 30)
except n.NVMLError_Timeout:
    print(json.dumps([first.eventType, first.eventData]))
"""
    assert asked(library, state, code) == [8, 79]


def test_calls_are_logged(library: Path, tmp_path: Path) -> None:
    state = NvmlState(tmp_path, "h100", 1)
    asked(library, state, "print(json.dumps(n.nvmlDeviceGetName(h)))")
    assert state.calls() == [
        ("nvmlInitWithFlags", -1), ("nvmlDeviceGetHandleByIndex_v2", 0), ("nvmlDeviceGetName", 0),
    ]  # fmt: skip


def test_a_misspelt_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="no such key in the state: \\['temprature'\\]"):
        NvmlState(tmp_path).device(0, temprature={"core": 1})


@pytest.mark.parametrize("at", ["idle", "busy"])
@pytest.mark.parametrize("kind", ["h100", "h200"])
def test_the_simulator_answers_as_a_captured_device(library: Path, kind: str, at: str) -> None:
    """Captured on 2026-11-26 with driver 580.159.04; every code, value type and form, and what belongs to the kind."""
    real = json.loads((CAPTURES / f"{kind}-2026-11-26-{at}.json").read_text())
    # At work a process is listed and its use told; the profile is an idle device.
    at_work = {"nvmlDeviceGetProcessUtilization(0): code 0 on the device, 6 simulated"}
    assert set(differences(real, simulated(kind, alone=True, library=library))) <= (at_work if at == "busy" else set())


def test_a_difference_is_told() -> None:
    real = {
        "calls": {"nvmlDeviceGetName": {"code": 0, "value": "A"}, "x": {"code": 3}},
        "fields": {"1": {"code": 0, "type": 1, "value": 2}},
    }
    ours = {
        "calls": {"nvmlDeviceGetName": {"code": 0, "value": "B"}},
        "fields": {"1": {"code": 0, "type": 3, "value": 5}},
    }
    assert list(differences(real, ours)) == [
        "nvmlDeviceGetName: value A on the device, B simulated",
        "x: the simulator was not asked",
        "field 1: value type 1 on the device, 3 simulated",
    ]
