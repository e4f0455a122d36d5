"""A server chooses the words of its errors. None of them may act in any format."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sickbay.engine.model.cause import Fix
from sickbay.engine.model.report import ExpectationReport, Report
from sickbay.engine.model.signal import UnknownReason, measured, unknown
from sickbay.engine.report.formats import FORMATS, render
from sickbay.engine.report.markdown import escaped

EVIL = (
    "\x1b[31mred\x1b[0m \x1b]0;owned\x07 \x9b2J </style><script>alert(1)</script> <img src=x onerror=alert(1)> "
    "a|b\r\nc\n| d | \u202egnp.exe\u202c \u2066x\u2069 ]]> &amp; ' \" `code` **bold** [link](javascript:alert(1)) "
    "@everyone #1 $(reboot) {x} \x00\x08\u200b\ufeff\u2028end"
)

OUR_TAGS = frozenset(
    "html head meta title style body main header section h1 h2 h3 p span b div ul li dl dt dd code pre details summary "  # noqa: SIM905
    "figure figcaption svg rect text line circle table thead tbody tr th td footer".split()
)


@pytest.fixture
def evil(admission_limit: Report) -> Report:
    steps = list(admission_limit.steps)
    steps[0] = replace(
        steps[0],
        id=f"step{EVIL}",
        check=EVIL,
        summary=EVIL,
        reason=EVIL,
        next_step=EVIL,
        trace=f"Traceback\n  {EVIL}\n",
        signals={f"sig{EVIL}": measured(EVIL, EVIL)},
        requests=tuple(replace(one, url=EVIL, error=EVIL) for one in steps[0].requests),
        expectations=(
            ExpectationReport(signal=EVIL, outcome=steps[2].outcome, value=EVIL, warn=EVIL, fail=EVIL, detail=EVIL),
        ),
        raw={"requests": [{"prompt": EVIL[:20], "ttft_s": 0.5}]},
    )
    steps[2] = replace(steps[2], summary=EVIL)
    verdict = admission_limit.verdict
    assert verdict.diagnosis is not None
    top = verdict.diagnosis.causes[0]
    top = replace(
        top,
        cause=f"x{EVIL}",
        means=EVIL,
        evidence=tuple(replace(rule, because=EVIL, id=EVIL) for rule in top.evidence),
        fix=(Fix(do=EVIL, how={"llamacpp": EVIL, EVIL: EVIL}, risk=EVIL, undo=EVIL, verify=EVIL),),
        seen_in=(EVIL,),
    )
    causes = (top, *verdict.diagnosis.causes[1:])
    return replace(
        admission_limit,
        title=EVIL,
        runbook=EVIL,
        target=EVIL,
        url=EVIL,
        engine_version=EVIL,
        model=EVIL,
        host=EVIL,
        inputs={EVIL: EVIL},
        steps=tuple(steps),
        signals={
            **admission_limit.signals,
            f"sig{EVIL}": measured(EVIL),
            "num'b=er|": measured(1.0),
            "gone": unknown(UnknownReason.MALFORMED, EVIL),
        },
        verdict=replace(verdict, summary=EVIL, diagnosis=replace(verdict.diagnosis, summary=EVIL, causes=causes)),
    )


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("colour", [False, True])
def test_no_control_character_and_no_direction_mark(evil: Report, form: str, colour: bool) -> None:
    text = render(evil, form, colour=colour)
    text = re.sub(r"\x1b\[(?:\d+;)*\d*m", "", text) if colour and form == "terminal" else text
    assert not re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]", text)
    assert "owned" not in text or form == "json"


def test_terminal_lines_stay_within_80_columns(evil: Report) -> None:
    assert max(map(len, render(evil, "terminal").splitlines())) <= 80


def test_html_has_only_our_own_tags(evil: Report) -> None:
    text = render(evil, "html")
    assert text.count("</style>") == 1
    assert "<script" not in text
    assert "<img" not in text
    assert set(re.findall(r"<([a-z0-9]+)", text)) <= OUR_TAGS


def test_junit_is_well_formed(evil: Report) -> None:
    suite = ET.fromstring(render(evil, "junit"))
    failure = suite.find("testsuite/testcase/failure")
    assert failure is not None
    assert "]]>" in (failure.get("message") or "")


def test_nagios_is_one_line_with_one_bar(evil: Report) -> None:
    line = render(evil, "nagios")
    assert line.count("\n") == 1
    assert line.count("|") == 1
    assert len(line) <= 1025
    perfdata = line.split(" | ")[1].strip()
    assert re.fullmatch(r"(?:'[^'=|]+'=(?:U|-?[\d.]+)(?:s|%|B)?(?:;[\d.:~@-]*;[\d.:~@-]*)? ?)+", perfdata)


def test_markdown_tables_and_markup_stay_ours(evil: Report) -> None:
    text = render(evil, "markdown")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(evil.steps)
    unescaped = re.compile(r"(?<!\\)\|")
    assert {len(unescaped.findall(line)) for line in table} == {5}
    outside = re.sub(r"`[^`]*`", "", text.replace("<br>", ""))
    assert not re.search(r"(?<!\\)[<\[\]*]", outside.replace("**", ""))
    assert "@" not in outside
    assert not re.search(r"(?<!\\)`", re.sub(r"(?<!\\)`[^`]*`", "", text))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("> quoted", "\\> quoted"),
        ("# title", "\\# title"),
        ("- item", "\\- item"),
        ("1. item", "1\\. item"),
        ("6 > 4", "6 > 4"),
        ("serving.queue_s_mean", "serving.queue_s_mean"),
        ("_soft_ *hard*", "\\_soft\\_ \\*hard\\*"),
        ("<b> &lt;", "\\<b> &amp;lt;"),
        ("a|b @team", "a\\|b (at)team"),
    ],
)
def test_markdown_escape(text: str, wanted: str) -> None:
    assert escaped(text) == wanted


def test_prometheus_parses_back(evil: Report) -> None:
    families = list(text_string_to_metric_families(render(evil, "prometheus")))
    labels = {value for family in families for sample in family.samples for value in sample.labels.values()}
    assert all(len(value) <= 120 for value in labels)
    assert not any("http://" in value for value in labels)
