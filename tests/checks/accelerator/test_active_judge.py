"""Judging the lines of the measuring program: the table, a site's limits, equals, and what is not judged."""

from __future__ import annotations

from typing import Any

import pytest

from sickbay.checks.accelerator.bandwidth import AcceleratorBandwidth
from sickbay.checks.accelerator.collective import AcceleratorCollective
from sickbay.checks.accelerator.matmul import AcceleratorMatmul
from sickbay.checks.accelerator.numerics import AcceleratorNumerics
from sickbay.checks.gpu.spec import gpu_table
from sickbay.engine.model.check import Result
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason

H100 = {"vendor": 0x10DE, "device": 0x2330}
ROW = gpu_table()["gpus"]["h100-sxm"]


def device(index: int = 0, name: str = "NVIDIA H100 80GB HBM3", kind: str = "cuda") -> dict[str, Any]:
    return {"device": {"id": f"cuda:{index}" if kind == "cuda" else "cpu", "kind": kind, "name": name}}


def raw(*lines: dict[str, Any], known: bool = True, **more: Any) -> dict[str, Any]:
    ids = {line["device"]["id"]: H100 for line in lines if "device" in line} if known else {}
    return {"local": True, "busy": "", "expected": "", "lines": list(lines), "ids": ids, **more}


def product(index: int, form: str, rate: float) -> dict[str, Any]:
    seconds = [1e12 / rate, 2e12 / rate]
    return {"device_id": f"cuda:{index}", "format": form, "n": 8192, "operations": 1e12, "seconds": seconds}


def matmul(found: dict[str, Any], **params: Any) -> Result:
    return AcceleratorMatmul().judge(found, {"limits": {}, **params})


ACHIEVED = ROW["achievable"]["bf16"]
WARN, FAIL = (gpu_table()["thresholds"]["bf16"][band] * ACHIEVED for band in ("warn", "fail"))


@pytest.mark.parametrize(
    ("rate", "outcome"),
    [
        pytest.param(WARN * 1.001, Outcome.PASS, id="at-the-limit"),
        pytest.param(WARN * 0.999, Outcome.WARN, id="below-warn"),
        pytest.param(FAIL * 0.999, Outcome.FAIL, id="below-fail"),
    ],
)
def test_a_rate_is_held_against_what_its_kind_reaches(rate: float, outcome: Outcome) -> None:
    result = matmul(raw(device(), product(0, "bf16", rate)))
    assert result.outcome is outcome
    assert result.signals["accelerator.matmul_ratio"].value == pytest.approx(rate / ACHIEVED)
    assert result.signals["accelerator.matmul_flops"].value == pytest.approx(rate)


def test_a_slow_product_is_told_with_its_numbers() -> None:
    result = matmul(raw(device(), product(0, "bf16", 400e12)))
    share = f"{400e12 / ACHIEVED:.0%}"
    reaches = f"{ACHIEVED / 1e12:.3g} T/s that h100-sxm reaches"
    assert result.summary == f"cuda:0 (NVIDIA H100 80GB HBM3): bf16 product 400 T/s, {share} of {reaches}"


def test_an_unknown_device_alone_is_measured_and_not_judged() -> None:
    result = matmul(raw(device(name="Some Card"), product(0, "bf16", 1e12), known=False))
    assert result.outcome is Outcome.SKIP
    assert result.signals["accelerator.matmul_flops"].value == pytest.approx(1e12)
    assert result.signals["accelerator.matmul_ratio"].reason is UnknownReason.UNSUPPORTED
    assert "no limit is known for this device" in result.summary


def test_equal_devices_judge_one_another_without_a_table() -> None:
    lines = [line for index in range(4) for line in (device(index, "X"), product(index, "bf16", 8e14))]
    assert matmul(raw(*lines, known=False)).outcome is Outcome.PASS
    slow = matmul(raw(*lines[:-1], product(3, "bf16", 5e14), known=False))
    assert slow.outcome is Outcome.WARN
    assert slow.summary == "cuda:3: bf16 product 500 T/s, its equals 800 T/s"
    assert slow.signals["gpu.peer_deviation"].value == pytest.approx(1.6)


def test_a_site_judges_by_its_own_limits() -> None:
    found = raw(device(name="Some Card"), product(0, "bf16", 1e12), known=False)
    assert matmul(found, limits={"bf16": {"warn": 2e12, "fail": 5e11}}).outcome is Outcome.WARN
    assert matmul(found, limits={"bf16": {"warn": 9e11, "fail": 5e11}}).outcome is Outcome.PASS


