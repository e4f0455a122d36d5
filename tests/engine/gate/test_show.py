# ruff: noqa: E501 - one thing a line
"""The scorecard's forms with hostile words and odd numbers: nothing is obeyed, nothing is lost, nothing is too wide."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt

from sickbay.engine.gate.model import Outcome
from sickbay.engine.gate.render import FORMATS, render
from sickbay.engine.gate.scorecard import Finding, Scorecard, WaiverState
from sickbay.engine.gate.show.plots import evidence_plot, interval_plot, strip_plot
from sickbay.engine.gate.show.words import differing

HOSTILE = (
    "<script>alert(1)</script> \x1b[2J\x1b]0;owned\x07 | `x` \u202e&amp; **bold** _low_ [a](http://x) ![b](http://y) "
    "@org/team #12 \\| "
) + "long words " * 30


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


def rendered(markdown: str) -> str:
    """As CommonMark with GitHub's tables shows it; raw HTML stands, as it does on GitHub for what is allowed there."""
    return str(MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))


def test_markdown_shows_hostile_words_as_they_are() -> None:
    """In every cell and example: one table row a finding, and no markup, mention or number of an issue."""
    text = render(CARD, "markdown")
    page = rendered(text)
    assert page.count("<tr>") == 3 + 1 + 4 + 2  # rules, waivers, what is known of the sides, with their heads
    assert "<li><code>&lt;script&gt;alert(1)&lt;/script&gt; | `x` &amp;amp; " in page
    assert "**bold** _low_ [a](http://x) ![b](http://y) (at)org/team #\u200b12 " in page
    head = page.partition("<table>")[0]
    assert "@" not in head


def test_two_cases_of_junit_are_never_one() -> None:
    card = replace(CARD, findings=(finding(rule="gate"), finding(rule="waiver")), errors=("one", "two"))
    names = [case.get("name") for case in ET.fromstring(render(card, "junit")).iter("testcase")]
    assert names == ["gate", "waiver", "(error 1)", "(error 2)", "(the whole gate)"]


def test_junit_says_the_sentence_where_each_reader_looks() -> None:
    suites = ET.fromstring(
        render(replace(CARD, findings=(finding(summary="it is worse", examples=("lost",)),)), "junit")
    )
    assert (suites.tag, suites.get("failures"), suites[0].get("tests")) == ("testsuites", "2", "3")
    failure = next(suites.iter("failure"))
    assert (failure.get("message"), failure.text) == ("it is worse", "it is worse\nlost")


def test_a_gate_that_was_cut_is_green_nowhere() -> None:
    card = replace(CARD, outcome=Outcome.PASS, findings=(), errors=(), cut="interrupted")
    assert card.exit_code == 130
    assert ET.fromstring(render(card, "junit")).get("errors") == "1"


def test_what_would_block_and_only_warns_says_why() -> None:
    beta = finding(rule="beta", outcome=Outcome.WARN, summary="worse", critical=False, examples=())
    text = render(replace(CARD, findings=(beta,)), "terminal")
    assert "  warn    beta: worse\n          block, but it only warns: not critical\n" in text
    assert "| warn | beta | worse _(block, but it only warns)_ |" in render(replace(CARD, findings=(beta,)), "markdown")


def test_a_throughput_is_pictured_as_it_is_said() -> None:
    numbers: dict[str, float] = {"low": 1.0, "high": 1.25, "ratio": 1.1, "ratio_max": 1.25}
    picture = interval_plot(finding(numbers=numbers, unit="tokens/s"))
    assert "0.91 times, interval 0.80 to 1.00, limit 0.80" in picture
    fast = finding(series={"baseline": (842.0, 2419.0), "candidate": (900.0,)}, unit="tokens/s")
    assert ">2,419 tokens/s</text>" in strip_plot(fast)


def many(count: int, outcome: Outcome = Outcome.PASS) -> tuple[Finding, ...]:
    return tuple(finding(rule=f"facts/user=u{i}", outcome=outcome, summary="s", examples=()) for i in range(count))


def test_thousands_of_slices_are_no_thousand_lines() -> None:
    card = replace(CARD, findings=(*many(3000), finding(summary="it is worse", examples=())))
    for form in ("terminal", "markdown"):
        text = render(card, form)
        assert "it is worse" in text
        assert "and 2941 more findings (none of them stops the release)" in " ".join(text.split())
        assert len(text) < 20_000
    metrics = render(card, "prometheus")
    assert metrics.count("sickbay_gate_rule_outcome{") == 800
    assert 'sickbay_gate_rule_outcome{gate="chat",outcome="block",rule="facts"} 1.0' in metrics
    assert 'sickbay_gate_rules_left_out{gate="chat"} 2801.0' in metrics
    assert "and 2940 more findings (2940 of them stop the release too)" in " ".join(
        render(replace(card, findings=many(3000, Outcome.BLOCK)), "terminal").split()
    )


def test_long_names_of_slices_stay_two_series() -> None:
    long = "facts/user=" + "u" * 200
    card = replace(CARD, findings=(finding(rule=f"{long}1"), finding(rule=f"{long}2", outcome=Outcome.PASS)))
    lines = [line for line in render(card, "prometheus").splitlines() if line.startswith("sickbay_gate_rule_outcome{")]
    assert len(set(lines)) == len(lines) == 8


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "json"])
def test_nothing_that_a_server_says_is_obeyed(form: str) -> None:
    text = render(CARD, form)
    assert "\x1b" not in text
    assert "\u202e" not in text
    if form in {"html", "markdown"}:
        tags = Tags()
        tags.feed(text if form == "html" else rendered(text))
        assert not tags.seen & {"script", "link", "img", "iframe", "a"}
    if form == "junit":
        assert ET.fromstring(text).get("failures") == "2"


def test_json_has_no_number_that_json_has_not() -> None:
    odd = finding(numbers={"high": float("inf"), "p_worse": float("nan"), "n": 1.0}, series={"candidate": (1.0,)})
    text = render(replace(CARD, findings=(odd,)), "json")
    assert json.loads(text, parse_constant=pytest.fail)["findings"][0]["numbers"] == {"n": 1.0}


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
