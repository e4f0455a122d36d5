"""Live progress while a run goes on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sickbay.engine.run.events import OnEvent

__all__ = ["shown"]


@contextmanager
def shown(*, quiet: bool) -> Iterator[OnEvent | None]:
    """A listener that shows events on stderr; None when nobody wants to see them."""
    if quiet:
        yield None
        return
    from sickbay.engine.report.progress import Progress  # late: scheduled runs show nothing, and rich costs 30 ms

    with Progress(sys.stderr, os.environ) as progress:
        yield progress
