"""Where sickbay keeps what outlives a run: journals and the redaction key."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["state_folder"]


def state_folder() -> Path:
    """`$XDG_STATE_HOME/sickbay`, else `~/.local/state/sickbay`; not made here."""
    home = os.environ.get("XDG_STATE_HOME", "")
    if home.startswith("/"):
        return Path(home) / "sickbay"
    try:
        return Path.home() / ".local" / "state" / "sickbay"
    except RuntimeError:  # a user without a home folder
        return Path("/tmp") / f"sickbay-{os.getuid()}"  # noqa: S108  # files in it are made with O_EXCL and mode 0600
