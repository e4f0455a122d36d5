"""accelerator.visible: on this host as it is, on made-up hosts, and what each refusal of NVML becomes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.accelerator.nvml import ERROR_WORDS
from sickbay.checks.accelerator.torch_build import cuda_of
from sickbay.checks.accelerator.visible import AcceleratorVisible
from sickbay.checks.accelerator.visible_judge import judge_visible
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target
from sickbay.engine.run.child import Order
from sickbay.engine.run.children import Children

Runs = Callable[..., tuple[dict[str, Any], Result]]
Tree = Callable[[dict[str, str]], str]

PARAMS = {"expect": False, "ask_torch": False}
GPU_ON_PCI = {
    "/sys/bus/pci/devices/0000:17:00.0/vendor": "0x10de\n",
    "/sys/bus/pci/devices/0000:17:00.0/class": "0x030200\n",
    "/sys/bus/pci/devices/0000:02:00.0/vendor": "0x8086\n",
    "/sys/bus/pci/devices/0000:02:00.0/class": "0x020000\n",
}
NO_GPU = {
    "/sys/bus/pci/devices/0000:02:00.0/vendor": "0x8086\n",
    "/sys/bus/pci/devices/0000:02:00.0/class": "0x020000\n",
}


def raw_of(**given: Any) -> dict[str, Any]:
    """What a look finds on a host with two good devices, with changes."""
    devices = [
        {"index": index, "uuid": f"GPU-{index}", "name": "NVIDIA H100 80GB HBM3", "total_bytes": 100, "used_bytes": 40,
         "processes": [{"pid": 42, "bytes": 30}]}
        for index in range(2)
    ]  # fmt: skip
    nvml = {"ok": True, "error": "", "driver": "570.86.15", "cuda": 12080, "count": 2, "devices": devices}
    return {
        "local": True,
        "gpus": "auto",
        "traces": {"pci": {"NVIDIA": ["0000:17:00.0", "0000:65:00.0"]}, "nodes": [], "module": ""},
        "nvml": nvml,
        "torch": {"version": "2.8.0", "cuda": "12.8"},
        "asked": None,
        "container": "",
        "engine_pids": [42],
        "engine_error": "",
    } | given


def no_nvml(error: str, code: int | None = None) -> dict[str, Any]:
    return {"ok": False, "error": error, "code": code}


def test_two_good_devices() -> None:
    result = judge_visible(raw_of(), PARAMS)
    assert result.outcome is Outcome.PASS
    assert result.summary == (
        "2 accelerators (NVIDIA H100 80GB HBM3), driver 570.86.15; visible does not prove usable or fast"
    )
    values = {name.removeprefix("accelerator."): reading.value for name, reading in result.signals.items()}
    assert values["cuda_driver_version"] == "12.8"
    assert values["memory_used_ratio_max"] == 0.4
    assert values["engine_uses_gpu"] is True
    assert result.signals["accelerator.torch_cuda_available"].reason is UnknownReason.NOT_ASKED


@pytest.mark.parametrize("error", [each for each in ERROR_WORDS if each not in {"MissingPackage", "NoPermission"}])
def test_a_device_on_the_bus_without_its_driver_fails(error: str) -> None:
    result = judge_visible(raw_of(nvml=no_nvml(error, 9)), PARAMS)
    assert result.outcome is Outcome.FAIL
    assert result.summary == f"PCI lists 2 NVIDIA devices, and NVML cannot be used ({error}): {ERROR_WORDS[error]}"
    assert result.signals["accelerator.nvml_ok"].value is False
    assert result.signals["accelerator.nvml_error"].value == error
    assert not result.signals["accelerator.count"].known


@pytest.mark.parametrize("error", ["MissingPackage", "NoPermission"])
def test_what_we_lack_is_unknown_not_failing(error: str) -> None:
    result = judge_visible(raw_of(nvml=no_nvml(error)), PARAMS)
    assert result.outcome is Outcome.UNKNOWN
    assert result.signals["accelerator.nvml_ok"].known is (error == "NoPermission")


def test_expected_by_the_step_only() -> None:
    nowhere = {"pci": {}, "nodes": [], "module": ""}
    raw = raw_of(nvml=no_nvml("LibraryNotFound", 12), traces=nowhere)
    assert judge_visible(raw, PARAMS).outcome is Outcome.SKIP
    result = judge_visible(raw, PARAMS | {"expect": True})
    assert result.outcome is Outcome.FAIL
    assert result.summary.startswith("the step expects an accelerator, and NVML cannot be used (LibraryNotFound): ")


def test_driver_without_a_device() -> None:
    nvml = raw_of()["nvml"] | {"count": 0, "devices": []}
    result = judge_visible(raw_of(nvml=nvml), PARAMS)
    assert result.outcome is Outcome.FAIL
    assert result.summary == "PCI lists 2 NVIDIA devices, and the driver lists none"


def test_a_device_that_does_not_answer() -> None:
    raw = raw_of()
    raw["nvml"]["devices"][1] = {"index": 1, "error": "GpuIsLost"}
    result = judge_visible(raw, PARAMS)
    assert result.outcome is Outcome.FAIL
    assert result.summary.endswith("; devices that do not answer: 1: GpuIsLost")


def test_torch_that_can_use_none() -> None:
    asked = {"available": False, "count": 0, "name": ""}
    result = judge_visible(raw_of(asked=asked, torch={"version": "2.8.0", "cuda": "cpu"}), PARAMS)
    assert result.outcome is Outcome.FAIL
    assert result.summary.endswith("; torch (built for cpu) can use none of them")


def test_process_numbers_in_a_container_are_not_a_no() -> None:
    here = judge_visible(raw_of(engine_pids=[7]), PARAMS).signals["accelerator.engine_uses_gpu"]
    assert here.value is False
    inside = judge_visible(raw_of(engine_pids=[7], container="/.dockerenv exists"), PARAMS)
    reading = inside.signals["accelerator.engine_uses_gpu"]
    assert reading.reason is UnknownReason.UNSUPPORTED
    assert "host's numbers" in reading.detail


def test_not_local() -> None:
    assert judge_visible({"local": False}, PARAMS).outcome is Outcome.SKIP


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("__version__ = '2.8.0'\ncuda: Optional[str] = '12.8'\nhip: Optional[str] = None\n", "12.8"),
        ("cuda = '11.7'\n", "11.7"),
        ("cuda: Optional[str] = None\nhip: Optional[str] = None\n", "cpu"),
        ("cuda: Optional[str] = None\nhip: Optional[str] = '6.3.42131'\n", "rocm 6.3.42131"),
        ("", ""),
    ],
)
def test_what_torch_was_built_for(text: str, found: str) -> None:
    assert cuda_of(text) == found


@pytest.mark.parametrize(("files", "found"), [(GPU_ON_PCI, ["0000:17:00.0"]), (NO_GPU, [])])
def test_bus_is_read_from_sysfs(run_check: Runs, tree: Tree, files: dict[str, str], found: list[str]) -> None:
    raw, _ = run_check(AcceleratorVisible(), Target(name="t", local=True, root=tree(files)))
    assert raw["traces"]["pci"].get("NVIDIA", []) == found


def test_module_version_is_read(run_check: Runs, tree: Tree) -> None:
    text = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  595.45.04  Release Build  (x)\nGCC version: 12.2\n"
    raw, _ = run_check(
        AcceleratorVisible(), Target(name="t", local=True, root=tree({"/proc/driver/nvidia/version": text}))
    )
    assert raw["traces"]["module"] == "595.45.04"


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this host has an NVIDIA device")
def test_this_host_in_a_real_child() -> None:
    check = AcceleratorVisible()
    children = Children()
    try:
        order = Order(
            check=check, params=PARAMS, target=Target(name="t", local=True), signals={}, remaining_s=60.0,
            requests_left=0, run_id="test",
        )  # fmt: skip
        raw, requests, made = asyncio.run(asyncio.to_thread(children.look, order))
    finally:
        children.close()
    assert (requests, made) == ([], 0)
    result = check.judge(raw, PARAMS)
    assert result.outcome is Outcome.SKIP
    assert result.signals["accelerator.nvml_ok"].value is False
    assert result.signals["accelerator.nvml_error"].value == "LibraryNotFound"
    assert result.signals["accelerator.count"].value == 0.0
    assert result.signals["accelerator.engine_uses_gpu"].value is False
    assert set(result.signals) == set(check.emits)
