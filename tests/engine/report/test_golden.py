"""Every format of four realistic reports. `SICKBAY_REWRITE_GOLDEN=1 pytest …` writes them; review the diff."""

from __future__ import annotations

import os
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from sickbay.engine.model.report import Report
from sickbay.engine.report.exit_code import exit_code
from sickbay.engine.report.formats import FORMATS, render

GOLDEN = Path(__file__).parent / "golden"
SUFFIX = {
    "terminal": "txt",
    "json": "json",
    "markdown": "md",
    "html": "html",
    "junit": "xml",
    "nagios": "nagios",
    "prometheus": "prom",
}


@pytest.mark.parametrize("form", FORMATS)
def test_golden(named_report: tuple[str, Report], form: str) -> None:
    name, report = named_report
    path = GOLDEN / f"{name}.exit-{int(exit_code(report))}.{SUFFIX[form]}"
    text = render(report, form, written=("out/report.html",) if form == "terminal" else ())
    if os.environ.get("SICKBAY_REWRITE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_every_golden_file_belongs_to_a_report() -> None:
    assert len(list(GOLDEN.iterdir())) == 4 * len(FORMATS)
    assert set(SUFFIX) == set(FORMATS)


@pytest.mark.parametrize("form", FORMATS)
def test_ends_with_one_newline(any_report: Report, form: str) -> None:
    text = render(any_report, form)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_terminal_is_80_columns_of_ascii_without_escapes(any_report: Report) -> None:
    lines = render(any_report, "terminal").splitlines()
    assert max(map(len, lines)) <= 80
    assert all(line.isascii() and "\x1b" not in line and line == line.rstrip() for line in lines)


def test_colour_changes_no_word(any_report: Report) -> None:
    coloured = render(any_report, "terminal", colour=True)
    assert "\x1b[" in coloured
    without = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert [line.rstrip() for line in without.splitlines()] == render(any_report, "terminal").splitlines()


@pytest.mark.parametrize("width", [60, 100, 200])
def test_terminal_keeps_to_other_widths(any_report: Report, width: int) -> None:
    assert max(map(len, render(any_report, "terminal", width=width).splitlines())) <= width


def test_html_asks_for_nothing_from_elsewhere(any_report: Report) -> None:
    text = render(any_report, "html")
    assert not re.search(r"<(?:script|link|iframe|img|object|embed|base)\b", text)
    assert not re.search(r"\s(?:src|href|srcset|action|style|on[a-z]+)=", text)
    assert "url(" not in text
    assert "@import" not in text


def test_junit_counts_are_true(any_report: Report) -> None:
    suite = ET.fromstring(render(any_report, "junit")).find("testsuite")
    assert suite is not None
    cases = suite.findall("testcase")
    assert suite.get("tests") == str(len(cases)) == str(len(any_report.steps) + 1)
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert suite.get(attribute) == str(sum(case.find(tag) is not None for case in cases))