def test_rates_are_told_without_powers_of_ten() -> None:
    lines = (device(), product(0, "bf16", 744e12), product(0, "fp8", 1350e12), product(0, "fp32", 51.17e12))
    assert matmul(raw(*lines)).summary == (
        "cuda:0: bf16 product 744 TFLOP/s; cuda:0: fp8 product 1,350 TFLOP/s; cuda:0: fp32 product 51.2 TFLOP/s"
    )


def test_what_was_refused_is_named() -> None:
    lines = (device(), product(0, "bf16", 790e12), {"device_id": "cuda:0", "format": "fp8", "refused": "no kernel"})
    assert matmul(raw(*lines)).summary.endswith("; not measured: fp8 (no kernel)")


def test_no_product_at_all_is_unknown() -> None:
    result = matmul(raw(device(), {"device_id": "cuda:0", "format": "bf16", "refused": "out of memory"}))
    assert result.outcome is Outcome.UNKNOWN
    assert result.summary == "nothing was measured; not measured: bf16 (out of memory)"


UNSEEN = "PCI lists 1 NVIDIA device"


@pytest.mark.parametrize(
    ("found", "outcome", "words"),
    [
        pytest.param({"local": False}, Outcome.SKIP, "active tests run on the engine's host", id="elsewhere"),
        pytest.param(
            raw(busy="device 0 is used by process 7"), Outcome.UNKNOWN,
            "device 0 is used by process 7; an active test runs only on free devices (drain it, or exclusive: false)",
            id="busy",
        ),
        pytest.param(
            raw({"error": "no-device", "detail": "torch 2.9 sees no accelerator"}), Outcome.SKIP,
            "torch 2.9 sees no accelerator", id="none-here",
        ),
        pytest.param(
            raw({"error": "no-device", "detail": "torch 2.9 sees no accelerator"}, expected=UNSEEN),
            Outcome.UNKNOWN, f"{UNSEEN}, and torch 2.9 sees no accelerator", id="unseen",
        ),
        pytest.param(
            raw({"torch": "2.9+cpu"}, device(kind="cpu"), expected=UNSEEN), Outcome.UNKNOWN,
            f"{UNSEEN}, and torch 2.9+cpu sees none: only the processor was tested", id="processor-only",
        ),
        pytest.param(
            raw(device(), {"error": "rank", "detail": "a rank ended with -11"}), Outcome.UNKNOWN,
            "a rank ended with -11", id="rank-died",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "check", [AcceleratorBandwidth(), AcceleratorMatmul(), AcceleratorNumerics(), AcceleratorCollective()],
    ids=lambda check: check.name,
)  # fmt: skip
def test_nothing_measured_is_never_a_pass(check: Any, found: dict[str, Any], outcome: Outcome, words: str) -> None:
    result = check.judge(found, {"limits": {}})
    assert (result.outcome, result.summary) == (outcome, words)
    assert set(result.signals) == set(check.emits)
    assert not any(reading.known for reading in result.signals.values())


def copies(rate: float, link: float) -> tuple[dict[str, Any], ...]:
    return (
        {"device_id": "cuda:0", "memory_bytes": 1e12, "memory_s": [1e12 / rate]},
        {
            "device_id": "cuda:0", "host_bytes": 1e9, "host_memory": "pinned", "to_device_s": [1e9 / link],
            "from_device_s": [1e9 / link],
        },
        {
            "device_id": "cuda:0", "host_bytes": 1e9, "host_memory": "pageable", "to_device_s": [0.5],
            "from_device_s": [0.4],
        },
    )  # fmt: skip


def test_memory_and_host_link_are_judged_apart() -> None:
    check = AcceleratorBandwidth()
    good = check.judge(raw(device(), *copies(3.0e12, 55e9)), {"limits": {}})
    assert good.outcome is Outcome.PASS
    assert good.summary == ("cuda:0: own memory 3000 GB/s; cuda:0: from the host 55 GB/s; cuda:0: to the host 55 GB/s")
    assert good.signals["gpu.host_bandwidth_ratio"].value == pytest.approx(55 / 63)
    assert good.signals["accelerator.host_bandwidth_pageable"].value == pytest.approx(2e9)
    narrow = check.judge(raw(device(), *copies(3.0e12, 13e9)), {"limits": {}})
    assert narrow.outcome is Outcome.FAIL
    assert "cuda:0 (NVIDIA H100 80GB HBM3): from the host 13 G/s, 21% of the 63 G/s peak of h100-sxm" in narrow.summary
    slow = check.judge(raw(device(), *copies(1.5e12, 55e9)), {"limits": {}})
    assert slow.outcome is Outcome.FAIL


def right(index: int = 0, **wrong: Any) -> dict[str, Any]:
    return {
        "device_id": f"cuda:{index}", "format": "bf16", "repeats": 50, "different": 0, "nonfinite": 0, "wrong": 0,
        "compared": 65_536, "digest": "aa", **wrong,
    }  # fmt: skip


def kept(**wrong: Any) -> dict[str, Any]:
    return {
        "device_id": "cuda:0", "pattern_bytes": 2**30, "free": 2**30, "goal": 2**30, "passes": 3, "miscompares": 0,
        "refused": "", **wrong,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("product_line", "memory_line", "words"),
    [
        pytest.param(right(different=2), kept(), "cuda:0: 2 of 50 repeats of one bf16 product differ", id="repeats"),
        pytest.param(right(wrong=1), kept(), "cuda:0: 1 of 65536 results of a bf16 product are wrong", id="wrong"),
        pytest.param(right(nonfinite=4), kept(), "cuda:0: 4 results of a bf16 product are no finite numbers", id="nan"),
        pytest.param(right(), kept(miscompares=3), "cuda:0: 3 memory words did not read back", id="memory"),
    ],
)
def test_one_wrong_number_fails_the_device(
    product_line: dict[str, Any], memory_line: dict[str, Any], words: str
) -> None:
    result = AcceleratorNumerics().judge(raw(device(), product_line, memory_line), {})
    assert result.outcome is Outcome.FAIL
    assert result.summary == words
    assert result.signals["gpu.active_test_ok"].value is False
    assert result.next_step == "take the device out of service; what it computed lately is suspect"


def test_sound_numbers() -> None:
    result = AcceleratorNumerics().judge(raw(device(), right(), kept()), {})
    assert result.outcome is Outcome.PASS
    assert result.summary == "50 repeats in bf16 are equal and within the bound; 1.0 GiB read back as written"
    assert result.signals["gpu.active_test_ok"].value is True
    assert result.signals["accelerator.devices_disagree"].reason is UnknownReason.UNSUPPORTED


def test_the_odd_one_of_equal_devices_is_named_and_of_two_both() -> None:
    three = [line for i in range(3) for line in (device(i), right(i, digest="bb" if i == 1 else "aa"))]
    result = AcceleratorNumerics().judge(raw(*three, kept()), {})
    assert result.summary == "cuda:1: its bf16 product differs from its equals'"
    two = AcceleratorNumerics().judge(raw(*three[:4], kept()), {})
    assert two.signals["accelerator.devices_disagree"].value == 2.0


def test_memory_that_cannot_be_had_is_a_warning() -> None:
    line = kept(refused="CUDA out of memory", pattern_bytes=2**29)
    result = AcceleratorNumerics().judge(raw(device(), right(), line), {})
    assert result.outcome is Outcome.WARN
    assert result.summary == "cuda:0: 512 MiB of 1.0 GiB could be had"


def rank(number: int, world: int = 2, wrong: int = 0) -> dict[str, Any]:
    return {
        "rank": number, "world": world, "backend": "nccl", "device_id": f"cuda:{number}", "wrong": wrong,
        "elements": 100, "latency_s": [1e-5, 2e-5, 9e-5], "reduce_bytes": 1e9, "reduce_s": [0.01, 0.02],
    }  # fmt: skip


def test_a_collective_is_right_or_wrong() -> None:
    check = AcceleratorCollective()
    good = check.judge(raw(device(0), device(1), rank(0), rank(1)), {})
    assert good.outcome is Outcome.PASS
    assert good.summary == "nccl, 2 processes: sums are right, 20 us for 1 KiB, 100.0 GB/s on the bus"
    bad = check.judge(raw(device(0), device(1), rank(0), rank(1, wrong=7)), {})
    assert bad.outcome is Outcome.FAIL
    assert bad.summary == "cuda:1: 7 of 100 sums are wrong"
    part = check.judge(raw(device(0), device(1), rank(0)), {})
    assert (part.outcome, part.summary) == (Outcome.UNKNOWN, "1 of 2 processes answered")
    alone = check.judge(raw(device(0), rank(0, world=1)), {})
    assert (alone.outcome, alone.summary) == (Outcome.SKIP, "one device; nccl starts and sums alone")
