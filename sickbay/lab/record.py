"""Record what a server shows under a fault: `python -m sickbay.lab.record FOLDER FAULT…`.

Writes FOLDER/<fault>/: `metrics-0.txt` and `metrics-1.txt` (the server's own metrics page, ten seconds apart),
`slots.json`, and `felt.json` (what users felt in between). A page the server did not give is left out.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from sickbay.lab.fault_file import find_fault
from sickbay.lab.stage import Stage

__all__ = ["main", "record"]

WINDOW_S = 10.0


def record(name: str, folder: Path, *, window_s: float = WINDOW_S) -> str:
    """Put one fault on stage, write its pages, and return the impact in a sentence."""
    fault = find_fault(name)
    with Stage(fault) as stage:
        impact = stage.impact()
        pages = {"metrics-0.txt": stage.page("/metrics")}
        time.sleep(window_s)
        pages |= {"metrics-1.txt": stage.page("/metrics"), "slots.json": stage.page("/slots")}
        felt = stage.felt()
    into = folder / fault.name
    into.mkdir(parents=True, exist_ok=True)
    for page, text in pages.items():
        if text:
            (into / page).write_text(text, encoding="utf-8")
    (into / "felt.json").write_text(json.dumps(asdict(felt), indent=1) + "\n", encoding="utf-8")
    return f"{fault.name}: {impact}"


def main(argv: list[str]) -> int:
    """Record each named fault, one after the other."""
    folder, *names = argv
    for name in names:
        sys.stdout.write(record(name, Path(folder)) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
