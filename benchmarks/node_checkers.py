# ruff: noqa: E501  # a table of one case a line
"""Faults and blind spots of a GPU node, put to sickbay and to Meta's gcm (PyPI gpucm) on the same simulated devices.

python -m benchmarks.node_checkers --gcm PATH/TO/health_checks [--json FILE]

Each row is a case from which a checker must not come back green. gcm is asked as its documentation shows it: one
command a check, its exit code in Nagios order. What gcm does not look at is said ("no such check") and not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.diagnosis.gpu_sim import environment_for
from tests.nvml.state import NvmlState

__all__ = ["CASES", "Case", "main"]

TIMEOUT_S = 60.0
WORDS = {0: "green", 1: "warning", 2: "failing", 3: "unknown"}
SMI = ("check-nvidia-smi", "fair_cluster", "nagios", "--sink", "do_nothing")
MISCONFIGURED = "[health_checks]\n[health_checks.check-nvidia-smi]\ngpu_numm = 4\n"
INIT = ("nvmlInit", "nvmlInit_v2", "nvmlInitWithFlags")


@dataclass(frozen=True)
class Case:
    """One fault. `gcm` is its command line after the program, None where it has no such check."""

    name: str
    put: Callable[[NvmlState], object]
    gcm: tuple[str, ...] | None
    sickbay: tuple[str, ...]
    config: str = ""
    green: bool = False  # a control: green is right


def _smi(check: str, *more: str) -> tuple[str, ...]:
    return (*SMI, "-c", check, *more)


def _init(code: int) -> Callable[[NvmlState], object]:
    return lambda state: state.top(returns=dict.fromkeys(INIT, code))


ECC = _smi("ecc_uncorrected_volatile_total", "--ecc_uncorrected_volatile_threshold", "0")
COUNT, HEAT = _smi("gpu_num", "--gpu_num", "8"), _smi("gpu_temperature", "--gpu_temperature_threshold", "84")
CASES = (
    Case("control: a good node", lambda state: state, COUNT, ("gpu.present",), green=True),
    Case("control: full load at the power cap", lambda state: state.every(clock_events=4), HEAT, ("gpu.clocks",), green=True),
    Case("one GPU of eight is missing", lambda state: state.data["devices"].pop() and state.top(), COUNT, ("gpu.present",)),
    Case("a GPU is lost", lambda state: state.device(3, lost=True), COUNT, ("gpu.present",)),
    Case("permission refused by the driver", _init(4), COUNT, ("gpu.present",)),
    Case("library and module differ", _init(18), COUNT, ("gpu.present",)),
    Case("no driver answer, no reason (999)", _init(999), COUNT, ("gpu.present",)),
    Case("one uncorrected error", lambda state: state.device(2, ecc={"uncorrected_volatile": {"total": 1}}), ECC, ("gpu.ecc",)),
    Case("the error counter is refused (999)", lambda state: state.every(returns={"nvmlDeviceGetTotalEccErrors": 999}), ECC, ("gpu.ecc",)),
    Case("SRAM errors past the vendor's limit", lambda state: state.device(2, ecc={"sram": {"exceeded": 1}}), ECC, ("gpu.ecc",)),
    Case("a row remapping failed", lambda state: state.device(2, remap={"failed": 1}), _smi("row_remap_failed"), ("gpu.ecc",)),
    Case("a row remapping is pending", lambda state: state.device(2, remap={"pending": 1}), _smi("row_remap_pending"), ("gpu.ecc",)),
    Case("a call about heat never returns", lambda state: state.device(1, hang={"nvmlDeviceGetTemperature": True}), HEAT, ("gpu.clocks",)),
    Case("slowed for heat at 80 degrees", lambda state: state.device(1, temperature={"core": 80, "margin": -1}, fields={"270": {"rate_per_s": 8e8}}), HEAT, ("gpu.clocks",)),
    Case("power brake on", lambda state: state.device(1, fields={"271": {"rate_per_s": 8e8}}), None, ("gpu.clocks",)),
    Case("eight PCIe lanes while busy", lambda state: state.device(1, pcie={"width": 8}), None, ("gpu.pcie",)),
    Case("two NVLinks down", lambda state: state.device(1, nvlink={"down": [2, 3]}), None, ("gpu.nvlink",)),
    Case("fabric not ready", lambda state: state.every(fabric={"state": 2}), None, ("gpu.nvlink",)),
    Case("30 GiB that nobody owns", lambda state: state.device(1, memory={"used": 30 * 2**30}), _smi("gpu_mem_usage", "--gpu_mem_usage_threshold", "15"), ("gpu.memory",)),
    Case("a misspelt key in the configuration", lambda state: state, COUNT, (), config=MISCONFIGURED),
    Case("an unknown block in the configuration", lambda state: state, COUNT, (), config="[health_checks]\n[nothing_like_it]\nx = 1\n"),
    Case("no check chosen", lambda state: state, SMI, ("nothing.chosen",)),
)  # fmt: skip


def _ask(command: Sequence[str], env: dict[str, str]) -> tuple[str, float]:
    began_s = time.monotonic()
    folder = Path(env["NVML_SIM_STATE"]).parent  # gcm writes its logs where it is started
    try:
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, cwd=folder
        )
        code = done.returncode
    except subprocess.TimeoutExpired:
        return f"hangs (over {TIMEOUT_S:.0f} s)", TIMEOUT_S
    return WORDS.get(code, f"refuses ({code})"), time.monotonic() - began_s


def _sickbay(case: Case, folder: Path) -> list[str]:
    config = folder / "sickbay.yaml"
    wrong = "gpuss: 3\n" if "misspelt" in case.name else "nothing_like_it: {x: 1}\n" if case.config else ""
    config.write_text(f"targets:\n  node: {{local: true, gpus: '{','.join(map(str, range(8)))}'}}\n{wrong}")
    if "misspelt" in case.name:
        config.write_text("targets:\n  node: {local: true, gpuss: '0,1'}\n")
    command = [sys.executable, "-m", "sickbay", "run", "node-preflight", "--config", str(config), "--target", "node"]
    command += ["--no-journal", "--no-progress", "--format", "nagios", "--set", "gpus_expected=8"]
    return command + [word for step in case.sickbay for word in ("--only", step)]


def _rows(gcm: str, folder: Path) -> Iterator[dict[str, Any]]:
    env = environment_for(folder) | {"PYTHONPATH": str(Path(__file__).parents[1])}
    for case in CASES:
        state = NvmlState(folder, "h100", 8).busy()
        case.put(state)
        row: dict[str, Any] = {"case": case.name, "control": case.green}
        if case.gcm is None or not gcm:
            row["gcm"], row["gcm_s"] = "no such check" if gcm else "not installed", None
        else:
            settings = folder / "gcm.toml"
            settings.write_text(case.config or "[health_checks]\n")
            row["gcm"], row["gcm_s"] = _ask([gcm, "--config", str(settings), *case.gcm], env)
        row["sickbay"], row["sickbay_s"] = _ask(_sickbay(case, folder), env)
        yield row


TEN = (
    COUNT, HEAT, ECC, _smi("row_remap_failed"), _smi("row_remap_pending"), _smi("gpu_retired_pages", "--gpu_retired_pages_threshold", "10"),
    _smi("gpu_mem_usage", "--gpu_mem_usage_threshold", "15"), ("check-storage", "disk-usage", "fair_cluster", "nagios", "--sink", "do_nothing", "-v", "/"),
    ("check-process", "check-zombie", "fair_cluster", "nagios", "--sink", "do_nothing"),
    ("check-syslogs", "xid", "fair_cluster", "nagios", "--sink", "do_nothing"),
)  # fmt: skip
OUR_TEN = (
    "gpu.present", "gpu.clocks", "gpu.ecc", "gpu.pcie", "gpu.memory", "gpu.nvlink", "gpu.modes", "host.disk", "gpu.peers",
    "gpu.xid",
)  # fmt: skip


def _ten(gcm: str, folder: Path) -> dict[str, float | None]:
    """Seconds for ten checks on a good node: one command each with gcm, one run with sickbay."""
    env = environment_for(folder) | {"PYTHONPATH": str(Path(__file__).parents[1])}
    NvmlState(folder, "h100", 8).busy()
    theirs = sum(_ask([gcm, "--config", "/dev/null", *one], env)[1] for one in TEN) if gcm else None
    ours = _ask(_sickbay(Case("", lambda _: None, None, OUR_TEN), folder), env)[1]
    return {"gcm_ten_s": theirs, "sickbay_ten_s": ours}


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; exit 0 unless sickbay came back green where it must not."""
    parser = argparse.ArgumentParser(prog="node_checkers", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--gcm", default=os.environ.get("GCM", ""), help="its health_checks program")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="sickbay-nodes-") as name:
        rows = list(_rows(args.gcm, Path(name)))
        ten = _ten(args.gcm, Path(name))
    for row in rows:
        took = "" if row["gcm_s"] is None else f", {row['gcm_s']:.1f} s"
        theirs = row["gcm"] + took
        print(f"{row['case']:<40} {theirs:<26} {row['sickbay']}, {row['sickbay_s']:.1f} s")
    print(json.dumps(ten))
    if args.json:
        args.json.write_text(json.dumps({"cases": rows, **ten}, indent=1))
    wrong = [row["case"] for row in rows if (row["sickbay"] == "green") != row["control"]]
    print(f"sickbay wrong: {wrong or 'never'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
