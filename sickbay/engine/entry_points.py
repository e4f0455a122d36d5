"""Whether anybody's plugin is installed, found without importing the metadata library.

`importlib.metadata` brings the e-mail parser: importing it takes ten times as long as finding the answer.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["has_entry_points"]


def has_entry_points(group: str) -> bool:
    """Whether an installed distribution has an entry point in this group.

    A false alarm costs only time. Distributions that do not lie in a folder of `sys.path` (a zip file, a finder of its
    own) cannot be read this way, so with one of these the answer is True.
    """
    if any(_finds_distributions(finder) for finder in sys.meta_path):
        return True
    filled = re.compile(rf"^\[{re.escape(group)}\]\s*\n\s*[^\s\[#;]", re.MULTILINE)
    for place in map(Path, sys.path):
        if place.is_file():
            return True
        if any(filled.search(text) for text in _entry_point_files(place)):
            return True
    return False


def _finds_distributions(finder: object) -> bool:
    return hasattr(finder, "find_distributions") and getattr(finder, "__name__", "") != "PathFinder"


def _entry_point_files(folder: Path) -> Iterator[str]:
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:  # not there: Python leaves it out too
        return
    for name in names:
        if name.endswith((".dist-info", ".egg-info")):
            try:
                yield (folder / name / "entry_points.txt").read_text(encoding="utf-8", errors="replace")
            except OSError:  # most distributions have none
                continue
