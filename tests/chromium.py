"""A page in real Chromium, without a screen and without the network."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

__all__ = ["chromium"]

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--no-first-run", "--hide-scrollbars", "--enable-logging=stderr",
)  # fmt: skip


def chromium(*arguments: str, home: Path, window: str = "1000,1400") -> tuple[str, str]:
    """What it prints, and what the page wrote to its console. `window`: width and height, pixels."""
    path = shutil.which("chromium")
    assert path, "chromium is not installed; run tests/heavy/setup.sh"
    command = [path, *FLAGS, f"--window-size={window}", f"--user-data-dir={home / 'profile'}", *arguments]
    environ = {**os.environ, "HOME": str(home)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=environ)
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
