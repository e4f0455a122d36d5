"""A real browser shows the page: nothing is blocked by its policy, nothing runs, nothing is fetched."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from sickbay.engine.model.report import Report
from sickbay.engine.report.formats import render
from tests.chromium import chromium

pytestmark = pytest.mark.heavy


def test_the_page_renders_without_a_complaint(named_report: tuple[str, Report], tmp_path: Path) -> None:
    name, report = named_report
    page = tmp_path / f"{name}.html"
    page.write_text(render(report, "html"))
    picture = tmp_path / "page.png"
    _, console = chromium(f"--screenshot={picture}", page.as_uri(), home=tmp_path)
    assert console == ""
    data = picture.read_bytes()
    assert data.startswith(b"\x89PNG")
    assert len(data) > 30_000  # an unstyled or blank page is smaller
    if folder := os.environ.get("SICKBAY_SCREENSHOTS"):
        shutil.copy(picture, Path(folder) / f"{name}.png")


def test_markup_from_a_server_does_not_run(admission_limit: Report, tmp_path: Path) -> None:
    evil = "</title></style><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    report = replace(admission_limit, title=evil, target=evil, verdict=replace(admission_limit.verdict, summary=evil))
    page = tmp_path / "evil.html"
    page.write_text(render(report, "html"))
    dom, console = chromium("--dump-dom", page.as_uri(), home=tmp_path)
    assert "<title>owned" not in dom
    assert "<script" not in dom
    assert "<img" not in dom
    assert console == ""
