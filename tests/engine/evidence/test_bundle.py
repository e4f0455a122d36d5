from __future__ import annotations

import dataclasses
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sickbay.engine.errors import ConfigError, DeliveryError
from sickbay.engine.evidence.bundle import read_bundle, write_bundle
from sickbay.engine.evidence.recompute import recompute
from sickbay.engine.model.cause import Weight
from sickbay.engine.model.check import Check, Raw, Result
from sickbay.engine.model.outcome import Layer, Outcome, VerdictState
from sickbay.engine.model.report import Report, StepReport
from sickbay.engine.model.signal import measured
from sickbay.engine.model.verdict import Band, CauseFinding, Diagnosis, RuleFinding, Verdict


class Halving(Check):
    name = "half.one"
    title = "half"
    emits = ("x.half",)

    def look(self, look: Any, params: Mapping[str, Any]) -> Raw:
        raise AssertionError("replay never looks")

    def judge(self, raw: Raw, params: Mapping[str, Any]) -> Result:
        return Result(outcome=Outcome.PASS, summary="", signals={"x.half": measured(raw["n"] / params["by"])})


CHECKS: dict[str, Check] = {"half.one": Halving()}


def make_report() -> Report:
    half = dataclasses.replace(measured(4.0), step="a/b #1", at_s=5.0)
    rule = RuleFinding(
        id="r", weight=Weight.STRONG, when="x.half > inputs.limit", holds=True, because="4 is over 3",
        numbers={"x.half": 4.0, "inputs.limit": 3.0},
    )  # fmt: skip
    cause = CauseFinding(
        cause="c", layer=Layer.SERVING, means="", band=Band.LIKELY, probability=0.9, log_odds=2.0, coverage=1.0,
        evidence=(rule,),
    )  # fmt: skip
    step = StepReport(
        id="a/b #1", check="half.one", outcome=Outcome.PASS, summary="", started_s=0.0, elapsed_s=1.0,
        params={"by": 2}, signals={"x.half": half}, raw={"n": 8, "text": "ünï \u0001"},
    )  # fmt: skip
    return Report(
        run_id="r1", runbook="b", title="", target="t", url="", engine="", engine_version="", model="",
        started_at=1_700_000_000.0, elapsed_s=1.0, inputs={"limit": 3.0}, steps=(step,), signals={"x.half": half},
        verdict=Verdict(
            state=VerdictState.FAILING, summary="",
            diagnosis=Diagnosis(causes=(cause,), coverage=1.0, fits=True, summary=""),
        ),
    )  # fmt: skip


def changed(report: Report, **step: Any) -> Report:
    return dataclasses.replace(report, steps=(dataclasses.replace(report.steps[0], **step),))


def test_a_bundle_comes_back_whole(tmp_path: Path) -> None:
    report = make_report()
    path = write_bundle(report, tmp_path / "r.tar.gz")
    assert read_bundle(path) == report
    assert path.stat().st_mode & 0o777 == 0o600
    assert recompute(read_bundle(path), CHECKS) == []
    with tarfile.open(path) as tar:
        assert tar.getnames() == ["manifest.json", "report.json", "raw/00-a_b__1.json"]


def test_the_same_report_gives_the_same_bytes(tmp_path: Path) -> None:
    first = write_bundle(make_report(), tmp_path / "1.tar.gz").read_bytes()
    assert write_bundle(make_report(), tmp_path / "2.tar.gz").read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.tar.gz", "2.tar.gz"]


def test_a_bundle_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match=r"the bundle '.*' cannot be written: No such file or directory"):
        write_bundle(make_report(), tmp_path / "none" / "r.tar.gz")


def rewritten(path: Path, change: Any) -> Path:
    """The bundle with its members changed."""
    with tarfile.open(path) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]
    out = path.with_name("changed.tar.gz")
    with tarfile.open(out, "w:gz") as tar:
        for member, data in change(members):
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out


def link(name: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return member


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda all_: [(m, d.replace(b'"n": 8', b'"n": 9')) for m, d in all_], "it was changed after it was written"),
        (lambda all_: all_[:2], "'raw/00-a_b__1.json' is missing; the bundle is damaged"),
        (lambda all_: all_[1:], "has no manifest.json of a sickbay bundle, version 1"),
        (lambda all_: [*all_, (tarfile.TarInfo("../../evil"), b"x")], "holds '../../evil', which its manifest does"),
        (lambda all_: [*all_, (link("l"), b"")], "'l' is no regular file; a bundle holds nothing else"),
        (lambda all_: [*all_, all_[0]], "holds 'manifest.json' twice"),
    ],
)
def test_a_changed_bundle_is_refused(tmp_path: Path, change: Any, words: str) -> None:
    path = write_bundle(make_report(), tmp_path / "r.tar.gz")
    with pytest.raises(ConfigError) as caught:
        read_bundle(rewritten(path, change))
    assert words in str(caught.value)


def test_a_bomb_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sickbay.engine.evidence.bundle.BYTES_MAX", 100)
    path = write_bundle(make_report(), tmp_path / "r.tar.gz")
    with pytest.raises(ConfigError, match="holds over 100 bytes"):
        read_bundle(path)


@pytest.mark.parametrize("data", [b"", b"no archive", b"\x1f\x8b\x08\x00truncated"])
def test_no_bundle(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(ConfigError, match=r"wanted a sickbay bundle \(.tar.gz\); it cannot be read"):
        read_bundle(tmp_path / "x")


def test_a_grounded_report_has_no_difference() -> None:
    assert recompute(make_report(), CHECKS) == []


def test_what_does_not_recompute_is_told() -> None:
    report = make_report()
    found = recompute(changed(report, raw={"n": 10}), CHECKS)
    assert [str(each) for each in found] == ["step a/b #1: x.half: the report says 4.0, its evidence gives 5.0"]
    bare = recompute(changed(report, raw=None), CHECKS)
    assert [str(each) for each in bare] == [
        "step a/b #1: x.half: the report says 4.0, its evidence gives nothing: the step has no raw evidence"
    ]
    assert "KeyError" in recompute(changed(report, raw={}), CHECKS)[0].recomputed
    assert recompute(report, {})[0].recomputed == "nothing: no such check is installed"


def test_cited_numbers_must_be_the_runs() -> None:
    report = make_report()
    other = dataclasses.replace(report, inputs={"limit": 2.0})
    assert [str(each) for each in recompute(other, CHECKS)] == [
        "cause c, evidence r: inputs.limit: the report says 3.0, its evidence gives 2.0"
    ]
    orphan = dataclasses.replace(report, signals={"x.half": measured(7.0)})
    found = [each.where for each in recompute(orphan, CHECKS)]
    assert found == ["signal x.half (step none)", "cause c, evidence r: x.half"]
