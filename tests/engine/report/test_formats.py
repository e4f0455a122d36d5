from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from sickbay.engine.errors import UsageError
from sickbay.engine.model.outcome import ExitCode, Outcome
from sickbay.engine.model.report import Report
from sickbay.engine.report.exit_code import exit_code
from sickbay.engine.report.formats import FORMATS, format_of_path, render


def test_unknown_format(healthy: Report) -> None:
    with pytest.raises(UsageError) as caught:
        render(healthy, "jsn")
    assert str(caught.value) == "no format 'jsn'; did you mean 'json'?"
    with pytest.raises(UsageError) as caught:
        render(healthy, "pdf")
    assert str(caught.value) == ("no format 'pdf'; one of: terminal, json, markdown, html, junit, nagios, prometheus")


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("out/report.json", "json"),
        ("r.MD", "markdown"),
        ("r.html", "html"),
        ("junit.xml", "junit"),
        ("x.prom", "prometheus"),
        ("r.txt", "terminal"),
        ("r", "terminal"),
    ],
)
def test_the_ending_says_the_format(path: str, wanted: str) -> None:
    assert format_of_path(path) == wanted
    assert wanted in FORMATS


@pytest.mark.parametrize(
    ("fixture", "wanted"),
    [
        ("healthy", ExitCode.HEALTHY),
        ("admission_limit", ExitCode.FAILING),
        ("refused", ExitCode.INCONCLUSIVE),
        ("partial", ExitCode.DEADLINE),
    ],
)
def test_exit_code(fixture: str, wanted: ExitCode, request: pytest.FixtureRequest) -> None:
    report: Report = request.getfixturevalue(fixture)
    assert exit_code(report) is wanted
    assert exit_code(replace(report, interrupted=True)) is ExitCode.INTERRUPTED


def test_json_loads_neither_rich_nor_prometheus() -> None:
    program = (
        "import sys; import sickbay.engine.report.formats, sickbay.engine.report.json_form; "
        "print([m for m in ('rich', 'prometheus_client', 'aiohttp') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_folded_causes_stand_under_their_parent(admission_limit: Report) -> None:
    text = render(admission_limit, "terminal")
    assert "follow from admission-limit, if they are there: queue-growth" in text
    assert "ruled out: network-proxy-buffering" in text
    assert "cannot be assessed: gpu-throttle, needs gpu.clock_ratio" in text


def test_the_fix_for_this_engine_comes_first(admission_limit: Report) -> None:
    for form in ("terminal", "markdown", "html"):
        text = render(admission_limit, form)
        assert text.index("--parallel 8") < text.index("--max-num-seqs 64")
    text = render(replace(admission_limit, engine="vllm"), "terminal")
    assert text.index("--max-num-seqs 64") < text.index("--parallel 8")


def test_causes_that_explain_each_other_are_still_shown(admission_limit: Report) -> None:
    diagnosis = admission_limit.verdict.diagnosis
    assert diagnosis is not None
    first, second, *rest = diagnosis.causes
    circle = (replace(first, explained_by=second.cause), second, *rest)
    verdict = replace(admission_limit.verdict, diagnosis=replace(diagnosis, causes=circle))
    assert "admission-limit" in render(replace(admission_limit, verdict=verdict), "json")
    assert "admission-limit" in render(replace(admission_limit, verdict=verdict), "terminal")


def test_no_format_but_json_shows_raw_evidence(admission_limit: Report) -> None:
    step = replace(admission_limit.steps[0], raw={"answer": "my secret prompt"})
    report = replace(admission_limit, steps=(step, *admission_limit.steps[1:]))
    assert [form for form in FORMATS if "my secret prompt" in render(report, form)] == ["json"]


def test_steps_left_out_for_one_reason_share_a_row(healthy: Report) -> None:
    first = healthy.steps[0]
    gone = [
        replace(first, id=name, outcome=Outcome.SKIP, summary="no NVIDIA GPU here and none expected", expectations=())
        for name in ("gpu.ecc", "gpu.clocks")
    ]
    other = replace(gone[0], id="host.clock", summary="the engine runs elsewhere")
    text = render(replace(healthy, steps=(*healthy.steps, gone[0], other, gone[1])), "terminal")
    assert "skip    gpu.ecc, gpu.clocks: no NVIDIA GPU here and none expected\n" in text
    assert "skip    host.clock" in text
