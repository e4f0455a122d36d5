# ruff: noqa: E501 - one thing a line
"""The scorecard's forms with hostile words and odd numbers: nothing is obeyed, nothing is lost, nothing is too wide."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from sickbay.engine.gate.model import Outcome
from sickbay.engine.gate.render import FORMATS, render
from sickbay.engine.gate.scorecard import Finding, Scorecard, WaiverState
from sickbay.engine.gate.show.plots import evidence_plot, interval_plot, strip_plot
from sickbay.engine.gate.show.words import differing

HOSTILE = "<script>alert(1)</script> \x1b[2J\x1b]0;owned\x07 | `x` \u202e&amp; " + "long words " * 30


def finding(**more: object) -> Finding:
    base: dict[str, object] = {"rule": "facts", "kind": "eval", "found": Outcome.BLOCK, "outcome": Outcome.BLOCK,
                               "summary": HOSTILE, "examples": (HOSTILE,)}  # fmt: skip
    return Finding(**{**base, **more})  # type: ignore[arg-type]


CARD = Scorecard(
    gate="chat", title=HOSTILE, outcome=Outcome.BLOCK, summary=HOSTILE, findings=(finding(waived_by=HOSTILE),),
    waivers=(WaiverState(rule="facts", owner=HOSTILE, approver="b", reason=HOSTILE, expires="2026-12-31", state="used"),),
    errors=(HOSTILE,), candidate={"url": "http://a", "model": HOSTILE, "template_sha256": "1"},
    baseline={"url": "http://b", "template_sha256": "2"},
)  # fmt: skip


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "json"])
def test_nothing_that_a_server_says_is_obeyed(form: str) -> None:
    text = render(CARD, form)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "<script" not in text or form == "terminal"
    if form == "html":
        tags = Tags()
        tags.feed(text)
        assert not tags.seen & {"script", "link", "img", "iframe"}
    if form == "junit":
        assert ET.fromstring(text).get("failures") == "2"


def test_json_holds_what_the_schema_wants_and_comes_back() -> None:
    assert json.loads(render(CARD, "json"))["findings"][0]["examples"] == [HOSTILE]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_terminal_keeps_to_its_width(width: int) -> None:
    lines = render(CARD, "terminal", width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert "  differs    template_sha256: 2 -> 1" in lines


def test_what_differs_is_what_both_sides_tell() -> None:
    assert differing(CARD) == [("template_sha256", "1", "2")]


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [
        ({"low": -0.1, "high": 0.0, "difference": -0.05, "margin": 1}, True),
        ({"low": 0.9, "high": 1.2, "ratio": 1.0, "ratio_max": 3}, True),
        ({"low": 0.9, "high": float("inf"), "ratio": 1.0, "ratio_max": 3.0}, False),
        ({"low": 0.9, "high": 1.1}, False),
        ({}, False),
    ],
)
def test_an_interval_has_a_picture_where_it_has_numbers(numbers: dict[str, float], shown: bool) -> None:
    assert interval_plot(finding(numbers=numbers)).startswith("<svg") is shown


def test_pictures_of_values() -> None:
    same = finding(series={"baseline": (0.2, 0.2), "candidate": (0.2,)}, unit="s")
    assert ">200 ms</text>" in strip_plot(same)
    assert strip_plot(finding(series={"baseline": (0.0,), "candidate": (0.0,)})) == ""
    path = {"evidence_worse": (0.0, -1.0), "evidence_fine": (0.0, 5.0)}
    assert "evidence over 7 items" in evidence_plot(
        finding(series=path, numbers={"items": 7.0, "evidence_needed": 3.7})
    )
    assert evidence_plot(finding(series=path)) == ""
