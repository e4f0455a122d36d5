"""A process that takes CPU or memory away: `python -m sickbay.lab.hog --json-config '{"cpu": true}'`.

Options: cpu (burn one processor), memory_bytes (hold so much, every page written), cpus (processor indices).
"""

from __future__ import annotations

import sys
import threading

from sickbay.lab.child import announce, pin, read_config
from sickbay.lab.limits import enter_limits

__all__ = ["main"]

PAGE_BYTES = 4096


def main(argv: list[str] | None = None) -> int:
    """Burn or hold until killed."""
    config = read_config(argv)
    pin(config.options.get("cpus", ()))
    enter_limits(config.options)
    held = bytearray(config.options.get("memory_bytes", 0))
    for page in range(0, len(held), PAGE_BYTES):
        held[page] = 1
    announce(config, memory_bytes=len(held))
    while config.options.get("cpu"):
        sum(range(10_000))
    threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
