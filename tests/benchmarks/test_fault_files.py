"""Every fault and control of the benchmark loads, and says what a fault must say."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.diagnosis.run_faults import BLIND, CONTROLS, FAULTS, LATER, OUTPUT_BLIND, OUTPUT_BLIND2, load_faults
from sickbay.lab.fault import Fault

FILES = load_faults([FAULTS, CONTROLS])
ALL = [*FILES, *load_faults([LATER, BLIND, OUTPUT_BLIND, OUTPUT_BLIND2])]
CAUSES = {path.stem for path in (Path(__file__).parents[2] / "sickbay" / "causes").glob("*/*.yaml")}


def test_thirty_five_faults_and_ten_controls() -> None:
    assert [fault.name[:7] for fault in FILES if fault.is_control] == [f"ctl-{n:03}" for n in range(1, 11)]
    assert [fault.name[:7] for fault in FILES if not fault.is_control] == [f"flt-{n:03}" for n in range(1, 36)]


@pytest.mark.parametrize("fault", ALL, ids=lambda fault: fault.name[:7])
def test_it_names_causes_of_the_catalogue(fault: Fault) -> None:
    expected = fault.expected
    named = {expected.top_cause, *expected.also_accept, *expected.must_not_blame} - {""}
    assert named <= CAUSES
    assert not {expected.top_cause, *expected.also_accept} & set(expected.must_not_blame)
    assert expected.must_not_blame or fault.is_control
    assert fault.lane
    if fault.is_control:
        assert "failing" not in expected.verdicts


@pytest.mark.parametrize("fault", ALL, ids=lambda fault: fault.name[:7])
def test_what_it_compares_with_is_there(fault: Fault) -> None:
    well = fault.when_well()
    assert fault.impact.get("against") != "before" or well is not None
    for one in filter(None, (fault, well)):
        for page in one.stub.get("pages", ()):
            assert "file" not in page or (fault.folder / page["file"]).is_file()
    if well is not None:
        assert well.before is None
        assert well.expected == fault.expected
