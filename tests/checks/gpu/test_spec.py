"""The table of GPUs: every figure has a source, and no threshold can pass everything or nothing."""

from __future__ import annotations

from typing import Any

import pytest

from sickbay.checks.gpu.spec import gpu_table, spec_of

TABLE = gpu_table()
GPUS: dict[str, Any] = TABLE["gpus"]


def thresholds() -> list[Any]:
    """Every absolute threshold of every device: name, value, peak."""
    rows = []
    for name, gpu in GPUS.items():
        for test, shares in TABLE["thresholds"].items():
            peak = gpu["power_w"] if test == "power" else gpu.get(test)
            if peak is None:
                continue
            achieved = gpu.get("achievable", {}).get(test) if shares["of"] == "achievable" else None
            base = peak if achieved is None else achieved
            shares = shares if achieved is not None else shares.get("of_peak", shares)  # noqa: PLW2901
            rows += [pytest.param(base * shares[band], peak, id=f"{name}-{test}-{band}") for band in ("warn", "fail")]
    return rows


@pytest.mark.parametrize(("threshold", "peak"), thresholds())
def test_thresholds_lie_between_30_and_100_percent_of_the_peak(threshold: float, peak: float) -> None:
    assert 0.3 * peak <= threshold <= peak


@pytest.mark.parametrize("test", TABLE["thresholds"])
def test_failing_is_below_warning_and_has_a_source(test: str) -> None:
    row = TABLE["thresholds"][test]
    assert row["fail"] < row["warn"]
    assert row["source"]


@pytest.mark.parametrize("name", GPUS)
def test_rows_are_complete_and_in_base_units(name: str) -> None:
    gpu = GPUS[name]
    assert set(gpu["sources"]) <= set(TABLE["sources"])
    assert gpu["sources"]
    assert 10e9 < gpu["memory_bytes"] < 400e9
    assert 200e9 <= gpu["memory_bandwidth"] <= 10e12
    assert 1e13 < gpu.get("bf16", gpu.get("fp16")) < 1e16
    assert 50 <= gpu["power_w"] <= 1500
    # One direction of sixteen lanes, as the PCI specification gives it.
    assert gpu["pcie"] == {3: 16e9, 4: 31e9, 5: 63e9}[gpu["pcie_generation"]]
    assert gpu["nvlinks"] in {0, 12, 18}
    assert ("nvlink_pair" in gpu) == (gpu["nvlinks"] > 0)


@pytest.mark.parametrize("name", [name for name, gpu in GPUS.items() if "fp8" in gpu])
def test_fp8_is_dense_and_not_sparse(name: str) -> None:
    assert 1.9 < GPUS[name]["fp8"] / GPUS[name]["bf16"] < 2.1


@pytest.mark.parametrize("name", [name for name, gpu in GPUS.items() if "achievable" in gpu])
def test_achieved_is_less_than_the_peak(name: str) -> None:
    for test, achieved in GPUS[name]["achievable"].items():
        assert 0.5 < achieved / GPUS[name][test] < 1


def test_device_ids_are_unique() -> None:
    ids = [each for gpu in GPUS.values() for each in gpu["device_ids"]]
    assert len(ids) == len(set(ids))
    assert all(len(each) == 4 and each == each.lower() for each in ids)


def test_a_device_is_found_by_its_id_not_its_name() -> None:
    found = spec_of(0x233010DE)
    assert found is not None
    assert found["key"] == "h100-sxm"
    assert spec_of(0xFFFF10DE) is None
    assert spec_of(None) is None
