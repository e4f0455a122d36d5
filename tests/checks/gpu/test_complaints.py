# ruff: noqa: E501  # a table of one row a line
"""What users of GPU node checkers complain about, row by row: number, theme, threads, and the test that holds us to it.

A row without a test here names the one that stands elsewhere, or says why it does not apply to this project.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sickbay.checks.gpu.clocks import GpuClocks
from sickbay.checks.gpu.ecc import GpuEcc
from sickbay.checks.gpu.memory import GpuMemory
from sickbay.checks.gpu.modes import GpuModes
from sickbay.checks.gpu.nvlink import GpuNvlink
from sickbay.checks.gpu.pcie import GpuPcie
from sickbay.checks.gpu.peers import GpuPeers
from sickbay.checks.gpu.present import GpuPresent
from sickbay.checks.gpu.utilisation import GpuUtilisation
from sickbay.checks.gpu.xid import GpuXid
from sickbay.checks.host import network_look
from sickbay.checks.host.network import HostNetwork
from sickbay.engine.errors import ProbeError
from sickbay.engine.model.check import Check, Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target
from tests.nvml.state import NvmlState

Nodes = Callable[..., NvmlState]
Judge = Callable[..., Result]
Runs = Callable[..., tuple[dict[str, Any], Result]]
Xid = Callable[..., Result]
ROOT = Path(__file__).parents[3]
READERS: tuple[Check, ...] = (
    GpuPresent(), GpuEcc(), GpuClocks(), GpuPcie(), GpuNvlink(), GpuMemory(), GpuUtilisation(), GpuPeers(), GpuModes(),
)  # fmt: skip


class Row(NamedTuple):
    """One complaint. `held`: a test of this module, `module::test` elsewhere, or "not ours: why"."""

    number: int
    theme: str
    threads: str
    held: str


COMPLAINTS = (
    Row(1, "the last Xid never clears, a second one is not seen", "dcgm-exporter#190 #310 #500", "test_a_report_counts_and_ages"),
    Row(2, "codes in the log that are not exported", "DCGM#235", "test_the_code_before_its_echo_is_told"),
    Row(3, "power capping called a fault", "NVSentinel#1447", "test_power_capping_is_work"),
    Row(4, "0.0 s thermal violations, a blink of a slowdown", "DCGM#242 #270", "test_no_heat_no_alarm"),
    Row(5, "replay threshold not scaled by the link", "DCGM#184", "tests.checks.gpu.test_links::test_replays"),
    Row(6, "new hardware that no table knows", "DCGM#136 #247 #254", "test_hardware_that_no_table_knows"),
    Row(7, "an application's Xid takes a device out", "k8s-device-plugin#1974", "test_an_applications_report_fails_nothing"),
    Row(8, "an unusable device still healthy", "k8s-device-plugin#267", "test_an_uncorrected_error_is_not_healthy"),
    Row(9, "unhealthy cannot be cleared after repair", "gpud#1072", "test_a_repair_is_seen_at_the_next_look"),
    Row(10, "links down and still healthy", "gpud#1085 #1087", "test_links_down_fail_and_the_number_is_a_choice"),
    Row(11, "scan and daemon disagree", "gpud#629", "test_one_judgement_for_the_same_evidence"),
    Row(12, "the monitor dies when NVML does", "gpud#1180 #1196", "test_no_return_code_of_nvml_ends_the_checker"),
    Row(13, "the monitor's query disturbs a network card", "gpud#1164", "test_ports_are_read_from_sysfs_alone"),
    Row(14, "PCIe cards judged by rules of NVSwitch nodes", "gpud#1147", "test_cards_without_nvlink_are_not_judged"),
    Row(15, "non-fatal NVLink codes taken as fatal", "gpud#1160 #1174", "test_nonfatal_link_reports_do_not_fail"),
    Row(16, "fabric manager dead, links and clocks down, unseen", "NVSentinel#883 #890", "test_what_stayed_unseen_for_weeks"),
    Row(17, "a degrading device wedges the probe", "NVSentinel#1748", "tests.checks.gpu.test_every_call::test_a_hang_in_any_call_costs_its_group_alone"),
    Row(18, "no Xid watcher where the log is elsewhere", "NVSentinel#348 #349", "test_no_kernel_log_is_not_a_quiet_one"),
    Row(19, "is this GPU healthy: one question", "NVSentinel#275 #298", "test_each_device_has_its_own_number"),
    Row(20, "a host without Kubernetes", "NVSentinel#1834", "tests.deploy.test_node_manifests::test_prolog"),
    Row(21, "evidence when something failed", "NVSentinel#1494", "test_the_report_holds_the_raw_evidence"),
    Row(22, "a list of Xids with count and window", "eks-node-monitoring-agent#272", "test_three_in_ten_minutes"),
    Row(23, "GPUs in generic node checkers", "node-problem-detector#833", "test_nagios_reads_it"),
    Row(24, "no pod labels, least of all under MIG", "dcgm-exporter#272 #577", "test_shares_that_are_not_told_are_unknown"),
    Row(25, "values become zero or nonsense after a fault", "dcgm-exporter#536, DCGM#303", "test_a_counter_that_falls_back_is_no_rate"),
    Row(26, "a container loses its GPUs", "nvidia-container-toolkit#48", "test_devices_taken_from_a_container"),
    Row(27, "only the host's process numbers", "nvidia-docker#179 #1483", "test_shares_that_are_not_told_are_unknown"),
    Row(28, "nvidia-smi's exit code lies both ways", "pytorch/test-infra#3967", "test_codes_are_read_and_not_an_exit_status"),
    Row(29, "a benchmark flutters", "azurehpc#628", "not ours: active tests have their own module and repeat themselves"),
    Row(30, "deeper InfiniBand checks", "gcm#143", "tests.checks.host.test_states::test_errors_that_grow"),
    Row(31, "an engine's memory profile is not to be trusted", "vllm#27951 #26300", "not ours: the memory family reads what was really used"),
)  # fmt: skip


def test_every_complaint_is_answered() -> None:
    assert [row.number for row in COMPLAINTS] == list(range(1, 32))
    missing = []
    for row in COMPLAINTS:
        module, _, name = row.held.rpartition("::")
        if row.held.startswith("not ours: "):
            continue
        if not hasattr(importlib.import_module(module or __name__), name):
            missing.append(f"{row.number}: {row.held}")
    assert missing == []


@pytest.fixture
def xid(run_check: Runs, tmp_path: Path) -> Xid:
    """Judge kernel lines, each with its age in seconds; the log is read now."""

    def read(*lines: tuple[float, str], **given: Any) -> Result:
        import time  # the file's stamps are written from now

        now_s = time.time()
        text = "".join(
            time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(now_s - age_s)) + f" n7 kernel: NVRM: {said}\n"
            for age_s, said in lines
        )
        (tmp_path / "kern.log").write_text(text)
        target = Target(name="t", local=True, root=str(tmp_path))
        return run_check(GpuXid(), target, **{"source": "file", "path": "/kern.log"} | given)[1]

    return read


def said(code: int, rest: str = "pid=1, name=python", gpu: str = "0000:9b:00") -> str:
    return f"Xid (PCI:{gpu}): {code}, {rest}"


def test_a_report_counts_and_ages(xid: Xid) -> None:
    twice = xid((7200, said(79)), (60, said(79)))
    assert twice.signals["gpu.xid_fault_count"].value == 2.0
    assert twice.signals["gpu.xid_repeats"].value == 2.0
    old = xid((90_000, said(79)))
    assert (old.outcome, old.signals["gpu.xid_fault_count"].value) == (Outcome.PASS, 0.0)


def test_the_code_before_its_echo_is_told(xid: Xid) -> None:
    result = xid((61, said(62)), (60, said(45)))
    assert result.signals["gpu.xid_root"].value == "Xid 62 on 0000:9b:00"


def test_power_capping_is_work(node: Nodes, judge: Judge) -> None:
    node("h100", 8).busy().every(clock_events=4, violations={"0": {"base": 1, "rate_per_s": 990_000_000}})
    result = judge(GpuClocks())
    assert result.outcome is Outcome.PASS
    assert float(str(result.signals["gpu.throttle_power_ratio"].value)) > 0.9  # it is told, and no fault


def test_no_heat_no_alarm(node: Nodes, judge: Judge) -> None:
    node("h100", 2).busy().every(violations={"1": 7_000_000_000})  # a total that does not grow
    assert judge(GpuClocks()).outcome is Outcome.PASS
    node("h100", 2).busy().every(clock_events={"values": [8, 0, 0, 0, 0, 0], "step_s": 30})
    assert judge(GpuClocks()).signals["gpu.throttle_thermal_ratio"].value == 0.0


@pytest.mark.parametrize("check", READERS, ids=lambda check: check.name)
def test_hardware_that_no_table_knows(node: Nodes, judge: Judge, check: Check) -> None:
    state = node("b200", 4).busy()
    for index in range(4):
        state.device(index, name="NVIDIA X9000", pci={"device_id": 0x7FFF10DE}, architecture=99)
    assert judge(check).outcome in {Outcome.PASS, Outcome.SKIP}


@pytest.mark.parametrize("code", [13, 31, 43, 45, 68])
def test_an_applications_report_fails_nothing(xid: Xid, code: int) -> None:
    assert xid((60, said(code))).outcome in {Outcome.PASS, Outcome.WARN}


def test_an_uncorrected_error_is_not_healthy(node: Nodes, judge: Judge) -> None:
    node("a100", 2).device(1, ecc={"uncorrected_volatile": {"total": 1}})
    assert judge(GpuEcc()).outcome is Outcome.FAIL


def test_a_repair_is_seen_at_the_next_look(node: Nodes, judge: Judge) -> None:
    state = node("a100", 2).device(1, remap={"uncorrected": 1, "pending": 1})
    assert judge(GpuEcc()).outcome is Outcome.WARN
    state.device(1, remap={"pending": 0})
    assert judge(GpuEcc()).outcome is Outcome.PASS


def test_links_down_fail_and_the_number_is_a_choice(node: Nodes, judge: Judge) -> None:
    node("h100", 2).every(nvlink={"down": [0, 1]})
    assert judge(GpuNvlink()).outcome is Outcome.FAIL
    assert judge(GpuNvlink(), links_expected=16).outcome is Outcome.PASS


def test_one_judgement_for_the_same_evidence(
    node: Nodes, look_in_child: Callable[..., dict[str, Any]], judge: Judge
) -> None:
    node("h100", 2).device(1, nvlink={"down": [3]})
    params = {"links_expected": 0, "error_rate_fail": 100}
    raw = json.loads(json.dumps(look_in_child(GpuNvlink())))
    first, second = GpuNvlink().judge(raw, params), GpuNvlink().judge(raw, params)
    assert first == second
    assert first.summary == judge(GpuNvlink()).summary  # in a child or in this process


@pytest.mark.parametrize("code", [1, 3, 4, 9, 12, 15, 16, 17, 18, 27, 999, 77])
def test_no_return_code_of_nvml_ends_the_checker(node: Nodes, judge: Judge, code: int) -> None:
    node("h100", 2).top(returns=dict.fromkeys(("nvmlInit_v2", "nvmlInitWithFlags"), code))
    for check in READERS:
        result = judge(check, Target(name="node", local=True, gpus="0,1")) if code != 4 else None
        assert result is None or result.outcome in {Outcome.UNKNOWN, Outcome.FAIL}
    if code == 4:
        with pytest.raises(ProbeError) as caught:
            judge(GpuEcc(), Target(name="node", local=True, gpus="0,1"))
        assert caught.value.reason is UnknownReason.PERMISSION


def test_ports_are_read_from_sysfs_alone(run_check: Runs, tmp_path: Path) -> None:
    run_check(HostNetwork(), Target(name="t", local=True, root=str(tmp_path)), window_s=0.05)
    source = Path(network_look.__file__).read_text()
    assert "subprocess" not in source
    assert network_look.__doc__ is not None


@pytest.mark.parametrize("profile", ["t4", "l4"])
def test_cards_without_nvlink_are_not_judged(node: Nodes, judge: Judge, profile: str) -> None:
    node(profile, 4)
    assert judge(GpuNvlink()).outcome is Outcome.SKIP


def test_nonfatal_link_reports_do_not_fail(xid: Xid) -> None:
    line = "NETIR_LINK_EVT {} XC0 i0 Link 04 (0x004505c6 0x00000000 0x0 0x0 0x0 0x0)"
    assert xid((60, said(149, line.format("Nonfatal")))).outcome is Outcome.WARN
    assert xid((60, said(149, line.format("Fatal")))).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"fabric": {"state": 2}}, GpuNvlink()),
        ({"pcie": {"width": 8}}, GpuPcie()),
        ({"fields": {"270": {"rate_per_s": 900_000_000}}}, GpuClocks()),
    ],
    ids=["fabric", "lanes", "heat"],
)
def test_what_stayed_unseen_for_weeks(node: Nodes, judge: Judge, change: dict[str, Any], check: Check) -> None:
    node("h100", 2).busy().device(1, **change)
    assert judge(check, window_s=0.2).outcome is Outcome.FAIL


def test_no_kernel_log_is_not_a_quiet_one(run_check: Runs, tmp_path: Path) -> None:
    with pytest.raises(ProbeError) as caught:
        run_check(GpuXid(), Target(name="t", local=True, root=str(tmp_path)))
    assert caught.value.reason is UnknownReason.PERMISSION


def test_each_device_has_its_own_number(node: Nodes, judge: Judge) -> None:
    node("h100", 4).device(2, ecc={"uncorrected_volatile": {"total": 3}})
    by = judge(GpuEcc()).signals["gpu.ecc_uncorrected"].by
    assert list(by.values()) == [0.0, 0.0, 3.0, 0.0]
    assert all(uuid.startswith("GPU-") for uuid in by)


def run_book(form: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "sickbay",
        "run",
        "gpu-node-suspect",
        "--local",
        "--only",
        "gpu.ecc",
        "--format",
        form,
    ]
    return subprocess.run(
        [*command, "--no-progress", "--no-journal"], capture_output=True, text=True, check=False, env=dict(os.environ),
        cwd=tmp_path,
    )  # fmt: skip


def test_the_report_holds_the_raw_evidence(node: Nodes, tmp_path: Path) -> None:
    node("a100", 1).device(0, ecc={"uncorrected_volatile": {"total": 2}})
    done = run_book("json", tmp_path)
    (step,) = [step for step in json.loads(done.stdout)["steps"] if step["check"] == "gpu.ecc"]
    assert step["raw"]["inventory"]["devices"][0]["values"]["uncorrected_volatile"] == 2


def test_three_in_ten_minutes(xid: Xid) -> None:
    assert "comes back often" in xid((500, said(43)), (300, said(43)), (60, said(43))).summary
    assert "comes back often" not in xid((5000, said(43)), (3000, said(43)), (60, said(43))).summary
    assert xid((60, said(43)), overrides={"43": "fault"}).outcome is Outcome.FAIL
    assert xid((60, said(79)), ignore=[79]).outcome is Outcome.PASS


def test_nagios_reads_it(node: Nodes, tmp_path: Path) -> None:
    node("a100", 1).device(0, ecc={"uncorrected_volatile": {"total": 2}})
    done = run_book("nagios", tmp_path)
    assert done.returncode == 2
    assert done.stdout.startswith("SICKBAY FAILING - gpu-node-suspect on ")


def test_shares_that_are_not_told_are_unknown(node: Nodes, judge: Judge) -> None:
    node("a100", 1).every(
        memory={"used": 30 * 2**30}, processes={"compute": [{"pid": 4_194_301, "bytes": None}]}, mig={"current": 1, "pending": 1}
    )  # fmt: skip
    result = judge(GpuMemory())
    assert result.outcome is Outcome.PASS
    assert not result.signals["gpu.ownerless_bytes"].known
    assert "whose it is cannot be told here" in result.summary


def test_a_counter_that_falls_back_is_no_rate(node: Nodes, judge: Judge) -> None:
    node("h100", 1).busy().every(pcie={"replays": {"values": [900, 0, 0, 0, 0, 0], "step_s": 0.01}})
    result = judge(GpuPcie(), window_s=0.2)
    assert result.outcome is Outcome.PASS
    node("h100", 1).busy().every(returns={"nvmlDeviceGetPcieReplayCounter": 999})
    assert not judge(GpuPcie()).signals["gpu.pcie_replay_rate"].known


def test_devices_taken_from_a_container(node: Nodes, judge: Judge) -> None:
    node("h100", 2).top(returns=dict.fromkeys(("nvmlInit_v2", "nvmlInitWithFlags"), 17))
    result = judge(GpuPresent(), Target(name="node", local=True, gpus="0,1"))
    assert result.outcome is Outcome.FAIL
    assert "after a systemd reload: restart the container" in result.summary


def test_codes_are_read_and_not_an_exit_status(node: Nodes, judge: Judge) -> None:
    node("h100", 2).device(1, returns={"nvmlDeviceValidateInforom": 14})
    assert judge(GpuEcc()).outcome is Outcome.WARN  # harmless to work
    node("h100", 2).device(1, lost=True)
    assert judge(GpuPresent()).outcome is Outcome.FAIL
