from __future__ import annotations

import io
from dataclasses import dataclass

import pytest

from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.report import StepReport
from sickbay.engine.report.progress import Progress
from sickbay.engine.report.terminal import wants_colour


@dataclass(frozen=True)
class Event:
    kind: str
    step: str = ""
    done: int = 0
    total: int = 0
    text: str = ""
    result: StepReport | None = None


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def ended(step: str, outcome: Outcome, summary: str, done: int, elapsed_s: float = 1.5) -> Event:
    result = StepReport(id=step, check=step, outcome=outcome, summary=summary, started_s=0, elapsed_s=elapsed_s)
    return Event("step-ended", step, done, 2, result=result)


EVENTS = (
    Event("run-started", total=2),
    Event("step-started", "serving.alive", 0, 2),
    ended("serving.alive", Outcome.PASS, "the first token came after 31 ms", 1),
    Event("step-started", "probe.ttft", 1, 2),
    Event("progress", done=1, total=2),
    Event("note", text="the journal cannot be written: \x1b[2Jdisk full"),
    ended("probe.ttft", Outcome.FAIL, "client TTFT p50 4.73 s over 6 requests, promised 1 s " + "x" * 60, 2),
    Event("run-ended"),
)


def test_piped_it_is_one_plain_line_a_step() -> None:
    out = io.StringIO()
    with Progress(out, {}) as progress:
        for event in EVENTS:
            progress(event)
    lines = out.getvalue().splitlines()
    assert lines[0] == "  1/2 pass    serving.alive        1.5 s  the first token came after 31 ms"
    assert lines[1] == "note: the journal cannot be written: disk full"
    assert lines[2] == "  2/2 FAIL    probe.ttft           1.5 s  client TTFT p50 4.73 s over 6 reque..."
    assert len(lines) == 3
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in out.getvalue()


def test_on_a_terminal_the_running_step_ticks() -> None:
    out = Terminal()
    now = [100.0]
    with Progress(out, {"TERM": "xterm", "COLUMNS": "80"}, monotonic=lambda: now[0]) as progress:
        progress(EVENTS[1])
        now[0] = 107.0
        progress._live.refresh()  # type: ignore[union-attr]
        progress(EVENTS[2])
    text = out.getvalue()
    assert "...     serving.alive          7 s" in text
    assert "\x1b[32mpass" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor is back


def test_the_cursor_is_back_after_an_error() -> None:
    out = Terminal()

    def broken_run() -> None:
        with Progress(out, {"TERM": "xterm"}) as progress:
            progress(EVENTS[1])
            raise RuntimeError("bug")

    with pytest.raises(RuntimeError, match="bug"):
        broken_run()
    assert "\x1b[?25h" in out.getvalue()


def test_a_dumb_terminal_gets_plain_lines() -> None:
    out = Terminal()
    with Progress(out, {"TERM": "dumb"}) as progress:
        for event in EVENTS[:3]:
            progress(event)
    assert "\x1b" not in out.getvalue()


@pytest.mark.parametrize(
    ("stream", "environ", "wanted"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"FORCE_COLOR": "1"}, False),
    ],
)
def test_colour(stream: io.StringIO, environ: dict[str, str], wanted: bool) -> None:
    assert wants_colour(stream, environ) is wanted
