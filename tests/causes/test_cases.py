"""For every cause signals on which it must rank first, and signals on which a sibling must."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from sickbay.engine.diagnose import diagnose
from sickbay.engine.model.cause import Cause
from sickbay.engine.model.signal import Reading, measured
from sickbay.engine.model.verdict import Band, Diagnosis

FOLDER = Path(__file__).parent / "cases"
FILES = sorted(FOLDER.rglob("*.yaml"))


def readings(values: Mapping[str, Any]) -> dict[str, Reading]:
    return {name: measured(value) for name, value in values.items()}


def run(case: Mapping[str, Any], causes: Mapping[str, Cause]) -> Diagnosis:
    candidates = [cause for cause in causes.values() if case["symptom"] in cause.prior]
    return diagnose(
        candidates,
        readings(case["signals"]),
        symptom=case["symptom"],
        inputs={},
        baseline=readings(case.get("baseline", {})),
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_case(path: Path, causes: dict[str, Cause]) -> None:
    case = yaml.safe_load(path.read_text())
    diagnosis = run(case, causes)
    order = [
        f"{f.cause} {f.band} {f.probability:.2f} for={[r.id for r in f.supporting]} against={[r.id for r in f.against]}"
        for f in diagnosis.causes[:4]
    ]
    top = diagnosis.causes[0].cause if diagnosis.fits else None
    assert top == case["top"], order
    if "band" in case:
        assert diagnosis.causes[0].band == case["band"], order
    confirmed = {finding.cause for finding in diagnosis.causes if finding.band is Band.CONFIRMED}
    assert not confirmed & set(case.get("must_not_blame", ())), order
    if case["top"] is None:
        assert not confirmed, order


def test_the_case_names_signals_of_the_vocabulary(vocabulary: Mapping[str, Any]) -> None:
    unknown = {
        (path.parent.name, path.stem, name)
        for path in FILES
        for part in ("signals", "baseline")
        for name in yaml.safe_load(path.read_text()).get(part, {})
        if name not in vocabulary
    }
    assert not unknown


def test_every_cause_has_a_case_and_a_near_miss(causes: dict[str, Cause]) -> None:
    with_case = {path.parent.name for path in FILES if not path.stem.startswith("near-miss")}
    with_near_miss = {path.parent.name for path in FILES if path.stem.startswith("near-miss")}
    assert set(causes) - with_case == set()
    assert set(causes) - with_near_miss == set()
