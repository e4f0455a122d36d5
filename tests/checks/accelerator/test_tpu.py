"""accelerator.tpu with a stand-in for libtpu that gives what its documentation shows; no TPU was at hand."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from sickbay.checks.accelerator.tpu import AcceleratorTpu
from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.signal import UnknownReason
from sickbay.engine.model.target import Target
from tests.checks.conftest import Runs, Tree

TWO = {f"/sys/bus/pci/devices/0000:00:0{n}.0/vendor": "0x1ae0\n" for n in (4, 5)}
NONE = {"/sys/bus/pci/devices/0000:00:01.0/vendor": "0x8086\n"}


def install(monkeypatch: pytest.MonkeyPatch, metrics: dict[str, list[str]]) -> None:
    def get_metric(name: str) -> Any:
        if name not in metrics:
            raise RuntimeError(name)
        return SimpleNamespace(data=lambda: metrics[name])

    sdk = ModuleType("libtpu.sdk")
    sdk.tpumonitoring = SimpleNamespace(get_metric=get_metric)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "libtpu", ModuleType("libtpu"))
    monkeypatch.setitem(sys.modules, "libtpu.sdk", sdk)


def host(tree: Tree, files: dict[str, str]) -> Target:
    return Target(name="x", local=True, root=tree(files))


def test_two_chips_at_work(monkeypatch: pytest.MonkeyPatch, tree: Tree, run_check: Runs) -> None:
    install(monkeypatch, {
        "duty_cycle_pct": ["20.00", "85.50"], "hbm_capacity_total": ["100", "100"], "hbm_capacity_usage": ["50", "75"],
    })  # fmt: skip
    _, result = run_check(AcceleratorTpu(), host(tree, TWO))
    assert result.outcome is Outcome.PASS
    assert result.summary == "2 TPU chips: memory at most 75% full, at work 20% to 86%"
    assert result.signals["accelerator.tpu_duty_cycle_ratio"].value == pytest.approx(0.2)


def test_full_memory(monkeypatch: pytest.MonkeyPatch, tree: Tree, run_check: Runs) -> None:
    install(monkeypatch, {"duty_cycle_pct": ["1"], "hbm_capacity_total": ["100"], "hbm_capacity_usage": ["99"]})
    assert run_check(AcceleratorTpu(), host(tree, TWO))[1].outcome is Outcome.WARN


def test_chips_without_the_library(tree: Tree, run_check: Runs) -> None:
    _, result = run_check(AcceleratorTpu(), host(tree, TWO))
    assert (result.outcome, result.summary) == (
        Outcome.SKIP, "2 TPU chips; the Python package libtpu is not installed",
    )  # fmt: skip
    assert result.signals["accelerator.tpu_count"].value == 2.0
    assert result.signals["accelerator.tpu_memory_used_ratio"].reason is UnknownReason.MISSING_LIBRARY


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        pytest.param({}, "2 TPU chips; libtpu does not tell duty_cycle_pct: RuntimeError", id="refuses"),
        pytest.param(
            {"duty_cycle_pct": [], "hbm_capacity_total": [], "hbm_capacity_usage": []},
            "2 TPU chips; libtpu tells nothing: no program uses the TPU", id="idle",
        ),
        pytest.param(
            {"duty_cycle_pct": ["?"], "hbm_capacity_total": ["?"], "hbm_capacity_usage": []},
            "2 TPU chips; libtpu tells nothing: no program uses the TPU", id="no-numbers",
        ),
    ],
)  # fmt: skip
def test_a_library_that_tells_nothing(
    monkeypatch: pytest.MonkeyPatch, tree: Tree, run_check: Runs, metrics: dict[str, list[str]], words: str
) -> None:
    install(monkeypatch, metrics)
    _, result = run_check(AcceleratorTpu(), host(tree, TWO))
    assert (result.outcome, result.summary) == (Outcome.SKIP, words)


def test_no_chip_here(tree: Tree, run_check: Runs) -> None:
    _, result = run_check(AcceleratorTpu(), host(tree, NONE))
    assert result.summary == "no TPU here: PCI lists none; the Python package libtpu is not installed"
    elsewhere = run_check(AcceleratorTpu(), Target(name="x", local=False))[1]
    assert elsewhere.outcome is Outcome.SKIP
