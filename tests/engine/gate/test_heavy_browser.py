# ruff: noqa: E501 - one row of a card on a line
"""The scorecard in a real browser: readable on a telephone and a screen, light and dark; nothing runs, nothing is fetched."""

from __future__ import annotations

import json
import math
import os
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from sickbay.engine.evals.item import EvalSet
from sickbay.engine.evals.row import EvalRun, Row
from sickbay.engine.gate.judge import judge_eval, judge_runbook
from sickbay.engine.gate.judge_latency import judge_latency
from sickbay.engine.gate.latency import Measured, TimedPair
from sickbay.engine.gate.model import EvalRule, LatencyRule, Outcome, Rule, RunbookRule, SliceRule
from sickbay.engine.gate.render import render
from sickbay.engine.gate.scorecard import Scorecard, WaiverState, decide, settle
from sickbay.engine.gate.watch import EvalWatch
from sickbay.engine.model.outcome import VerdictState
from tests.chromium import chromium
from tests.engine.gate.test_show import HOSTILE

pytestmark = pytest.mark.heavy

WIDTHS = (400, 1280)
CONTRAST_MIN = 4.5
"""WCAG 2.2, 1.4.3: text of common size."""
MEASURE = """<!doctype html><meta charset=utf-8><body style='margin:0'><script>
const widths = %s, found = {}
function channel(v) { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4 }
function light(c) { return 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]) }
function numbers(text) { return text.match(/[\\d.]+/g).map(Number) }
function behind(node, view) {
  for (; node; node = node.parentElement) {
    const c = numbers(view.getComputedStyle(node).backgroundColor)
    if (c.length < 4 || c[3] > 0) return c
  }
  return [255, 255, 255]
}
for (const width of widths) {
  const frame = document.createElement('iframe')
  frame.src = 'card.html'; frame.style = `width:${width}px;height:2000px;border:0`
  frame.onload = () => {
    const view = frame.contentWindow, page = frame.contentDocument
    let worst = [99, ''], smallest = [99, ''], wide = []
    const walk = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT)
    for (let text = walk.nextNode(); text; text = walk.nextNode()) {
      const holder = text.parentElement, style = view.getComputedStyle(holder)
      if (!text.data.trim() || holder.closest('style,title')) continue
      const colour = holder.closest('svg') ? style.fill : style.color
      const pair = [light(numbers(colour)), light(behind(holder, view))]
      const contrast = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05)
      if (contrast < worst[0]) worst = [contrast, text.data.slice(0, 40)]
      const size = parseFloat(style.fontSize)
      if (size < smallest[0]) smallest = [size, text.data.slice(0, 40)]
    }
    for (const each of page.body.querySelectorAll('*')) {
      const box = each.getBoundingClientRect()
      if (box.right > width + 0.5) wide.push(`${each.tagName} ${each.className.baseVal ?? each.className} ${box.right}`)
    }
    const ink = view.getComputedStyle(page.body).color
    found[width] = { scroll: page.documentElement.scrollWidth, wide: wide.slice(0, 5), worst, smallest, ink,
                     pictures: page.querySelectorAll('svg').length, text: page.body.innerText.length }
    if (Object.keys(found).length === widths.length)
      document.body.insertAdjacentHTML('beforeend', `<pre id=found>${JSON.stringify(found).replaceAll('<', '&lt;')}</pre>`)
  }
  document.body.append(frame)
}
</script>"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves the folder, keeps what was asked for, and lets the page load nothing at all."""

    asked: list[str]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def end_headers(self) -> None:
        if self.path == "/card.html":
            self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
        super().end_headers()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    handler = type("Handler", (Quiet,), {"asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(tmp_path)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def run_of(scores: list[bool]) -> EvalRun:
    rows = tuple(
        Row(item=f"fr-{i}", passed=passed, value=float(passed), fields={"language": ("de", "en", "fr")[i % 3]},
            why="" if passed else f"found 'Lyon', wanted 'Paris' ({i})")
        for i, passed in enumerate(scores)
    )  # fmt: skip
    return EvalRun(name="facts", rows=rows, planned=len(rows))


def card_of(hostile: bool) -> Scorecard:
    """A card with every kind of finding and picture, by the gate's own judging."""
    generator = random.Random(3)
    before = [generator.random() < 0.9 for _ in range(600)]
    after = [passed and generator.random() < 0.9 for passed in before]
    sliced = (SliceRule(by="language", critical=("de",)),)
    bad = EvalRule(id="facts", evalset=EvalSet(name="facts", items=()), margin=0.03, slices=sliced)
    good, canary = replace(bad, id="safety-and-refusals", slices=()), replace(bad, id="tools", slices=())
    watched = EvalWatch(canary, None)
    for _ in range(900):
        watched.canary.add(generator.choice((-1.0, 1.0, *[0.0] * 18)))
    speed = LatencyRule(id="ttft", pairs=40)
    times: list[TimedPair] = [
        (0.2 * math.exp(generator.gauss(0, 0.2)), 0.22 * math.exp(generator.gauss(0, 0.2))) for _ in range(40)
    ]
    book = RunbookRule(id="wrong-output", runbook="wrong-output", critical=False)
    findings = [
        *judge_eval(bad, run_of(after), run_of(before)),
        *judge_eval(good, run_of(before), run_of(before)),
        *judge_eval(replace(canary, sequential=True), run_of(before), run_of(before), watched),
        judge_latency(speed, Measured(pairs=times)),
        judge_runbook("wrong-output", VerdictState.DEGRADED, "the prompt is cut at 4,096 of 8,192 tokens"),
    ]
    rules: list[Rule] = [bad, good, canary, speed, book]
    settled, _, errors = settle(findings, rules, (), today=date(2026, 1, 1), inconclusive="block")
    outcome, summary = decide(settled, errors)
    card = Scorecard(
        gate="chat-release", title="Chat, weekly release", outcome=outcome, summary=summary, findings=settled,
        waivers=(WaiverState(rule="facts/language=de", owner="ann", approver="bob", state="expired",
                             reason="the German set grows to 800 items next week", expires="2026-01-31"),),
        errors=("the waiver of 'facts/language=de' expired on 2026-01-31",),
        candidate={"url": "http://chat-candidate.serving.svc.cluster.local:8000", "engine": "vllm", "model": "org/model-8b-instruct",
                   "engine_version": "0.11.0", "template_sha256": "a" * 12, "model_sha256": "f" * 64},
        baseline={"url": "http://chat.serving.svc.cluster.local:8000", "engine": "vllm", "engine_version": "0.10.2",
                  "model": "org/model-8b-instruct", "template_sha256": "b" * 12, "model_sha256": "e" * 64},
        sets={"facts": {"set": "facts", "version": "3", "sha256": "d" * 64, "items": "600", "format": "sickbay"}},
        gate_sha256="c" * 64, run_id="20260101-000000-abc", started_at=1.767e9, elapsed_s=431.0, requests=2431,
    )  # fmt: skip
    if hostile:
        card = replace(
            card, title=HOSTILE, summary=HOSTILE, errors=(HOSTILE,), candidate={"url": HOSTILE, "model": "x" * 300}
        )
    return card


@pytest.mark.parametrize("hostile", [False, True], ids=["plain", "hostile"])
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_the_scorecard_can_be_read(scheme: str, hostile: bool, served: tuple[str, list[str]], tmp_path: Path) -> None:
    url, asked = served
    card = card_of(hostile)
    assert card.outcome is Outcome.BLOCK
    (tmp_path / "card.html").write_text(render(card, "html"))
    (tmp_path / "measure.html").write_text(MEASURE % json.dumps(WIDTHS))
    colours = f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}"
    dom, console = chromium(colours, "--dump-dom", f"{url}/measure.html", home=tmp_path, window="1300,2000")
    assert console == ""
    match = re.search(r"<pre id=\"found\">(.*?)</pre>", dom, re.DOTALL)
    assert match, dom[-400:]
    found: dict[str, Any] = json.loads(match.group(1).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    for width in WIDTHS:
        seen = found[str(width)]
        assert seen["wide"] == [], seen
        assert seen["scroll"] <= width
        assert seen["worst"][0] >= CONTRAST_MIN, seen["worst"]
        assert seen["smallest"][0] >= 11, seen["smallest"]
        assert seen["pictures"] >= 5
        assert (seen["ink"] == "rgb(230, 237, 243)") == (scheme == "dark")
    assert {path for path in asked if path != "/favicon.ico"} == {"/card.html", "/measure.html"}
    if folder := os.environ.get("SICKBAY_SCREENSHOTS"):
        for width in WIDTHS:
            picture = Path(folder) / f"card-{scheme}-{width}{'-hostile' if hostile else ''}.png"
            (tmp_path / "frame.html").write_text(
                f"<body style='margin:0'><iframe src=card.html style='width:{width}px;height:3400px;border:0'></iframe>"
            )
            chromium(
                colours,
                f"--screenshot={picture}",
                f"{url}/frame.html",
                home=tmp_path,
                window=f"{max(width, 500)},3400",
            )
