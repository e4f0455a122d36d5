"""gpu.xid on log files in every shape, through the real reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sickbay.checks.gpu.tables import xid_table
from sickbay.checks.gpu.xid import GpuXid
from sickbay.checks.gpu.xid_lines import normal_bus_id, parse_reports
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.target import Target

Runs = Callable[..., tuple[dict[str, Any], Result]]
ALL = 10**10
STAMP = "2026-08-22T10:{:02d}:{:02d}+00:00 node7 kernel: NVRM: "


def line(text: str, minute: int = 0, second: int = 0) -> str:
    return STAMP.format(minute, second) + text + "\n"


def xid(
    code: int, rest: str = "pid=4242, name=python", *, gpu: str = "0000:9b:00", at: int = 0, second: int = 0
) -> str:
    return line(f"Xid (PCI:{gpu}): {code}, {rest}", at, second)


@pytest.fixture
def read(run_check: Runs, tmp_path: Path) -> Callable[..., Result]:
    def run(text: str, **given: Any) -> Result:
        (tmp_path / "kern.log").write_text(text)
        target = Target(name="t", local=True, root=str(tmp_path))
        return run_check(GpuXid(), target, **{"source": "file", "path": "/kern.log", "since_s": ALL} | given)[1]

    return run


def values(result: Result) -> dict[str, Any]:
    return {name.split("xid_")[-1]: reading.value for name, reading in result.signals.items() if "sxid" not in name}


@pytest.mark.parametrize(
    ("text", "code", "device"),
    [
        (
            "NVRM: Xid (PCI:0000:9b:00): 79, pid='<unknown>', GPU has fallen off the bus.",
            79,
            "0000:9b:00",
        ),
        ("NVRM: Xid (0000:03:00): 43, Ch 00000010, engmask 00000101", 43, "0000:03:00"),
        ("NVRM: Xid (PCI:00000000:1B:00.0): 94, Contained: L2 (0x1). RST: No", 94, "0000:1b:00"),
        ("NVRM: Xid (PCI:0001:00:00): 149, NETIR_LINK_EVT Fatal XC0 i0 Link -1 (0x004505c6 0x0)", 149, "0001:00:00"),
        (
            "[ 5021.1] NVRM: Xid (PCI:0000:05:00):13, Graphics Exception on (GPC 1, TPC 2)",
            13,
            "0000:05:00",
        ),
        ("NVRM: GPU at PCI:0000:5d:00: GPU-7a has fallen off the bus.", 79, "0000:5d:00"),
        ("NVRM: GPU 0000:5d:00.0: GPU has fallen off the bus.", 79, "0000:5d:00"),
        ("nvidia-nvswitch3: SXid (PCI:0000:06:00.0): 20034, Fatal, Link 30 LTSSM Fault Up", 20034, "0000:06:00"),
    ],
)
def test_shapes(text: str, code: int, device: str) -> None:
    (report,) = parse_reports([(None, text)])
    assert (report.code, report.device) == (code, device)


def test_a_device_lost_at_probe_time_over_three_lines() -> None:
    text = (
        "NVRM: The NVIDIA GPU 0000:db:00.0\nNVRM: (PCI ID: 10de:2330) installed in this system has\n"
        "NVRM: fallen off the bus and is not responding to commands."
    )
    (report,) = parse_reports([(None, each) for each in text.splitlines()])
    assert (report.code, report.device) == (79, "0000:db:00")


def test_one_sxid_over_several_lines_counts_once() -> None:
    lines = [
        "nvidia-nvswitch0: SXid (PCI:0000:c1:00.0): 12028, Non-fatal, Link 32 egress non-posted PRIV error (First)",
        "nvidia-nvswitch0: SXid (PCI:0000:c1:00.0): 12028, Severity 0 Engine instance 32 Sub-engine instance 00",
        "nvidia-nvswitch0: SXid (PCI:0000:c1:00.0): 12028, Data {0x00140004, 0x00100000}",
    ]
    assert len(parse_reports([(1.0, each) for each in lines])) == 1


@pytest.mark.parametrize("text", ["00000000:9B:00.0", "0000:9b:00", "9b:00.0"])
def test_one_device_has_one_name(text: str) -> None:
    assert normal_bus_id(text) == "0000:9b:00"


def test_a_quiet_log(read: Callable[..., Result]) -> None:
    result = read(line("loading NVIDIA UNIX x86_64 Kernel Module  570.124.06"))
    assert result.outcome is Outcome.PASS
    assert result.summary.startswith("no device fault in /kern.log, the last ")
    counts = dict.fromkeys(("fault_count", "app_count", "other_count", "memory_count", "repeats"), 0.0)
    assert values(result) == counts | {"root": "none"}


def test_root_and_echo(read: Callable[..., Result]) -> None:
    text = xid(48, "DBE at") + xid(171, "detail", second=1) + xid(63, "row", second=2) + xid(45, "Ch 1", second=3) * 40
    result = read(text)
    assert result.outcome is Outcome.FAIL
    assert result.summary == (
        "Xid 48 on 0000:9b:00: uncorrectable memory error, followed by 45, 63, 171; drain and reset the device"
    )
    assert values(result)["fault_count"] == 1.0
    assert result.next_step == "drain and reset the device"


def test_echo_before_its_root(read: Callable[..., Result]) -> None:
    result = read(xid(45, "Ch 1") + xid(62, "halt", second=1))
    assert result.signals["gpu.xid_root"].value == "Xid 62 on 0000:9b:00"
    assert values(result)["fault_count"] == 1.0


def test_clean_up_alone_is_no_fault(read: Callable[..., Result]) -> None:
    result = read("".join(xid(45, f"Ch {n}", second=n % 60) for n in range(500)))
    assert result.outcome is Outcome.PASS
    assert values(result)["repeats"] == 0.0


def test_caused_by_previous(read: Callable[..., Result]) -> None:
    result = read(xid(13, "x") + xid(43, "caused by previous Xid 13", second=1))
    assert values(result)["app_count"] == 1.0


@pytest.mark.parametrize("code", [13, 31, 43])
def test_application_codes_warn_and_do_not_condemn(read: Callable[..., Result], code: int) -> None:
    result = read(xid(code))
    assert result.outcome is Outcome.WARN
    assert values(result)["fault_count"] == 0.0
    assert values(result)["app_count"] == 1.0


def test_one_place_under_several_programs_is_the_device(read: Callable[..., Result]) -> None:
    text = "".join(xid(13, f"pid={n}, name=a, Graphics Exception on (GPC 1, TPC 2, SM 0)", at=n * 5) for n in (1, 2, 3))
    result = read(text)
    assert result.outcome is Outcome.FAIL
    assert "suspect the device" in result.next_step
    one_program = text.replace("pid=2", "pid=1").replace("pid=3", "pid=1")
    assert read(one_program).outcome is Outcome.WARN


def test_a_fault_that_comes_back_asks_for_more(read: Callable[..., Result]) -> None:
    assert read(xid(79)).next_step == "reboot the machine; then check power, riser and seat"
    result = read(xid(79) + xid(79, at=30))
    assert result.next_step == "replace the device"
    assert values(result)["repeats"] == 2.0
    assert values(result)["fault_count"] == 2.0  # the second same code is not swallowed by the first


def test_often_in_a_short_time(read: Callable[..., Result]) -> None:
    often = read("".join(xid(43, at=n * 2) for n in range(3)))
    assert often.summary.endswith("comes back often: 0000:9b:00 Xid 43")
    seldom = read("".join(xid(43, at=n * 20) for n in range(3)))
    assert "comes back often" not in seldom.summary


def test_devices_are_told_apart(read: Callable[..., Result]) -> None:
    result = read(xid(79) + xid(79, gpu="0000:1b:00"))
    assert result.signals["gpu.xid_fault_count"].by == {"0000:9b:00": 1.0, "0000:1b:00": 1.0}


@pytest.mark.parametrize(("word", "outcome"), [("Fatal", Outcome.FAIL), ("Nonfatal", Outcome.WARN)])
def test_nvlink_codes_follow_the_line(read: Callable[..., Result], word: str, outcome: Outcome) -> None:
    assert read(xid(149, f"NETIR_LINK_EVT {word} XC0 i0 Link 09 (0x1 0x2)")).outcome is outcome


@pytest.mark.parametrize(
    ("code", "severity", "outcome"),
    [
        (22003, "Fatal", Outcome.FAIL),
        (20034, "Fatal", Outcome.WARN),
        (20001, "Non-fatal", Outcome.PASS),
        (99999, "Fatal", Outcome.FAIL),
    ],
)
def test_switch_reports(read: Callable[..., Result], code: int, severity: str, outcome: Outcome) -> None:
    text = f"2026-08-22T10:00:00Z n kernel: nvidia-nvswitch0: SXid (PCI:0000:c1:00.0): {code}, {severity}, Link 3 x\n"
    result = read(text)
    assert result.outcome is outcome
    assert result.signals["gpu.sxid_fault_count"].value == float(outcome is Outcome.FAIL)


def test_an_unknown_code_is_watched_not_ignored(read: Callable[..., Result]) -> None:
    result = read(xid(991))
    assert result.outcome is Outcome.WARN
    assert result.summary == "Xid 991 on 0000:9b:00: an unknown code; see the kernel log; ask the vendor"


def test_a_site_may_overrule_the_table(read: Callable[..., Result]) -> None:
    assert read(xid(63), overrides={"63": "fault"}).outcome is Outcome.FAIL
    assert read(xid(48), overrides={"48": "watch"}).outcome is Outcome.WARN
    assert read(xid(48), ignore=[48]).outcome is Outcome.PASS


def test_old_reports_do_not_stay_for_ever(read: Callable[..., Result]) -> None:
    old = "2020-01-01T00:00:00Z n kernel: NVRM: Xid (PCI:0000:9b:00): 79, x\n"
    assert read(old, since_s=86_400).outcome is Outcome.PASS
    assert read(old).outcome is Outcome.FAIL


def test_a_log_that_is_not_there(run_check: Runs, tmp_path: Path) -> None:
    from sickbay.engine.errors import ProbeError

    with pytest.raises(ProbeError) as caught:
        run_check(GpuXid(), Target(name="t", local=True, root=str(tmp_path)))
    assert str(caught.value) == (
        "the kernel log may not be read: run as root, with CAP_SYSLOG, or as a member of the group systemd-journal or "
        "adm, or give the step a log file (tried: /var/log/kern.log: no such file; /var/log/messages: no such file; "
        "/var/log/syslog: no such file)"
    )


def test_not_our_host(run_check: Runs) -> None:
    result = run_check(GpuXid(), Target(name="t", url="http://far.example"))[1]
    assert result.outcome is Outcome.SKIP


TABLE = xid_table()


@pytest.mark.parametrize("code", TABLE["xid"])
def test_every_row_says_what_it_is_what_to_do_and_who_says_so(code: int) -> None:
    row = TABLE["xid"][code]
    assert row["class"] in {"fault", "app", "watch", "info", "echo", "detail", "advice", "decode"}
    assert row["means"]
    assert row["action"]
    assert row["source"] in TABLE["sources"]


def test_no_switch_code_stands_twice() -> None:
    codes = [code for kind in ("fault", "watch", "info") for code in TABLE["sxid"][kind]]
    assert len(codes) == len(set(codes))


def test_reports_about_memory_are_counted_apart(read: Callable[..., Result]) -> None:
    result = read(xid(94) + xid(63, second=1) + xid(31, gpu="0000:3d:00"))
    assert result.signals["gpu.xid_memory_count"].value == 1.0
