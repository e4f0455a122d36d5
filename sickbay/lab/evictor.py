"""Something that takes the model out of the page cache again and again, as a backup or a neighbour does.

Options: group (a memory control group), every_s.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from sickbay.lab.child import announce, read_config
from sickbay.lab.limits import evict

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Evict until killed."""
    config = read_config(argv)
    group = Path(config.options["group"])
    evict(group)
    announce(config)
    while not threading.Event().wait(config.options["every_s"]):
        evict(group)
    return 0


if __name__ == "__main__":
    sys.exit(main())
