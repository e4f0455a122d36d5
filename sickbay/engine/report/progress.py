"""Live progress on stderr: a line per step that runs, a line per step that ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from sickbay.engine.model.outcome import Outcome
from sickbay.engine.model.report import StepReport
from sickbay.engine.report.plain_text import plain
from sickbay.engine.report.terminal import OUTCOME_STYLE, wants_colour
from sickbay.engine.report.units import seconds

__all__ = ["Progress", "ProgressEvent"]


class ProgressEvent(Protocol):
    """What the runner tells while it runs (`sickbay.engine.run.events.Event`)."""

    @property
    def kind(self) -> str:
        """One of step-started, step-ended and note; others are not shown."""

    @property
    def done(self) -> int:
        """Steps that have ended."""

    @property
    def total(self) -> int:
        """Steps of the run."""

    @property
    def step(self) -> str:
        """Id of the step."""

    @property
    def text(self) -> str:
        """What a note says."""

    @property
    def result(self) -> StepReport | None:
        """How the step ended, on "step-ended"."""


class Progress:
    """Shows events as they come. On a terminal running steps tick in place; else each end is one plain line.

    Use it as a context manager, so that the terminal's cursor is back whatever happens, and call it with events.
    """

    def __init__(
        self, stream: TextIO, environ: Mapping[str, str], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        colour = wants_colour(stream, environ)
        self._console = Console(
            file=stream,
            width=None if stream.isatty() else 80,
            no_color=not colour,
            color_system="standard" if colour else None,
            highlight=False,
            markup=False,
            emoji=False,
        )
        self._monotonic = monotonic
        self._running: dict[str, float] = {}
        tty = stream.isatty() and environ.get("TERM") != "dumb"
        self._live = (
            Live(console=self._console, get_renderable=self._ticking, transient=True, refresh_per_second=5)
            if tty
            else None
        )

    def __enter__(self) -> Self:
        """Begin to tick, on a terminal."""
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clear the ticking lines."""
        self._running.clear()
        if self._live:
            self._live.stop()

    def __call__(self, event: ProgressEvent) -> None:
        """Show one event."""
        if event.kind == "step-started":
            self._running[event.step] = self._monotonic()
        elif event.kind == "step-ended" and event.result is not None:
            self._running.pop(event.step, None)
            self._print(_ended(event, event.result, self._console.width))
        elif event.kind == "note":
            self._print(Text(f"note: {plain(event.text, self._console.width - 6)}"))

    def _print(self, line: Text) -> None:
        self._console.print(line, no_wrap=True, overflow="ellipsis", crop=True)

    def _ticking(self) -> RenderableType:
        now = self._monotonic()
        rows = list(self._running.items())
        return Group(
            *(
                Text(f"{'':>5} {'...':<7} {plain(step, 40):<18} {seconds(now - since):>7}", style="dim", no_wrap=True)
                for step, since in rows
            )
        )


def _ended(event: ProgressEvent, step: StepReport, width: int) -> Text:
    word = step.outcome.value.upper() if step.outcome is Outcome.FAIL else step.outcome.value
    count = f"{event.done}/{event.total}" if event.total else ""
    took = seconds(step.elapsed_s) if step.elapsed_s else ""
    line = Text(f"{count:>5} ")
    line.append(f"{word:<7} ", style=OUTCOME_STYLE[step.outcome])
    line.append(f"{plain(step.id, 40):<18} {took:>7}  ")
    line.append(plain(step.summary or step.reason, max(20, width - line.cell_len)))
    return line
